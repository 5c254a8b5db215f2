"""mmap: shared and private, from both sides, beyond the end."""
import mmap, os, signal
from harness import *


def mapped(fd, size, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_SHARED):
    return mmap.mmap(fd, size, flags=flags, prot=prot)


def dies_of(fn):
    """The signal that fn ends a process with; 0: none."""
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGBUS, signal.SIG_DFL)
        try:
            fn()
        finally:
            os._exit(0)
    return -os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@case
def map_shared_and_written(t):
    write("f", b"a" * 100000)
    fd = os.open("f", os.O_RDWR)
    m = mapped(fd, 100000)
    m[32760:32780] = b"M" * 20
    t.do("read sees the mapping", os.pread, fd, 30, 32755)
    os.pwrite(fd, b"W" * 20, 65530)
    t.do("the mapping sees the write", lambda: m[65525:65555])

    def other():
        f = os.open("f", os.O_RDWR)
        n = mapped(f, 100000)
        t.do("another process sees both", lambda: (n[32755:32785], n[65525:65555]))
        n[0:5] = b"other"
        os.pwrite(f, b"O" * 10, 99990)
    t.child(other)
    t.do("and is seen", lambda: (m[0:8], m[99985:100000]))
    t.do("msync", m.flush)
    m.close()
    t.do("content", read, "f")
    os.ftruncate(fd, 50000)
    m = mapped(fd, 50000)
    m[49999] = 90
    os.unlink("f")
    m[0] = 91
    t.do("unlinked", os.pread, fd, 3, 0)
    t.do("its end", os.pread, fd, 3, 49998)


@case
def map_private(t):
    write("f", b"a" * 40000)
    fd = os.open("f", os.O_RDONLY)
    m = mapped(fd, 40000, flags=mmap.MAP_PRIVATE)
    m[5:8] = b"xyz"
    t.do("the file is as it was", read, "f")
    w = os.open("f", os.O_RDWR)
    os.pwrite(w, b"N" * 10, 20000)
    t.do("what was not touched changes", lambda: m[19998:20012])
    t.do("what was touched does not", lambda: (os.pwrite(w, b"Q" * 10, 0), m[0:10])[1])


@case
def map_permissions(t):
    write("f", b"a" * 10000)
    for name, flags in (("reader", os.O_RDONLY), ("writer", os.O_WRONLY), ("both", os.O_RDWR), ("append", os.O_RDWR | os.O_APPEND)):
        fd = os.open("f", flags)
        for prot, pn in ((mmap.PROT_READ, "r"), (mmap.PROT_READ | mmap.PROT_WRITE, "rw"), (mmap.PROT_READ | mmap.PROT_EXEC, "rx")):
            for how, hn in ((mmap.MAP_SHARED, "shared"), (mmap.MAP_PRIVATE, "private")):
                t.do(f"{name} {pn} {hn}", lambda: mapped(fd, 4096, prot, how).close())
    t.do("a directory", lambda: mapped(os.open(".", os.O_RDONLY), 4096, mmap.PROT_READ).close())


@case
def map_beyond_the_end(t):
    write("f", b"a" * 5000)
    fd = os.open("f", os.O_RDWR)
    m = mapped(fd, 5000)
    t.note("inside", dies_of(lambda: m[4999]))
    os.ftruncate(fd, 100000)
    big = mapped(fd, 100000)
    t.do("zeros", lambda: bytes(big[4990:5010]))
    big[99999] = 1
    os.ftruncate(fd, 4096)
    t.note("read of a page beyond", dies_of(lambda: big[8192]))
    t.note("write of a page beyond", dies_of(lambda: big.__setitem__(40000, 1)))
    t.note("read inside", dies_of(lambda: big[4095]))
    os.ftruncate(fd, 100000)
    t.note("read after extension", dies_of(lambda: big[50000]))
    t.do("zeros again", lambda: bytes(big[99990:100000]))
    os.ftruncate(fd, 10)
    big[20] = 77
    t.do("beyond the end within the page", read, "f")
    os.ftruncate(fd, 100)
    t.do("is zero when the file grows", read, "f")
    os.pwrite(fd, b"E" * 10, 32763)
    t.do("content", read, "f")


@case
def map_after_close(t):
    write("f", b"a" * 70000)
    fd = os.open("f", os.O_RDWR)
    m = mapped(fd, 70000)
    os.close(fd)
    m[65530:65540] = b"0123456789"
    t.do("seen", read, "f")
    m.close()
    t.do("and after the mapping", read, "f")
    os.rename("f", "g")
    t.do("and renamed", read, "g")


@case
def map_advice(t):
    write("f", b"a" * 70000)
    m = mapped(os.open("f", os.O_RDWR), 70000)
    for a in ("MADV_NORMAL", "MADV_RANDOM", "MADV_SEQUENTIAL", "MADV_WILLNEED", "MADV_DONTNEED"):
        t.do(a, m.madvise, getattr(mmap, a))
    t.do("content", lambda: bytes(m[:10]))
    t.do("mlock", lambda: system("mlockall", 1))
    t.do("locked content", lambda: bytes(m[65535:65537]))


@case
def map_many_processes(t):
    """Each of six processes writes its own bytes of every page; all are there."""
    size = 40 * 4096
    write("f", bytes(size))

    def work(k):
        m = mapped(os.open("f", os.O_RDWR), size)
        for page in range(40):
            for x in range(k, 4096, 97 * 6):
                m[page * 4096 + x] = k + 1
        m.flush()
    for end in [t.begin(work, k) for k in range(6)]:
        end()
    t.do("content", read, "f")
