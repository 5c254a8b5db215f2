#!/bin/bash
# Somebody else's budget, or nobody's: other uids, namespaces, set-id programs, a login uid of one's own choice, other threads' credentials, descriptors of others.
# Whoever is behind a request pays; who cannot be told reads nothing.
# attack items: 28 29 38 39 40
. "$(dirname "$0")/../mount/lib.sh"
users t1 t2
login_uids
T1=$(id -u lapse-t1) T2=$(id -u lapse-t2)
cat >"$TEST_TMP/policy.ini" <<E
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule denied]
users = lapse-t2
paths = **
effect = deny

[rule everyone]
effect = permit
budget = three

[budget three]
files = 3/10min
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive "$@"
mkdir "$MNT/in" "$TEST_TMP/bin" "$TEST_TMP/pub"
chmod 755 "$TEST_TMP/bin"
chmod 777 "$TEST_TMP/pub"
for i in $(seq 9); do echo "image $i" >"$MNT/in/$i"; done
chmod -R a+rX "$MNT"
umount_archive
mount_archive "$@"

# How many of the files named come out of `COMMAND FILE`.
came() {
	local n=0 i first=$1 last=$2
	shift 2
	for i in $(seq "$first" "$last"); do [ "$(timeout 20 "$@" "$MNT/in/$i" 2>/dev/null)" != "image $i" ] || n=$((n + 1)); done
	echo $n
}
cat >"$TEST_TMP/bin/as_uid" <<'E'
#!/bin/sh
u=$1
shift
exec setpriv --reuid "$u" --regid "$u" --clear-groups -- "$@"
E
chmod 755 "$TEST_TMP/bin/as_uid"
PATH=$TEST_TMP/bin:$PATH

cat >"$TEST_TMP/who.c" <<'E'
/* who HOW UID FILE: opens and shows FILE after doing something to who it is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char buf[100];
static const char *path;

static void put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "cannot write %s\n", file);
	close(fd);
}

static int show(int fd)
{
	ssize_t n = read(fd, buf, sizeof buf);
	return n <= 0 || write(1, buf, n) != n;
}

static void *thread(void *uid)
{
	syscall(SYS_setresuid, -1, *(unsigned *)uid, -1);
	return (void *)(long)open(path, O_RDONLY);
}

int main(int argc, char **argv)
{
	unsigned uid = argc > 2 ? atoi(argv[2]) : 0;
	void *fd;
	pthread_t t;
	pid_t pid;
	path = argv[3];
#define IS(x) (!strcmp(argv[1], x))
	if (IS("fsuid"))
		setfsuid(uid);
	if (IS("effective") && seteuid(uid))
		return 2;
	if (IS("login"))
		put("/proc/self/loginuid", argv[2]);
	if (IS("thread")) { /* in one thread only */
		pthread_create(&t, NULL, thread, &uid);
		pthread_join(t, &fd);
		return show((long)fd);
	}
	if (IS("pidns")) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWPID))
			return 2;
		if (!(pid = fork()))
			return show(open(path, O_RDONLY));
		int status;
		waitpid(pid, &status, 0);
		return WEXITSTATUS(status);
	}
	if (IS("vfork")) {
		if (!(pid = vfork())) {
			execl("/bin/cat", "cat", path, NULL);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
		return 0;
	}
	return show(open(path, O_RDONLY));
}
E
cc -O1 -pthread -o "$TEST_TMP/bin/who" "$TEST_TMP/who.c" 2>"$TEST_TMP/cc.out" || { cat "$TEST_TMP/cc.out"; die "cc"; }
W=$TEST_TMP/bin/who

note "one user, many disguises: three files in all"
n=$(came 1 1 as_uid 42001 cat)
n=$((n + $(came 2 2 as_uid 42001 setsid cat)))
n=$((n + $(came 3 4 as_uid 42001 unshare -Ur cat)))
n=$((n + $(came 5 5 as_uid 42001 "$W" pidns 0)))
n=$((n + $(came 6 6 as_uid 42001 unshare -Urpmf cat)))
n=$((n + $(came 7 7 as_uid 42001 "$W" vfork 0)))
[ "$n" = 3 ] || die "$n files in one user's disguises, should be 3"

note "another effective uid, in the process or in one thread; another fsuid: the real uid pays as well"
[ "$(came 1 3 as_uid 42002 cat)" = 3 ] || die "three files"
for how in fsuid effective thread; do
	got=$(came 4 6 setpriv --ruid 42002 --euid 0 --clear-groups -- "$W" $how 42003)
	[ "$got" = 0 ] || die "$how: $got files beyond the real uid's budget"
done
[ "$(came 4 4 setpriv --ruid "$T2" --euid 0 --clear-groups -- "$W" fsuid 42004)" = 0 ] || die "a rule that denies the real uid"

note "a set-uid helper of somebody else's"
cp /bin/cat "$TEST_TMP/bin/helper"
chown 42005 "$TEST_TMP/bin/helper"
chmod 4755 "$TEST_TMP/bin/helper"
[ "$(came 4 6 as_uid 42002 "$TEST_TMP/bin/helper")" = 0 ] || die "a helper's budget"
[ "$(came 1 3 as_uid 42006 "$TEST_TMP/bin/helper")" = 3 ] || die "both have three files left"
[ "$(came 4 4 as_uid 42006 cat)" = 0 ] || die "who ran the helper was not charged"

