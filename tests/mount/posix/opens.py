"""open, creat, O_* flags, special nodes, files without a name."""
import fcntl, mmap, os, socket
from harness import *


@case
def open_errnos(t):
    write("f", b"x")
    os.mkdir("d")
    os.symlink("f", "s")
    os.symlink("nowhere", "dangling")
    os.symlink("d", "sd")
    os.mkfifo("fifo")
    for flags, name in ((os.O_RDONLY, "r"), (os.O_WRONLY, "w"), (os.O_RDWR, "rw")):
        for extra, what in ((0, ""), (os.O_CREAT, "+creat"), (os.O_CREAT | os.O_EXCL, "+excl"), (os.O_TRUNC, "+trunc"), (os.O_DIRECTORY, "+dir"),
                            (os.O_NOFOLLOW, "+nofollow"), (os.O_APPEND, "+append"), (os.O_CREAT | os.O_NOFOLLOW, "+creat nofollow"),
                            (os.O_CREAT | os.O_DIRECTORY, "+creat dir"), (os.O_PATH, "+path"), (os.O_PATH | os.O_NOFOLLOW, "+path nofollow")):
            for p in ("f", "d", "s", "dangling", "sd", "no", "f/", "f/x", "d/", "d/.", "d/..", "no/", "no/x", "sd/", "s/", "", ".", "..", "dangling/"):
                fd = t.open(f"{name}{what} {p!r}", p, flags | extra)
                if fd is not None:
                    os.close(fd)
                for made in ("nowhere", "no"):
                    if os.path.lexists(made):
                        t.note(f"{name}{what} {p!r} made", made)
                        os.unlink(made)
    t.open("fifo for writing, nobody reads", "fifo", os.O_WRONLY | os.O_NONBLOCK)
    t.open("fifo for reading", "fifo", os.O_RDONLY | os.O_NONBLOCK)
    t.open("name of 255", "n" * 255, os.O_CREAT | os.O_WRONLY)
    t.open("name of 256", "n" * 256, os.O_CREAT | os.O_WRONLY)
    t.stat("f at the end", "f")


@case
def open_socket_and_running_program(t):
    s = socket.socket(socket.AF_UNIX)
    s.bind("sock")
    t.open("a socket", "sock", os.O_RDONLY)
    t.stat("socket", "sock")
    c = socket.socket(socket.AF_UNIX)
    s.listen()
    t.do("connect", c.connect, "sock")
    write("prog", read("/bin/sleep"), 0o755)
    r, w = os.pipe()  # closed by exec
    pid = os.fork()
    if not pid:
        os.execv("./prog", ["prog", "60"])
    os.close(w)
    os.read(r, 1)
    t.open("writing a running program", "prog", os.O_WRONLY)
    t.do("truncating it", os.truncate, "prog", 0)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    fd = t.open("writing it when it has ended", "prog", os.O_WRONLY)
    try:
        os.posix_spawn("./prog", ["prog", "0"], {})
        t.note("running what is open for writing", "ran")
    except OSError as e:
        t.note("running what is open for writing", errno.errorcode[e.errno])
    os.close(fd)


@case
def open_modes_and_umask(t):
    for mask in (0, 0o022, 0o077, 0o777):
        os.umask(mask)
        for mode in (0, 0o400, 0o666, 0o777, 0o4755, 0o2755, 0o1777, 0o7777):
            fd = os.open(f"f{mask:o}-{mode:o}", os.O_CREAT | os.O_RDWR | os.O_EXCL, mode)
            t.stat(f"open {mask:o} {mode:o}", f"f{mask:o}-{mode:o}")
            t.do(f"write through it {mask:o} {mode:o}", os.write, fd, b"x")
            os.close(fd)
            os.mkdir(f"d{mask:o}-{mode:o}", mode)
            t.stat(f"mkdir {mask:o} {mode:o}", f"d{mask:o}-{mode:o}")
            os.mkfifo(f"p{mask:o}-{mode:o}", mode)
            t.stat(f"mkfifo {mask:o} {mode:o}", f"p{mask:o}-{mode:o}")


@case(uid=U1)
def open_modes_and_umask_user(t):
    open_modes_and_umask(t)


