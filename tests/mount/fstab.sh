#!/bin/bash
# mount -t lapse, as from fstab: options, exit codes, what is refused by name.
. "$(dirname "$0")/lib.sh"
archive_new
helper=$TEST_TMP/mount.lapse
ln -s "$LAPSE" "$helper"
status=0
"$helper" "$ARC" "$MNT" -o "rw,nofail,_netdev,x-systemd.automount,key-file=$KEY" || status=$?
[ $status = 0 ] || die "mount.lapse: $status"
mountpoint -q "$MNT" || die "not mounted"
[ "$(findmnt -no FSTYPE "$MNT")" = fuse.lapse ] || die "type $(findmnt -no FSTYPE "$MNT")"
echo x >"$MNT/x"
status=0
"$helper" "$ARC" "$MNT" -o "key-file=$KEY" 2>"$TEST_TMP/second" || status=$?
[ $status = 32 ] || die "a second mount: exit status $status, should be 32"
grep -qi 'mounted' "$TEST_TMP/second" || { cat "$TEST_TMP/second"; die "the message"; }
umount "$MNT"
wait_until 20 sh -c "'$helper' '$ARC' '$MNT' -sn -o key-file=$KEY 2>/dev/null"
[ "$(cat "$MNT/x")" = x ] || die "content"
"$LAPSE" umount "$MNT"
status=0
"$helper" "$ARC" "$MNT" -o "key-file=$KEY,colour=blue" 2>"$TEST_TMP/out" || status=$?
[ $status = 1 ] && grep -q colour "$TEST_TMP/out" || { cat "$TEST_TMP/out"; die "an unknown option: exit status $status"; }
head -c 32 /dev/urandom >"$TEST_TMP/other"
chmod 600 "$TEST_TMP/other"
status=0
"$helper" "$ARC" "$MNT" -o "key-file=$TEST_TMP/other" 2>"$TEST_TMP/out" || status=$?
[ $status = 32 ] || { cat "$TEST_TMP/out"; die "a wrong key: exit status $status"; }
