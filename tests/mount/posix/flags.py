"""O_PATH, statx, control calls, flags of one read or write, and what is too far away."""
import fcntl, mmap, os, struct
from harness import *

STATX, FACCESSAT2, FCHMODAT2 = 332, 439, 452
LAST = 2**63 - 1
libc.pread.restype = libc.pwrite.restype = libc.write.restype = ctypes.c_ssize_t


class Statx(ctypes.Structure):
    _fields_ = [("mask", ctypes.c_uint32), ("blksize", ctypes.c_uint32), ("attributes", ctypes.c_uint64), ("nlink", ctypes.c_uint32), ("uid", ctypes.c_uint32), ("gid", ctypes.c_uint32),
                ("mode", ctypes.c_uint16), ("pad", ctypes.c_uint16), ("ino", ctypes.c_uint64), ("size", ctypes.c_uint64), ("blocks", ctypes.c_uint64), ("attributes_mask", ctypes.c_uint64),
                ("times", ctypes.c_int64 * 8), ("devices", ctypes.c_uint32 * 4), ("mnt_id", ctypes.c_uint64), ("rest", ctypes.c_uint64 * 24)]


def statx(p, mask=0x7ff, flags=AT_SYMLINK_NOFOLLOW, fd=AT_FDCWD):
    b = Statx()
    system("syscall", STATX, fd, p, flags, mask, ctypes.byref(b))
    return b


@case
def flag_statx(t):
    write("f", b"x" * 70000)
    os.mkdir("d")
    os.symlink("f", "s")
    os.mkfifo("p")
    for p in ("f", "d", "s", "p"):
        b = statx(p)
        t.note(f"{p} basic", (hex(b.mask & 0x7ff), b.nlink, b.uid, b.gid, oct(b.mode), p == "d" or b.size, hex(b.attributes), b.mnt_id > 0))
        t.note(f"{p} like stat", b.ino == os.lstat(p).st_ino)
        t.note(f"{p} birth", bool(statx(p, 0x800).mask & 0x800))
    fd = os.open("f", os.O_PATH)
    for label, fn in (("by handle", lambda: statx("", flags=AT_EMPTY_PATH, fd=fd).size), ("no name", lambda: statx("", flags=0, fd=fd).size), ("unknown flags", lambda: statx("f", flags=0x80000).size),
                      ("reserved mask", lambda: statx("f", mask=0x80000000).size), ("asked anew", lambda: statx("f", flags=0x2000).size), ("as it is known", lambda: statx("f", flags=0x4000).size),
                      ("both", lambda: statx("f", flags=0x6000).size)):
        t.do(label, fn)


@case
def flag_control_calls(t):
    write("f", b"x" * 5000)
    write("g", b"y")
    f, g, d = os.open("f", os.O_RDWR), os.open("g", os.O_RDWR), os.open(".", os.O_RDONLY)
    for label, fd, number, arg in (("clone", f, 0x40049409, g), ("clone itself", f, 0x40049409, f), ("FIONREAD", f, 0x541B, bytes(4)), ("FIBMAP", f, 1, bytes(4)), ("TCGETS", f, 0x5401, bytes(60)), ("unknown", f, 0x12345678, bytes(8)),
                                   ("FIONREAD of a directory", d, 0x541B, bytes(4)), ("flags: get", f, 0x80086601, bytes(8)), ("flags: set", f, 0x40086602, bytes(8)), ("flags: of a directory", d, 0x80086601, bytes(8)),
                                   ("flags: FSGETXATTR", f, 0x801c581f, bytes(28)), ("extents", f, 0xC020660B, struct.pack("QQIIII", 0, 1 << 40, 0, 0, 0, 0))):
        t.do(label, lambda: bool(fcntl.ioctl(fd, number, arg)) and None)
    t.note("isatty", os.isatty(f))