@case
def open_flags_kept(t):
    write("f", b"0123456789")
    fd = os.open("f", os.O_RDONLY)
    t.do("write to a reader", os.write, fd, b"x")
    t.do("truncate a reader", os.ftruncate, fd, 3)
    os.close(fd)
    fd = os.open("f", os.O_WRONLY)
    t.do("read from a writer", os.read, fd, 3)
    t.do("pread from a writer", os.pread, fd, 3, 0)
    os.close(fd)
    fd = os.open("f", os.O_PATH)
    for what, fn in (("read", lambda: os.read(fd, 1)), ("write", lambda: os.write(fd, b"x")), ("fchmod", lambda: os.fchmod(fd, 0o600)),
                     ("fchown", lambda: os.fchown(fd, U1, U1)), ("ftruncate", lambda: os.ftruncate(fd, 0)), ("fsync", lambda: os.fsync(fd)),
                     ("fstat", lambda: os.fstat(fd).st_size), ("utime", lambda: os.utime(fd)), ("getxattr", lambda: os.getxattr(fd, "user.a"))):
        t.do(f"O_PATH {what}", fn)
    again = t.open("O_PATH opened through /proc", f"/proc/self/fd/{fd}", os.O_RDONLY)
    t.do("and read", os.read, again, 20)
    os.close(fd)
    fd = os.open("f", os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    os.pwrite(fd, b"A", 0)
    t.do("F_SETFL O_APPEND", read, "f")
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    os.pwrite(fd, b"B", 0)
    t.do("and without", read, "f")
    t.do("F_SETFL O_NOATIME by the owner", fcntl.fcntl, fd, fcntl.F_SETFL, os.O_NOATIME)
    t.note("flags", fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_NOATIME | os.O_APPEND | os.O_ACCMODE))
    for flag, name in ((os.O_SYNC, "sync"), (os.O_DSYNC, "dsync"), (os.O_NONBLOCK, "nonblock"), (os.O_NOATIME, "noatime"), (os.O_LARGEFILE, "large")):
        fd = t.open(name, "f", os.O_RDWR | flag)
        t.do(f"write {name}", os.pwrite, fd, b"12345" * 10000, 5)
        t.do(f"read {name}", os.pread, fd, 60000, 0)
        os.close(fd)
    d = os.open(".", os.O_RDONLY)
    for what, fn in (("read", lambda: os.read(d, 1)), ("pread", lambda: os.pread(d, 1, 0)), ("write", lambda: os.write(d, b"x")),
                     ("ftruncate", lambda: os.ftruncate(d, 0)), ("fsync", lambda: os.fsync(d)), ("fdatasync", lambda: os.fdatasync(d)),
                     ("fallocate", lambda: fallocate(d, 0, 0, 1)), ("lseek", lambda: os.lseek(d, 0, os.SEEK_SET))):
        t.do(f"directory {what}", fn)


