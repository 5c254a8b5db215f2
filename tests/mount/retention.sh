#!/bin/bash
# What each state of a file lets be done to it (POLICY.md "Retention"), through paths and through handles that were opened before: every state with every act, as the
# table says, with the build whose clock is injected.
# attack items: 9 11 16 17
. "$(dirname "$0")/lib.sh"
with_test_clock
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = plain
settle = 10s

[class worm]
match = worm/**
retain-for = 2h
expire-after = 4h
commit-after = 60s

[class once]
match = once/**
retain-for = 2h
expire-after = 4h
commit-after = close

[class kept]
match = kept/**
retain-for = 10min
retain-bounds = 10min..3h
expire-after = 20min
commit-after = close

[class touched]
match = touched/**
basis = modified
expire-after = 1h
prune-empty = yes

[class brief]
match = brief/**
expire-after = 30min

[class plain]
expire-after = 1d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 1min
mount_archive
mkdir "$MNT"/{kept,worm,once,touched,brief,plain,away}
state() { timeout 20 "$LAPSE" explain "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'; }
deadline() { timeout 20 "$LAPSE" explain "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["expires"])'; }
committed() { [ "$(state "$1")" = committed ]; }

note "open, and closed for less than commit-after: an ordinary file"
python3 "$SRC/tests/mount/acts.py" "$MNT/worm/fresh" "$MNT/plain" open || die "an open file"
clock 50
python3 "$SRC/tests/mount/acts.py" "$MNT/worm/young" "$MNT/plain" open || die "a closed file before it commits"

note "committed by idle time: whoever looks first finds it so, and the daemon writes it down"
echo image >"$MNT/worm/a"
exec 7<"$MNT/worm/a"
exec 8>>"$MNT/worm/open-for-writing"
echo more >&8
clock 115
refuse "Operation not permitted" dd if=/dev/zero of="$MNT/worm/a" bs=1 count=1 conv=notrunc status=none
wait_until 20 committed "$MNT/worm/a"
[ "$(state "$MNT/worm/open-for-writing")" = open ] || die "a file that is open for writing has committed"
echo still >&8 || die "through a handle that is open for writing"
exec 8>&-
[ "$(cat <&7)" = image ] || die "a handle for reading that was opened before"
exec 7<&-

note "an attribute change puts the commit off"
echo x >"$MNT/worm/put-off"
clock 165
chmod 600 "$MNT/worm/put-off"
clock 200
[ "$(state "$MNT/worm/put-off")" = closed ] || die "chmod does not count as activity"
echo y >>"$MNT/worm/put-off" || die "not committed yet"

note "committed, floor ahead: nothing but reading"
python3 "$SRC/tests/mount/acts.py" "$MNT/worm/a" "$MNT/plain" fixed || die "a committed file"
echo at-once >"$MNT/once/b"
python3 "$SRC/tests/mount/acts.py" "$MNT/once/b" "$MNT/plain" fixed || die "commit-after = close"
[ "$(cat "$MNT/worm/a")" = image ] || die "its content"

note "a floor that would be above the ceiling of the other class: mv copies"
echo z >"$MNT/worm/to-brief"
clock 215
refuse "Invalid cross-device link" python3 -c 'import os, sys; os.rename(sys.argv[1], sys.argv[2])' "$MNT/worm/to-brief" "$MNT/brief/to-brief"

note "across a remount and kill -9"
umount_archive
mount_archive
python3 "$SRC/tests/mount/acts.py" "$MNT/worm/a" "$MNT/plain" fixed || die "after a remount"
kill_daemon
mount_archive
python3 "$SRC/tests/mount/acts.py" "$MNT/worm/a" "$MNT/plain" fixed || die "after kill -9"

note "a floor set by hand: within the bounds, never shorter, and the ceiling with it"
echo k >"$MNT/kept/k"
start=$(deadline "$MNT/kept/k")
at() { date -d "@$1" '+%Y-%m-%d %H:%M:%S'; }
refuse "no 'retain-bounds'" timeout 20 "$LAPSE" retain "$MNT/worm/a" --until "$(at $((start + 3600)))" --reason r
refuse "permits a floor between $(date -u -d @$((start - 600)) '+%F %T') and $(date -u -d @$((start + 9600)) '+%F %T') UTC" timeout 20 "$LAPSE" retain "$MNT/kept/k" --until "$(at $((start + 9700)))" --reason r
refuse "kept/none: No such file" timeout 20 "$LAPSE" retain "$MNT/kept/none" --until 1h --reason r
refuse "permits a floor between" timeout 20 "$LAPSE" retain "$MNT/kept/k" --until "$(at $((start + 86400)))" --reason r
refuse "never shortened" timeout 20 "$LAPSE" retain "$MNT/kept/k" --until "$(at $((start - 600)))" --reason r
refuse "--reason" timeout 20 "$LAPSE" retain "$MNT/kept/k" --until 1h
timeout 20 "$LAPSE" retain "$MNT/kept/k" --until "$(at $((start + 3600)))" --reason "file 17" || die "retain"
[ "$(deadline "$MNT/kept/k")" = $((start + 3600)) ] || die "the ceiling is before the floor"

note "basis = modified: each write begins the lifetime anew"
echo 1 >"$MNT/touched/t"
first=$(deadline "$MNT/touched/t")
clock 400
echo 2 >>"$MNT/touched/t"
[ "$(deadline "$MNT/touched/t")" -ge $((first + 150)) ] || die "a write does not count"
touch -d 2030-01-01 "$MNT/touched/t"
second=$(deadline "$MNT/touched/t")
[ "$second" -lt $((first + 300)) ] || die "an mtime set by hand counts"

note "kept by hand: readable past its own ceiling, and not to be changed"
clock 1700
[ "$(cat "$MNT/kept/k")" = k ] || die "kept by hand, and gone"
python3 "$SRC/tests/mount/acts.py" "$MNT/kept/k" "$MNT/plain" fixed || die "kept by hand"

note "the floor has passed: it may be deleted, and still not be written"
clock $((2 * 3600 + 300))
for f in worm/a once/b; do
	cp -p "$MNT/$f" "$TEST_TMP/copy"
	python3 "$SRC/tests/mount/acts.py" "$MNT/$f" "$MNT/plain" passed || die "$f after its floor"
done

note "expired: unreadable at the second; empty directories go where the class says so"
gone() { [ ! -e "$1" ]; }
wait_until 30 gone "$MNT/touched"
echo left >"$MNT/brief/e"
clock $((now + 1801))
python3 "$SRC/tests/mount/acts.py" "$MNT/brief/e" "$MNT/plain" expired || die "an expired file"
[ -d "$MNT/brief" ] || die "a directory of a class without prune-empty went"
umount_archive
