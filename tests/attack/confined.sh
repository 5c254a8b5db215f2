#!/bin/bash
# What somebody can still do who has taken the daemon over: system calls are made in its own main thread. Root's daemon first, then an ordinary user's.
. "$(dirname "$0")/../mount/lib.sh"
[ "$(uname -m)" = x86_64 ] || die "this test knows the system calls of x86-64"
EPERM=-1 ENOENT=-2 EACCES=-13 EROFS=-30 ENOSYS=-38

tried() { # tried PID < "what: NAME NUMBER ARGS: RESULTS that are as they must be"
	local pid=$1 what call wanted name result
	while IFS='|' read -r what call wanted; do
		[ -n "$call" ] || continue
		read -r name result < <(python3 "$SRC/tests/attack/hijack.py" "$pid" <<<"$call")
		[[ " $wanted " == *" $result "* || ( $wanted == ok && $result -ge 0 ) ]] || die "$what: $call gave $result, not $wanted"
		printf '%-70s %s\n' "$what" "$([ "$result" -lt 0 ] && echo "no ($result)" || echo yes)"
	done
}

everybody() { # what no daemon can
	cat <<E
execute a program|execve 59 '/bin/sh' 0 0|$EPERM
… by descriptor|execveat 322 0 '/bin/sh' 0 0 0|$EPERM
fork|clone 56 17 0 0 0 0|$EPERM
…|fork 57|$EPERM
…|vfork 58|$EPERM
a process by clone3|clone3 435 0 0|$ENOSYS
memory that can be executed|mmap 9 0 4096 7 0x22 -1 0|$EPERM
a file in memory|memfd 319 'x' 0|$EPERM
a socket of the internet|inet 41 2 1 0|$EPERM
… of version 6|inet6 41 10 1 0|$EPERM
… to the kernel|netlink 41 16 3 0|$EPERM
… raw packets|packet 41 17 3 0|$EPERM
trace init|ptrace 101 16 1 0 0|$EPERM
read its memory|readv 310 1 0 0 0 0 0|$EPERM
take a descriptor of another|getfd 438 0 0 0|$EPERM
signal others|kill 62 1 0|$EPERM
mount|mount 165 '/proc' '/proc' 0 4096 0|$EPERM
unmount|umount 166 '/proc' 2|$EPERM
change the root|chroot 161 '/'|$EPERM
enter a namespace|setns 308 0 0|$EPERM
make one|unshare 272 0x10000000|$EPERM
open by handle|handle 304 0 0 0|$EPERM
make a ring|uring 425 8 0|$EPERM
BPF|bpf 321 0 0 0|$EPERM
performance counters|perf 298 0 0 0 0 0|$EPERM
the kernel's keys|keyctl 250 0 0|$EPERM
page faults of its own|userfaultfd 323 0|$EPERM
load a module|module 175 0 0 'x'|$EPERM
set the clock|clock 164 0 0|$EPERM
restart the machine|reboot 169 0 0 0 0|$EPERM
be dumpable|dumpable 157 4 1 0 0 0|$EPERM
another user|setuid 105 65534|$EPERM
a policy of no filter|seccomp 317 0 0 0|$EPERM
E
}

ARC=$TEST_TMP/taken-over # its name below /run/lapse
archive_new
head -c 10000 /dev/urandom >"$TEST_TMP/image.jpg"
mkdir "$TEST_TMP/others"
mount -t tmpfs lapse-others "$TEST_TMP/others" # in the directory of the anchor
mount_archive
! grep -q lapse-others "/proc/$DAEMON/mountinfo" || die "it holds a mount of somebody else's"
umount "$TEST_TMP/others"
cp "$TEST_TMP/image.jpg" "$MNT/a.jpg"
# The second filter comes with the first request.
wait_until 10 grep -q '^Seccomp_filters:.2$' "/proc/$DAEMON/status"

runtime=$(dirname "$(grep -l "pid=$DAEMON\b" /run/lapse/*/info)")

