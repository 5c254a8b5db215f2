"""flock, fcntl locks, leases, inotify."""
import fcntl, os, struct
from harness import *

F_OFD_SETLK = 37


def lock(kind, start=0, n=0):
    return struct.pack("hhqqixxxx", kind, 0, start, n, 0)


@case
def lock_flock(t):
    write("f", b"x")
    a, b = os.open("f", os.O_RDWR), os.open("f", os.O_RDONLY)
    t.do("exclusive", fcntl.flock, a, fcntl.LOCK_EX)
    t.do("another handle", fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    t.child(lambda: t.do("another process", fcntl.flock, os.open("f", os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB))
    t.child(lambda: t.do("an inherited one", fcntl.flock, a, fcntl.LOCK_EX | fcntl.LOCK_NB))
    fcntl.flock(a, fcntl.LOCK_SH)
    t.do("shared with it", fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    t.do("no upgrade", fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(a)
    t.do("after a close", fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    t.do("directory", fcntl.flock, os.open(".", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)


def count_up(t, take, drop):
    """Five processes add one to a number in a file; none of it is lost."""
    write("f", b"0")

    def work():
        fd = os.open("f", os.O_RDWR)
        for n in range(40):
            take(fd)
            os.pwrite(fd, b"%d" % (int(os.pread(fd, 20, 0)) + 1), 0)
            drop(fd)
    for end in [t.begin(work) for k in range(5)]:
        end()
    t.do("counted", read, "f")


@case
def lock_flock_waits(t):
    count_up(t, lambda fd: fcntl.flock(fd, fcntl.LOCK_EX), lambda fd: fcntl.flock(fd, fcntl.LOCK_UN))


@case
def lock_fcntl_waits(t):
    count_up(t, lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX), lambda fd: fcntl.lockf(fd, fcntl.LOCK_UN))


@case
def lock_fcntl(t):
    write("f", b"x" * 100)
    fd = os.open("f", os.O_RDWR)
    t.do("part", fcntl.lockf, fd, fcntl.LOCK_EX, 10, 20)

    def other():
        g = os.open("f", os.O_RDWR)
        for start, n in ((0, 20), (20, 1), (25, 100), (30, 0), (0, 0)):
            t.do(f"another at {start}+{n}", fcntl.lockf, g, fcntl.LOCK_EX | fcntl.LOCK_NB, n, start)
        kind, whence, start, n, pid = struct.unpack("hhqqixxxx", fcntl.fcntl(g, fcntl.F_GETLK, lock(fcntl.F_WRLCK)))
        t.note("who", (kind, whence, start, n, pid == os.getppid()))
        t.do("read lock through a writer only", fcntl.lockf, os.open("f", os.O_WRONLY), fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 90)
    t.child(other)
    t.do("mine again", fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 20)
    os.close(os.open("f", os.O_RDONLY))  # any close of the process drops them
    t.child(lambda: t.do("after a close", fcntl.lockf, os.open("f", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB))
    t.do("OFD lock", lambda: bool(fcntl.fcntl(fd, F_OFD_SETLK, lock(fcntl.F_WRLCK))))
    t.do("OFD lock of another handle", lambda: bool(fcntl.fcntl(os.open("f", os.O_RDWR), F_OFD_SETLK, lock(fcntl.F_WRLCK))))


@case
def lock_leases(t):
    write("f", b"x")
    t.do("read lease", fcntl.fcntl, os.open("f", os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)


IN = dict(ACCESS=1, MODIFY=2, ATTRIB=4, CLOSE_WRITE=8, CLOSE_NOWRITE=16, OPEN=32, MOVED_FROM=64, MOVED_TO=128, CREATE=256, DELETE=512, DELETE_SELF=1024, MOVE_SELF=2048)


def events(fd):
    """What is there, without the cookies; the same one after the other once."""
    out = []
    try:
        data = os.read(fd, 1 << 20)
    except BlockingIOError:
        return out
    while data:
        wd, mask, cookie, n = struct.unpack_from("iIII", data)
        name = data[16:16 + n].rstrip(b"\0").decode()
        e = f"{wd} {'|'.join(k for k, v in IN.items() if mask & v) or hex(mask)}{' dir' if mask & 0x40000000 else ''} {name}"
        if not out or out[-1] != e:
            out.append(e)
        data = data[16 + n:]
    return out


@case
def inotify_of_changes(t):
    os.mkdir("d")
    os.mkdir("e")
    write("d/f", b"x")
    fd = system("inotify_init1", os.O_NONBLOCK)
    for p in ("d", "d/f", "e"):
        t.do(f"watch {p}", system, "inotify_add_watch", fd, p, 0xFFF)
    for label, fn in (("create", lambda: write("d/new", b"")), ("write", lambda: write("d/f", b"data")), ("read", lambda: read("d/f")), ("mkdir", lambda: os.mkdir("d/sub")),
                      ("rename", lambda: os.rename("d/new", "d/newer")), ("move", lambda: os.rename("d/newer", "e/moved")), ("chmod", lambda: os.chmod("d/f", 0o600)),
                      ("link", lambda: os.link("d/f", "d/l")), ("unlink", lambda: os.unlink("d/l")), ("symlink", lambda: os.symlink("x", "d/s")), ("rmdir", lambda: os.rmdir("d/sub")),
                      ("truncate", lambda: os.truncate("d/f", 1)), ("xattr", lambda: os.setxattr("d/f", "user.a", b"b")), ("utime", lambda: os.utime("d/f")),
                      ("replace", lambda: (write("e/x", b"1"), os.rename("e/x", "d/f"))), ("list", lambda: os.listdir("d"))):
        fn()
        t.note(label, events(fd))
    t.child(lambda: write("d/by-another", b"x"))
    t.note("another process", events(fd))
    os.unlink("e/moved")
    os.rmdir("e")
    t.note("removed", events(fd))