note "a login uid: it pays too, whatever the process makes of itself"
[ "$(came 1 3 as_uid 42010 "$W" login 42011)" = 3 ] || die "with a login uid"
[ "$(came 4 6 as_uid 42012 "$W" login 42011)" = 0 ] || die "the login uid's budget is used up, and another uid read on"
[ "$(came 4 4 as_uid 42010 cat)" = 0 ] || die "a login uid replaced the uid behind it"
[ "$(came 1 1 as_uid 42013 "$W" login "$T2")" = 0 ] || die "a login uid that a rule denies"
[ "$(came 1 3 as_uid 42014 "$W" login 4294967295)" = 3 ] || die "unset once more"
[ "$(came 4 4 as_uid 42014 "$W" login 4294967294)" = 0 ] || die "the number that stands for unidentified"
# Logged in as 42015, then root by whatever way, then somebody else.
[ "$(came 1 6 bash -c "echo 42015 >/proc/self/loginuid; as_uid 42016 cat \$0")" = 3 ] || die "three files of 42016"
[ "$(came 4 6 bash -c "echo 42015 >/proc/self/loginuid; as_uid 42017 cat \$0")" = 0 ] || die "su from 42015 to a fresh user made a fresh reader"
[ "$(came 4 6 bash -c "echo 42015 >/proc/self/loginuid; as_uid 42018 unshare -Urpf cat \$0")" = 0 ] || die "a container of 42015's"

note "a descriptor of somebody else's is opened anew through /proc: a new open, by whom it is"
as_uid 42020 /usr/bin/python3 - "$MNT/in" "$W" <<'P'
import errno, os, sys
fds = [os.open(f"{sys.argv[1]}/{i}", os.O_RDONLY) for i in (1, 2, 3)]
path = [os.open(f"{sys.argv[1]}/{i}", os.O_PATH) for i in (4, 5)]
for f in fds:
    os.close(os.open(f"/proc/self/fd/{f}", os.O_RDONLY))
for f in path:
    try:
        os.open(f"/proc/self/fd/{f}", os.O_RDONLY)
        raise SystemExit("a fourth file")
    except OSError as e:
        assert e.errno == errno.EDQUOT, e
P

note "who asked the daemon and has gone: another may have his number, and is not taken for him"
if python3 -c 'import socket; socket.socketpair()[0].getsockopt(socket.SOL_SOCKET, 77, 4)' 2>/dev/null; then # SO_PEERPIDFD
python3 - "$SRC/tests/mount" "$MNT" <<'P'
import os, signal, socket, sys
sys.path.insert(0, sys.argv[1])
import stats
for attempt in range(50):
    s = socket.socket(socket.AF_UNIX)
    pid = os.fork()
    if pid == 0:
        s.connect(stats.socket_of(sys.argv[2]))
        os._exit(0)
    os.waitpid(pid, 0)
    # The number is taken again, by somebody who has nothing to do with it.
    with open("/proc/sys/kernel/ns_last_pid", "w") as f:
        f.write(str(pid - 1))
    other = os.fork()
    if other == 0:
        os.setresuid(4242, 4242, 4242)
        signal.pause()
    if other == pid:
        break
    os.kill(other, 9)
    os.waitpid(other, 0)
assert other == pid, "the number was not had again"
s.sendall(b"lapse 1 guard-open\treason=of_somebody_who_has_gone\n")
answer = s.recv(4096)
s.sendall(b"lapse 1 guard-close\tfor=60\treason=of_somebody_who_has_gone\n")
answer = s.recv(4096)
assert answer.startswith(b"closed") or answer.startswith(b"ok"), answer
os.kill(other, 9)
os.waitpid(other, 0)
P
timeout 20 "$LAPSE" guard open --reason test "$MNT" >/dev/null
timeout 20 "$LAPSE" audit export --reason test "$MNT" 2>/dev/null | python3 -c '
import json, sys
rows = [r for r in map(json.loads, filter(str.strip, sys.stdin)) if "of_somebody_who_has_gone" in r.get("text", "")]
assert rows, "it is not on the record"
for r in rows:
    assert r.get("unidentified") and r.get("real-uid") is None, r' || die "somebody else was taken for who asked"
fi

note "who is outside our view of processes is nobody, and nobody reads"
mkdir -p "$TEST_TMP/inner"
# The daemon in a pid namespace of its own: readers outside have no pid there.
mkdir "$TEST_TMP/m2"
ARC2=$TEST_TMP/arc2
timeout 30 "$LAPSE" init "$ARC2" --key-file "$KEY" --no-recovery-key --policy "$TEST_TMP/open.ini" --anchor "$TEST_TMP/anchor2" >/dev/null 2>&1
unshare --pid --fork --kill-child "$LAPSE" mount "$ARC2" "$TEST_TMP/m2" --key-file "$KEY" --foreground >>"$DAEMON_LOG" 2>&1 &
inner=$!
wait_until 20 mountpoint -q "$TEST_TMP/m2"
echo x >"$TEST_TMP/m2/x"
refuse "Permission denied" cat "$TEST_TMP/m2/x"
umount "$TEST_TMP/m2" || umount -l "$TEST_TMP/m2"
wait $inner || true
umount_archive
