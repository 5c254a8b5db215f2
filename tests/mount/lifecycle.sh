#!/bin/bash
# How a daemon ends beside others: it ends its own connection and mount, never what has got their numbers since; and whatever ends it before it serves, it says so.
. "$(dirname "$0")/lib.sh"
archive_new
expect_log 'detached the mount that a dead daemon had left'

"$LAPSE" init "$TEST_TMP/other" --key-file "$KEY" --no-recovery-key --policy "$TEST_TMP/open.ini" --anchor "$TEST_TMP/other.anchor" >/dev/null 2>&1
device() { timeout 20 stat -c %d "$1"; }
detach() { timeout 20 python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).umount2(sys.argv[1].encode(), 2) != 0)' "$1"; }

# Numbers of filesystems that have gone are given away again, the lowest first. Eight that are taken meanwhile, and as many of them given back as the second
# daemon takes before it mounts: nobody says how many those are.
places() { local n; for n in 1 2 3 4 5 6 7 8; do mount -t tmpfs place "$TEST_TMP/place$n"; done; }
no_places() { local n; for n in "$@"; do ! mountpoint -q "$TEST_TMP/place$n" || umount "$TEST_TMP/place$n"; done; }
mkdir "$TEST_TMP"/place{1,2,3,4,5,6,7,8}

at_end no_places 1 2 3 4 5 6 7 8

note "a daemon whose mount was taken from it does not end the connection that has its number now"
same=
for ((n = 0; n < 24; n++)); do
	places
	mount_by device
	first=$(device "$MNT")
	kill -STOP "$DAEMON"
	check "umount, asking nobody" detach "$MNT"
	given=$(seq 1 $((n % 4)))
	# shellcheck disable=SC2086
	no_places $given
	check "the second mount" "$LAPSE" mount "$TEST_TMP/other" --key-file "$KEY" --transport device
	[ "$(device "$TEST_TMP/other")" != "$first" ] || same=1
	kill -CONT "$DAEMON"
	daemon_gone || die "the first daemon ended with status $?"
	check "the second is served" ls "$TEST_TMP/other"
	check "umount" "$LAPSE" umount "$TEST_TMP/other"
	# shellcheck disable=SC2046
	no_places $(seq $((n % 4 + 1)) 8)
	[ -z "$same" ] || break
done
[ -n "$same" ] || die "no second mount got the number of the first"
no_places 1 2 3 4 5 6 7 8

note "what ends a daemon before it serves is said, also by the command that started it"
mkfifo "$TEST_TMP/phrase"
begun() { pgrep -P "$1" -f "mount $ARC $MNT --passphrase-fd 7"; } # by the command: the daemon; by that: its helper
for signal in KILL ABRT SYS; do
	LC_ALL=C "$LAPSE" mount "$ARC" "$MNT" --passphrase-fd 7 7<>"$TEST_TMP/phrase" >"$TEST_TMP/said" 2>&1 &
	mounting=$!
	wait_until 10 begun $mounting >/dev/null
	wait_until 10 begun "$(begun $mounting)" >/dev/null
	kill -"$signal" "$(begun $mounting)"
	status=0
	wait $mounting || status=$?
	[ $status -eq 3 ] || die "a daemon died of $signal, and the command ended with status $status"
	grep -q "died before it served anything: signal $(kill -l $signal) " "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "it does not say that it was $signal"; }
done

# From here on: stopped (by itself) between its mount and the first request.
with_test_clock
ARC=$TEST_TMP/timed
rm -r "${TEST_TMP:?}/anchor"
archive_new
stopped() { grep -q '^State:.T' "/proc/$1/status"; }
begin_stopped() {
	LAPSE_TEST_STOP=1 LC_ALL=C "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" --foreground --transport device >"$TEST_TMP/said" 2>&1 &
	mounting=$!
	wait_until 10 stopped $mounting
}
ended_saying() {
	local status=0
	kill -CONT $mounting
	wait $mounting || status=$?
	[ $status -eq 3 ] || { cat "$TEST_TMP/said"; die "it ended with status $status"; }
	grep -q "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "it should have said: $1"; }
}

note "… somebody unmounts it"
begin_stopped
check "umount" detach "$MNT"
ended_saying "unmounted by somebody before its first request; mount it again"

note "… somebody aborts its connection"
mkdir "$TEST_TMP/control"
mount -t fusectl none "$TEST_TMP/control"
at_end umount "$TEST_TMP/control"
begin_stopped
echo 1 >"$TEST_TMP/control/$(python3 -c 'import os, sys
print([l.split()[2] for l in open("/proc/self/mountinfo") if l.split()[4] == sys.argv[1]][-1].split(":")[1])' "$MNT")/abort"
ended_saying "was aborted by somebody (/sys/fs/fuse/connections), before its first request; mount it again"

note "and what nobody did to it, it is served"
mount_archive
check "served" ls "$MNT"
umount_archive
