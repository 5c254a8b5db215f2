#!/bin/bash
# Files that were deleted while somebody holds them open follow a change of the policy as others do: unreadable at once, through handles and mappings, readable again when it
# is undone, and for good when it stays.
# attack items: 12 49
. "$(dirname "$0")/lib.sh"
with_test_clock
p=$TEST_TMP/p.ini
policy() { # policy LIFETIME
	printf '[policy]\nversion = 1\ndefault-class = rest\nsettle = 10s\nundo = 1h\n\n[class plates]\nmatch = plates/**\nexpire-after = %s\n\n[class rest]\nexpire-after = 1d\n\n[rule all]\neffect = permit\nbudget = none\n' "$1" >"$p"
}
change() {
	policy "$1"
	check "the policy is changed" "$LAPSE" policy apply "$p" "$MNT" --plan "$("$LAPSE" policy plan "$p" "$MNT" | sed -n 's/^Plan \([0-9a-f]*\),.*/\1/p')" >/dev/null
}
first_byte() { python3 -c 'import os; print(os.pread(5, 1, 0).decode())'; }
policy 10h
archive_new "$p" --epoch 1min
mount_archive
mkdir "$MNT/plates"
echo a >"$MNT/plates/open"
echo m >"$MNT/plates/mapped"
exec 5<"$MNT/plates/open"
python3 "$SRC/tests/mount/mapped.py" "$MNT/plates/mapped" "$TEST_TMP/mapped" &
mapped=$!
wait_until 10 test -s "$TEST_TMP/mapped"
rm "$MNT/plates/open" "$MNT/plates/mapped"
clock 600
[ "$(first_byte)" = a ] || die "a deleted file that is open"

note "shorter: at once"
change 5min
refuse "Key has expired" first_byte
wait "$mapped" || die "a mapping of a deleted file outlived the change"

note "undone: readable again"
check "undo" "$LAPSE" policy undo "$MNT" >/dev/null
[ "$(first_byte)" = a ] || die "not readable after the undo"

note "shorter, and ahead: at its date"
change 20min
[ "$(first_byte)" = a ] || die "before its date"
clock 1210
refuse "Key has expired" first_byte

note "… and the change stays: for good"
clock 5000
refuse "Key has expired" first_byte
exec 5<&-
umount_archive
