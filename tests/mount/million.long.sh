#!/bin/bash
# A directory of a million files: listed completely by ls -f and find, every name once; the daemon's memory is bounded by what the kernel remembers, and
# falls back when that forgets; a mount of it and the first access are quick, once the hour is over in which who made a file reads it back without charge (a
# mount reads what the log says of that hour). FILES makes it smaller.
# timeout: 3600
. "$(dirname "$0")/lib.sh"
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
export LAPSE_TEST_CLOCK=$TEST_TMP/clock
# clock SECONDS: so much ahead, synchronised
clock() { python3 -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("<qqI4x", int(sys.argv[1]) * 10**9, int(sys.argv[1]) * 10**9, 1))' "$1" >"$LAPSE_TEST_CLOCK"; }
: "${FILES:=1000000}"
MEMORY=$((64 * 1024)) # KiB, and 256 bytes for each inode that the kernel holds
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status"; }
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }'; }
at_most() { [ "$(rss)" -le "$1" ]; }
names() { seq -f '%07.0f' 0 $((FILES - 1)) | sed 's/\(.*\)\(.\)$/\1\2-\2\2\2\2\2\2\2\2\2\2.jpg/'; }

# counted WHAT: the names that come in are those that were made, each once
counted() {
	LC_ALL=C sort >"$TEST_TMP/seen"
	cmp -s "$TEST_TMP/made" "$TEST_TMP/seen" ||
		die "$1: $(wc -l <"$TEST_TMP/seen") names, $(LC_ALL=C comm -23 "$TEST_TMP/made" "$TEST_TMP/seen" | wc -l) are missing, $(uniq -d "$TEST_TMP/seen" | wc -l) come twice"
}

names | LC_ALL=C sort >"$TEST_TMP/made"
clock 0
archive_new
mount_archive --transport device
mkdir "$MNT/d"
start=$EPOCHREALTIME
CHECK_TIMEOUT=2400 check "creating" python3 -c '
import os, sys
os.chdir(sys.argv[1])
for name in sys.stdin:
    os.mknod(name[:-1])
' "$MNT/d" < <(names)
note "$FILES files made in $(since "$start") s; the daemon has $(rss) KiB"
umount_archive

start=$EPOCHREALTIME
mount_archive --transport device
note "mounted at once after $(since "$start") s; the daemon has $(rss) KiB"
umount_archive
clock 7200
start=$EPOCHREALTIME
mount_archive --transport device
mounted=$(since "$start")
first=$(head -n 1 "$TEST_TMP/made")
[ "$(timeout 60 stat -c %s "$MNT/d/$first")" = 0 ] || die "stat of the first"
access=$(since "$start")
note "mounted after $mounted s, the first file seen after $access s"
[ "${access%.*}" -eq 0 ] || die "a mount and the first access take $access s"

fresh=$(rss)
start=$EPOCHREALTIME
CHECK_TIMEOUT=600 check "ls -f" ls -f "$MNT/d" >"$TEST_TMP/list"
listed=$(rss)
note "ls -f: $(since "$start") s; the daemon had $fresh KiB and has $listed KiB"
grep -vx '\.\.\?' "$TEST_TMP/list" | counted "ls -f"
[ "$listed" -le $MEMORY ] || die "listing names takes $listed KiB"

start=$EPOCHREALTIME
CHECK_TIMEOUT=1200 check "find" find "$MNT/d" -type f -size 0 -printf '%f\n' >"$TEST_TMP/list"
found=$(rss)
note "find -size: $(since "$start") s; the daemon has $found KiB"
counted "find" <"$TEST_TMP/list"
[ "$found" -le $((MEMORY + FILES / 4)) ] || die "$FILES inodes take $found KiB"
descriptors=$(find "/proc/$DAEMON/fd" -type l | wc -l)
[ "$descriptors" -le 200 ] || die "$FILES inodes take $descriptors descriptors"

sync
echo 2 >/proc/sys/vm/drop_caches
wait_until 60 at_most $((listed + (found - listed) / 4 + 4096))
note "when the kernel has forgotten them: $(rss) KiB"
umount_archive
