#!/bin/bash
# The expiry queue has one row of every name, whatever takes its place: files that were made at different times are renamed over each other, exchanged, linked, written
# again, imported over and removed, damaged ones too; after a crash; and each goes by its own date.
. "$(dirname "$0")/lib.sh"
with_test_clock
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = all
hard-links = yes

[class all]
match = **
expire-after = 2d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 1min
mount_archive
mkdir "$MNT"/{one,two}

complete() { [ "$(timeout 20 "$LAPSE" status "$MNT" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["catalogue-complete"])')" = True ]; }
sum() { timeout 20 "$LAPSE" queue "$MNT" --by "$1" --all --raw --noheadings -o FILES,SIZE 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'; }
exact() { # exact WHEN: rows, sums and files are the same
	local files got
	(cd "$MNT" && find . -type f | sed 's,^\./,,' | sort) >"$TEST_TMP/files"
	timeout 20 "$LAPSE" queue "$MNT" --all --raw --noheadings -o PATH 2>/dev/null | sort >"$TEST_TMP/rows"
	cmp -s "$TEST_TMP/files" "$TEST_TMP/rows" || { diff "$TEST_TMP/files" "$TEST_TMP/rows" >&2 || true; die "$1: files and rows are not the same"; }
	files=$(wc -l <"$TEST_TMP/files")
	for got in "$(sum day)" "$(sum class)" "$(sum directory)"; do [ "$got" = "$files" ] || die "$1: $files files, and a sum of $got"; done
}

note "names that change hands, one minute to a month apart"
at=0
for n in $(seq 24); do
	at=$((at + (n % 3 ? 70 : 5000)))
	clock $at
	check "operations" timeout 60 python3 "$(dirname "$0")/rows.py" "$MNT" "$n" 60
	exact "round $n"
done

note "the same after a crash, and after a mount of a catalogue that is believed"
kill_daemon
mount_archive
wait_until 30 complete
exact "after a crash"
umount_archive
mount_archive
exact "mounted anew"
check "operations" timeout 60 python3 "$(dirname "$0")/rows.py" "$MNT" 100 60
exact "after that"

note "what is restored over what is there"
umount_archive
cp -a "$ARC" "$TEST_TMP/copy"
clock $((at += 7200))
mount_archive
(cd "$MNT/one" && ls) >"$TEST_TMP/restored"
[ -s "$TEST_TMP/restored" ] || die "nothing to be restored"
while read -r n; do rm "$MNT/one/$n"; echo new >"$MNT/one/$n"; done <"$TEST_TMP/restored"
exact "before it is restored"
check "restore" timeout 60 "$LAPSE" restore "$MNT" --from "$TEST_TMP/copy" --overwrite --reason test one >"$TEST_TMP/restore.out"
! grep -q '^new$' "$MNT"/one/* || die "not all is restored: $(cat "$TEST_TMP/restore.out")"
exact "restored"

note "a damaged file, of which nobody knows when it was made"
echo damaged >"$MNT/two/damaged"
echo beside >"$MNT/two/beside"
back=$(find "$ARC" -inum "$(stat -c %i "$MNT/two/damaged")" -not -path "$ARC/.lapse/*" | head -n 1)
umount_archive
dd if=/dev/urandom of="$back" bs=1024 count=1 conv=notrunc status=none
expect_log 'damaged'
clock $((at += 600))
mount_archive
check "rm" rm "$MNT/two/damaged"
exact "a damaged file is removed"
clock $((at += 600))
echo again >"$MNT/two/damaged"
exact "its name is taken again"
mv "$MNT/two/damaged" "$MNT/two/again"

note "each goes by its own date"
clock $((at += 600))
echo last >"$MNT/two/last"
clock $((at + 172800 - 900)) # the damaged one is gone, and what was made before it
but_last() { [ "$(cd "$MNT" && find . -type f | sort | paste -sd' ')" = "./two/again ./two/last" ]; }
wait_until 60 but_last
exact "but the newest"
clock $((at + 172800 + 2 * 3600))
nothing() { [ "$(find "$MNT" -type f | wc -l)" = 0 ]; }
wait_until 60 nothing
exact "all have gone"
umount_archive
