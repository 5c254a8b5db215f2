#!/bin/bash
# Random operations on the mount and on a plain directory side by side: every result, errno and byte agrees, and again after a remount.
# ci: asan
# timeout: 180
. "$(dirname "$0")/lib.sh"
archive_new
mount_archive
for seed in 1 2 3 4 5 6; do
	mkdir "$TEST_TMP/plain$seed" "$MNT/$seed"
	CHECK_TIMEOUT=100 check "seed $seed" python3 "$SRC/tests/mount/differential.py" "$TEST_TMP/plain$seed" "$MNT/$seed" "${LAPSE_LONG:+20}1500" $seed
done
umount_archive
mount_archive
for seed in 1 2 3 4 5 6; do
	check "seed $seed after a remount" python3 "$SRC/tests/mount/differential.py" "$TEST_TMP/plain$seed" "$MNT/$seed" 0 $seed
done
umount_archive
