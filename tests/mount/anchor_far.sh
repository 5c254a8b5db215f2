#!/bin/bash
# The daemon sees its archive and its state only: copies and backups of the anchor in directories that it has never seen are made where the one who asks shows them.
. "$(dirname "$0")/lib.sh"
far=/var/tmp/lapse-far.$$
mkdir -p -m 700 "$far" "$far/disk/new"
at_end rm -r "${far:?}"
archive_new
mount_archive
echo x >"$MNT/x"
[ ! -e "/proc/$DAEMON/root$far" ] || die "the daemon sees $far before anybody has shown it"
check "a copy where nothing was seen" "$LAPSE" anchor add "$MNT" "$far/disk/new/anchor" --reason test
cmp "$TEST_TMP/anchor" "$far/disk/new/anchor" || die "the copy is another"
[ -e "/proc/$DAEMON/root$far" ] || die "it was not shown"
[ ! -e "/proc/$DAEMON/root/etc/passwd" ] && [ ! -e "/proc/$DAEMON/root/var/lib/dpkg" ] || die "the daemon sees more than it was shown"
! touch "/proc/$DAEMON/root/made" 2>/dev/null || die "what is made in the daemon's root lies in memory only"
check "a backup beside it" "$LAPSE" anchor backup --horizon 30d "$MNT" "$far/backup" --reason test
[ -s "$far/backup" ] || die "no backup"
umount_archive
mount_archive # which shows it its copies
id=$(timeout 20 "$LAPSE" anchor drop "$MNT" "$far/backup" --reason test 2>&1 </dev/null | grep -o -- '--plan [^ ,.]*' | cut -d' ' -f2) || true
[ -n "$id" ] || die "no plan for dropping the backup"
check "drop the backup" "$LAPSE" anchor drop "$MNT" "$far/backup" --reason test --plan "$id"
[ ! -e "$far/backup" ] || die "the backup is still there"
id=$(timeout 20 "$LAPSE" anchor drop "$MNT" "$far/disk/new/anchor" --reason test 2>&1 </dev/null | grep -o -- '--plan [^ ,.]*' | cut -d' ' -f2) || true
check "drop the copy" "$LAPSE" anchor drop "$MNT" "$far/disk/new/anchor" --reason test --plan "$id"
[ ! -e "$far/disk/new/anchor" ] || die "the copy is still there"
for path in "/lapse-far.$$" "/lapse-far.$$/anchor"; do
	refuse "does not see the root directory itself" "$LAPSE" anchor add "$MNT" "$path" --reason test
done
umount_archive

note "a copy directly below /"
at_end rm -f "/lapse-far.$$"
rm "${TEST_TMP:?}/anchor"
ARC=$TEST_TMP/second
archive_new --anchor "/lapse-far.$$"
mount_archive
echo y >"$MNT/y"
[ ! -e "/proc/$DAEMON/root/etc/passwd" ] || die "the daemon sees the machine"
umount_archive
cmp "$TEST_TMP/anchor" "/lapse-far.$$" || die "the copies differ"
mount_archive
[ "$(cat "$MNT/y")" = y ] || die "what was written"
umount_archive