@case
def flag_of_one_call(t):
    write("f", b"x" * 100000)
    fd = os.open("f", os.O_RDWR)
    for name, flag in (("HIPRI", 1), ("DSYNC", 2), ("SYNC", 4), ("NOWAIT", 8), ("APPEND", 16), ("NOAPPEND", 32), ("ATOMIC", 64), ("unknown", 1 << 20)):
        b = bytearray(5)
        t.do(f"write {name}", os.pwritev, fd, [b"hello"], 10, flag)
        t.do(f"read {name}", lambda: (os.preadv(fd, [b], 10, flag), bytes(b)))
    t.do("no vectors", os.writev, fd, [])
    t.do("1024 vectors", os.writev, fd, [b"ab"] * 1024)
    t.do("1025 vectors", os.writev, fd, [b"ab"] * 1025)
    t.do("content", read, "f")
    m = mmap.mmap(-1, 8192)
    m[:] = b"q" * 8192
    at = ctypes.addressof(ctypes.c_char.from_buffer(m))
    libc.munmap(ctypes.c_void_p(at + 4096), ctypes.c_size_t(4096))
    for label, fn in (("write", lambda: libc.pwrite(fd, ctypes.c_void_p(at), ctypes.c_size_t(8192), ctypes.c_long(0))), ("read", lambda: libc.pread(fd, ctypes.c_void_p(at), ctypes.c_size_t(8192), ctypes.c_long(0))),
                      ("write, not aligned", lambda: libc.pwrite(fd, ctypes.c_void_p(at + 100), ctypes.c_size_t(8192), ctypes.c_long(50))),
                      ("append", lambda: (os.lseek(fd, 0, os.SEEK_END), libc.write(fd, ctypes.c_void_p(at), ctypes.c_size_t(8192))))):
        t.do(f"half of it is not there: {label}", fn)
        t.do(f"half of it is not there: {label} =", read, "f")
    t.do("none of it is there", system, "pwrite", fd, ctypes.c_void_p(1), ctypes.c_size_t(10), ctypes.c_long(0))


@case
def flag_far_away(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"abc")
    for off in (LAST, LAST - 1, 2**62):
        for label, fn in (("pread", lambda: os.pread(fd, 10, off)), ("pwrite nothing", lambda: os.pwrite(fd, b"", off)), ("pwrite", lambda: os.pwrite(fd, b"xy", off)), ("ftruncate", lambda: os.ftruncate(fd, off)),
                          ("fallocate", lambda: fallocate(fd, 0, off, 1)), ("fallocate so much", lambda: fallocate(fd, 0, 0, off)), ("fallocate KEEP_SIZE", lambda: fallocate(fd, 1, off, 1)),
                          ("fadvise", lambda: os.posix_fadvise(fd, off, 1, 4)), ("copy there", lambda: os.copy_file_range(fd, fd, 1, 0, off)), ("copy from there", lambda: os.copy_file_range(fd, fd, 1, off, 10))):
            t.do(f"{label} {off}", fn)
    for off in (-1, -2**63):
        for label, fn in (("lseek", lambda: os.lseek(fd, off, os.SEEK_SET)), ("pwrite", lambda: os.pwrite(fd, b"x", off)), ("ftruncate", lambda: os.ftruncate(fd, off))):
            t.do(f"{label} {off}", fn)
    t.do("beyond all from the end", os.lseek, fd, LAST, os.SEEK_END)
    t.do("data beyond all", os.lseek, fd, LAST, os.SEEK_DATA)
    for label, fn in (("pwrite", lambda: os.pwrite(fd, b"x", 2 << 30)), ("ftruncate", lambda: os.ftruncate(fd, (1 << 30) + 4)), ("fallocate", lambda: fallocate(fd, 0, 0, 5 << 30)), ("fallocate KEEP_SIZE", lambda: fallocate(fd, 1, 0, 2 << 30))):
        t.do(f"two GiB at once: {label}", fn)
        os.ftruncate(fd, 3)
    t.do("content", read, "f")


@case
def flag_read_times(t):
    """Whether reading moves atime, by the rule of relatime."""
    write("f", b"x" * 5000)
    os.mkdir("d")
    for p, fn in (("f", lambda: read("f")), ("d", lambda: os.listdir("d"))):
        for label, times in (("older than mtime", (1000, 2000)), ("younger than mtime", (time.time() - 100, time.time() - 200))):
            os.utime(p, times)
            tick()
            before = os.stat(p).st_atime_ns
            fn()
            fn()
            t.note(f"{p} {label}", os.stat(p).st_atime_ns != before)


def through(s):
    b = ctypes.create_string_buffer(100)
    system("readlinkat", s, "", b, 100)
    return b.value


