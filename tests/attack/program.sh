#!/bin/bash
# A program that a rule trusts, and what is something else under its name: copies, what lies over its path, other people's code in it, other
# people's hands on it, programs without a file, the loader, interpreters, a process that becomes another, numbers that are used again, other people's services.
# What must happen: the rule does not match, the read is refused, and the record says what was seen.
# attack items: 23
# timeout: 240
. "$(dirname "$0")/../mount/lib.sh"
users t1
login_uids
BIN=$TEST_TMP/sbin
mkdir -m 755 "$BIN"
mkdir -m 777 "$TEST_TMP/home"
HOME_=$TEST_TMP/home

cat >"$TEST_TMP/viewer.c" <<'E'
/* viewer FILE | then PROGRAM FILE | thread FILE | ring FILE | sqpoll FILE | wait FILE: shows FILE in some way; `then` becomes PROGRAM afterwards.
 * many FILE: opens it in THREADS threads that have not asked before, at once; shows it if all of them may. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static char buf[100];

static int show(int fd)
{
	ssize_t n = read(fd, buf, sizeof buf);
	return n <= 0 || write(1, buf, n) != n;
}

static void *thread(void *path)
{
	return (void *)(long)open(path, O_RDONLY);
}

#define THREADS 32
static pthread_barrier_t all_there;

static void *one_of_many(void *path)
{
	pthread_barrier_wait(&all_there);
	return thread(path);
}

static int many(const char *path)
{
	pthread_t t[THREADS];
	int refused = 0;
	void *fd;

	pthread_barrier_init(&all_there, 0, THREADS);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], 0, one_of_many, (void *)path);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &fd);
		refused += (long)fd < 0;
	}
	if (refused)
		return fprintf(stderr, "%d of %d threads were refused\n", refused, THREADS), 1;
	return show((long)fd);
}

/* Another program, which takes the number of the thread that began. */
static void *become(void *arg)
{
	char **argv = arg;
	execl(argv[2], argv[2], argv[3], (char *)0);
	return 0;
}

