#!/bin/bash
# What somebody can still do who has taken the daemon over: system calls are made in its own main thread. Root's daemon first, then an ordinary user's.
. "$(dirname "$0")/../mount/lib.sh"
[ "$(uname -m)" = x86_64 ] || die "this test knows the system calls of x86-64"
# Before Linux 6.7 there is no Landlock domain without rules on files.
domain=$([ "$(python3 -c 'import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))')" -ge 4 ] && echo -13 || echo ok)
EPERM=-1 ENOENT=-2 EACCES=-13 EROFS=-30 ENOSYS=-38

tried() { # tried PID < "what: NAME NUMBER ARGS: RESULTS that are as they must be"
	local pid=$1 what call wanted name result calls
	calls=$(grep .)
	cut -d'|' -f2 <<<"$calls" | python3 "$SRC/tests/attack/hijack.py" "$pid" >"$TEST_TMP/results"
	while IFS='|' read -r what call wanted && read -r name result <&3; do
		[ "$name" = "${call%% *}" ] || die "$call: the answer is of $name"
		[[ " $wanted " == *" $result "* || ( $wanted == ok && $result -ge 0 ) ]] || die "$what: $call gave $result, not $wanted"
		printf '%-70s %s\n' "$what" "$([ "$result" -lt 0 ] && echo "no ($result)" || echo yes)"
	done <<<"$calls" 3<"$TEST_TMP/results"
	[ "$(wc -l <"$TEST_TMP/results")" = "$(wc -l <<<"$calls")" ] || die "not everything was tried"
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
… one of their threads|tgkill 234 1 1 0|$EPERM
…|tkill 200 1 0|$EPERM
… with a value|queue 129 1 0 0|$EPERM
… by a handle|pidfd 424 0 0 0 0|$EPERM
have a descriptor signal them: which signal|setsig 72 0 10 9|$EPERM
… whom|setown 72 0 8 1|$EPERM
… a thread|setownex 72 0 15 0|$EPERM
limit others|prlimit 302 1 1 0 0|$EPERM
slow them down|priority 141 0 1 19|$EPERM
… all of a user|priority 141 2 0 19|$EPERM
… on other processors|affinity 203 1 8 0|$EPERM
… in another class|scheduler 144 1 5 0|$EPERM
… at the disk|ioprio 251 1 1 0|$EPERM
write their memory|writev 311 1 0 0 0 0 0|$EPERM
have it dropped|madvise 440 0 0 0 0 0|$EPERM
compare with them|kcmp 312 1 1 0 0 0|$EPERM
what is read can be executed|personality 135 0x400000|$EPERM
memory becomes code|mprotect 10 0 4096 7|$EPERM
… with a key|pkey 329 0 4096 7 0|$EPERM
… shared|shmat 30 0 0 0x8000|$EPERM
type into a terminal|type 16 0 0x5412 'x'|$EPERM
other ways to mount|tree 428 -100 '/proc' 1|$EPERM
…|fsopen 430 'tmpfs' 0|$EPERM
…|attributes 442 -100 '/proc' 0 0 0|$EPERM
…|pivot 155 '.' '.'|$EPERM
watch all files|fanotify 300 0 0|$EPERM
swap|swapon 167 '/proc/version' 0|$EPERM
what processes use|acct 163 0|$EPERM
the kernel's log|syslog 103 10 0 0|$EPERM
the name of the machine|name 170 'x' 1|$EPERM
ports of the machine|iopl 172 3|$EPERM
segments of its own|ldt 154 0 0 0|$EPERM
another kernel|kexec 246 0 0 0 0|$EPERM
a key for the kernel|addkey 248 'user' 'x' 'x' 1 -1|$EPERM
encryption of the kernel's|alg 41 38 5 0|$EPERM
a socket to the host of a virtual machine|vsock 41 40 1 0|$EPERM
other groups|setgroups 116 0 0|$EPERM
another user for files|fsuid 122 65534|$EPERM
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
what init was started with|open 257 -100 '/proc/1/environ' 0|$EACCES
the kernel's memory|open 257 -100 '/proc/kcore' 0|$EPERM $EACCES $ENOENT
its messages|open 257 -100 '/proc/kmsg' 0|$EPERM $EACCES
the machine's memory|open 257 -100 '/dev/mem' 0|$ENOENT
have the kernel act|open 257 -100 '/proc/sysrq-trigger' 1|$EROFS $ENOENT
… on devices|open 257 -100 '/sys/devices/system/cpu/uevent' 1|$EROFS
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
the memory of a process of the same user|open 257 -100 '/proc/$other/mem' 0|$domain
what it sees|open 257 -100 '/proc/$other/root/etc/shadow' 0|$domain
E

note "its helper gives nobody a second process to tell what to run"
alerts=2 # HELPER_ALERTS, fs/base/helper.h
[ "$(python3 "$SRC/tests/attack/ask_helper.py" "$DAEMON" $alerts)" = $EPERM ] || die "it did"
note "… and mounts nothing more"
for act in 3 4 6; do # HELPER_MOUNT, HELPER_PLACE without a place, none
	[ "$(python3 "$SRC/tests/attack/ask_helper.py" "$DAEMON" $act)" -lt 0 ] || die "act $act of the helper's"
done

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
a set-uid file of root's in the archive's directory|chmod 268 -100 '$ARC/.lapse/keyring' 0x980|ok
… and back|chmod 268 -100 '$ARC/.lapse/keyring' 0x180|ok
E
grep -q " $MNT fuse.lapse rw,nosuid,nodev" /proc/mounts || die "set-uid files or devices count on the mount"
users t1
as t1 python3 -c 'import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
socket.send_fds(s, [b"l"], [os.open("/etc", os.O_PATH | os.O_DIRECTORY)])
s.recv(100)' "$runtime/ctl" & # which ends when the daemon has waited for the rest of a request
handing=$!
given() { for fd in "/proc/$DAEMON/fd"/*; do [ "$(readlink "$fd")" != /etc ] || break; done; [ "$(readlink "$fd")" = /etc ]; }
wait_until 10 given
tried "$DAEMON" <<<"a file of root's, by a directory that somebody hands it|openat 257 ${fd##*/} 'shadow' 2|ok"
wait $handing || true
cmp "$TEST_TMP/image.jpg" "$MNT/a.jpg" || die "it does not serve any more"
umount_archive
[ ! -e "$runtime" ] || die "its runtime directory is still there"

note "root's daemon where a rule names a program: the same calls; but the processes of others lead it to everything"
printf '\n[rule viewer]\nusers = root\nprograms = /usr/bin/imgview\neffect = permit\nbudget = none\n' | cat "$TEST_TMP/open.ini" - >"$TEST_TMP/programs.ini"
expect_log 'never matches|can never match'
check "apply" "$LAPSE" policy apply --key-file "$KEY" "$TEST_TMP/programs.ini" "$ARC" >/dev/null 2>&1
mount_archive
ls "$MNT" >/dev/null
wait_until 10 grep -q '^Seccomp_filters:.2$' "/proc/$DAEMON/status"
everybody | tried "$DAEMON" >/dev/null
tried "$DAEMON" <<E
read a file of the machine|open 257 -100 '/etc/shadow' 0|$ENOENT
set what the kernel runs for a core|open 257 -100 '/proc/sys/kernel/core_pattern' 1|$EROFS
read a file of the machine by way of another process|open 257 -100 '/proc/$other/root/etc/passwd' 0|ok
write one|open 257 -100 '/proc/$other/root$TEST_TMP/made' 0x42 0x180|ok
read its memory|open 257 -100 '/proc/$other/mem' 0|ok
write it|open 257 -100 '/proc/$other/root/proc/$other/mem' 2|ok
E
umount_archive

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
the memory of another of the user's processes|open 257 -100 '/proc/$other/mem' 2|$domain
read what is root's|open 257 -100 '/etc/shadow' 0|$EACCES
read what everybody may|open 257 -100 '/etc/passwd' 0|ok
E
check "umount, by its helper" user "$LAPSE" umount "$home/mnt"
wait_until 10 test ! -e "/proc/$theirs"
