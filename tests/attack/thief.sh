#!/bin/bash
# A thief takes everything there is after a file has expired: the disk with its free blocks, the keyring and the key, every older backup of the store (some of a
# time when a legal hold was in force that was released since), the catalogue, and the daemon's memory; but no older anchor. He finds no key, no content and no
# name of what has expired. With an older anchor he does, and so would this test. The clock is injected.
# timeout: 240
# attack items: 44 45
. "$(dirname "$0")/../mount/lib.sh"
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
export LAPSE_TEST_CLOCK=$TEST_TMP/clock
clock() { # clock SECONDS: so much later, by the wall and since boot
	python3 - "$LAPSE_TEST_CLOCK" "$1" <<'P'
import os, struct, sys
os.pwrite(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644), struct.pack("<qqI4x", int(sys.argv[2]) * 10**9, int(sys.argv[2]) * 10**9, 1), 0)
P
}
thief() { timeout 100 /usr/bin/python3 "$SRC/tests/attack/thief.py" "$@" >"$TEST_TMP/said" 2>&1; }
finds() { thief "$@" || { cat "$TEST_TMP/said"; die "this should be found, or the search finds nothing: $1"; }; }
finds_nothing() {
	local status=0
	thief "$@" || status=$?
	tail -n 5 "$TEST_TMP/said"
	[ $status -eq 1 ] || die "the thief found it, or the search failed: $1"
}
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class brief]
match = brief/**
expire-after = 10min

[class keep]
match = **
expire-after = 2y

[rule everyone]
effect = permit
budget = none
E
expect_log 'built for tests'
clock 0
truncate -s 192M "$TEST_TMP/disk.img"
mkfs.ext4 -q -F "$TEST_TMP/disk.img"
mkdir "$TEST_TMP/disk" "$TEST_TMP/plain" "$TEST_TMP/living" "$TEST_TMP/backups"
mount -o loop "$TEST_TMP/disk.img" "$TEST_TMP/disk"
disk_mounted=1
drop_disk() { [ -z "$disk_mounted" ] || umount "$TEST_TMP/disk" || umount -l "$TEST_TMP/disk"; disk_mounted=; }
ARC=$TEST_TMP/disk/archive
archive_new "$TEST_TMP/policy.ini" --epoch 1min --anchor "$TEST_TMP/disk/anchor" # a second copy, on the disk that he takes
ANCHOR=$TEST_TMP/anchor
[ -e "$TEST_TMP/disk/anchor" ] || die "the second copy of the anchor"
# Of what a ring of io_uring carried last, the kernel alone says when it is carried over.
mount_archive --transport device
at_end drop_disk # after the mount is gone
mkdir "$MNT/brief" "$MNT/keep"
for n in expiredfirst expiredheld expiredtwice expiredopen; do
	head -c 40000 /dev/urandom >"$TEST_TMP/plain/$n"
	cp "$TEST_TMP/plain/$n" "$MNT/brief/$n"
	setfattr -n user.comment -v "$n was said" "$MNT/brief/$n"
done
head -c 40000 /dev/urandom >"$TEST_TMP/living/livingfile"
cp "$TEST_TMP/living/livingfile" "$MNT/keep/livingfile"
briefs=(brief/expiredfirst brief/expiredheld brief/expiredtwice brief/expiredopen)
then_is() { # what only the test has: the anchor of that time, and what it leads to
	sync -f "$ARC"
	cp "$ANCHOR" "$TEST_TMP/$1"
	shift
}
backup() { cp -a "$ARC" "$TEST_TMP/backups/$1"; }
(umask 077 && head -c 32 /dev/urandom >"$TEST_TMP/key2")

note "before; under a hold; under two; after its date, under the hold"
then_is anchor.before
thief truth "$TEST_TMP/truth" "$ARC" "$KEY" "$TEST_TMP/anchor.before" "${briefs[@]}" || { cat "$TEST_TMP/said"; die truth; }
backup before
exec 7<"$MNT/brief/expiredopen"
cat <&7 >/dev/null
thief dump "$DAEMON" "$TEST_TMP/memory.open" || { cat "$TEST_TMP/said"; die dump; }
timeout 60 "$LAPSE" hold add one "$MNT" --match 'brief/expiredheld' --match 'brief/expiredtwice' --reason r --review 30d --readers root
timeout 60 "$LAPSE" hold add two "$MNT" --match 'brief/expiredtwice' --reason r --review 30d --readers root
then_is anchor.held
thief truth "$TEST_TMP/truth" "$ARC" "$KEY" "$TEST_TMP/anchor.held" "${briefs[@]}" || { cat "$TEST_TMP/said"; die truth; }
backup held
check "a key added" "$LAPSE" key add "$MNT" --key-file "$KEY" --new-key-file "$TEST_TMP/key2" --label second >/dev/null
clock 700
gone() { [ ! -e "$MNT/$1" ]; }
wait_until 30 gone brief/expiredfirst
check "held past its date" cmp "$TEST_TMP/plain/expiredheld" "$MNT/brief/expiredheld"
release() { # release NAME
	local plan
	plan=$(timeout 60 "$LAPSE" hold release "$1" "$MNT" --reason over | sed -n 's/.*--plan \([0-9a-f]*\).*/\1/p') || true
	timeout 60 "$LAPSE" hold release "$1" "$MNT" --reason over --plan "$plan" >/dev/null || die "release $1"
}
backup past
release one
then_is anchor.two # between the releases
gone brief/expiredheld || die "released, and still there"
thief truth "$TEST_TMP/truth" "$ARC" "$KEY" "$TEST_TMP/anchor.two" brief/expiredtwice || { cat "$TEST_TMP/said"; die truth; }
backup two
release two
gone brief/expiredtwice && gone brief/expiredopen || die "still there"
exec 7<&-
cat "$MNT/keep/livingfile" >/dev/null