@case
def open_direct(t):
    fd = t.open("open", "f", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    m = mmap.mmap(-1, 1 << 17)
    m[:] = bytes(range(256)) * 512
    t.do("write", os.pwritev, fd, [m], 0)
    t.do("write beyond", os.pwritev, fd, [m], 1 << 20)
    t.stat("f", "f")
    for off, size in ((0, 4096), (4096, 65536), (1 << 17, 4096), ((1 << 20) + 65536, 1 << 17), (2 << 20, 4096)):
        b = mmap.mmap(-1, size)
        t.do(f"read {off} {size}", os.preadv, fd, [b], off)
        t.note(f"content {off} {size}", b[:])
    t.do("a size that is not aligned", os.pwrite, fd, b"x" * 100, 0)
    buffered = os.open("f", os.O_RDWR)
    os.pwrite(buffered, b"buffered" * 512, 8192)
    b = mmap.mmap(-1, 4096)
    t.do("direct after buffered", lambda: (os.preadv(fd, [b], 8192), b[:16]))
    b[:] = b"d" * 4096
    os.pwritev(fd, [b], 8192)
    t.do("buffered after direct", os.pread, buffered, 16, 8192)
    t.do("append", lambda: os.write(t.open("open to append", "f", os.O_WRONLY | os.O_APPEND | os.O_DIRECT), b))
    t.stat("f appended", "f")


@case
def open_tmpfile(t):
    fd = t.open("O_TMPFILE", ".", os.O_TMPFILE | os.O_RDWR, 0o640)
    if fd is not None:
        t.do("write", os.write, fd, b"temporary" * 9000)
        t.stat("before it is linked", fd)
        t.do("directory", os.listdir, ".")
        t.do("linkat AT_EMPTY_PATH", system, "linkat", fd, "", AT_FDCWD, "linked", AT_EMPTY_PATH)
        t.stat("linked", "linked")
        t.do("read", read, "linked")
        t.do("again, by /proc", system, "linkat", AT_FDCWD, f"/proc/self/fd/{fd}", AT_FDCWD, "second", AT_SYMLINK_FOLLOW)
        t.stat("second", "second")
        t.do("in the way", system, "linkat", fd, "", AT_FDCWD, "second", AT_EMPTY_PATH)
    fd = t.open("O_TMPFILE|O_EXCL", ".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    if fd is not None:
        t.do("may not be linked", system, "linkat", fd, "", AT_FDCWD, "third", AT_EMPTY_PATH)
        t.do("and works", lambda: (os.write(fd, b"abc"), os.pread(fd, 3, 0)))
        t.do("xattr", lambda: (os.setxattr(fd, "user.a", b"b"), os.getxattr(fd, "user.a")))
        t.do("chmod", lambda: (os.fchmod(fd, 0o751), os.fstat(fd).st_mode))
    t.open("for reading only", ".", os.O_TMPFILE | os.O_RDONLY)
    t.open("in a file", "linked", os.O_TMPFILE | os.O_RDWR)
    t.open("in nothing", "no", os.O_TMPFILE | os.O_RDWR)
    os.mkdir("d", 0o755)
    t.user(U1, lambda: t.open("where one may not write", "d", os.O_TMPFILE | os.O_RDWR))
    t.do("directory at the end", lambda: sorted(os.listdir(".")))


@case
def open_excl_races(t):
    """Of many that create the same name exclusively, one does."""
    for turn in range(20):
        r, w = os.pipe()
        ends = []
        for k in range(6):
            def race():
                os.close(w)
                os.read(r, 1)  # the start: the pipe is closed
                try:
                    os.close(os.open(f"x{turn}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                    t.note("won", 1)
                except FileExistsError:
                    t.note("won", 0)
            ends.append(t.begin(race))
        os.close(r)
        os.close(w)
        before = len(t.seen)
        for end in ends:
            end()
        winners = sum(v for _, v in t.seen[before:])
        del t.seen[before:]
        t.note(f"winners of turn {turn}", winners)


@case
def open_special_nodes(t):
    for kind, name in ((stat.S_IFIFO, "fifo"), (stat.S_IFSOCK, "sock"), (stat.S_IFREG, "reg"), (stat.S_IFCHR, "chr"), (stat.S_IFBLK, "blk"), (0, "zero"),
                       (stat.S_IFDIR, "dir"), (stat.S_IFLNK, "lnk")):
        t.do(f"mknod {name}", os.mknod, name, kind | 0o640, os.makedev(1, 3))
        t.stat(name, name)
    t.do("mknod again", os.mknod, "fifo", stat.S_IFIFO | 0o600)
    t.do("mknod in nothing", os.mknod, "no/x", stat.S_IFIFO | 0o600)
    t.do("mknod in a file", os.mknod, "reg/x", stat.S_IFIFO | 0o600)
    a, b = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK), os.open("fifo", os.O_WRONLY)
    t.do("through it", lambda: (os.write(b, b"hello"), os.read(a, 10)))
    os.chmod(".", 0o777)

    def user():
        t.do("user fifo", os.mkfifo, "ufifo")
        t.do("user uchr", os.mknod, "uchr", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        t.stat("ufifo", "ufifo")
    t.user(U1, user)


@case
def open_and_deleted_fifo(t):
    os.mkfifo("p", 0o644)
    fd = os.open("p", os.O_RDWR)
    os.unlink("p")
    t.do("write", os.write, fd, b"hello")
    t.do("read", os.read, fd, 10)
    t.stat("stat", fd)
    t.do("chmod", os.fchmod, fd, 0o600)
    t.do("chown", os.fchown, fd, U1, G1)
    t.do("utime", os.utime, fd, (5, 6))
    t.stat("stat then", fd)


@case
def open_and_deleted(t):
    """Files and directories without a name go on through their handles."""
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"a" * 70000)
    ro = os.open("f", os.O_RDONLY)
    os.unlink("f")
    t.stat("unlinked", fd)
    t.do("gone", os.lstat, "f")
    t.do("read", os.pread, ro, 70000, 0)
    t.do("write", os.pwrite, fd, b"b" * 40000, 60000)
    t.do("read what was written", os.pread, ro, 70000, 50000)
    t.do("truncate", os.ftruncate, fd, 32769)
    t.do("extend", os.ftruncate, fd, 100001)
    t.do("read it all", os.pread, ro, 200000, 0)
    t.do("chmod", os.fchmod, fd, 0o600)
    t.do("chown", os.fchown, fd, U1, G1)
    t.do("utime", os.utime, fd, (5, 6))
    t.do("fsync", os.fsync, fd)
    t.do("xattr", lambda: (os.setxattr(fd, "user.a", b"b"), os.getxattr(fd, "user.a"), os.listxattr(fd)))
    t.stat("unlinked, changed", fd)
    t.do("reopened by /proc", lambda: os.pread(os.open(f"/proc/self/fd/{fd}", os.O_RDWR), 10, 0))
    t.do("linked again", system, "linkat", AT_FDCWD, f"/proc/self/fd/{fd}", AT_FDCWD, "back", AT_SYMLINK_FOLLOW)
    write("f", b"new")
    t.do("another by that name", read, "f")
    t.do("the old one", os.pread, ro, 5, 0)
    os.mkdir("d")
    dd = os.open("d", os.O_RDONLY)
    os.rmdir("d")
    t.stat("removed directory", dd)
    t.do("list it", os.listdir, dd)
    t.open("create in it", "x", os.O_CREAT | os.O_WRONLY, dir_fd=dd)
    t.do("mkdir in it", os.mkdir, "x", dir_fd=dd)
    t.do("symlink in it", os.symlink, "x", "y", dir_fd=dd)
    t.do("rename into it", os.rename, "f", "f", dst_dir_fd=dd)
    t.do("link into it", os.link, "f", "f", dst_dir_fd=dd)
    t.do("chmod of it", os.fchmod, dd, 0o700)
    t.do("fsync of it", os.fsync, dd)
    t.do("xattr of it", lambda: os.setxattr(dd, "user.a", b"b"))
