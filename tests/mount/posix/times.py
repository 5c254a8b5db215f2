"""atime, mtime and ctime of files and parents, for each operation; utimensat."""
import mmap, os
from harness import *


def through(p, flags, fn):
    h = os.open(p, flags)
    try:
        fn(h)
    finally:
        os.close(h)


@case
def time_of_operations(t):
    os.mkdir("d")
    os.mkdir("e")
    write("d/f", b"x" * 40000)
    write("d/g", b"y")
    os.symlink("f", "d/s")
    os.mkdir("d/sub")
    fd = os.open("d/f", os.O_RDWR)
    for label, fn, *paths in (
            ("create", lambda: write("d/new", b""), "d", "d/new"),
            ("open existing with O_CREAT", lambda: os.close(os.open("d/f", os.O_CREAT | os.O_WRONLY)), "d", "d/f"),
            ("O_TRUNC", lambda: os.close(os.open("d/f", os.O_TRUNC | os.O_WRONLY)), "d", "d/f"),
            ("O_TRUNC of an empty file", lambda: os.close(os.open("d/f", os.O_TRUNC | os.O_WRONLY)), "d", "d/f"),
            ("write", lambda: os.pwrite(fd, b"z" * 50000, 0), "d", "d/f", fd),
            ("overwrite", lambda: os.pwrite(fd, b"z", 5), "d", "d/f", fd),
            ("empty write", lambda: os.pwrite(fd, b"", 5), "d", "d/f", fd),
            ("truncate smaller", lambda: os.truncate("d/f", 40000), "d", "d/f", fd),
            ("truncate larger", lambda: os.truncate("d/f", 70000), "d", "d/f"),
            ("truncate to the same", lambda: os.truncate("d/f", 70000), "d", "d/f"),
            ("ftruncate to the same", lambda: os.ftruncate(fd, 70000), "d", "d/f"),
            ("ftruncate", lambda: os.ftruncate(fd, 60000), "d", "d/f"),
            ("fallocate", lambda: fallocate(fd, 0, 0, 100000), "d", "d/f"),
            ("fallocate inside", lambda: fallocate(fd, 0, 0, 10), "d", "d/f"),
            ("fallocate KEEP_SIZE", lambda: fallocate(fd, 1, 0, 10), "d", "d/f"),
            ("fsync", lambda: os.fsync(fd), "d", "d/f"),
            ("close", lambda: through("d/f", os.O_RDWR, lambda h: None), "d", "d/f"),
            ("chmod", lambda: os.chmod("d/f", 0o640), "d", "d/f"),
            ("chmod to the same", lambda: os.chmod("d/f", 0o640), "d", "d/f"),
            ("chown", lambda: os.chown("d/f", U1, G1), "d", "d/f"),
            ("chown of nothing", lambda: os.chown("d/f", -1, -1), "d", "d/f"),
            ("lchown of a symlink", lambda: os.lchown("d/s", U1, G1), "d", "d/s", "d/f"),
            ("setxattr", lambda: os.setxattr("d/f", "user.a", b"b"), "d", "d/f"),
            ("getxattr", lambda: os.getxattr("d/f", "user.a"), "d", "d/f"),
            ("removexattr", lambda: os.removexattr("d/f", "user.a"), "d", "d/f"),
            ("setxattr of a directory", lambda: os.setxattr("d", "user.a", b"b"), "d"),
            ("link", lambda: os.link("d/f", "d/l"), "d", "d/f", "d/l"),
            ("unlink one of two", lambda: os.unlink("d/l"), "d", "d/f", fd),
            ("rename", lambda: os.rename("d/g", "d/h"), "d", "d/g", "d/h"),
            ("rename to another directory", lambda: os.rename("d/h", "e/h"), "d", "e", "e/h"),
            ("rename over", lambda: os.rename("e/h", "d/f"), "d", "e", fd),
            ("rename of a directory", lambda: os.rename("d/sub", "e/sub"), "d", "e", "e/sub"),
            ("exchange", lambda: renameat2("d/f", "d/new", EXCHANGE), "d"),
            ("exchange across", lambda: renameat2("d/f", "e/sub", EXCHANGE), "d", "e"),
            ("rename refused", lambda: renameat2("d/new", "e/sub", NOREPLACE), "d", "d/new", "e/sub"),
            ("rename onto itself", lambda: os.rename("d/new", "d/new"), "d", "d/new"),
            ("mkdir", lambda: os.mkdir("d/m"), "d", "d/m"),
            ("mkdir refused", lambda: os.mkdir("d/m"), "d", "d/m"),
            ("create in a directory", lambda: write("d/m/x"), "d", "d/m"),
            ("rmdir refused", lambda: os.rmdir("d/m"), "d", "d/m"),
            ("unlink in a directory", lambda: os.unlink("d/m/x"), "d", "d/m"),
            ("rmdir", lambda: os.rmdir("d/m"), "d", "d/m"),
            ("symlink", lambda: os.symlink("x", "d/s2"), "d", "d/s2"),
            ("unlink a symlink", lambda: os.unlink("d/s2"), "d"),
            ("mkfifo", lambda: os.mkfifo("d/p"), "d", "d/p"),
            ("chmod of a fifo", lambda: os.chmod("d/p", 0o600), "d", "d/p"),
            ("unlink", lambda: os.unlink("d/new"), "d"),
            ("unlink of what is not there", lambda: os.unlink("d/new"), "d"),
            ("chmod of a directory", lambda: os.chmod("d", 0o700), "d"),
            ("access", lambda: os.access("d/p", os.R_OK), "d", "d/p")):
        t.times(label, fn, *paths)