note "he takes everything"
thief dump "$DAEMON" "$TEST_TMP/memory" || { cat "$TEST_TMP/said"; die dump; }
[ "$(awk '/Max core file size/ { print $5 }' "/proc/$DAEMON/limits")" = 0 ] || die "it may leave a core file"
cp -a "$ARC" "$TEST_TMP/live" # with the catalogue's write-ahead log
umount_archive
cp -a "$ARC" "$TEST_TMP/now"
cp "$ANCHOR" "$TEST_TMP/anchor.now"
sync -f "$ARC"
drop_disk

note "bytes: in the disk's image with its free blocks, in memory, in every copy"
finds_nothing search "$TEST_TMP/truth" "$TEST_TMP/plain" "$TEST_TMP/disk.img" "$TEST_TMP/memory" "$TEST_TMP/now" "$TEST_TMP/live" "$TEST_TMP/backups" "$TEST_TMP/anchor.now"
note "keys: every key that there is on every header that there ever was"
finds_nothing open "$TEST_TMP/plain" "$TEST_TMP/now" "$KEY" "$TEST_TMP/anchor.now" "$TEST_TMP"/backups/* "$TEST_TMP/live" "$TEST_TMP/now"

note "the same finds what is there: a living file; what was open in memory; and with each older anchor what that one still could open"
finds open "$TEST_TMP/living" "$TEST_TMP/now" "$KEY" "$TEST_TMP/anchor.now" "$TEST_TMP/backups/before"
finds search "$TEST_TMP/truth" "$TEST_TMP/plain" "$TEST_TMP/memory.open" "$TEST_TMP/now"
grep -q 'expiredopen by .*key' "$TEST_TMP/said" || die "the keys of an open file"
finds open "$TEST_TMP/plain" "$TEST_TMP/backups/before" "$KEY" "$TEST_TMP/anchor.before" "$TEST_TMP/backups/before"
finds open "$TEST_TMP/plain" "$TEST_TMP/backups/held" "$KEY" "$TEST_TMP/anchor.held" "$TEST_TMP/backups/past"
grep -q 'expiredheld' "$TEST_TMP/said" || die "by the hold's key"
finds open "$TEST_TMP/plain" "$TEST_TMP/backups/two" "$KEY" "$TEST_TMP/anchor.two" "$TEST_TMP/backups/two"
cp "$TEST_TMP/plain/expiredfirst" "$TEST_TMP/now/planted"
finds search "$TEST_TMP/truth" "$TEST_TMP/plain" "$TEST_TMP/now"