note "root's daemon: what it cannot"
for task in "/proc/$DAEMON"/task/*/status; do
	grep -q '^CapPrm:.000000000000001b$' "$task" && grep -q '^NoNewPrivs:.1$' "$task" && grep -q '^Seccomp_filters:.2$' "$task" || die "a thread that has more: $(cat "$task")"
done
helper=$(pgrep -P "$DAEMON" -x lapse-helper)
everybody | tried "$DAEMON"
tried "$DAEMON" <<E
read a file of the machine|open 257 -100 '/etc/shadow' 0|$ENOENT
… by way of init|open 257 -100 '/proc/1/root/etc/shadow' 0|$EACCES
… of its helper|open 257 -100 '/proc/$helper/root/etc/shadow' 0|$EACCES
the memory of its helper|open 257 -100 '/proc/$helper/mem' 0|$EACCES
set what the kernel runs for a core|open 257 -100 '/proc/sys/kernel/core_pattern' 1|$EROFS
write beside the archive|open 257 -100 '/made' 0x42 0x180|$EROFS
its own runtime directory|open 257 -100 '$runtime/info' 0|ok
… and nothing beside it|open 257 -100 '/run/lapse/.lock' 0|$ENOENT
a device|mknod 259 -100 '$ARC/dev' 0x21b6 0x101|$EPERM
E
setpriv --bounding-set -all sleep 300 & # root's as well, with no rights beyond the daemon's
other=$!
at_end kill $other
wait_until 10 grep -q '^CapPrm:.0000000000000000$' "/proc/$other/status"
tried "$DAEMON" <<E
the memory of a process of the same user|open 257 -100 '/proc/$other/mem' 0|$EACCES
what it sees|open 257 -100 '/proc/$other/root/etc/shadow' 0|$EACCES
E

note "its helper gives nobody a second process to tell what to run"
alerts=2 # HELPER_ALERTS, fs/base/helper.h
[ "$(python3 "$SRC/tests/attack/ask_helper.py" "$DAEMON" $alerts)" = $EPERM ] || die "it did"

note "no descriptor of it leads out of what it sees"
dirs=0
for fd in "/proc/$DAEMON/fd"/*; do
	[ -d "$fd" ] || continue
	dirs=$((dirs + 1))
	tried "$DAEMON" >/dev/null <<<"descriptor ${fd##*/}|openat 257 ${fd##*/} '../../../../../../../../../../etc/shadow' 0|$ENOENT"
done
[ $dirs -ge 3 ] || die "only $dirs directories are open"
note "$dirs directories"

note "what it can"
tried "$DAEMON" <<E
open the store for writing|open 257 -100 '$ARC' 0x10000|ok
read its keyring|open 257 -100 '$ARC/.lapse/keyring' 2|ok
the anchor|open 257 -100 '$TEST_TMP/anchor' 2|ok
see processes|open 257 -100 '/proc/1/status' 0|ok
sockets of this machine|socket 41 1 1 0|ok
E
cmp "$TEST_TMP/image.jpg" "$MNT/a.jpg" || die "it does not serve any more"
umount_archive
[ ! -e "$runtime" ] || die "its runtime directory is still there"

for t in $(transports); do
	[ "$t" = io_uring ] || continue
	note "a ring of its own does not give it what its calls do not"
	mount_by io_uring
	wait_until 10 grep -q '^Seccomp_filters:.2$' "/proc/$DAEMON/status"
	tried "$DAEMON" <<<"register more with it|register 427 0 0 0 0 0|$EPERM"
	expect_log 'io_uring|serving .* ended'
	[ "$(python3 "$SRC/tests/attack/ring.py" "$DAEMON")" = no ] || die "a socket of the internet, by a ring"
	# What was refused ends the ring's service.
	kill_daemon
	umount "${runtime:?}/store" # which a daemon that was killed leaves
done

note "an ordinary user's"
as t1 true
home=$TEST_TMP/home device_mode=$(stat -c %a /dev/fuse)
install -d -o lapse-t1 -g "$(id -g lapse-t1)" -m 700 "$home"
chmod 666 /dev/fuse
at_end chmod "$device_mode" /dev/fuse
user() { as t1 env HOME="$home" XDG_STATE_HOME="$home/state" XDG_RUNTIME_DIR="$home" "$@"; }
user sh -c "umask 077; head -c 32 /dev/urandom >$home/key; mkdir $home/mnt"
check "init" user "$LAPSE" init "$home/confined" --key-file "$home/key" --no-recovery-key --expire-after 1y >/dev/null 2>&1
check "mount" user "$LAPSE" mount "$home/confined" "$home/mnt" --key-file "$home/key"
theirs=$(pgrep -u lapse-t1 -x lapse -n)
user ls "$home/mnt" >/dev/null
wait_until 10 grep -q '^Seccomp_filters:.2$' "/proc/$theirs/status"
grep -q '^CapPrm:.0000000000000000$' "/proc/$theirs/status" && grep -q '^NoNewPrivs:.1$' "/proc/$theirs/status" || die "it has rights"
everybody | tried "$theirs"
user sleep 300 &
wait_until 10 pgrep -u lapse-t1 -x sleep >/dev/null
other=$(pgrep -u lapse-t1 -x sleep)
at_end kill "$other"
tried "$theirs" <<E
the memory of another of the user's processes|open 257 -100 '/proc/$other/mem' 2|$EACCES
read what is root's|open 257 -100 '/etc/shadow' 0|$EACCES
read what everybody may|open 257 -100 '/etc/passwd' 0|ok
E
check "umount, by its helper" user "$LAPSE" umount "$home/mnt"
wait_until 10 test ! -e "/proc/$theirs"
