#!/bin/bash
# Everything that POSIX and the manual pages of Linux say of files, seen on ext4 and on the mount; and what is left of it is the same after a remount,
# inode numbers and times included.
# timeout: 300
. "$(dirname "$0")/lib.sh"

tree() { find "$MNT" -mindepth 1 -printf '%P %i %M %n %U %G %s %T@ %l\0' | sort -z; }

plain_ext4
archive_new
mount_archive
CHECK_TIMEOUT=240 check "posix" python3 "$SRC/tests/mount/posix" "$PLAIN" "$MNT" "$@"
tree >"$TEST_TMP/before"
umount_archive
mount_archive
tree >"$TEST_TMP/after"
cmp "$TEST_TMP/before" "$TEST_TMP/after" || { diff -a <(tr '\0' '\n' <"$TEST_TMP/before") <(tr '\0' '\n' <"$TEST_TMP/after") | head -n 6; die "other than before the remount"; }
umount_archive
