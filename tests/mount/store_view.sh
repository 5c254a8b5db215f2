#!/bin/bash
# The store is attached read-only for backups. A copy made from there during ingest contains no anchor, and mounts clean with the anchor placed beside it.
. "$(dirname "$0")/lib.sh"
archive_new
over_mount
view=/run/lapse/archive/store
[ -d "$view/.lapse" ] || die "no store at '$view'"
refuse "Read-only file system" touch "$view/x"
[ "$(stat -c %a "$(dirname "$view")")" = 700 ] || die "$(dirname "$view") is not 0700"
refuse "Permission denied" as t1 ls "$view"
(for i in $(seq 400); do head -c 20000 /dev/urandom >"$MNT/$i.jpg" || exit 1; done) &
writer=$!
wait_until 20 test -e "$MNT/50.jpg"
status=0
rsync -a "$view/" "$TEST_TMP/backup/" || status=$?
[ $status = 0 ] || [ $status = 24 ] || die "rsync: $status"
wait "$writer"
[ -z "$(find "$TEST_TMP/backup" -iname '*anchor*')" ] || die "the backup holds an anchor"
sha256sum "$MNT"/{1..50}.jpg | sed 's|.*/||;s|^|x |' >/dev/null
cp "$MNT"/{1..50}.jpg "$TEST_TMP/" 
umount_archive
mv "$ARC" "$TEST_TMP/original"
mv "$TEST_TMP/backup" "$ARC"
MNT=$TEST_TMP/mnt
expect_log 'log|older|recovered|being written|rolled|scan'
note "the log in the backup may end before the anchor's head; then the mount says so"
if "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" >"$TEST_TMP/out" 2>&1; then
	for i in $(seq 50); do check "file $i of the backup" cmp "$TEST_TMP/$i.jpg" "$MNT/$i.jpg"; done
	timeout 60 "$LAPSE" umount "$MNT"
else
	cat "$TEST_TMP/out"
	die "a backup of the store with the anchor beside it does not mount"
fi
