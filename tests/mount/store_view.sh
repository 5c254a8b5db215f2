#!/bin/bash
# The store is attached read-only for backups. What rsync copies from there contains no anchor. With the anchor beside it, a copy made while nothing was written
# mounts at once and checks clean; one made during ingest is behind the anchor, and is gone on from after `lapse fsck --accept-rollback`.
# timeout: 240
. "$(dirname "$0")/lib.sh"
ARC=$TEST_TMP/store-view # its name below /run/lapse
archive_new
over_mount
view=/run/lapse/store-view/store
[ -d "$view/.lapse" ] || die "no store at '$view'"
refuse "Read-only file system" touch "$view/x"
[ "$(stat -c %a "$view")" = 700 ] || die "$view is not 0700"
refuse "Permission denied" as t1 ls "$view"

note "a copy during ingest"
plain=$TEST_TMP/plain
mkdir "$plain" "$MNT/in"
for i in $(seq 50); do head -c 20000 /dev/urandom | tee "$plain/$i.jpg" >"$MNT/$i.jpg"; done
(for i in $(seq 51 400); do head -c 20000 /dev/urandom | tee "$plain/$i.jpg" >"$MNT/in/$i.jpg" || exit 1; done) &
writer=$!
wait_until 20 test -e "$MNT/in/80.jpg"
status=0
rsync -a "$view/" "$TEST_TMP/during/" || status=$?
[ $status = 0 ] || [ $status = 24 ] || die "rsync: $status"
wait "$writer"

note "a second pass, while nothing is written, and the anchor of that time"
none_open() { [ "$("$LAPSE" status "$MNT" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["open-files"])')" = 0 ]; }
wait_until 20 none_open
cp -a "$TEST_TMP/during" "$TEST_TMP/quiet"
check "rsync" rsync -a --checksum --delete "$view/" "$TEST_TMP/quiet/"
cp "$TEST_TMP/anchor" "$TEST_TMP/anchor-then"
for copy in during quiet; do
	[ -z "$(find "$TEST_TMP/$copy" -iname '*anchor*')" ] || die "the copy holds an anchor"
	[ -z "$(find "$TEST_TMP/$copy" -type f -size 2048k)" ] || die "a file of the copy is as large as an anchor"
done
umount_archive
mv "$ARC" "$TEST_TMP/original"
MNT=$TEST_TMP/mnt
fsck() { timeout 60 "$LAPSE" fsck "$ARC" --key-file "$KEY" "$@" >"$TEST_TMP/fsck.out" 2>&1; }

note "the second copy mounts with the anchor of its time, and checks clean"
cp "$TEST_TMP/anchor" "$TEST_TMP/anchor-now"
cp "$TEST_TMP/anchor-then" "$TEST_TMP/anchor"
mv "$TEST_TMP/quiet" "$ARC"
expect_log 'audit: [0-9]+ bytes after record' # what the daemon had not yet written whole
check "fsck of the second copy" fsck
mount_archive
for i in $(seq 50); do check "$i" cmp "$plain/$i.jpg" "$MNT/$i.jpg"; done
for i in $(seq 51 400); do check "$i" cmp "$plain/$i.jpg" "$MNT/in/$i.jpg"; done
umount_archive
check "fsck after it" fsck
mv "$ARC" "$TEST_TMP/quiet"

note "the first one is behind the anchor of now; accepted, what was whole when it was copied is whole"
cp "$TEST_TMP/anchor-now" "$TEST_TMP/anchor"
mv "$TEST_TMP/during" "$ARC"
refuse "lapse fsck" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
! fsck || die "fsck finds nothing"
grep -q '^log *behind' "$TEST_TMP/fsck.out" || die "fsck does not say that the log is behind: $(cat "$TEST_TMP/fsck.out")"
fsck --accept-rollback --reason "the disk of the store died" --yes || die "not accepted: $(cat "$TEST_TMP/fsck.out")"
check "fsck after it was accepted" fsck
expect_log 'damaged: |unclean|recovered'
mount_archive
for i in $(seq 50); do check "$i" cmp "$plain/$i.jpg" "$MNT/$i.jpg"; done
read_one() { # what was being written when it was copied may be short or refused, never wrong
	local out status=0
	out=$(cmp "$plain/$1" "$MNT/in/$1" 2>&1) || status=$?
	case $status:$out in 0:) whole=$((whole + 1)) ;; *"EOF on $MNT"* | *"Input/output error"*) ;; *) die "$1: $out" ;; esac
}
whole=0
for f in "$MNT/in/"*; do read_one "${f##*/}"; done
[ $whole -ge 20 ] || die "only $whole of the files that were being taken in are whole"
"$LAPSE" queue "$MNT" --limit 1 >/dev/null || die "queue: $?"
umount_archive
check "fsck at the end" fsck
