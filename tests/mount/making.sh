#!/bin/bash
# A file that is being made is written past the kernel's page cache. Whoever has it open meanwhile, by read(2) or mapped, sees what write(2) has returned for, however
# the readers race it; the set-id bits and capabilities that a write takes away go; and what it wrote is in no cache until somebody reads it.
. "$(dirname "$0")/lib.sh"
archive_new

cat >"$TEST_TMP/seen.c" <<'E'
/* seen FILE SECONDS: one makes FILE and writes its beginning over and over; others have it read anew all the while, by read and through a mapping. What a write has
 * returned for, each of them sees. Prints how many writes there were. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const char *path;
static _Atomic int end;

static void *read_anew(void *arg)
{
	uint64_t v;
	int fd = open(path, O_RDONLY);
	while (!end) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		if (pread(fd, &v, sizeof v, 0) != sizeof v)
			abort();
	}
	return arg;
}

int main(int argc, char **argv)
{
	static char page[131072]; /* whole blocks, which are read from the store */
	pthread_t thread[3];
	struct timespec now;
	uint64_t n = 0, got;
	if (argc != 3)
		return 2;
	path = argv[1];
	int made = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644), fd = open(path, O_RDONLY);
	if (made < 0 || fd < 0 || write(made, page, sizeof page) != sizeof page)
		return perror(path), 2;
	volatile uint64_t *mapped = mmap(NULL, sizeof page, PROT_READ, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		return perror("mmap"), 2;
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, read_anew, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	for (time_t until = now.tv_sec + atoi(argv[2]); now.tv_sec < until; clock_gettime(CLOCK_MONOTONIC, &now)) {
		n++;
		if (pwrite(made, &n, sizeof n, 0) != sizeof n)
			return perror("pwrite"), 2;
		if (n % 2 && *mapped != n)
			return printf("write %lu: %lu is mapped\n", n, *mapped), 1;
		if (pread(fd, &got, sizeof got, 0) != sizeof got || got != n)
			return printf("write %lu: %lu is read\n", n, got), 1;
	}
	end = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	printf("-- %lu writes\n", n);
	return n < 100;
}
E
cc -O2 -Wall -o "$TEST_TMP/seen" "$TEST_TMP/seen.c" -lpthread

cat >"$TEST_TMP/grows.py" <<'P'
import mmap, os, sys
# One who appends, one who looks after each write: by read, and through a mapping made when the file was short.
path = sys.argv[1]
made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
os.write(made, b"0")
fd = os.open(path, os.O_RDONLY)
whole = b"0"
shared = mmap.mmap(fd, 1, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
for i in range(1, 3000):
    piece = bytes([48 + i % 10]) * (i % 97)
    os.write(made, piece)
    whole += piece
    at = max(0, len(whole) - 5000)
    assert os.pread(fd, 5000, at) == whole[at:], i
    assert os.fstat(fd).st_size == len(whole)
    if i % 100 == 0:
        m = mmap.mmap(fd, len(whole), flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        assert m[:] == whole, i
        m.close()
os.close(made)
assert os.pread(fd, len(whole) + 1, 0) == whole
# What another handle writes, the maker's writes lie over, and the other way round.
made = os.open(path + "2", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
other = os.open(path + "2", os.O_RDWR)
os.write(made, b"a" * 10000)
m = mmap.mmap(other, 10000)
m[0:5] = b"bbbbb"
os.pwrite(made, b"c", 2)
assert m[0:6] == b"bbcbba" and os.pread(other, 6, 0) == b"bbcbba"
os.pwrite(other, b"d", 4)
os.pwrite(made, b"e", 5)
assert os.pread(other, 7, 0) == b"bbcbdea" and m[0:7] == b"bbcbdea"
os.truncate(path + "2", 3)
os.pwrite(made, b"f", 5)
assert os.pread(other, 9, 0) == b"bbc\0\0f"
P

cat >"$TEST_TMP/takes.py" <<'P'
import os, struct, sys
path = sys.argv[1]
made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755)
os.write(made, b"x")
os.setxattr(path, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))
os.setxattr(path, "user.kept", b"1")
os.write(made, b"y")
assert "security.capability" not in os.listxattr(path), "a write left the capabilities"
assert os.getxattr(path, "user.kept") == b"1"
os.chmod(path, 0o6755)
os.setresuid(1, 1, 0)
os.write(made, b"z")
os.setresuid(0, 0, 0)
assert os.stat(path).st_mode & 0o7777 == 0o755, oct(os.stat(path).st_mode)
os.close(made)
assert open(path, "rb").read() == b"xyz"
P

cat >"$TEST_TMP/many.py" <<'P'
import os, sys, threading
# More writes at once than the daemon has places for what waits.
where, count, rounds = sys.argv[1], 150, 40
made = [os.open(f"{where}{i}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644) for i in range(count)]
others = [os.open(f"{where}{i}", os.O_WRONLY) for i in range(count)]
def write(fd):
    for i in range(rounds):
        assert os.pwrite(fd, b"x", i) == 1
threads = [threading.Thread(target=write, args=(fd,)) for fd in made]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert all(os.stat(f"{where}{i}").st_size == rounds for i in range(count))
P

cat >"$TEST_TMP/synced.py" <<'P'
import os, subprocess, sys, time
mnt, daemon, trace = sys.argv[1:]
def traced():
    return any("TracerPid:\t0\n" not in open(f"/proc/{daemon}/task/{t}/status").read() for t in os.listdir(f"/proc/{daemon}/task"))
def flushes(act):
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs", "-o", trace, "-p", daemon])
    while not traced():
        assert tracer.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    act()
    tracer.terminate()
    tracer.wait()
    return sum("sync" in l for l in open(trace))
N = 60  # the log is flushed beside, five times a second
def write(flags, how):
    path = f"{mnt}/synced-{flags}-{how}"
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | flags, 0o644)
    def act():
        for i in range(N):
            os.pwritev(fd, [b"x" * 5000], i * 5000, how)
    n = flushes(act)
    os.close(fd)
    assert os.stat(path).st_size == N * 5000
    return n
plain, synced = write(0, 0), [write(os.O_SYNC, 0), write(os.O_DSYNC, 0), write(0, os.RWF_DSYNC)]
print(f"-- flushes for {N} writes: {plain}, and with O_SYNC, O_DSYNC, RWF_DSYNC {synced}")
assert plain < N and all(n >= N for n in synced)
P

for transport in $(transports); do
	note "$transport"
	mount_by "$transport"
	check "readers in a race with the maker" "$TEST_TMP/seen" "$MNT/seen-$transport" 2
	check "who looks after each write" python3 "$TEST_TMP/grows.py" "$MNT/grows-$transport"
	check "capabilities and set-id bits" python3 "$TEST_TMP/takes.py" "$MNT/takes-$transport"
	check "many makers at once" python3 "$TEST_TMP/many.py" "$MNT/many-$transport-"
	check "O_SYNC" python3 "$TEST_TMP/synced.py" "$MNT" "$DAEMON" "$TEST_TMP/trace.$transport"
	rm -f "${MNT:?}"/synced-*
	umount_archive
done
