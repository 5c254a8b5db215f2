#!/bin/bash
# Every way to read a file that the kernel has, each with a budget of three files and five to read: three come out, and not a byte of the others. Then many
# processes, threads and descriptors at once, and a burst at the edge of a window.
# attack items: 14 21 23 25 27
. "$(dirname "$0")/../mount/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule window]
users = 48000
effect = permit
budget = burst

[rule everyone]
effect = permit
budget = three

[budget three]
files = 3/10min 4/24h

[budget burst]
files = 5/4s
E
cat >"$TEST_TMP/ways.c" <<'E'
/* ways WAY FILE: reads it that way; exit status 0 if any byte came out, 1 if none, 2 if this machine lacks the way. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char buf[65536] __attribute__((aligned(4096)));

static struct io_uring_params params;
static char *sq, *cq;
static struct io_uring_sqe *sqes;
static int ring_fd = -1;

static int ring(unsigned flags)
{
	params.flags = flags;
	params.sq_thread_idle = 1000;
	ring_fd = syscall(__NR_io_uring_setup, 8, &params);
	if (ring_fd < 0)
		exit(2);
	sq = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd, IORING_OFF_SQ_RING);
	cq = sq;
	sqes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd, IORING_OFF_SQES);
	return sq == MAP_FAILED || sqes == MAP_FAILED ? exit(2), 0 : 0;
}

static int ring_do(struct io_uring_sqe e)
{
	unsigned *tail = (unsigned *)(sq + params.sq_off.tail), *head = (unsigned *)(cq + params.cq_off.head);
	unsigned mask = *(unsigned *)(sq + params.sq_off.ring_mask), at = *tail & mask;
	sqes[at] = e;
	((unsigned *)(sq + params.sq_off.array))[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	unsigned flags = IORING_ENTER_GETEVENTS | (params.flags & IORING_SETUP_SQPOLL ? IORING_ENTER_SQ_WAKEUP : 0);
	while (__atomic_load_n((unsigned *)(cq + params.cq_off.tail), __ATOMIC_ACQUIRE) == *head)
		syscall(__NR_io_uring_enter, ring_fd, 1, 1, flags, NULL, 0);
	int res = ((struct io_uring_cqe *)(cq + params.cq_off.cqes))[*head & *(unsigned *)(cq + params.cq_off.ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

static int by_ring(const char *path, unsigned setup, unsigned sqe_flags, int direct)
{
	ring(setup);
	if (direct) {
		int none = -1;
		if (syscall(__NR_io_uring_register, ring_fd, IORING_REGISTER_FILES, &none, 1))
			return 2;
	}
	int fd = ring_do((struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .flags = sqe_flags, .fd = AT_FDCWD, .addr = (uintptr_t)path,
		.open_flags = O_RDONLY, .file_index = direct ? 1 : 0});
	if (fd < 0)
		return fd == -EDQUOT ? 1 : 3;
	int n = ring_do((struct io_uring_sqe){.opcode = IORING_OP_READ, .flags = (direct ? IOSQE_FIXED_FILE : 0) | sqe_flags,
		.fd = direct ? 0 : fd, .addr = (uintptr_t)buf, .len = 4096});
	return n > 0 ? 0 : 1;
}

static int reopen(const char *path, int flags)
{
	char link[64];
	int fd = open(path, flags);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return fd < 0 ? -1 : open(link, O_RDONLY);
}

static int by_mapping(int fd, int flags)
{
	volatile char *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, flags, fd, 0);
	return p == MAP_FAILED || p[10] == 0;
}

static int by_execution(const char *path)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		execl(path, path, NULL);
		_exit(errno == EDQUOT ? 1 : 3);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	const char *way = argv[1], *path = argv[2];
	struct iovec v[2] = {{buf, 100}, {buf + 100, 100}};
	int p[2];
#define IS(x) (!strcmp(way, x))
	(void)argc;
	pipe(p);
	if (IS("read"))
		return read(open(path, O_RDONLY), buf, 4096) <= 0;
	if (IS("one-byte"))
		return pread(open(path, O_RDONLY), buf, 1, 5000) <= 0;
	if (IS("readv"))
		return readv(open(path, O_RDONLY), v, 2) <= 0;
	if (IS("nowait")) {
		int fd = open(path, O_RDONLY);
		return preadv2(fd, v, 2, 0, RWF_NOWAIT) <= 0 && preadv2(fd, v, 2, 0, 0) <= 0;
	}
	if (IS("direct"))
		return read(open(path, O_RDONLY | O_DIRECT), buf, 4096) <= 0;
	if (IS("noatime-nofollow"))
		return read(open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), buf, 4096) <= 0;
	if (IS("readwrite"))
		return read(open(path, O_RDWR), buf, 4096) <= 0;
	if (IS("sendfile"))
		return sendfile(p[1], open(path, O_RDONLY), NULL, 4096) <= 0;
	if (IS("splice"))
		return splice(open(path, O_RDONLY), NULL, p[1], NULL, 4096, 0) <= 0;
	if (IS("copy_file_range"))
		return copy_file_range(open(path, O_RDONLY), NULL, open(argv[3], O_CREAT | O_RDWR, 0600), NULL, 4096, 0) <= 0;
	if (IS("mmap"))
		return by_mapping(open(path, O_RDONLY), MAP_PRIVATE);
	if (IS("mmap-populate"))
		return by_mapping(open(path, O_RDONLY), MAP_SHARED | MAP_POPULATE);
	if (IS("path"))
		return read(reopen(path, O_PATH), buf, 4096) <= 0;
	if (IS("write-only"))
		return read(reopen(path, O_WRONLY), buf, 4096) <= 0;
	if (IS("empty-path")) {
		struct open_how { uint64_t flags, mode, resolve; } how = {.flags = O_RDONLY};
		int dir = open("/", O_PATH);
		return read(syscall(SYS_openat2, dir, path + 1, &how, sizeof how), buf, 4096) <= 0;
	}
	if (IS("by-handle")) {
		struct { struct file_handle h; char room[128]; } h = {.h.handle_bytes = 128};
		int id, mount = open(argv[3], O_RDONLY);
		if (name_to_handle_at(AT_FDCWD, path, &h.h, &id, 0))
			return 1;
		return read(open_by_handle_at(mount, &h.h, O_RDONLY), buf, 4096) <= 0;
	}
	if (IS("exec"))
		return by_execution(path);
	if (IS("uring"))
		return by_ring(path, 0, 0, 0);
	if (IS("uring-async"))
		return by_ring(path, 0, IOSQE_ASYNC, 0);
	if (IS("uring-sqpoll"))
		return by_ring(path, IORING_SETUP_SQPOLL, 0, 0);
	if (IS("uring-registered"))
		return by_ring(path, 0, 0, 1);
	return 2;
}
E
cc -O1 -o "$TEST_TMP/ways" "$TEST_TMP/ways.c" 2>"$TEST_TMP/cc.out" || { cat "$TEST_TMP/cc.out"; die "cc"; }
chmod 755 "$TEST_TMP/ways"
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive "$@"
mkdir "$MNT/in"
for i in $(seq 9); do { printf '#!/bin/sh\nexit 0\n'; head -c 9000 /dev/urandom | base64; } >"$MNT/in/$i"; done
chmod -R a+rwX "$MNT"
chmod a+x "$MNT"/in/*
cat "$MNT"/in/* >/dev/null # all of it in the page cache

uid=41000
reader() { local u=$1; shift; timeout 20 setpriv --reuid "$u" --regid "$u" --clear-groups -- "$@"; }
for way in read one-byte readv nowait direct noatime-nofollow readwrite sendfile splice copy_file_range mmap mmap-populate path write-only empty-path exec \
	uring uring-async uring-sqpoll uring-registered; do
	uid=$((uid + 1)) got=0
	for i in 1 2 3 4 5; do
		status=0
		reader $uid "$TEST_TMP/ways" $way "$MNT/in/$i" "$MNT/in/copy-$uid-$i" >/dev/null 2>&1 || status=$?
		case $status in
		0) got=$((got + 1)) ;;
		1) ;;
		2) note "$way: not on this machine"; got=3; break ;;
		*) die "$way: exit status $status" ;;
		esac
	done
	[ $got = 3 ] || die "by $way came $got files out of a budget of 3"
done

note "a file counts once, however it is read and however often"
uid=$((uid + 1))
for way in read one-byte direct mmap path uring exec read read; do
	for i in 1 2 3; do reader $uid "$TEST_TMP/ways" $way "$MNT/in/$i" || [ $? = 2 ] || die "$way of file $i, which is counted"; done
done
reader $uid "$TEST_TMP/ways" read "$MNT/in/4" && die "a fourth file"

note "by handle, which only root may: an open like any other, or none at all"
mkdir "$MNT/theirs"
chmod 777 "$MNT/theirs"
reader 47000 sh -c "for i in 1 2 3 4 5 6; do echo $RANDOM >$MNT/theirs/\$i; done"
got=0
for i in 1 2 3 4 5 6; do "$TEST_TMP/ways" by-handle "$MNT/theirs/$i" "$MNT" && got=$((got + 1)); done
[ $got -le 3 ] || die "root opened $got files by handle, out of a budget of 3"

note "three hundred threads of twenty processes at once"
cat >"$TEST_TMP/storm.py" <<'P'
import errno, os, sys, threading
n, lock = 0, threading.Lock()
go = threading.Event()
def one(i):
    global n
    go.wait()
    for k in range(9):
        try:
            os.close(os.open(f"{sys.argv[1]}/{(i + k) % 9 + 1}", os.O_RDONLY))
            with lock:
                got.add((i + k) % 9 + 1)
        except OSError as e:
            if e.errno != errno.EDQUOT:
                raise
got = set()
r, w = os.pipe()
children = []
for c in range(20):
    pid = os.fork()
    if pid == 0:
        t = [threading.Thread(target=one, args=(c + i,)) for i in range(15)]
        [x.start() for x in t]
        go.set()
        [x.join() for x in t]
        os.write(w, bytes(got))
        os._exit(0)
    children.append(pid)
for c in children:
    os.waitpid(c, 0)
os.close(w)
print(len(set(os.read(r, 65536))))
P
uid=$((uid + 1))
[ "$(reader $uid /usr/bin/python3 "$TEST_TMP/storm.py" "$MNT/in")" = 3 ] || die "a storm did not get three files"

note "a burst at the edge of a window: never six files within four seconds"
cat >"$TEST_TMP/burst.py" <<'P'
import os, sys, time
end, last = time.monotonic() + 9.5, {}
log = []
while time.monotonic() < end:
    for i in range(1, 10):
        before = time.monotonic()
        try:
            os.close(os.open(f"{sys.argv[1]}/{i}", os.O_RDONLY))
            log.append((before, time.monotonic(), i))
        except OSError:
            pass
    time.sleep(0.02)
worst = max(len({k for b, a, k in log if a >= first and b <= first + 3.9 and a <= first + 3.9}) for first, _, _ in log)
assert worst <= 5, f"{worst} distinct files in less than 4 s"
assert len({k for _, _, k in log}) > 0
P
CHECK_TIMEOUT=25 check "burst" setpriv --reuid 48000 --regid 48000 --clear-groups /usr/bin/python3 "$TEST_TMP/burst.py" "$MNT/in"
umount_archive
