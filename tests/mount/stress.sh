#!/bin/bash
# Load on the mount, over each transport: eight processes with files that they check byte by byte, and eight that do whatever can be done to names; on ext4 the
# same comes of it. The long version goes on for MINUTES and watches that the memory of the daemon does not grow.
# ci: asan
# timeout: 180
. "$(dirname "$0")/lib.sh"
: "${MINUTES:=0}" "${STEPS:=250}" "${SEED:=1}"
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status"; }

load() {
	local round=0 third=0 now=0 started=$SECONDS seed
	while [ "$round" -eq 0 ] || [ $((SECONDS - started)) -lt $((MINUTES * 60)) ]; do
		seed=$((SEED + round))
		mkdir "$MNT/fsx" "$MNT/load" "$PLAIN/load"
		CHECK_TIMEOUT=600 check "files, seed $seed" python3 "$SRC/tests/mount/fsx.py" "$MNT/fsx" $seed $((STEPS * 2)) 8
		CHECK_TIMEOUT=600 check "names, seed $seed" python3 "$SRC/tests/mount/load.py" "$PLAIN/load" "$MNT/load" $seed "$STEPS" 8
		rm -rf "${MNT:?}/fsx"
		rmdir "$MNT/load" "$PLAIN/load"
		round=$((round + 1)) now=$(rss)
		[ "$MINUTES" -eq 0 ] || note "round $round, $((SECONDS - started)) s: the daemon has $now KiB"
		[ "$third" -gt 0 ] || [ $((3 * (SECONDS - started))) -lt $((MINUTES * 60)) ] || third=$now
	done
	[ "$now" -le $((third + third / 10 + 4096)) ] || die "the daemon has grown from $third to $now KiB in the last two thirds"
	note "$round rounds"
}

plain_ext4
archive_new
for transport in $(transports); do
	mount_by "$transport"
	load
	umount_archive
done
