#!/bin/bash
# Everything that POSIX and the manual pages of Linux say of files, seen on ext4 and on the mount (with LAPSE_LONG over each transport); and what is left of it
# is the same after a remount, inode numbers and times included.
# timeout: 300
. "$(dirname "$0")/lib.sh"

tree() { find "$MNT" -mindepth 1 -printf '%P %i %M %n %U %G %s %T@ %l\0' | sort -z; }

plain_ext4
sed 's/^default-class.*/&\nacl = yes/' "$TEST_TMP/open.ini" >"$TEST_TMP/acl.ini"
archive_new "$TEST_TMP/acl.ini"
ways=device
[ -z "${LAPSE_LONG:-}" ] || ways=$(transports)
for transport in $ways; do
	mount_by "$transport"
	mkdir "$PLAIN/$transport" "$MNT/$transport"
	CHECK_TIMEOUT=240 check "posix over $transport" python3 "$SRC/tests/mount/posix" "$PLAIN/$transport" "$MNT/$transport" "$@"
	tree >"$TEST_TMP/before"
	umount_archive
	mount_by "$transport"
	tree >"$TEST_TMP/after"
	cmp "$TEST_TMP/before" "$TEST_TMP/after" ||
		{ diff -a <(tr '\0' '\n' <"$TEST_TMP/before") <(tr '\0' '\n' <"$TEST_TMP/after") | head -n 6; die "other than before the remount"; }
	umount_archive
done