/* By a worker of the ring, or by a thread of the kernel that takes from it. */
static int ring_open(const char *path, unsigned flags)
{
	struct io_uring_params p = {.flags = flags, .sq_thread_idle = 1000};
	int ring = syscall(SYS_io_uring_setup, 4, &p);
	if (ring < 0)
		return perror("io_uring_setup"), -1;
	char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	struct io_uring_sqe *e = mmap(0, p.sq_entries * sizeof *e, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	memset(e, 0, sizeof *e);
	e->opcode = IORING_OP_OPENAT;
	e->flags = flags & IORING_SETUP_SQPOLL ? 0 : IOSQE_ASYNC;
	e->fd = AT_FDCWD;
	e->addr = (unsigned long)path;
	e->open_flags = O_RDONLY;
	((unsigned *)(sq + p.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS | (flags & IORING_SETUP_SQPOLL ? IORING_ENTER_SQ_WAKEUP : 0), 0, 0);
	while (!__atomic_load_n((unsigned *)(cq + p.cq_off.tail), __ATOMIC_ACQUIRE))
		usleep(1000);
	return ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
}

int main(int argc, char **argv)
{
	const char *path = argv[argc - 1];
	void *fd;
	pthread_t t;
#define IS(x) (argc > 2 && !strcmp(argv[1], x))
	if (IS("then")) {
		show(open(path, O_RDONLY));
		execl(argv[2], argv[2], path, (char *)0);
	}
	if (IS("by_thread")) {
		show(open(path, O_RDONLY));
		pthread_create(&t, 0, become, argv);
		pause();
	}
	if (IS("thread")) {
		pthread_create(&t, 0, thread, (void *)path);
		pthread_join(t, &fd);
		return show((long)fd);
	}
	if (IS("many"))
		return many(path);
	if (IS("ring"))
		return show(ring_open(path, 0));
	if (IS("sqpoll"))
		return show(ring_open(path, IORING_SETUP_SQPOLL));
	if (IS("wait"))
		raise(SIGSTOP);
	return show(open(path, O_RDONLY));
}
E
cat >"$TEST_TMP/lib.c" <<'E'
/* Somebody's own code in a trusted program; it wipes the variable that brought it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
unsigned la_version(unsigned v) { return v; }
__attribute__((constructor)) static void begin(void)
{
	const char *names[] = {"LD_PRELOAD", "LD_AUDIT"};
	for (int i = 0; i < 2; i++) {
		char *v = getenv(names[i]);
		if (v)
			memset(v, 0, strlen(v));
	}
}
E
cat >"$TEST_TMP/hide.c" <<'E'
/* hide memfd|deleted|pid PROGRAM FILE: runs a copy of PROGRAM without a name; or PROGRAM, under the number of a process that has just read. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	char *args[] = {argv[2], argv[3], 0}, path[] = "/tmp/lapse-hide-XXXXXX";
	if (!strcmp(argv[1], "pid")) {
		pid_t pid = atoi(argv[4]);
		struct clone_args c = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1};
		pid_t got = syscall(SYS_clone3, &c, sizeof c);
		if (got < 0)
			return perror("clone3"), 9;
		if (!got) {
			setresgid(atoi(argv[5]), atoi(argv[5]), atoi(argv[5]));
			setresuid(atoi(argv[5]), atoi(argv[5]), atoi(argv[5]));
			execv(argv[2], args);
			_exit(9);
		}
		int status;
		waitpid(got, &status, 0);
		return WEXITSTATUS(status);
	}
	int from = open(argv[2], O_RDONLY), to = !strcmp(argv[1], "memfd") ? memfd_create("viewer", MFD_CLOEXEC) : mkstemp(path), fd;
	struct stat st;
	fstat(from, &st);
	sendfile(to, from, 0, st.st_size);
	fchmod(to, 0755);
	if (!strcmp(argv[1], "memfd"))
		return fexecve(to, args, environ);
	close(to);
	fd = open(path, O_PATH | O_CLOEXEC);
	unlink(path);
	return fexecve(fd, args, environ);
}
E
sed -i 's/#include <stdio.h>/#include <stdio.h>\n#include <stdlib.h>/' "$TEST_TMP/hide.c"
for c in "-pthread -o $BIN/viewer viewer.c" "-shared -fPIC -o $HOME_/lib.so lib.c" "-o $BIN/hide hide.c"; do
	# shellcheck disable=SC2086
	(cd "$TEST_TMP" && cc -O1 -w $c) || die "cc $c"
done
cp "$BIN/viewer" "$BIN/exact"
cp /bin/cat "$BIN/other"
cp "$(command -v python3)" "$BIN/python3"
chown lapse-t1: "$HOME_/lib.so"
SUM=$(sha256sum "$BIN/exact" | cut -c1-64)
LD=$(readlink -f "$(ldd /bin/cat | grep -o '/[^ ]*ld-linux[^ ]*')")

cat >"$TEST_TMP/policy.ini" <<E
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[programs exact]
paths = $BIN/exact
sha256 = $SUM

[rule viewers]
users = lapse-t1
programs = $BIN/viewer exact $BIN/python3 $LD
effect = permit
budget = none

[rule service]
users = lapse-t1
services = lapse-svc.service
effect = permit
budget = none
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
service_new system.slice/lapse-svc.service

# A filesystem of the user's own, into which not even root sees.
OWN=$HOME_/own
own() { as t1 env HOME="$HOME_" XDG_RUNTIME_DIR="$HOME_/run" XDG_STATE_HOME="$HOME_/state" "$@"; }
own mkdir -m 700 "$HOME_/run"
own sh -c "umask 077; head -c 32 /dev/urandom >$HOME_/key"
at_end chmod "$(stat -c %a /dev/fuse)" /dev/fuse
at_end umount -lq "$OWN"
chmod 666 /dev/fuse
own "$LAPSE" init "$OWN" --key-file "$HOME_/key" --no-recovery-key --expire-after 30d >"$TEST_TMP/init.own"
own "$LAPSE" mount "$OWN" --key-file "$HOME_/key"
own cp "$HOME_/lib.so" "$OWN/lib.so"
own chmod 755 "$OWN/lib.so"
! ls "$OWN" >/dev/null 2>&1 || die "root sees into the user's own filesystem"

# … and two that say of everything in them that it is root's.
for lies in "suid 0" "nosuid 2"; do
	mkdir "$HOME_/${lies% *}"
	at_end umount -lq "$HOME_/${lies% *}"
	python3 "$SRC/tests/attack/liar.py" "$HOME_/lib.so" "$HOME_/${lies% *}" "$(id -u lapse-t1)" "${lies#* }" &
	wait_until 10 mountpoint -q "$HOME_/${lies% *}"
done

SEEN=$TEST_TMP/seen
# What the newest record of an open says of the program.
said() {
	timeout 20 "$LAPSE" audit export --reason attack "$MNT" 2>/dev/null | python3 -c '
import json, sys
last = [r for r in map(json.loads, filter(str.strip, sys.stdin)) if r.get("kind") == "open"][-1]
assert last.get("exe-state", "") == sys.argv[1], last' "$1" || die "the record does not say '$1'"
}
may() { [ "$(as t1 "$@" 2>"$SEEN")" = "image 1" ] || { cat "$SEEN"; die "should have been read: $*"; }; }
# may_not STATE COMMAND…: nothing comes, and the record says why.
may_not() {
	local state=$1
	shift
	[[ $(as t1 "$@" 2>"$SEEN" </dev/null) != *"image 1"* ]] || die "came out: $*"
	said "$state"
}
F=$MNT/in/1

attack() {
	note "the program itself, also by a thread, by a ring's worker and by a ring's own thread"
	may "$BIN/viewer" "$F"
	said valid
	may "$BIN/exact" "$F"
	may "$BIN/viewer" thread "$F"
	for i in 1 2 3; do may "$BIN/viewer" many "$F"; done
	[ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0)" = 0 ] || die "this machine lets no io_uring be made: sysctl kernel.io_uring_disabled=0 while the tests run"
	may "$BIN/viewer" ring "$F"
	may "$BIN/viewer" sqpoll "$F"
	as t1 cp "$BIN/viewer" "$HOME_/ringer"
	may_not writable "$HOME_/ringer" ring "$F"
	may_not writable "$HOME_/ringer" sqpoll "$F"

	note "32: a copy, by the user and by root; one byte more"
	as t1 cp "$BIN/viewer" "$HOME_/viewer"
	may_not writable "$HOME_/viewer" "$F"
	cp "$BIN/viewer" "$BIN/viewer2"
	may_not valid "$BIN/viewer2" "$F"
	may_not valid "$BIN/other" "$F"
	cp -a "$BIN/exact" "$BIN/exact.kept"
	echo >>"$BIN/exact"
	may_not valid "$BIN/exact" "$F"
	mv "$BIN/exact.kept" "$BIN/exact"
	may "$BIN/exact" "$F"

	note "what somebody may write is nobody's word"
	for mode in 775 757; do
		chmod $mode "$BIN/viewer"
		may_not writable "$BIN/viewer" "$F"
	done
	chmod 755 "$BIN/viewer"
	chown lapse-t1 "$BIN/viewer"
	may_not writable "$BIN/viewer" "$F"
	chown root "$BIN/viewer"
	may "$BIN/viewer" "$F"

	note "33: something else over its path: in a mount namespace of the user's, of root's; in another root directory"
	may_not other-namespace unshare -Urm sh -c "mount --bind $BIN/other $BIN/viewer && $BIN/viewer $F"
	may_not other-namespace unshare -Ur "$BIN/viewer" "$F"
	[ "$(unshare -m sh -c "mount --bind $BIN/other $BIN/viewer && setpriv --reuid lapse-t1 --regid lapse-t1 --clear-groups $BIN/viewer $F" 2>"$SEEN")" = "" ] ||
		die "a file over its path"
	said valid
	mkdir -p "$TEST_TMP/root$BIN" "$TEST_TMP/root$MNT" "$TEST_TMP/root/lib64" "$TEST_TMP/root/lib" "$TEST_TMP/root/usr"
	cp "$BIN/other" "$TEST_TMP/root$BIN/viewer"
	[ "$(unshare -m sh -c "for d in lib64 lib usr; do mount --rbind /\$d $TEST_TMP/root/\$d; done; mount --rbind $MNT $TEST_TMP/root$MNT
		chroot --userspec lapse-t1:lapse-t1 $TEST_TMP/root $BIN/viewer $F" 2>"$SEEN")" = "" ] || die "the same path in another root directory"
	said valid

	note "34: somebody's own code in it: by LD_PRELOAD and LD_AUDIT, also if that leaves no trace in its environment; by the loader"
	may_not preloaded env LD_PRELOAD="$HOME_/lib.so" "$BIN/viewer" "$F"
	may_not preloaded env LD_AUDIT="$HOME_/lib.so" "$BIN/viewer" "$F"
	as t1 mkdir -p "$HOME_/libs"
	as t1 cp "$(ldd "$BIN/viewer" | grep -o '/[^ ]*libc\.so[^ ]*')" "$HOME_/libs/"
	may_not preloaded env LD_LIBRARY_PATH="$HOME_/libs" "$BIN/viewer" "$F"
	may_not preloaded env LD_PRELOAD="$OWN/lib.so" "$BIN/viewer" "$F"
	for lies in suid nosuid; do
		[ "$(stat -c '%u %a' "$HOME_/$lies/lib.so")" = "0 755" ] || die "it does not lie"
		may_not preloaded env LD_PRELOAD="$HOME_/$lies/lib.so" "$BIN/viewer" "$F"
	done
	may_not interpreter "$LD" "$BIN/viewer" "$F"
	may_not interpreter "$LD" --preload "$HOME_/lib.so" "$BIN/viewer" "$F"

	note "35: somebody's hands on it: a debugger, at its start and later"
	may_not traced strace -f -o /dev/null "$BIN/viewer" "$F"
	may_not traced gdb -q -nx -batch -ex run --args "$BIN/viewer" "$F"
	as t1 bash -c '"$1" wait "$2" >"$3/out" & p=$!
		until [ "$(cut -d" " -f3 /proc/$p/stat)" = T ]; do sleep 0.05; done
		strace -qq -o /dev/null -p $p & s=$!
		until grep -q "TracerPid:[^0-9]*[1-9]" /proc/$p/status; do sleep 0.05; done
		kill -CONT $p; wait $p; wait $s' - "$BIN/viewer" "$F" "$HOME_" || true
	[ ! -s "$HOME_/out" ] || die "a traced viewer read"
	said traced

	note "36: a program without a file"
	may_not deleted "$BIN/hide" memfd "$BIN/viewer" "$F"
	may_not deleted "$BIN/hide" deleted "$BIN/viewer" "$F"
	cp "$BIN/viewer" "$BIN/going"
	cp "$BIN/viewer" "$BIN/viewer.new"
	as t1 "$BIN/viewer" wait "$F" >"$TEST_TMP/out" &
	local job=$! pid
	wait_until 10 pgrep -u lapse-t1 -x viewer >/dev/null
	pid=$(pgrep -u lapse-t1 -x viewer)
	wait_until 10 grep -q '^State:.T' "/proc/$pid/status"
	mv "$BIN/viewer.new" "$BIN/viewer"
	kill -CONT "$pid"
	wait $job || true
	[ ! -s "$TEST_TMP/out" ] || die "a program whose file was replaced read"
	said deleted
	may "$BIN/viewer" "$F"

	note "37: an interpreter runs what it is given, whatever a rule says of it"
	may_not interpreter "$BIN/python3" -c "print(open('$F').read(), end='')"

	note "39: a process that becomes another program; a number that is used again"
	[ "$(as t1 "$BIN/viewer" then "$BIN/other" "$F" 2>/dev/null)" = "image 1" ] || die "what came after the viewer read as well, or the viewer did not"
	said valid
	[ "$(as t1 "$BIN/viewer" by_thread "$BIN/other" "$F" 2>/dev/null)" = "image 1" ] || die "what a thread of the viewer became read as well, or the viewer did not"
	said valid
	[ "$(as t1 "$BIN/viewer" then "$BIN/exact" "$F" 2>/dev/null)" = $'image 1\nimage 1' ] || die "one trusted program after another"
	# under_its_number PROGRAM: what it shows under the number of a viewer that has just read; another process may be quicker to have that.
	under_its_number() {
		local n
		for ((n = 0; n < 50; n++)); do
			setpriv --reuid lapse-t1 --regid lapse-t1 --clear-groups -- "$BIN/viewer" "$F" >"$TEST_TMP/out" &
			pid=$!
			wait $pid || die "the viewer"
			"$BIN/hide" pid "$BIN/$1" "$F" $pid "$(id -u lapse-t1)" >"$TEST_TMP/out" 2>"$SEEN" || true
			grep -q clone3 "$SEEN" || { cat "$TEST_TMP/out"; return 0; }
		done
		die "no number can be had again"
	}
	[ "$(under_its_number other)" = "" ] || die "another program under the viewer's number"
	[ "$(under_its_number viewer)" = "image 1" ] || die "the viewer under its old number"

	note "41: into somebody's service: only who may write its control group; a name of one's own is no service"
	[ "$(service system.slice/lapse-svc.service setpriv --reuid lapse-t1 --regid lapse-t1 --clear-groups -- cat "$F")" = "image 1" ] || die "the service itself"
	refuse "Permission denied" as t1 bash -c "echo \$\$ >$(group_top)/system.slice/lapse-svc.service/cgroup.procs"
	refuse "Permission denied" as t1 bash -c "exec -a lapse-svc.service cat $F"

	note "41: who has been in the service and is taken out of it reads no more"
	service system.slice/lapse-svc.service setpriv --reuid lapse-t1 --regid lapse-t1 --clear-groups -- python3 "$TEST_TMP/leaver.py" "$F" >"$TEST_TMP/leaver" &
	job=$!
	wait_until 20 grep -q '^[0-9]' "$TEST_TMP/leaver"
	pid=$(head -n 1 "$TEST_TMP/leaver")
	echo "$pid" >"$(group_top)/cgroup.procs"
	wait $job || die "it still reads 10 s later"
	[ "$(tail -n 1 "$TEST_TMP/leaver")" = refused ] || die "who was taken out of the service: $(cat "$TEST_TMP/leaver")"
}
cat >"$TEST_TMP/leaver.py" <<'P'
# Reads in the service; once it is out of it, opens until it is refused.
import os, sys, time
def open_once():
    os.close(os.open(sys.argv[1], os.O_RDONLY))
open_once()
print(os.getpid(), flush=True)
end = time.monotonic() + 30
while "lapse-svc.service" in open("/proc/self/cgroup").read():
    open_once()
    assert time.monotonic() < end
end = time.monotonic() + 10
while time.monotonic() < end:
    try:
        open_once()
    except PermissionError:
        print("refused")
        sys.exit()
    time.sleep(0.02)
sys.exit(1)
P
mount_by "$(transports | tail -n 1)"
mkdir "$MNT/in"
echo "image 1" >"$F"
chmod -R a+rX "$MNT"
attack

note "a path that leads through this very mount, where lookups ask who is asking: nothing waits for itself"
sed "s|^programs = |&$TEST_TMP/home/by_link |; s|^budget = none|budget = wide|" "$TEST_TMP/policy.ini" >"$TEST_TMP/through.ini"
printf '[budget wide]\nnames = 1M/1h\nfiles = 1M/1h\n' >>"$TEST_TMP/through.ini"
ln -s "$MNT/in/viewer" "$HOME_/by_link"
check "apply" "$LAPSE" policy apply --reason attack "$TEST_TMP/through.ini" "$MNT" >/dev/null
jobs=()
for i in $(seq 8); do
	CHECK_TIMEOUT=20 as t1 "$BIN/viewer" "$F" >/dev/null &
	jobs+=($!)
done
for j in "${jobs[@]}"; do wait "$j" || die "a reader waits, or is refused"; done
may "$BIN/viewer" "$F"
umount_archive
own "$LAPSE" umount "$OWN"
umount "$HOME_/suid" "$HOME_/nosuid"
