#!/bin/bash
# attack items: 43 44 47
# Whoever can write the store puts back what a file was before: a header, the whole file, its open header, nothing at all, another file; alone,
# or with the catalogue and the snapshots of that time. Refused at every open with EIO, a record and an alert, named by scrub, and nothing is deleted; after a clean end, a
# kill -9, a remount and without any snapshot the same. What lapse itself does to files is never taken for that.
# timeout: 240
. "$(dirname "$0")/../mount/lib.sh"
expect_log 'catalogue is not complete|damaged|older than it was|put back from an earlier time|being written|forged|truncated|alert|freshness'

cat >"$TEST_TMP/policy.ini" <<'P'
[policy]
version = 1
default-class = keep

[class strict]
match = strict/**
expire-after = 1y

[class keep]
match = **
expire-after = 10y

[rule everyone]
effect = permit
budget = none
P
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/strict" "$MNT/d"

backing() { find "$ARC" -inum "$(stat -c %i "$1")" -not -path "$ARC/.lapse/*" | head -n 1; }
declare -A B
save() { B[$1]=$(backing "$MNT/$1"); cp -a "${B[$1]}" "$TEST_TMP/old-${1//\//_}"; }
old() { echo "$TEST_TMP/old-${1//\//_}"; }
put() { cat "$(old "$1")" >"${2:-${B[$1]}}"; } # the whole file of then, in the same inode
slot() { # slot NAME N: its header of then alone, and no other: slot N of what was saved
	python3 - "$(old "$1")" "${B[$1]}" "$2" <<'P'
import sys
old = open(sys.argv[1], "rb").read(1024)
n = int(sys.argv[3])
with open(sys.argv[2], "r+b") as f:
    f.seek(512 * n); f.write(old[512 * n:512 * n + 512])
    f.seek(512 * (1 - n)); f.write(bytes(512))
P
}

ALL="content same moved linked held retained open zero class removed rest"
for f in $ALL; do echo "the first $f" >"$MNT/d/$f"; done
check "all of it on disk" sync -f "$MNT"
umount_archive
mount_archive
for f in $ALL; do save "d/$f"; done
cp -a "$ARC/.lapse" "$TEST_TMP/lapse-then"

note "files change: content, the same content again, place, names, hold, floor, class"
echo "the second content" >"$MNT/d/content"
echo "the first same" >"$MNT/d/same"
mv "$MNT/d/moved" "$MNT/d/moved.now"
mv "$MNT/d/moved.now" "$MNT/d/moved"
ln "$MNT/d/linked" "$MNT/d/linked.too"
check "hold" "$LAPSE" hold add case "$MNT" --match 'd/held' --reason "test" --review 180d >"$TEST_TMP/out"
mv "$MNT/d/class" "$MNT/strict/class" # its life is shorter there
mv "$MNT/strict/class" "$MNT/d/class"
echo "the second open" >"$MNT/d/open"
rm "$MNT/d/removed"
said() { grep -qE -- "$1" "$TEST_TMP/scrub"; }
check "sync" sync -f "$MNT"
echo "another" >"$MNT/d/retained.new"
mv "$MNT/d/retained.new" "$MNT/d/retained" # as editors and rsync replace a file
for f in content same moved linked held class open zero rest; do B[d/$f]=$(backing "$MNT/d/$f"); cp -a "${B[d/$f]}" "$TEST_TMP/new-d_$f"; done
now() { cat "$TEST_TMP/new-d_$1" >"${B[d/$1]}"; }

attacked="content same moved linked held class open"
refused() { # refused WHAT: every one of them, and what is not attacked is read
	local f
	for f in $attacked zero; do
		refuse "Input/output error" cat "$MNT/d/$f"
		out=$(cat "$MNT/d/$f" 2>/dev/null || true)
		[ -z "$out" ] || die "$1: bytes of an older $f came out: $out"
		[ -e "${B[d/$f]}" ] || die "$1: $f was deleted"
	done
	refuse "Input/output error" cat "$MNT/d/linked.too"
	refuse "Input/output error" cat "$MNT/d/removed"
	refuse "Input/output error" cat "$MNT/d/retained"
	check "$1: what was left alone" cat "$MNT/d/rest" >"$TEST_TMP/out"
}
named() { # by scrub
	timeout 60 "$LAPSE" scrub "$MNT" >"$TEST_TMP/scrub" 2>&1 && die "scrub finds nothing"
	for f in $attacked zero; do grep -q "d/$f" "$TEST_TMP/scrub" || { cat "$TEST_TMP/scrub"; die "scrub does not name $f"; }; done
	grep -q "d/content: older than it was" "$TEST_TMP/scrub" || { cat "$TEST_TMP/scrub"; die "scrub does not say why"; }
	! grep -q "d/rest" "$TEST_TMP/scrub" || die "scrub names what is whole"
}
attack() {
	for f in $attacked; do put "d/$f"; done
	truncate -s 0 "${B[d/zero]}"
	# Of the one that is to look open: the header that it had while it was written.
	slot d/open 0
	# What was deleted, and what was replaced by another file.
	cp -a "$(old d/removed)" "${B[d/removed]}"
	cp -a "$(old d/retained)" "${B[d/retained]}"
}
cp -a "${B[d/retained]}" "$TEST_TMP/new-d_retained"
mend() {
	for f in $attacked zero; do now "$f"; done
	rm "${B[d/removed]:?}"
	cp -a "$TEST_TMP/new-d_retained" "${B[d/retained]}"
}
whole() {
	[ "$(cat "$MNT/d/content")" = "the second content" ] || die "$1: content"
	for f in same moved linked held class zero rest; do [ "$(cat "$MNT/d/$f")" = "the first $f" ] || die "$1: $f"; done
	[ "$(cat "$MNT/d/open")" = "the second open" ] || die "$1: open"
}

note "while it is mounted"
echo 3 >/proc/sys/vm/drop_caches
attack
refused "mounted"
named
wait_until 20 grep -q "older than it was" "$DAEMON_LOG"
"$LAPSE" audit tail "$MNT" -n 200 --kind forged --json >"$TEST_TMP/said"
grep -q "older than it was" "$TEST_TMP/said" || die "no record of it"
"$LAPSE" status "$MNT" --metrics >"$TEST_TMP/metrics" || true
mend
echo 3 >/proc/sys/vm/drop_caches
whole "mended"

note "after a clean end"
umount_archive
attack
mount_archive
refused "remounted"
named
umount_archive

note "with the catalogue and the snapshots of then, then without them"
rm -r "${ARC:?}/.lapse/snapshots" && cp -a "$TEST_TMP/lapse-then/snapshots" "$ARC/.lapse/" 2>/dev/null || true
cp "$TEST_TMP/lapse-then/catalogue.db"* "$ARC/.lapse/"
mount_archive
refused "catalogue of then"
umount_archive
rm -r "${ARC:?}/.lapse/snapshots"
rm "${ARC:?}/.lapse/catalogue.db"*
mount_archive
refused "no catalogue, no snapshot"
named
umount_archive
mend
mount_archive
whole "mended and remounted"

note "a file by its older header alone, a file in the place of another"
umount_archive
python3 - "$(old d/content)" "${B[d/content]}" <<'P'
import sys
old = open(sys.argv[1], "rb").read(1024)
with open(sys.argv[2], "r+b") as f: f.write(old)
P
cat "$TEST_TMP/new-d_same" >"${B[d/rest]}"
mount_archive
refuse "Input/output error" cat "$MNT/d/content"
refuse "Input/output error" cat "$MNT/d/rest"
now content
now rest
umount_archive

note "kill -9 right after a change: what the log's last second says counts, for the machine went on"
mount_archive
echo "the third content" >"$MNT/d/content"
mv "$MNT/d/moved" "$MNT/d/moved.2"
wait_until 10 sh -c "'$LAPSE' status '$MNT' --json | python3 -c 'import json, sys; sys.exit(json.load(sys.stdin)[\"open-files\"])'"
kill_daemon
cat "$TEST_TMP/new-d_content" >"${B[d/content]}"
cp -a "$TEST_TMP/new-d_moved" "${B[d/moved]}"
mount_archive
refuse "Input/output error" cat "$MNT/d/content"
refuse "Input/output error" cat "$MNT/d/moved"
rm "${B[d/moved]:?}"

note "one that is refused is its owner's to remove, and comes back from a backup by lapse restore, which is on the record"
mkdir "$TEST_TMP/backup"
cp -a "$ARC/." "$TEST_TMP/backup/"
check "rm" rm "$MNT/d/content"
check "restore" "$LAPSE" restore "$MNT" --from "$TEST_TMP/backup" --reason "test" d/content >"$TEST_TMP/out" 2>&1
[ "$(cat "$MNT/d/content")" = "the second content" ] || die "not restored: $(cat "$TEST_TMP/out")"
umount_archive
mount_archive
[ "$(cat "$MNT/d/content")" = "the second content" ] || die "restored, and refused after a remount"
umount_archive

note "older files that the administrator put back by hand: refused, until that is accepted on the record; then what is older than that is refused again"
cp -a "${B[d/same]}" "$TEST_TMP/same-then"
mount_archive
echo "the third same" >"$MNT/d/same"
B[d/same]=$(backing "$MNT/d/same")
umount_archive
cat "$TEST_TMP/same-then" >"${B[d/same]}"
mount_archive
refuse "Input/output error" cat "$MNT/d/same"
umount_archive
! timeout 60 "$LAPSE" fsck "$ARC" --key-file "$KEY" --accept-rollback --reason "by hand" >"$TEST_TMP/out" 2>&1 </dev/null || die "accepted without being asked"
check "fsck" "$LAPSE" fsck "$ARC" --key-file "$KEY" --accept-rollback --reason "by hand" --yes >"$TEST_TMP/out" 2>&1
mount_archive
[ "$(cat "$MNT/d/same")" = "the first same" ] || die "accepted, and not read"
"$LAPSE" audit tail "$MNT" -n 20 --kind admin --json | grep -q 'rollback accepted: by hand' || die "not on the record"
echo "the fourth same" >"$MNT/d/same"
umount_archive
cat "$TEST_TMP/same-then" >"${B[d/same]}"
mount_archive
refuse "Input/output error" cat "$MNT/d/same"
umount_archive

note "a directory that was moved: its record of before, and its name of before, put back; refused, named, mended"
mount_archive
mkdir "$MNT/e"
echo inside >"$MNT/e/f"
chmod 755 "$MNT" "$MNT/e"
then_e=$(find "$ARC" -inum "$(stat -c %i "$MNT/e")" -not -path "$ARC/.lapse/*")
umount_archive
cp -a "$then_e/.lapse-dir" "$TEST_TMP/dir-then"
cp -a "$ARC/.lapse-dir" "$TEST_TMP/root-then"
mount_archive
mv "$MNT/e" "$MNT/d/e"
chmod 700 "$MNT"
now_e=$(find "$ARC" -inum "$(stat -c %i "$MNT/d/e")" -not -path "$ARC/.lapse/*")
umount_archive
cp -a "$now_e/.lapse-dir" "$TEST_TMP/dir-now"
cp -a "$ARC/.lapse-dir" "$TEST_TMP/root-now"
! cmp -s "$TEST_TMP/root-then" "$TEST_TMP/root-now" || die "the root's record did not change"
for way in 'clean' 'no snapshot' 'killed'; do
	cp -a "$TEST_TMP/dir-then" "$now_e/.lapse-dir"
	mv "$now_e" "$then_e"
	[ "$way" != 'no snapshot' ] || rm -r "${ARC:?}/.lapse/snapshots"
	mount_archive
	refuse "Input/output error" cat "$MNT/e/f"
	refuse "Input/output error" ls "$MNT/e"
	[ "$(ls "$MNT/d" | grep -cx e)" = 0 ] || die "$way: in both places"
	timeout 60 "$LAPSE" scrub "$MNT" >"$TEST_TMP/scrub" 2>&1 && die "$way: scrub finds nothing"
	said '^ *e: older than it was' || { cat "$TEST_TMP/scrub"; die "$way: scrub does not say that the directory is older"; }
	if [ "$way" = clean ]; then kill_daemon; else umount_archive; fi
	cp -a "$TEST_TMP/dir-now" "$then_e/.lapse-dir"
	mv "$then_e" "$now_e"
	mount_archive
	[ "$(cat "$MNT/d/e/f")" = inside ] || die "$way: mended"
	umount_archive
done

note "the root's record of before: told at the mount, and what it said others may do does not count"
mount_archive
mode=$(stat -c %a "$MNT")
umount_archive
[ "$mode" = 700 ] || die "the root has mode $mode"
cp -a "$TEST_TMP/root-then" "$ARC/.lapse-dir"
mount_archive
[ "$(stat -c %a "$MNT")" = 700 ] || die "the root has mode $(stat -c %a "$MNT") again"
refuse "Permission denied" as t1 ls "$MNT"
grep -q 'lapse-dir was put back from an earlier time' "$DAEMON_LOG" || die "the mount does not say it"
chmod 755 "$MNT"
umount_archive
mount_archive
[ "$(grep -c 'lapse-dir was put back from an earlier time' "$DAEMON_LOG")" = 1 ] || die "said again, although it was set anew"
as t1 ls "$MNT" >/dev/null
umount_archive

note "a catalogue that one such directory keeps from being complete: which, where in the store, and what to do; accepted on the record it is one again"
mount_archive
check "sync" sync -f "$MNT"
kill_daemon
cp -a "$TEST_TMP/dir-then" "$now_e/.lapse-dir"
mv "$now_e" "$then_e"
mount_archive
wait_until 20 grep -qF "the catalogue is not complete: directory ${then_e#"$ARC/"} of the store cannot be entered: its record" "$DAEMON_LOG"
umount_archive
check "fsck" "$LAPSE" fsck "$ARC" --key-file "$KEY" --accept-rollback --reason "by hand" --yes >"$TEST_TMP/out" 2>&1
mount_archive
[ "$(cat "$MNT/e/f")" = inside ] || die "accepted, and not read"
umount_archive
