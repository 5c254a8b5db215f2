#!/bin/bash
# Random operations on the mount and on ext4 side by side, with blocks of 32 KiB and of 4: every result, errno and byte agrees, across remounts, which
# change the transport.
# ci: asan
# timeout: 180
. "$(dirname "$0")/lib.sh"
: "${SEEDS:=1 2 3}" "${STEPS:=700}" "${ROUNDS:=1}"
plain_ext4
mapfile -t ways < <(transports)
turn=0

remount() {
	umount_archive
	turn=$((turn + 1))
	mount_by "${ways[turn % ${#ways[@]}]}"
}

# part FIRST LAST: of the sequences of all seeds
part() {
	local seed
	for seed in $SEEDS; do
		[ "$1" -gt 0 ] || mkdir "$PLAIN/$block-$seed" "$MNT/$seed"
		CHECK_TIMEOUT=400 check "seed $seed, blocks of $block" \
			python3 "$SRC/tests/mount/differential.py" "$PLAIN/$block-$seed" "$MNT/$seed" "$seed" "$1" "$2" "$block"
	done
	remount
}

for block in 32768 4096; do
	archive_new --block-size "$block"
	mount_by "${ways[0]}"
	for ((round = 0; round < ROUNDS; round++)); do
		part $((round * STEPS)) $((round * STEPS + STEPS / 2))
		part $((round * STEPS + STEPS / 2)) $((round * STEPS + STEPS))
	done
	part $((ROUNDS * STEPS)) $((ROUNDS * STEPS)) # nothing but the comparison
	umount_archive
	rm -rf "${ARC:?}" "${TEST_TMP:?}/anchor"
done
