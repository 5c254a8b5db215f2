#!/bin/bash
# kill -9 of the daemon, again and again in one archive, while files are saved by rename, overwritten, cut and extended in place, appended to, and written by
# SQLite: after the next mount what had been synced is there, what was under way is old or new, and nothing is damaged. Some mounts are killed while they repair.
# timeout: 1200
. "$(dirname "$0")/../mount/lib.sh"
kinds=(save overwrite append wal delete)
seed=${SEED:-1} rounds=8
[ -z "${LAPSE_LONG:-}" ] || rounds=100
RANDOM=$seed
note "SEED=$seed"
archive_new
durable() { timeout 100 /usr/bin/python3 "$SRC/tests/crash/durable.py" "$@"; }
synced() { cat "$TEST_TMP"/ledger.? | wc -l; }
reached() { [ "$(synced)" -ge "$1" ]; }
verify() {
	local k
	for k in "${!kinds[@]}"; do
		durable check "${kinds[k]}" "$MNT/${kinds[k]}" "$TEST_TMP/ledger.$k" || die "$1: ${kinds[k]}"
	done
	echo "synced: $1"
	"$LAPSE" status "$MNT" --json | python3 -c 'import json, sys; d = json.load(sys.stdin); assert d["damaged-files"] == 0, d' || die "$1: damage"
}

mount_archive
for k in "${!kinds[@]}"; do
	mkdir "$MNT/${kinds[k]}"
	: >"$TEST_TMP/ledger.$k"
done
sync -f "$MNT"
for round in $(seq $rounds); do
	workers=()
	for k in "${!kinds[@]}"; do
		durable work "${kinds[k]}" "$MNT/${kinds[k]}" "$TEST_TMP/ledger.$k" $((seed * 1000 + round)) >"$TEST_TMP/work.$k" 2>&1 &
		workers+=($!)
	done
	wait_until 60 reached $(($(synced) + 15 + RANDOM % 40))
	sleep 0.0$((RANDOM % 10)) # at whatever point
	kill_daemon
	for worker in "${workers[@]}"; do # 135: SIGBUS, from a mapping of what is dead
		status=0
		wait "$worker" 2>/dev/null || status=$?
		[ $status = 0 ] || [ $status = 135 ] || die "a worker ended with status $status: $(cat "$TEST_TMP"/work.?)"
	done
	! grep -h Traceback -A 20 "$TEST_TMP"/work.? || die "a worker met what it should not"
	if [ $((round % 3)) = 0 ]; then # and while it repairs
		"$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" --foreground >>"$DAEMON_LOG" 2>&1 &
		DAEMON=$!
		sleep 0.$((RANDOM % 3))$((RANDOM % 10))
		kill_daemon
	fi
	mount_archive
	verify "round $round"
done
umount_archive
mount_archive
verify "after a clean remount"
umount_archive