@case
def time_of_deleted(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.unlink("f")
    for label, fn in (("write", lambda: os.write(fd, b"x")), ("truncate", lambda: os.ftruncate(fd, 5)), ("chmod", lambda: os.fchmod(fd, 0o600)), ("utime", lambda: os.utime(fd, (1, 1))),
                      ("chown", lambda: os.fchown(fd, U1, G1))):
        t.times(label, fn, fd)


@case
def time_of_mappings(t):
    write("f", b"x" * 100000)
    fd = os.open("f", os.O_RDWR)
    m = mmap.mmap(fd, 100000)
    t.times("write through a mapping and msync", lambda: (m.__setitem__(5, 65), m.flush(), os.fsync(fd)), "f")


@case
def time_utimensat(t):
    write("f", b"x")
    os.symlink("f", "s")
    os.mkdir("d")

    def show(label, p="f"):
        s = os.lstat(p)
        t.note(label, [s.st_atime_ns if s.st_atime < 10**9 or s.st_atime > 4 * 10**9 else "now", s.st_mtime_ns if s.st_mtime < 10**9 or s.st_mtime > 4 * 10**9 else "now"])
    for label, a, m in (("both", (1, 2), (3, 4)), ("nanoseconds", (5, 999999999), (6, 123456789)), ("omit both", (0, UTIME_OMIT), (0, UTIME_OMIT)),
                        ("omit atime", (0, UTIME_OMIT), (7, 7)), ("omit mtime", (8, 8), (0, UTIME_OMIT)), ("now and omit", (0, UTIME_NOW), (0, UTIME_OMIT)),
                        ("omit and now", (9, 9), (0, UTIME_NOW)), ("both now", (0, UTIME_NOW), (0, UTIME_NOW)), ("before 1970", (-1, 500), (-100, 0)),
                        ("1901", (-2**31, 0), (-2**31, 0)), ("2038", (2**31, 5), (2**31 + 1, 5)), ("2446", (15032385535, 0), (15032385535, 999999999)),
                        ("beyond ext4", (2**40, 0), (2**40, 0)), ("0", (0, 0), (0, 0)), ("nsec too large", (1, 10**9), (1, 1)), ("nsec negative", (1, -1), (1, 1))):
        t.do(label, utimensat, "f", a, m)
        show(label + " =")
    t.do("no times", system, "utimensat", AT_FDCWD, "f", None, 0)
    show("no times =")
    t.do("through a symlink", utimensat, "s", (11, 0), (12, 0))
    show("f =")
    t.do("of a symlink", utimensat, "s", (13, 0), (14, 0), AT_SYMLINK_NOFOLLOW)
    show("s =", "s")
    show("f = still")
    t.do("of a directory", utimensat, "d", (15, 0), (16, 0))
    show("d =", "d")
    t.do("nothing there", utimensat, "none", (1, 1), (1, 1))
    t.do("omit where nothing is", utimensat, "none", (0, UTIME_OMIT), (0, UTIME_OMIT))
    t.do("flags", utimensat, "f", (1, 1), (1, 1), 0x4000)
    fd = os.open("f", os.O_RDONLY)
    t.do("futimens of a reader", lambda: os.utime(fd, ns=(17 * 10**9 + 1, 18 * 10**9 + 2)))
    show("futimens =")
    fd = os.open("f", os.O_RDWR)
    os.utime("f", ns=(19 * 10**9 + 5, 20 * 10**9 + 5))
    os.write(fd, b"y")
    show("after a write")
    os.utime("f", ns=(19 * 10**9 + 5, 20 * 10**9 + 5))
    os.fsync(fd)
    os.close(fd)
    show("after fsync and close")
    os.rename("f", "g")
    show("after rename", "g")
    os.chmod("g", 0o600)
    show("after chmod", "g")
    os.link("g", "h")
    show("after link", "g")
    os.setxattr("g", "user.a", b"b")
    show("after setxattr", "g")


@case
def time_utimensat_permissions(t):
    os.chmod(".", 0o777)
    for name, mode in (("w", 0o666), ("r", 0o444)):
        write(name, b"x", mode)
    write("own", b"x", 0o400)
    os.chown("own", U1, G1)

    def look():
        for p in ("w", "r", "own"):
            for label, a, m in (("now now", (0, UTIME_NOW), (0, UTIME_NOW)), ("omit omit", (0, UTIME_OMIT), (0, UTIME_OMIT)), ("now omit", (0, UTIME_NOW), (0, UTIME_OMIT)),
                                ("omit now", (0, UTIME_OMIT), (0, UTIME_NOW)), ("set set", (1, 1), (1, 1)), ("set now", (1, 1), (0, UTIME_NOW)), ("set omit", (1, 1), (0, UTIME_OMIT))):
                t.do(f"{p} {label}", utimensat, p, a, m)
            t.do(f"{p} null", system, "utimensat", AT_FDCWD, p, None, 0)
        fd = os.open("w", os.O_WRONLY)
        t.do("futimens now by a writer", system, "futimens", fd, None)
        t.do("futimens set by a writer", system, "futimens", fd, (Timespec * 2)(Timespec(1, 1), Timespec(1, 1)))
    t.user(U1, look)


@case
def time_kept_while_open(t):
    """A time that was set stays, whoever has the file open."""
    write("f", b"x" * 70000)
    fd = os.open("f", os.O_RDWR)
    os.pwrite(fd, b"y" * 10, 32760)
    os.utime("f", ns=(1000000001, 2000000002))
    other = os.open("f", os.O_RDONLY)
    os.pread(other, 10, 0)
    os.close(other)
    t.note("mtime", os.stat("f").st_mtime_ns)
    os.close(fd)
    t.note("mtime after close", os.stat("f").st_mtime_ns)
    t.do("content", read, "f")
    t.note("mtime after reading", os.stat("f").st_mtime_ns)
