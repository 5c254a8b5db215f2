#!/bin/bash
# kill -9 of an import at random points, begun again until it comes to its end: in place (the command), with and without --wipe, and into a mounted archive
# (the daemon). Nothing is lost, nothing is doubled, and what was in the archive in between was whole.
# timeout: 300
. "$(dirname "$0")/../mount/lib.sh"
tree() { python3 "$SRC/tests/mount/importtree.py" "$@"; }
expect_log .
head -c 32 /dev/urandom >"$KEY"
chmod 600 "$KEY"
mkdir -p "$MNT"

# Everything that can be read in there is what lay there.
whole() {
	mount_archive
	[ ! -e "$ARC/.lapse/import" ] || { timeout 20 "$LAPSE" status "$MNT" || true; } | grep -q "has not come to its end" || die "round $1: status does not say that it has not ended"
	tree part "$TEST_TMP/want" "$MNT" || die "round $1: something in the archive is not what lay there"
	umount_archive
}

in_place() { # in_place SEED options…
	local round=0 status pid=0
	ARC=$TEST_TMP/place$1
	tree make "$ARC" "$1" 1200
	tree list "$ARC" >"$TEST_TMP/want"
	RANDOM=$1
	while true; do
		round=$((round + 1))
		"$LAPSE" import "$ARC" --in-place --basis modified --policy "$TEST_TMP/open.ini" --key-file "$KEY" --no-recovery-key \
			--anchor "$TEST_TMP/anchor$1" "${@:2}" >"$TEST_TMP/said" 2>&1 &
		pid=$!
		[ $round -gt 20 ] || { sleep "0.$(printf %03d $((1 + RANDOM % (round < 6 ? 40 : 150))))"; kill -KILL $pid 2>/dev/null || true; }
		status=0
		wait $pid || status=$?
		[ $status -ne 0 ] || break
		[ $status -eq 137 ] || { cat "$TEST_TMP/said"; die "round $round: exit status $status"; }
		[ $((round % 4)) -ne 0 ] || [ ! -e "$ARC/.lapse/keyring" ] || whole $round
	done
	note "in place ${*:2}: ended in round $round"
	[ ! -e "$ARC/.lapse/import" ] && [ ! -e "$ARC/.lapse/import.wipe" ] || die "something is left in plain"
	mount_archive
	tree same "$TEST_TMP/want" "$MNT" || die "it is not what lay there"
	umount_archive
	mount_archive
	tree same "$TEST_TMP/want" "$MNT" || die "it is not what lay there, after a remount"
	umount_archive
	[ $round -gt 3 ] || die "it was never cut short"
}
in_place 1
in_place 2 --wipe

note "into a mounted archive"
ARC=$TEST_TMP/archive
tree make "$TEST_TMP/src" 3 1200
tree list "$TEST_TMP/src" >"$TEST_TMP/want"
archive_new
RANDOM=3
for round in $(seq 10); do
	mount_archive
	"$LAPSE" import "$MNT" --from "$TEST_TMP/src" --basis modified >"$TEST_TMP/said" 2>&1 &
	pid=$!
	sleep "0.$(printf %03d $((5 + RANDOM % 60)))"
	kill_daemon
	wait $pid || true
done
mount_archive
tree part "$TEST_TMP/want" "$MNT" || die "something in the archive is not what lay there"
timeout 60 "$LAPSE" import "$MNT" --from "$TEST_TMP/src" --basis modified || die "the last import"
tree same "$TEST_TMP/want" "$MNT" || die "it is not what lay there"
umount_archive
