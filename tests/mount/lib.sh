# shellcheck shell=bash
# What the scripts on a real mount share. Sourced; each script has its own archive below $TEST_TMP.
#
#   users NAME…                                 makes the test's users (t1, t2), so that a policy can name lapse-t1
#   rules <<TEXT                                writes $TEST_TMP/policy.ini: files live for a year, root reads without a budget, and then these rules and budgets
#   images COUNT                                makes $MNT/in with files 1, 2, …, for everybody to read; `image 1` is in the first
#   archive_new [POLICY_FILE] [init options…]   makes $ARC with key $KEY (policy: everything permitted, files live for a year)
#   mount_archive [options…]                    mounts it at $MNT        over_mount: over itself, then MNT=$ARC
#   umount_archive                              and waits until the daemon has gone
#   kill_daemon                                 kill -9, and clears the dead mount away
#   check WHAT COMMAND…                         fails the test unless the command succeeds
#   refuse ERRNO-TEXT COMMAND…                  … unless it fails and says so
#   wait_until SECONDS COMMAND…                 polls for an event that nothing announces
#   transports                                  the names that this kernel has: device, io_uring
#   mount_by TRANSPORT [options…]               mounts over that one, and sees that requests really take it
#   requests NAME                               how many of that name the daemon has had (stats.py lists them)
#   plain_ext4                                  makes $PLAIN, a directory on ext4, whatever TEST_TMP lies on
#   with_test_clock                             the lapse whose clock is injected; clock SECONDS sets it so much later than the start
#   at_end COMMAND…                             when the test ends, however it does, runs it before the mount is undone; the last one told first
#   as USER COMMAND…                            runs as one of the test's users (t1, t2: made on first use)
#   login_uids                                  for scripts whose commands set login uids: fails where that cannot be
#   service_new GROUP                           makes a control group such as system.slice/lapse-x.service, until the test ends
#   service GROUP COMMAND…                      runs in it
#   cut_off DIRECTORY                           the filesystem that is mounted there, as by a power cut: nothing of it is flushed (ext4, XFS)
#   same_as_plain SCRIPT NAME                   runs the python SCRIPT in a new directory NAME on the mount, and in one beside it: what it prints is the same
#
# The daemon runs in the foreground of a job of the shell; what it says goes to $DAEMON_LOG, and a line that no test announced with `expect_log RE`
# fails the test.
set -euo pipefail
: "${LAPSE:?the lapse binary}" "${TEST_TMP:?an empty directory}"
# shellcheck disable=SC2034
SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ARC=$TEST_TMP/archive MNT=$TEST_TMP/mnt KEY=$TEST_TMP/key DAEMON_LOG=$TEST_TMP/daemon.log DAEMON=
export XDG_STATE_HOME=$TEST_TMP/state
expected_log=() endings=()
export PATH=/usr/sbin:/usr/bin:/sbin:/bin # what other users can run, too
ANCHORS=()

[ "$(id -u)" -eq 0 ] || { echo "this test needs root" >&2; exit 1; }
[ -c /dev/fuse ] || { echo "this test needs /dev/fuse: modprobe fuse" >&2; exit 1; }

# Whoever has logged in and started this would be charged for all of its readers.
{ echo 4294967295 >/proc/self/loginuid; } 2>/dev/null || true

die() { echo "FAILED: $*" >&2; exit 1; }
note() { echo "-- $*"; }

# A checkout below /root is nobody else's to enter: then the tests' users get copies.
if ! setpriv --reuid 65534 --regid 65534 --clear-groups -- test -x "$LAPSE"; then
	mkdir "$TEST_TMP/.bin"
	cp "$LAPSE" "$TEST_TMP/.bin/lapse"
	LAPSE=$TEST_TMP/.bin/lapse
fi

cat >"$TEST_TMP/open.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule everyone]
effect = permit
budget = none
E

