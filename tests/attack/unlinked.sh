#!/bin/bash
# A file that is deleted, or renamed over, while somebody holds it: its deadline stands for the holder as well.
# attack items: 11
. "$(dirname "$0")/../mount/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = short

[class short]
match = **
expire-after = 5s

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 2s
mount_archive "$@"
head -c 100000 /dev/urandom >"$MNT/a"
head -c 100000 /dev/urandom >"$MNT/b"
head -c 100000 /dev/urandom >"$MNT/c"
CHECK_TIMEOUT=30 check "deleted files" /usr/bin/python3 - "$MNT" <<'P'
import errno, mmap, os, signal, sys, time
held = []
for n in "ab":
    fd = os.open(f"{sys.argv[1]}/{n}", os.O_RDONLY)
    m = mmap.mmap(fd, 100000, mmap.MAP_SHARED, mmap.PROT_READ)
    held.append((n, fd, m, m[:]))
os.unlink(f"{sys.argv[1]}/a")
os.rename(f"{sys.argv[1]}/c", f"{sys.argv[1]}/b")
def faults(m):
    pid = os.fork()
    if pid == 0:
        m[50000]
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS
end = time.monotonic() + 9
for n, fd, m, data in held:
    while True:
        try:
            os.pread(fd, 10, 50000)
            readable = True
        except OSError as e:
            assert e.errno == errno.EKEYEXPIRED, e
            readable = False
        if not readable and faults(m):
            break
        assert time.monotonic() < end, f"{n}: read {'by its handle' if readable else 'by its mapping'} long after its deadline"
        time.sleep(0.1)
P
umount_archive
