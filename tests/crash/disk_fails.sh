#!/bin/bash
# The disk below a mounted archive becomes read-only, then fails altogether: the answers say so, the daemon goes on serving what needs no disk, ends when
# told to, and after a check of that filesystem everything that was fsynced is there.
# attack items: 56
. "$(dirname "$0")/../mount/lib.sh"
expect_log 'audit|anchor|catalogue|Read-only|Input/output|EROFS|EIO'
DISK=${TEST_TMP:?}/disk
finish_disk() {
	local s=$?
	[ $s -eq 0 ] || { umount -l "$MNT"; umount -l "${DISK:?}"; } 2>/dev/null
	(exit $s)
	finish
}
trap finish_disk EXIT

truncate -s 64M "${TEST_TMP:?}/disk.img"
mkfs.ext4 -q -F "$TEST_TMP/disk.img"
mkdir "$DISK"
ARC=$DISK/disk-archive

disk_up() { mount -o loop,errors=remount-ro "$TEST_TMP/disk.img" "$DISK"; }

# What a crash of that filesystem leaves, mended as a boot does.
disk_mended() {
	umount "$DISK"
	e2fsck -fy "$TEST_TMP/disk.img" >"$TEST_TMP/e2fsck" 2>&1 || [ $? -le 1 ] || { cat "$TEST_TMP/e2fsck"; die "e2fsck"; }
	disk_up
}

read_only() { # as after an error in its structure
	local device
	device=$(findmnt -no SOURCE "$DISK")
	device=${device#/dev/}
	[[ $device == loop* ]] || die "on $device, not on a disk of its own"
	echo 1 >"/sys/fs/ext4/$device/trigger_fs_error"
	wait_until 10 sh -c "findmnt -no OPTIONS '$DISK' | grep -qw ro || ! touch '$DISK/probe' 2>/dev/null"
}

dead() { # every call fails
	python3 -c '
import fcntl, struct, sys, os
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587d, struct.pack("I", 2))  # EXT4_IOC_SHUTDOWN, without a flush of its journal
' "$DISK"
}

store() { # store NAME: written, fsynced, and its name too
	python3 -c '
import os, sys
fd = os.open(sys.argv[2], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
data = open(sys.argv[1], "rb").read()
assert os.write(fd, data) == len(data)
os.fsync(fd)
os.close(fd)
d = os.open(os.path.dirname(sys.argv[2]), os.O_RDONLY)
os.fsync(d)
' "$TEST_TMP/image" "$MNT/$1"
}

serves() { timeout 20 "$LAPSE" status "$MNT" >/dev/null || [ $? -eq 1 ]; }

# A handle that is open reads on; what would have to be recorded is refused; nothing is made.
refused() { # refused WHAT-A-WRITER-IS-TOLD
	refuse 'Input/output error' cat "$MNT/first.jpg"
	refuse "$1" python3 -c 'import sys; open(sys.argv[1], "x")' "$MNT/new.jpg"
	refuse "$1" mkdir "$MNT/new"
	serves || die "the daemon does not answer"
	check "attributes" stat "$MNT/first.jpg"
}

head -c 300000 /dev/urandom >"$TEST_TMP/image"
disk_up
archive_new
mount_archive
store first.jpg

note "the disk becomes read-only"
exec 7<"$MNT/first.jpg"
read_only
refused 'Read-only file system'
timeout 20 cmp "$TEST_TMP/image" - <&7 || die "a handle that was open"
exec 7<&-
umount_archive

note "after its check"
disk_mended
mount_archive
cmp "$TEST_TMP/image" "$MNT/first.jpg" || die "the first file"
store second.jpg

note "the disk fails altogether"
dead
refused 'Input/output error'
umount_archive

note "after its check"
disk_mended
mount_archive
for name in first second; do
	cmp "$TEST_TMP/image" "$MNT/$name.jpg" || die "$name.jpg"
done
store third.jpg
umount_archive
umount "$DISK"