archive_new() {
	local policy=$TEST_TMP/open.ini
	if [ $# -gt 0 ] && [ -f "$1" ]; then policy=$1; shift; fi
	[ -e "$KEY" ] || { head -c 32 /dev/urandom >"$KEY"; chmod 600 "$KEY"; }
	mkdir -p "$MNT"
	timeout 60 "$LAPSE" init "$ARC" --key-file "$KEY" --no-recovery-key --policy "$policy" --anchor "$TEST_TMP/anchor" "$@" \
		>"$TEST_TMP/init.out" 2>&1 || { cat "$TEST_TMP/init.out" >&2; die "lapse init"; }
}

rules() {
	sed '/^\[rule/,$d' "$TEST_TMP/open.ini" >"$TEST_TMP/policy.ini"
	printf '[rule cameras]\nusers = root\neffect = permit\nbudget = none\n\n' >>"$TEST_TMP/policy.ini"
	cat >>"$TEST_TMP/policy.ini"
}

cut_off() {
	python3 -c 'import fcntl, os, struct, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))' "$1" # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
}

images() {
	local i
	mkdir -p "$MNT/in"
	for i in $(seq "$1"); do echo "image $i" >"$MNT/in/$i"; done
	chmod -R a+rX "$MNT"
}

daemon_start() { # daemon_start MOUNTPOINT options…
	local at=$1 n
	shift
	[ "${LAPSE_PRESET:-}" != tsan ] || set -- --transport device "$@" # see `transports`
	"$LAPSE" mount "$ARC" "$at" --key-file "$KEY" --foreground "$@" >>"$DAEMON_LOG" 2>&1 &
	DAEMON=$!
	for ((n = 0; n < 600; n++)); do
		if mountpoint -q "$at" && timeout 10 "$LAPSE" status "$at" >/dev/null 2>&1 || [ $? -eq 1 ] && mountpoint -q "$at"; then return 0; fi
		kill -0 "$DAEMON" 2>/dev/null || { cat "$DAEMON_LOG" >&2; die "the daemon ended before it was mounted"; }
		sleep 0.05
	done
	die "not mounted after 30 s"
}

mount_archive() { daemon_start "$MNT" "$@"; }
over_mount() { MNT=$ARC; daemon_start "$ARC" "$@"; }

daemon_gone() {
	local n status=0
	[ -n "$DAEMON" ] || return 0
	for ((n = 0; n < 400; n++)); do kill -0 "$DAEMON" 2>/dev/null || break; sleep 0.05; done
	kill -0 "$DAEMON" 2>/dev/null && die "the daemon is still there 20 s after the mount ended"
	wait "$DAEMON" || status=$?
	DAEMON=
	return $status
}

umount_archive() {
	timeout 60 "$LAPSE" umount "$MNT" || die "lapse umount $MNT: exit status $?"
	daemon_gone || die "the daemon ended with status $?"
}

kill_daemon() {
	local pid=$DAEMON
	kill -KILL "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	DAEMON=
	umount -l "$MNT" 2>/dev/null || true
}

# with_test_clock: the build whose clock is injected, both of its clocks at the start; then clock SECONDS sets both so much later.
with_test_clock() {
	LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
	export LAPSE_TEST_CLOCK=$TEST_TMP/clock
	clock 0
}
clock() {
	now=$1
	python3 -c 'import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(fd, struct.pack("<qqI4x", int(sys.argv[2]) * 10**9, int(sys.argv[2]) * 10**9, 1), 0)' "$LAPSE_TEST_CLOCK" "$1"
}

plain_mounted=
plain_ext4() {
	PLAIN=$TEST_TMP/plain
	mkdir "$PLAIN"
	[ "$(stat -f -c %T "$PLAIN")" != ext2/ext3 ] || return 0
	truncate -s 4G "$TEST_TMP/plain.img"
	mkfs.ext4 -q -F "$TEST_TMP/plain.img"
	mount -o loop "$TEST_TMP/plain.img" "$PLAIN"
	plain_mounted=1
	rmdir "${PLAIN:?}/lost+found"
}

URING=/sys/module/fuse/parameters/enable_uring
uring_was=
transports() {
	echo device
	# ThreadSanitizer does not see what the kernel orders between a ring's reply and its next request.
	[ "${LAPSE_PRESET:-}" != tsan ] && [ -e "$URING" ] && echo io_uring
	return 0
}

mount_by() {
	local transport=$1 says=/dev/fuse
	shift
	if [ "$transport" = io_uring ]; then
		says=io_uring
		[ -n "$uring_was" ] || uring_was=$(cat "$URING")
		echo Y >"$URING"
		mount_archive "$@"
	else
		mount_archive --transport device "$@"
	fi
	ls "$MNT" >/dev/null
	[ "$("$LAPSE" status "$MNT" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["transport"])')" = $says ] ||
		die "requests do not take $says"
}

requests() { python3 "$SRC/tests/mount/stats.py" "$MNT" "$1"; }

at_end() { endings=("$(printf '%q ' "$@")" "${endings[@]}"); }

expect_log() { expected_log+=("$1"); }

# `as` has its own limit of time, and is no program.
limited() { if [ "$(type -t "$1")" = function ]; then "$@"; else timeout "${CHECK_TIMEOUT:-60}" "$@"; fi; }

check() {
	local what=$1
	shift
	limited "$@" || die "$what: exit status $?: $*"
}

refuse() {
	local text=$1 out status=0
	shift
	out=$(LC_ALL=C limited "$@" 2>&1 >/dev/null) || status=$?
	[ $status -ne 0 ] || die "should have been refused ($text): $*"
	[[ $out == *"$text"* ]] || die "should have said '$text', but said '$out': $*"
}

wait_until() {
	local limit=$1 end
	shift
	end=$((SECONDS + limit))
	until "$@"; do
		[ $SECONDS -lt $end ] || die "not within $limit s: $*"
		sleep 0.1
	done
}

users() {
	local user
	for user; do id "lapse-$user" >/dev/null 2>&1 || useradd --system --no-create-home --shell /bin/sh "lapse-$user"; done
}

as() {
	local user=lapse-$1
	users "$1"
	shift
	timeout "${CHECK_TIMEOUT:-60}" setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups -- "$@"
}

login_uids() {
	[ -e /proc/self/loginuid ] || die "this kernel knows no login uids: it has to be built with CONFIG_AUDIT"
	[ "$(cat /proc/self/loginuid)" = 4294967295 ] && sh -c 'echo 45000 >/proc/self/loginuid' ||
		die "a login uid cannot be set and unset here: it takes root with CAP_AUDIT_CONTROL, where audit's loginuid_immutable is not set"
}

group_top() {
	local top
	for top in /sys/fs/cgroup/unified /sys/fs/cgroup /sys/fs/cgroup/systemd; do [ ! -e "$top/cgroup.procs" ] || break; done
	[ -e "$top/cgroup.procs" ] || die "no control groups are mounted"
	echo "$top"
}
# What others use as well, such as system.slice, stays as long as they do.
service_end() {
	local group=$1 n
	for ((n = 0; n < 100; n++)); do ! rmdir "$group" 2>/dev/null || break; sleep 0.1; done
	while group=$(dirname "$group") && [ "$group" != "$(group_top)" ] && rmdir "$group" 2>/dev/null; do :; done
}
service_new() {
	local group n
	group=$(group_top)/$1
	for ((n = 0; n < 20; n++)); do ! mkdir -p "$group" 2>/dev/null || break; done
	[ -d "$group" ] || die "the control group $group cannot be made"
	at_end service_end "$group"
}
service() {
	local group
	group=$(group_top)/$1
	shift
	timeout "${CHECK_TIMEOUT:-60}" bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}

# The differences that a script cannot avoid are its own to leave out. It has outcomes.py to import.
same_as_plain() {
	local script=$1 name=$2 on
	for on in "$MNT" "$TEST_TMP/plain"; do
		mkdir -p "$on/$name"
		chmod 777 "$on/$name"
		(cd "$on/$name" && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$SRC/tests/mount timeout "${CHECK_TIMEOUT:-60}" python3 "$script") \
			>"$TEST_TMP/said.${on##*/}" 2>&1 || { cat "$TEST_TMP/said.${on##*/}"; die "$name on ${on##*/}"; }
	done
	[ -s "$TEST_TMP/said.plain" ] || die "$name said nothing"
	diff "$TEST_TMP/said.plain" "$TEST_TMP/said.${MNT##*/}" || die "$name: on the mount it is not as on a plain directory"
	note "$name: $(wc -l <"$TEST_TMP/said.plain") outcomes are the same"
}

finish() {
	local status=$? re line ending bad=
	trap - EXIT
	set +e
	for ending in "${endings[@]}"; do eval "$ending"; done
	[ -z "$plain_mounted" ] || umount "$PLAIN"
	[ -z "$uring_was" ] || echo "$uring_was" >"$URING"
	if [ -n "$DAEMON" ]; then
		timeout 20 "$LAPSE" umount "$MNT" >/dev/null 2>&1 || { umount -l "$MNT" 2>/dev/null; kill -TERM "$DAEMON" 2>/dev/null; }
		daemon_gone >/dev/null 2>&1 || { kill -KILL "$DAEMON" 2>/dev/null; umount -l "$MNT" 2>/dev/null; }
	fi
	if [ $status -eq 0 ] && [ -s "$DAEMON_LOG" ]; then
		while IFS= read -r line; do
			# what a test brings about is told of as an alert, too; alerts.sh looks at those
			for re in '^$' '^lapse: alert: ' "${expected_log[@]}"; do [[ $line =~ $re ]] && continue 2; done
			bad+=$line$'\n'
		done <"$DAEMON_LOG"
		if [ -n "$bad" ]; then
			echo "FAILED: the daemon said what no test expected:"
			echo "$bad"
			status=1
		fi
	elif [ -s "$DAEMON_LOG" ]; then
		echo "--- the daemon's last words:"
		tail -n 20 "$DAEMON_LOG"
	fi
	exit $status
}
trap finish EXIT
