#!/bin/bash
# How many calls to the system an image costs the daemon: a number that grows is a regression that no stopwatch shows.
. "$(dirname "$0")/lib.sh"
archive_new
# What reading a file costs if rules ask for program, service and session.
cp "$(readlink -f /usr/bin/python3)" "$TEST_TMP/viewer"
cat >"$TEST_TMP/asking.ini" <<E
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[programs viewer]
paths = $TEST_TMP/viewer
sha256 = $(sha256sum "$TEST_TMP/viewer" | cut -c1-64)

[rule viewer]
users = root
programs = viewer
effect = permit
budget = none

[rule service]
services = imgindex.service
origin = service
effect = permit
budget = none

[rule everyone]
effect = permit
budget = none
E

cat >"$TEST_TMP/count.py" <<'P'
import collections, os, random, re, subprocess, sys, time
mnt, daemon, transport, stage, trace = sys.argv[1:]
TRIES = 6  # whoever drops the machine's caches meanwhile makes the kernel ask again
N = 10  # images of each kind; what comes once or twice for all of them is rounded away
# What carries requests: two io_uring_enter for each, or read and writev; what waits for more to forget at once; and what the allocator does now and then, and a new thread.
BESIDE = {"io_uring_enter", "read", "writev", "futex", "restart_syscall", "mmap", "munmap", "mprotect", "madvise", "brk", "sched_yield",
          "rt_sigprocmask", "clone3", "clone", "set_robust_list", "rseq", "prctl", "clock_nanosleep"}
# statx is the look at a program.
ALIKE = {"newfstatat": "stat", "fstat": "stat", "pread64": "pread", "pwrite64": "pwrite", "preadv2": "preadv",
         "utimensat": "utimens", "utimensat_time64": "utimens", "getdents64": "getdents"}
line = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(\(| resumed)")
# The threads that serve requests (workers, where the store lies on a disk); what the others do, they do for many images at once.
def serving():
    for t in os.listdir(f"/proc/{daemon}/task"):
        with open(f"/proc/{daemon}/task/{t}/comm") as f:
            if f.read().startswith(("fuse", "lapse-work")):
                yield t
def lines():
    with open(trace) as f:
        return f.readlines()
def settled():
    # RELEASE comes after close has returned.
    old = lines()
    while True:
        time.sleep(0.1)
        new = lines()
        if len(new) == len(old):
            return new
        old = new
def calls(text, threads):
    got = collections.Counter()
    for l in text:
        m = line.match(l)
        # One that is cut in two by another thread's is counted where it begins.
        if m and m[1] in threads and m[3] == "(" and m[2] not in BESIDE:
            got[ALIKE.get(m[2], m[2])] += 1
    return got
def expect(what, act, **most):
    for attempt in range(TRIES):
        before = len(settled())
        for i in range(N):
            act(attempt * N + i)
        got = calls(settled()[before:], set(serving()))
        each = {n: (c + N // 2) // N for n, c in got.items() if c >= N // 2}
        if all(c <= most.get(n, 0) for n, c in each.items()):
            break
        print(f"-- {what}: {each}, more than {most}")
    else:
        raise SystemExit(f"{TRIES} times over")
    assert sum(got.values()) >= N, f"{what}: nothing was seen: {got}"
    print(f"-- {what}: {sum(each.values())} calls: " + ", ".join(f"{n} {c}" for n, c in sorted(each.items())))
data = random.Random(1).randbytes(60000)
d = mnt + "/d"
path = lambda kind, i: f"{d}/{kind}{i}.jpg"
def create(kind, piece=len(data)):
    def act(i):
        fd = os.open(path(kind, i), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
        for at in range(0, len(data), piece):
            assert os.write(fd, data[at : at + piece]) > 0
        os.close(fd)
    return act
def read(i):
    fd = os.open(path("cold", i), os.O_RDONLY)
    assert os.read(fd, 1 << 20) == data and os.read(fd, 1 << 20) == b""
    os.close(fd)
os.makedirs(d, exist_ok=True)
tracer = subprocess.Popen(["strace", "-f", "-qq", "-s", "0", "-o", trace, "-p", daemon])
# It is there when it sees a request.
while not os.path.exists(trace) or not calls(lines(), set(serving())):
    os.path.exists(f"{d}/{time.monotonic_ns()}")
    assert tracer.poll() is None
if stage == "fresh":
    create("warm-up")(0)  # who is asking is found out once
    expect("create, write 60,000 bytes, close", create("new"), stat=4, pread=1, getrandom=4, pwrite=4, openat=1, utimens=1, close=1)
    # Each piece is written at once, and seals again what its block held: from memory, and past the journal, as long as nobody has synced the file.
    expect("60,000 bytes in pieces of 16 KiB", create("pieces", 16384), stat=4, pread=1, getrandom=6, pwrite=7, openat=1, utimens=1, close=1)
    expect("a name that is not there", lambda i: os.path.exists(path("none", i)), stat=1)
    for i in range(TRIES * N):
        create("gone")(i)
    # One of them gives back the space, when the kernel forgets the file.
    expect("unlink", lambda i: os.unlink(path("gone", i)), openat=1, stat=2, pread=2, unlinkat=1, pwrite=1, close=1)
    for i in range(TRIES * N):
        create("cold")(i)
elif stage in ("asked", "blind"):
    for i in range(TRIES * N):
        os.stat(path("cold", i))
    read(0)  # who is asking is looked at once
    # Nothing beside what it is without. The file that the thread executes is looked at again when somebody has executed something, its state and control group once
    # a second; where the kernel does not count what is executed, that file is looked at each time.
    counts = any("bpf" in os.readlink(f"/proc/{daemon}/fd/{fd}") for fd in os.listdir(f"/proc/{daemon}/fd"))
    print(f"-- the kernel {'counts' if counts else 'does not count'} what is executed")
    expect("open, read, close, by rules on programs and services", read, pread=2, openat=1, stat=1, statx=0 if counts or stage == "blind" else 1, preadv=1, pwrite=1, close=1)
else:
    os.stat(d)
    with open(path("cold", 0)) as f:
        pass
    expect("stat", lambda i: os.stat(path("cold", TRIES * N - 1 - i)), stat=1)
    for i in range(TRIES * N):
        os.stat(path("cold", i))
    expect("open, read, close", read, pread=2, openat=1, stat=1, preadv=1, pwrite=1, close=1)
    for i in range(TRIES * N):
        read(i)
    expect("and again, from the page cache", read, pread=2, openat=1, stat=1, pwrite=1, close=1)
    names = len(os.listdir(d))
    def walk(i):
        with os.scandir(d) as entries:
            assert len([e.stat() for e in entries]) == names
    walk(0)
    expect(f"a listing of {names} with attributes", walk, openat=1, close=1, pread=1, pwrite=1, stat=names + 2, getdents=3, fcntl=2)
tracer.terminate()
tracer.wait()
P
count() {
	check "calls of a $1 file" "${2:-python3}" "$TEST_TMP/count.py" "$MNT" "$DAEMON" "$transport" "$1" "$TEST_TMP/trace.$transport.$1"
}
for transport in $(transports); do
	note "$transport"
	mount_by "$transport"
	count fresh
	umount_archive
	mount_by "$transport"
	count cold
	check "a policy that asks more" "$LAPSE" policy apply --reason test "$TEST_TMP/asking.ini" "$MNT" >/dev/null
	count blind # this daemon has given up seeing programs, and does not try
	umount_archive
	mount_by "$transport"
	count asked "$TEST_TMP/viewer"
	count asked
	check "a policy that asks less" "$LAPSE" policy apply --reason test "$TEST_TMP/open.ini" "$MNT" >/dev/null
	rm -r "${MNT:?}/d"
	umount_archive
done