@case
def flag_path_only(t):
    write("f", b"hello")
    os.mkdir("d")
    write("d/x", b"x")
    os.symlink("f", "s")
    write("prog", read("/bin/true"), 0o755)
    f, d, s = os.open("f", os.O_PATH), os.open("d", os.O_PATH), os.open("s", os.O_PATH | os.O_NOFOLLOW)
    by = f"/proc/self/fd/{f}"
    t.do("readlink by handle", through, s)
    t.do("fchdir", lambda: (os.fchdir(d), os.listdir("."), os.chdir(".."))[1])
    t.do("openat", lambda: os.read(os.open("x", os.O_RDONLY, dir_fd=d), 5))
    t.do("opened anew to write", lambda: os.write(os.open(by, os.O_WRONLY | os.O_TRUNC), b"HE"))
    t.open("opened exclusively", by, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    for label, fn in (("chmod by /proc", lambda: os.chmod(by, 0o640)), ("fchmodat2", lambda: system("syscall", FCHMODAT2, f, "", 0o604, AT_EMPTY_PATH)), ("fchownat", lambda: system("fchownat", f, "", U1, G1, AT_EMPTY_PATH)),
                      ("linkat", lambda: system("linkat", f, "", AT_FDCWD, "l", AT_EMPTY_PATH)), ("fallocate", lambda: fallocate(f, 0, 0, 1)), ("flock", lambda: fcntl.flock(f, fcntl.LOCK_SH)), ("list", lambda: os.listdir(d)), ("lseek", lambda: os.lseek(f, 0, 0))):
        t.do(label, fn)
        t.stat(f"{label}: f", "f")
    t.do("fchmodat2 of a symlink", system, "syscall", FCHMODAT2, AT_FDCWD, "s", 0o604, AT_SYMLINK_NOFOLLOW)
    t.do("fchownat of a symlink", system, "fchownat", s, "", U1, G1, AT_EMPTY_PATH)
    t.do("linkat of a symlink", system, "linkat", s, "", AT_FDCWD, "sl", AT_EMPTY_PATH)
    t.stat("sl", "sl")
    t.do("executed", lambda: os.waitstatus_to_exitcode(os.waitpid(os.spawnv(os.P_NOWAIT, f"/proc/self/fd/{os.open('prog', os.O_PATH)}", ["x"]), 0)[1]))
    os.rename("f", "g")
    t.do("its name after a rename", lambda: os.path.basename(os.readlink(by)))
    os.unlink("g")
    os.unlink("l")
    for label, fn in (("read", lambda: read(by)), ("chmod", lambda: os.chmod(by, 0o600)), ("truncate", lambda: os.truncate(by, 3)), ("write", lambda: os.write(os.open(by, os.O_WRONLY), b"qq")), ("xattr", lambda: (os.setxattr(by, "user.a", b"1"), os.getxattr(by, "user.a"))[1])):
        t.do(f"without a name: {label}", fn)
        t.stat(f"without a name: after {label}", f)
    os.unlink("s")
    t.do("symlink with its second name: readlink", through, s)
    t.stat("symlink with its second name: stat", s)
    os.unlink("sl")
    t.do("symlink without a name: readlink", through, s)
    t.stat("symlink without a name: stat", s)
    t.do("symlink without a name: chown", lambda: system("fchownat", s, "", 0, 0, AT_EMPTY_PATH))


@case
def flag_access(t):
    """faccessat2, by real and by effective uid."""
    os.chmod(".", 0o777)
    write("f", b"x", 0o640)
    os.chown("f", U1, G1)
    os.symlink("f", "s")
    os.mkdir("d", 0o700)

    def look(who):
        for p in ("f", "s", "d", "d/x", "none"):
            for mode in (0, 1, 2, 4, 7, 8):
                for flags in (0, 0x200, AT_SYMLINK_NOFOLLOW, 0x400):
                    t.do(f"{who} {p} {mode} {flags:x}", system, "syscall", FACCESSAT2, AT_FDCWD, p, mode, flags)
    look("root")
    t.user(U1, look, "owner")
    t.user(U2, look, "member", groups=(G1,))
    t.child(lambda: (os.setresuid(U1, 0, 0), look("real uid U1")))
