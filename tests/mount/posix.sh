#!/bin/bash
# Everything that POSIX and the manual pages of Linux say of files, seen on ext4 and on the mount.
# timeout: 240
. "$(dirname "$0")/lib.sh"
plain=$TEST_TMP/plain
mkdir "$plain"
[ "$(stat -f -c %T "$plain")" = ext2/ext3 ] || die "the oracle is ext4, and TEST_TMP is not on one: set TMPDIR"
archive_new
mount_archive
CHECK_TIMEOUT=200 check "posix" python3 "$SRC/tests/mount/posix" "$plain" "$MNT" "$@"
umount_archive
