#!/bin/bash
# The filesystem below is cut off at whatever moment, as by a power cut: what it had not brought to its disk is gone, and it comes back by its own journal. After that,
# and a mount, what had been synced is there, what was under way is old or new, and nothing is damaged. powercut/ tries what any filesystem may do; this is what ext4
# (with LAPSE_LONG XFS, too) does.
# timeout: 1200
# attack items: 46
. "$(dirname "$0")/../mount/lib.sh"
expect_log 'Input/output|EIO|header could not be written|audit|anchor|catalogue|journal'
kinds=(save overwrite append wal delete)
seed=${SEED:-1} rounds=2 systems=(ext4)
[ -z "${LAPSE_LONG:-}" ] || rounds=${ROUNDS:-30} systems=(${SYSTEMS:-ext4 xfs})
RANDOM=$seed
note "SEED=$seed"
DISK=${TEST_TMP:?}/disk
mkdir "$DISK"
let_go() { umount -l "$MNT" "$DISK" 2>/dev/null; }
at_end let_go
durable() { timeout 100 /usr/bin/python3 "$SRC/tests/crash/durable.py" "$@"; }
synced() { cat "$TEST_TMP"/ledger.? | wc -l; }
reached() { [ "$(synced)" -ge "$1" ]; }
for system in "${systems[@]}"; do
	truncate -s 1G "$TEST_TMP/disk.img"
	"mkfs.$system" -q "$TEST_TMP/disk.img"
	mount -o loop "$TEST_TMP/disk.img" "$DISK"
	ARC=$DISK/poweroff-$system
	archive_new
	mount_archive
	rm -f "${TEST_TMP:?}"/ledger.*
	for k in "${!kinds[@]}"; do
		mkdir "$MNT/${kinds[k]}"
		: >"$TEST_TMP/ledger.$k"
	done
	sync -f "$MNT"
	for round in $(seq $rounds); do
		workers=()
		for k in "${!kinds[@]}"; do
			/usr/bin/python3 "$SRC/tests/crash/durable.py" work "${kinds[k]}" "$MNT/${kinds[k]}" "$TEST_TMP/ledger.$k" $((seed * 1000 + round)) >"$TEST_TMP/work.$k" 2>&1 &
			workers+=($!)
		done
		wait_until 60 reached $(($(synced) + 15 + RANDOM % 60))
		sleep 0.0$((RANDOM % 10)) # at whatever point
		[ "$system" = ext4 ] || kill -STOP "${workers[@]}" # XFS that is cut off says of directories that they are synced
		cut_off "$DISK"
		[ "$system" = ext4 ] || kill -KILL "${workers[@]}"
		for worker in "${workers[@]}"; do # 135: SIGBUS, from a mapping of what cannot be read
			status=0
			wait "$worker" 2>/dev/null || status=$?
			[ $status = 0 ] || [ $status = 135 ] || [ "$system$status" = xfs137 ] || die "a worker ended with status $status: $(cat "$TEST_TMP"/work.?)"
		done
		! grep -h Traceback -A 20 "$TEST_TMP"/work.? || die "a worker met what it should not"
		kill_daemon
		umount -l "$DISK" "/run/lapse/poweroff-$system/store" # a machine would have lost that, too
		# (Another's mount namespace may still have it: then it would be the same filesystem, cut off.)
		cp --sparse=always "$TEST_TMP/disk.img" "$TEST_TMP/again.img"
		mv "$TEST_TMP/again.img" "$TEST_TMP/disk.img"
		mount -o loop "$TEST_TMP/disk.img" "$DISK"
		mount_archive
		for k in "${!kinds[@]}"; do
			durable check "${kinds[k]}" "$MNT/${kinds[k]}" "$TEST_TMP/ledger.$k" || die "$system, round $round: ${kinds[k]}"
		done
		"$LAPSE" status "$MNT" --json | python3 -c 'import json, sys; d = json.load(sys.stdin); assert d["damaged-files"] == 0, d' || die "$system, round $round: damage"
	done
	note "$system: $rounds cuts, $(synced) times synced"
	check "scrub" "$LAPSE" scrub "$MNT" >"$TEST_TMP/scrubbed"
	check "the log is whole" "$LAPSE" audit verify "$MNT" >"$TEST_TMP/verified"
	umount_archive
	umount "$DISK"
	rm "${TEST_TMP:?}/anchor" "${TEST_TMP:?}/disk.img"
done
