#!/bin/bash
# When a file expires, whoever holds it open or mapped holds nothing any more, whatever the transport and the way of reading.
# ci: asan
# attack items: 20
. "$(dirname "$0")/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = short

[class short]
match = **
expire-after = 6s

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 2s
cat >"$TEST_TMP/hold.py" <<'P'
import errno, mmap, os, signal, sys, time
path, size = sys.argv[1], 300000
with open(path, "wb") as f:
    f.write(os.urandom(size))
fd = os.open(path, os.O_RDONLY)
direct = os.open(path, os.O_RDONLY | os.O_DIRECT)
writing = os.open(path, os.O_RDWR)
shared = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
private = mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ)
dirty = mmap.mmap(writing, size, mmap.MAP_SHARED)
assert os.pread(fd, size, 0) == shared[:] == private[:]
dirty[100000] = 7
untouched = private[200000]
out = os.open(sys.argv[2], os.O_CREAT | os.O_RDWR | os.O_TRUNC)
aligned = mmap.mmap(-1, 4096)

def read_direct():
    return os.preadv(direct, [aligned], 0)
def by_sendfile():
    os.ftruncate(out, 0)
    return os.sendfile(out, fd, 0, 4096)
def by_splice():
    r, w = os.pipe()
    try:
        return os.splice(fd, w, 4096, offset_src=0)
    finally:
        os.close(r), os.close(w)
calls = {"pread": lambda: os.pread(fd, 4096, 8192), "through the writer": lambda: os.pread(writing, 4096, 0), "O_DIRECT": read_direct,
         "sendfile": by_sendfile, "splice": by_splice}
for name, call in calls.items():
    call()
def faults(what):
    pid = os.fork()
    if pid == 0:
        what[50000]
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS
def until(what, test):
    end = time.monotonic() + 20
    while not test():
        assert time.monotonic() < end, f"{what}: still there"
        time.sleep(0.02)
def refused(call):
    try:
        call()
        return False
    except OSError as e:
        assert e.errno == errno.EKEYEXPIRED or e.errno == errno.EIO, e
        return True
for name, call in calls.items():
    until(name, lambda: refused(call))
for name, what in {"shared mapping": shared, "private mapping": private, "dirty mapping": dirty}.items():
    until(name, lambda: faults(what))
try:
    os.pwrite(writing, b"x", 0)
    raise SystemExit("written after its deadline")
except OSError as e:
    assert e.errno == errno.EKEYEXPIRED, e
try:
    os.open(path, os.O_RDONLY)
    raise SystemExit("opened after its deadline")
except OSError as e:
    assert e.errno in (errno.EKEYEXPIRED, errno.ENOENT), e
P
for transport in $(transports); do
	note "$transport"
	mount_by "$transport"
	CHECK_TIMEOUT=60 check "holder" python3 "$TEST_TMP/hold.py" "$MNT/image.jpg" "$TEST_TMP/out"
	note "a program whose file has expired is not started again"
	printf '#!/bin/sh\necho run\n' >"$MNT/tool"
	chmod 755 "$MNT/tool"
	check "run" "$MNT/tool" >/dev/null
	wait_until 20 sh -c "! '$MNT/tool' >/dev/null 2>&1"
	wait_until 20 test ! -e "$MNT/image.jpg"
	umount_archive
done
