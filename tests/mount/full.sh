#!/bin/bash
# A full disk: the program gets ENOSPC, nothing that was there is harmed, reads go on or are refused with a reason, and after room is made all goes on.
. "$(dirname "$0")/lib.sh"
mkdir "$TEST_TMP/small"
mount -t tmpfs -o size=24m none "$TEST_TMP/small"
let_go() { umount -l "$TEST_TMP/small" 2>/dev/null; }
at_end let_go
ARC=$TEST_TMP/small/archive
expect_log 'space|ENOSPC|full'
archive_new
mount_archive
head -c 3000000 /dev/urandom >"$TEST_TMP/image"
cp "$TEST_TMP/image" "$MNT/first.jpg"
status=0
for i in $(seq 20); do cp "$TEST_TMP/image" "$MNT/$i.jpg" 2>"$TEST_TMP/err" || { status=1; break; }; done
[ $status = 1 ] || die "24 MiB held more than they can"
grep -q 'No space left' "$TEST_TMP/err" || { cat "$TEST_TMP/err"; die "not told as ENOSPC"; }
note "what is whole stays whole"
cmp "$TEST_TMP/image" "$MNT/first.jpg" || die "the first file"
check "a deletion makes room" rm "$MNT/1.jpg" "$MNT/$i.jpg"
cp "$TEST_TMP/image" "$MNT/again.jpg" || die "no room after a deletion"
cmp "$TEST_TMP/image" "$MNT/again.jpg" || die "the file written after room was made"
umount_archive
mount_archive
cmp "$TEST_TMP/image" "$MNT/first.jpg" || die "after a remount"
cmp "$TEST_TMP/image" "$MNT/again.jpg" || die "after a remount"
umount_archive
umount "$TEST_TMP/small"
