#!/bin/bash
# A daemon that stands still (SIGSTOP) and goes on, at whatever points, under load: programs wait, none meets an error, what was synced is there; commands say, after
# two minutes, that it does not answer; umount works.
# timeout: 900
# attack items: 58
. "$(dirname "$0")/../mount/lib.sh"
kinds=(save overwrite append wal delete)
seed=${SEED:-1} stops=4
[ -z "${LAPSE_LONG:-}" ] || stops=100
RANDOM=$seed
note "SEED=$seed"
archive_new
durable() { timeout 100 /usr/bin/python3 "$SRC/tests/crash/durable.py" "$@"; }
synced() { cat "$TEST_TMP"/ledger.? | wc -l; }
reached() { [ "$(synced)" -ge "$1" ]; }
stands() { ! grep -L '^State:.T' "/proc/$DAEMON/task"/*/status | grep -q .; }
wakes() { [ -z "$DAEMON" ] || kill -CONT "$DAEMON" 2>/dev/null; }
at_end wakes
# Every worker waits in the kernel for an answer: neither ended nor going on. (Between two looks each of them is in the same request.)
in_requests() {
	local worker
	for worker; do grep -q 'fuse\|folio_wait' "/proc/$worker/stack" || return 1; done
}

for transport in $(transports); do
	mount_by "$transport"
	workers=()
	for k in "${!kinds[@]}"; do
		mkdir -p "$MNT/${kinds[k]}"
		: >>"$TEST_TMP/ledger.$k"
		# (Without a program between, so that it is the worker that is looked at.)
		/usr/bin/python3 "$SRC/tests/crash/durable.py" work "${kinds[k]}" "$MNT/${kinds[k]}" "$TEST_TMP/ledger.$k" "$seed" >"$TEST_TMP/work.$k" 2>&1 &
		workers+=($!)
	done
	for _ in $(seq $stops); do
		wait_until 60 reached $(($(synced) + 10 + RANDOM % 30))
		kill -STOP "$DAEMON"
		wait_until 20 stands
		(wait_until 30 in_requests "${workers[@]}") || die "$transport: $(tail -n 20 "$TEST_TMP"/work.? $(printf '/proc/%s/stack ' "${workers[@]}"))"
		before=$(synced)
		sleep 0.5 # they are given the time to do what they must not
		[ "$(synced)" = "$before" ] || die "$transport: something was synced without the daemon"
		in_requests "${workers[@]}" || die "$transport: a program went on without the daemon: $(cat "$TEST_TMP"/work.?)"
		kill -CONT "$DAEMON"
		wait_until 30 reached $((before + 5))
	done
	note "$transport: $(synced) times synced, and no error"
	if [ -n "${LAPSE_LONG:-}" ]; then # two minutes
		kill -STOP "$DAEMON"
		CHECK_TIMEOUT=200 refuse "did not answer" "$LAPSE" status "$MNT"
		kill -CONT "$DAEMON"
	fi
	for worker in "${workers[@]}"; do kill -KILL "$worker"; done
	for worker in "${workers[@]}"; do wait "$worker" 2>/dev/null || true; done
	[ -z "$(cat "$TEST_TMP"/work.?)" ] || die "a worker met an error: $(cat "$TEST_TMP"/work.?)"
	umount_archive
	mount_archive
	for k in "${!kinds[@]}"; do
		durable check "${kinds[k]}" "$MNT/${kinds[k]}" "$TEST_TMP/ledger.$k" || die "$transport: ${kinds[k]}"
	done
	echo "synced"
	umount_archive
done
