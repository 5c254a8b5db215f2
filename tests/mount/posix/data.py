"""read, write, append, truncate, allocate, seek, copy, splice."""
import os, random, resource, signal, socket, subprocess
from harness import *

EDGES = (0, 1, 511, 4095, 4096, 4097, 32767, 32768, 32769, 65535, 65536, 65537, 98304, 131071)
KEEP, PUNCH, COLLAPSE, ZERO, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64


def pattern(n, seed=1):
    return random.Random(seed).randbytes(n)


@case
def data_truncate(t):
    body = pattern(140000)
    for a in EDGES:
        for b in EDGES:
            write("f", body[:a])
            os.truncate("f", b)
            t.do(f"{a} to {b}", read, "f")
    for label, p, n in (("negative", "f", -1), ("none", "none", 1), ("directory", ".", 1), ("too large", "f", 2**62), ("below a file", "f/x", 1), ("2^63-1", "f", 2**63 - 1)):
        t.do(label, os.truncate, p, n)
    os.mkfifo("p")
    t.do("fifo", os.truncate, "p", 0)
    os.symlink("f", "s")
    t.do("symlink", os.truncate, "s", 7)
    t.stat("f", "f")
    fd = os.open("f", os.O_RDWR)
    os.lseek(fd, 100, os.SEEK_SET)
    os.ftruncate(fd, 3)
    t.do("position stays", os.lseek, fd, 0, os.SEEK_CUR)
    t.do("read beyond", os.read, fd, 10)
    t.do("write beyond", os.write, fd, b"!")
    t.do("zeros between", read, "f")
    t.do("negative f", os.ftruncate, fd, -1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
    t.do("beyond the limit", os.ftruncate, fd, 100001)
    t.do("write to the limit", os.pwrite, fd, b"x" * 100, 99950)
    t.do("write beyond it", os.pwrite, fd, b"x", 100000)
    t.stat("f limited", fd)


@case
def data_sparse(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    for off in (40000, 32768, 98303, 200000, 131072, 1 << 20, (1 << 20) + 32767, (3 << 20) - 1):
        t.do(f"write at {off}", os.pwrite, fd, pattern(5, off), off)
        t.stat(f"size {off}", fd)
    t.do("content", read, "f")
    for a, b in ((0, 10), (39990, 20), (32760, 16), (98300, 10), ((1 << 20) - 5, 10), ((3 << 20) - 10, 20), ((3 << 20) + 4, 5), (10 << 20, 5)):
        t.do(f"read {a}", os.pread, fd, b, a)
    t.do("negative offset", lambda: os.pread(fd, 1, -1))
    t.do("readv", lambda: os.preadv(fd, [bytearray(7), bytearray(40000), bytearray(3)], 32760))
    t.do("writev", lambda: os.pwritev(fd, [b"abc", b"", b"d" * 50000, b"e"], 32765))
    t.do("content then", read, "f")
    for flag, name in ((0x2, "RWF_DSYNC"), (0x4, "RWF_SYNC"), (0x10, "RWF_APPEND")):
        t.do(f"pwritev2 {name}", lambda: os.pwritev(fd, [b"xyz"], 10, flag))
    t.stat("appended", fd)
    t.do("content at last", read, "f")


@case
def data_seek(t):
    write("f", b"x" * 100000)
    fd = os.open("f", os.O_RDWR)
    for off, how in ((0, os.SEEK_SET), (-1, os.SEEK_SET), (5, os.SEEK_CUR), (-10, os.SEEK_CUR), (0, os.SEEK_END), (10, os.SEEK_END), (-100001, os.SEEK_END), (0, 99)):
        t.do(f"seek {off} {how}", os.lseek, fd, off, how)
    for how, name in ((os.SEEK_DATA, "data"), (os.SEEK_HOLE, "hole")):
        for off in (0, 1, 50000, 99999, 100000, 100001, -1):
            t.do(f"{name} {off}", os.lseek, fd, off, how)
    os.ftruncate(fd, 0)
    t.do("data of nothing", os.lseek, fd, 0, os.SEEK_DATA)
    t.do("hole of nothing", os.lseek, fd, 0, os.SEEK_HOLE)
    os.pwrite(fd, b"x", 1 << 20)
    t.do("sparse: data", os.lseek, fd, 0, os.SEEK_DATA)
    t.do("sparse: hole", os.lseek, fd, 0, os.SEEK_HOLE)
    t.do("sparse: hole at the end", os.lseek, fd, 1 << 20, os.SEEK_HOLE)


@case
def data_append(t):
    write("f", b"begin")
    fd = os.open("f", os.O_WRONLY | os.O_APPEND)
    t.do("pwrite with O_APPEND", os.pwrite, fd, b"+end", 0)
    t.do("content", read, "f")
    os.truncate("f", 2)
    os.write(fd, b"x" * 40000)
    t.do("after a truncate", read, "f")
    t.do("position", os.lseek, fd, 0, os.SEEK_CUR)
    other = os.open("f", os.O_RDWR)
    os.pwrite(other, b"y" * 10, 50000)
    os.write(fd, b"z")
    t.do("after another's extension", read, "f")


@case
def data_append_many(t):
    """Six writers of records of odd sizes: none is lost, torn or mixed."""
    def writer(k):
        f = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for n in range(150):
            os.write(f, b"%d %d %s\n" % (k, n, bytes([97 + k]) * ((n * 37 + k) % 700)))
    for end in [t.begin(writer, k) for k in range(6)]:
        end()
    lines = read("log").split(b"\n")
    t.note("lines", len(lines))
    t.note("size", os.stat("log").st_size)
    t.note("set", b"\n".join(sorted(lines)))
    orders = [[int(x.split()[1]) for x in lines if x.startswith(b"%d " % k)] for k in range(6)]
    t.note("in order", all(o == sorted(o) for o in orders))


@case
def data_two_handles(t):
    a = os.open("f", os.O_RDWR | os.O_CREAT)
    b = os.open("f", os.O_RDWR)
    os.write(a, b"one" * 20000)
    t.do("b sees", os.pread, b, 100000, 0)
    os.ftruncate(b, 5)
    t.do("a sees", os.pread, a, 100000, 0)
    t.stat("a", a)

    def child():
        c = os.open("f", os.O_RDWR | os.O_APPEND)
        os.write(c, b"from another process" * 3000)
        t.do("child sees", os.pread, c, 10, 0)
    t.child(child)
    t.do("a sees the child's", os.pread, a, 100000, 0)
    t.stat("a then", a)
    c = os.open("f", os.O_WRONLY | os.O_TRUNC)
    t.stat("truncated by open", a)
    t.do("nothing", os.pread, a, 10, 0)
    os.write(c, b"x")
    t.do("x", os.pread, b, 10, 0)


@case
def data_fallocate(t):
    for size in (0, 10, 32768, 100000):
        for mode, name in ((0, "plain"), (KEEP, "keep"), (PUNCH | KEEP, "punch"), (PUNCH, "PUNCH without KEEP"), (ZERO, "zero"), (ZERO | KEEP, "zero keep"), (COLLAPSE, "collapse"),
                           (INSERT, "insert"), (UNSHARE, "unshare"), (0x80, "unknown")):
            for off, n in ((0, 1), (0, 50000), (32767, 2), (4096, 4096), (100000, 1), (200000, 70000), (0, 0), (-1, 1), (1, -1), (2**62, 2**62)):
                if mode and not (off == 4096 or n in (50000, 0)):
                    continue
                write("f", pattern(size))
                fd = os.open("f", os.O_RDWR)
                t.do(f"{name} of {size}: {off} {n}", fallocate, fd, mode, off, n)
                t.do(f"{name} of {size}: {off} {n} =", read, "f")
                os.close(fd)
    ro = os.open("f", os.O_RDONLY)
    t.do("of a reader", fallocate, ro, 0, 0, 1)
    t.do("posix_fallocate", lambda: os.posix_fallocate(os.open("f", os.O_RDWR), 0, 300000))
    t.stat("f", "f")
    os.mkfifo("p")
    t.do("of a fifo", lambda: fallocate(os.open("p", os.O_RDWR), 0, 0, 1))


@case
def data_copy_file_range(t):
    write("a", pattern(300000))
    a = os.open("a", os.O_RDONLY)
    b = os.open("b", os.O_RDWR | os.O_CREAT)

    def whole(src, dst, n, so, do):
        done = 0
        while done < n and (k := os.copy_file_range(src, dst, n - done, so + done, do + done)):
            done += k
        return done
    for so, do, n in ((0, 0, 300000), (32767, 5, 3), (100, 300000, 40000), (299990, 10, 100), (400000, 0, 5), (0, 500000, 32769)):
        t.do(f"{so} {do} {n}", whole, a, b, n, so, do)
        t.do(f"{so} {do} {n} =", read, "b")
    w = os.open("b", os.O_RDWR)
    t.do("within one file", whole, w, w, 1000, 0, 100000)
    t.do("overlapping", os.copy_file_range, w, w, 1000, 0, 500)
    t.do("to a reader", os.copy_file_range, a, a, 1000, 0, 500000)
    t.do("from a writer", os.copy_file_range, os.open("b", os.O_WRONLY), w, 10, 0, 0)
    t.do("to an appender", os.copy_file_range, a, os.open("b", os.O_WRONLY | os.O_APPEND), 10, 0, 0)
    t.do("from a directory", os.copy_file_range, os.open(".", os.O_RDONLY), w, 10, 0, 0)
    t.do("content", read, "b")


@case
def data_sendfile_splice(t):
    write("a", pattern(200000))
    a = os.open("a", os.O_RDONLY)
    b = os.open("b", os.O_RDWR | os.O_CREAT)
    t.do("sendfile", lambda: sum(iter(lambda: os.sendfile(b, a, None, 1 << 20), 0)))
    t.do("content", read, "b")
    r, w = os.pipe()
    c = os.open("c", os.O_RDWR | os.O_CREAT)
    off = total = 0
    while n := os.splice(a, w, 30000, offset_src=off):
        off += n
        while n:
            k = os.splice(r, c, n)
            n -= k
            total += k
    t.note("spliced", total)
    t.do("spliced content", read, "c")
    x, y = socket.socketpair()
    t.do("sendfile to a socket", os.sendfile, x.fileno(), a, 1000, 5000)
    t.do("received", y.recv, 10000)
    t.do("from a pipe to an offset", lambda: (os.write(w, b"p" * 4000), os.splice(r, c, 4000, offset_dst=1000))[1])
    t.do("then", read, "c")


@case
def data_fsync(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x" * 50000)
    for name, fn in (("fsync", os.fsync), ("fdatasync", os.fdatasync), ("syncfs", lambda f: system("syncfs", f)),
                     ("sync_file_range", lambda f: system("sync_file_range", f, ctypes.c_int64(0), ctypes.c_int64(0), 7))):
        t.do(name, fn, fd)
        t.do(name + " of a reader", fn, os.open("f", os.O_RDONLY))
        t.do(name + " of a directory", fn, os.open(".", os.O_RDONLY))
    t.do("posix_fadvise", os.posix_fadvise, fd, 0, 0, os.POSIX_FADV_DONTNEED)
    t.do("readahead", lambda: system("readahead", fd, ctypes.c_int64(0), 50000))
    t.do("content", read, "f")


@case
def data_statfs(t):
    s = os.statvfs(".")
    t.note("name", s.f_namemax)
    t.note("blocks make sense", [s.f_blocks >= s.f_bfree >= s.f_bavail > 0, s.f_files >= s.f_ffree > 0, s.f_bsize >= 512, s.f_frsize >= 512])
    t.note("total", s.f_blocks * s.f_frsize)
    write("f", b"x")
    t.note("of a handle", os.fstatvfs(os.open("f", os.O_RDONLY)).f_blocks == s.f_blocks)
    t.do("of nothing", os.statvfs, "none")
    df = subprocess.run(["df", "-B1", "--output=size,used,avail,itotal", "."], capture_output=True, text=True).stdout.split("\n")[1].split()
    t.note("df", [df[0], int(df[0]) >= int(df[1]) > 0, int(df[2]) > 0, df[3]])


@case
def data_files_of_many_sizes(t):
    """Around block edges, written whole and in pieces, read whole and in pieces."""
    for n in EDGES + (163840, 200001, 1 << 20):
        for piece in (1 << 20, 4096, 10007):
            body = pattern(n, n)
            fd = os.open(f"f{n}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for at in range(0, n, piece):
                os.write(fd, body[at:at + piece])
            os.close(fd)
            fd = os.open(f"f{n}", os.O_RDONLY)
            back = b"".join(iter(lambda: os.read(fd, 7777), b""))
            os.close(fd)
            t.note(f"{n} by {piece}", back == body)
        t.stat(f"{n}", f"f{n}")
