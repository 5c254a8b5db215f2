"""Names, paths, symlinks."""
import os
from harness import *


@case
def names_of_any_bytes(t):
    every = [b"\n", b"a\nb", b" ", b"  x", b"x ", b"\xff\xfe", b"\x80", b"-rf", b"*", b"?", b"\\", b"'", b'"', "ü".encode(), "u\u0308".encode(), b"A", b"a",
             b"...", b"..x", b".x", b".lapse-dirx", b"\x01\x7f", bytes(range(1, 47)), bytes(range(48, 256)), b"x" * 255, "€".encode() * 85, b"n" * 160,
             b"n" * 161, b"n" * 254, b"~", b"#x#", b".fuse_hidden0000000100000001", b"CON", b"a:b", b"%2F", b"=", b"==="]
    for n in every:
        write(n, n)
    t.do("listed", lambda: sorted(os.listdir(b".")))
    for n in every:
        t.do(f"read {n[:20]!r} {len(n)}", read, n)
        t.do(f"rename {n[:20]!r} {len(n)}", lambda: (os.rename(n, b"tmp"), os.rename(b"tmp", n)) and None)
    for n in every:
        t.do(f"unlink {n[:20]!r} {len(n)}", os.unlink, n)
    t.do("empty", os.listdir, b".")
    for n in every:
        t.do(f"mkdir {n[:20]!r} {len(n)}", os.mkdir, n)
        t.do(f"in it {n[:20]!r} {len(n)}", write, n + b"/" + n, n)
        t.do(f"symlink {n[:20]!r} {len(n)}", os.symlink, n, n + b"/s")
        t.do(f"readlink {n[:20]!r} {len(n)}", os.readlink, n + b"/s")


@case
def names_of_the_store(t):
    """Names that the store uses itself are names like any others."""
    os.mkdir("d")
    for n in (".lapse", ".lapse-dir", "d/.lapse", "d/.lapse-dir", "d/.lapse-link"):
        t.do(f"write {n}", write, n, b"mine")
        t.do(f"read {n}", read, n)
        t.do(f"mkdir {n}", os.mkdir, n)
        t.do(f"unlink {n}", os.unlink, n)
        t.do(f"lookup {n}", os.stat, n)


@case
def names_lengths(t):
    os.mkdir("d")
    write("f")
    for n in (160, 161, 254, 255, 256, 300, 4095, 4096, 5000):
        x = "x" * n
        for what, fn in (("open", lambda: os.close(os.open(x, os.O_CREAT | os.O_WRONLY))), ("stat", lambda: os.stat(x).st_size),
                         ("access", lambda: os.access(x, os.F_OK)), ("chmod", lambda: os.chmod(x, 0o600)), ("truncate", lambda: os.truncate(x, 3)),
                         ("utime", lambda: os.utime(x, (1, 1))), ("rename from", lambda: os.rename(x, "y")), ("rename to", lambda: os.rename("y", x)),
                         ("link from", lambda: os.link(x, "d/l")), ("link to", lambda: os.link("f", "d/" + x)), ("symlink", lambda: os.symlink("f", "d/s" + x[1:])),
                         ("readlink", lambda: os.readlink("d/s" + x[1:])), ("chown", lambda: os.chown(x, 1, 1)), ("unlink", lambda: os.unlink(x)),
                         ("mkdir", lambda: os.mkdir(x)), ("opendir", lambda: os.listdir(x)), ("rmdir", lambda: os.rmdir(x)), ("mkfifo", lambda: os.mkfifo(x)),
                         ("unlink fifo", lambda: os.unlink(x)), ("setxattr", lambda: os.setxattr(x, "user.a", b"")),
                         ("symlink target", lambda: (os.symlink(x, "t"), os.unlink("t")) and None)):
            t.do(f"{what} {n}", fn)
        for left in ("d/l", "y", "t"):
            if os.path.lexists(left):
                os.unlink(left)


@case
def names_path_max(t):
    here = ""
    for k in range(15):
        here += "d" * 250 + "/"
        os.mkdir(here)
    for n in (4094, 4095, 4096):
        p = here + "f" * (n - len(here)) if n - len(here) < 256 else here + "e" * 250 + "/" + "f" * (n - len(here) - 251)
        if len(here) + 251 < n and not os.path.isdir(here + "e" * 250):
            os.mkdir(here + "e" * 250)
        t.do(f"create {n}", lambda: os.close(os.open(p, os.O_CREAT | os.O_WRONLY)))
        t.do(f"stat {n}", lambda: os.stat(p).st_size)
        t.do(f"rename {n}", os.rename, p, "moved")
    deep = os.open(".", os.O_RDONLY)
    for k in range(40):  # deeper than a path can say
        os.mkdir("x" * 200, dir_fd=deep)
        deep = os.open("x" * 200, os.O_RDONLY, dir_fd=deep)
    t.do("deep", lambda: os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=deep)))
    t.do("listed", os.listdir, deep)
    t.do("renamed", os.rename, "f", "g", src_dir_fd=deep, dst_dir_fd=deep)
    t.do("moved up", os.rename, "g", "g", src_dir_fd=deep)


@case
def names_trailing_slashes_and_dots(t):
    def objects():
        os.mkdir("d")
        write("f", b"x")
        os.symlink("f", "sf")
        os.symlink("d", "sd")
        os.symlink("none", "dangling")
    objects()
    calls = {
        "stat": os.stat, "lstat": os.lstat, "mkdir": os.mkdir, "rmdir": os.rmdir, "unlink": os.unlink, "mkfifo": os.mkfifo, "listdir": os.listdir,
        "symlink": lambda p: os.symlink("x", p), "readlink": os.readlink, "link to": lambda p: os.link("f", p), "link from": lambda p: os.link(p, "new"),
        "rename from": lambda p: os.rename(p, "new"), "rename to": lambda p: os.rename("f", p), "rename dir to": lambda p: os.rename("d", p),
        "chmod": lambda p: os.chmod(p, 0o755), "truncate": lambda p: os.truncate(p, 1), "chdir": os.chdir, "access": lambda p: os.access(p, os.R_OK),
        "creat": lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY)), "utime": os.utime,
        "exchange": lambda p: renameat2(p, "f", EXCHANGE), "noreplace": lambda p: renameat2("f", p, NOREPLACE)}
    os.mkdir("w")
    os.chdir("w")
    for x in ("d", "f", "sf", "sd", "dangling"):
        os.rename("../" + x, x)
    top = os.open(".", os.O_RDONLY)
    for call, fn in calls.items():
        for p in ("f/", "d/", "sf/", "sd/", "dangling/", "none/", "none//", "d//", "d/.", "d/..", "f/.", "f/..", ".", "..", "./", "", "d/./", "none/..", "sd/."):
            try:
                v = fn(p)
                t.note(f"{call} {p!r}", v if isinstance(v, (bool, str)) else "ok")
            except OSError as e:
                t.note(f"{call} {p!r}", errno.errorcode[e.errno])
            os.fchdir(top)
            now = sorted((x, stat.S_IFMT(os.lstat(x).st_mode) >> 12) for x in os.listdir("."))
            if now != [("d", 4), ("dangling", 10), ("f", 8), ("sd", 10), ("sf", 10)] or os.listdir("d"):
                t.note(f"{call} {p!r} leaves", now + [os.listdir(x) for x, kind in now if kind == 4])
                for x, kind in now:
                    if kind == 4:
                        for y in os.listdir(x):
                            os.unlink(f"{x}/{y}")
                        os.rmdir(x)
                    else:
                        os.unlink(x)
                objects()
            for x in sorted(os.listdir("..")):
                if x != "w":
                    t.note(f"{call} {p!r} leaves above", x)
                    os.unlink("../" + x)


@case
def names_not_a_directory(t):
    write("f", b"x")
    os.mkfifo("p")
    os.symlink("loop", "loop")
    os.symlink("b", "a")
    os.symlink("a", "b")
    os.symlink("f", "sf")
    for p in ("f/x", "f/x/y", "p/x", "loop", "loop/x", "a", "a/x", "sf/x", "no/x", "no/../f"):
        for call, fn in (("stat", os.stat), ("lstat", os.lstat), ("open", lambda p: os.close(os.open(p, os.O_RDONLY | os.O_NONBLOCK))),
                         ("creat", lambda p: os.close(os.open(p, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK))), ("mkdir", os.mkdir), ("rmdir", os.rmdir),
                         ("chmod", lambda p: os.chmod(p, 0o644)), ("chown", lambda p: os.chown(p, 0, 0)), ("truncate", lambda p: os.truncate(p, 1)),
                         ("utime", lambda p: os.utime(p)), ("readlink", lambda p: os.readlink(p)), ("symlink", lambda p: os.symlink("f", p)),
                         ("link to", lambda p: os.link("f", p)), ("link from", lambda p: os.link(p, "new", follow_symlinks=False)),
                         ("rename from", lambda p: os.rename(p, "new")), ("rename to", lambda p: os.rename("f", p)), ("mkfifo", os.mkfifo),
                         ("access", lambda p: os.access(p, os.F_OK)), ("getxattr", lambda p: os.getxattr(p, "user.a")), ("statvfs", lambda p: bool(os.statvfs(p)))):
            try:
                v = fn(p)
                t.note(f"{call} {p}", v if isinstance(v, (bool, str)) else "ok")
            except OSError as e:
                t.note(f"{call} {p}", errno.errorcode[e.errno])
            if os.path.lexists("new"):
                os.unlink("new")
            for name, target in (("loop", "loop"), ("a", "b"), ("f", None)):
                right = os.path.islink(name) if target else os.path.isfile(name) and not os.path.islink(name)
                if not right:
                    if os.path.lexists(name):
                        os.unlink(name)
                    os.symlink(target, name) if target else write(name, b"x")


@case
def names_symlink_chains(t):
    write("end", b"x")
    os.symlink("end", "s0")
    for k in range(1, 42):
        os.symlink(f"s{k - 1}", f"s{k}")
    for k in (0, 38, 39, 40, 41):
        t.do(f"chain of {k + 1}", read, f"s{k}")
    os.mkdir("d")
    os.symlink("../end", "d/up")
    t.do("up", read, "d/up")
    os.symlink(os.path.abspath("end"), "absolute")
    t.do("absolute", read, "absolute")
    os.symlink("d", "sd")
    t.do("through", lambda: os.close(os.open("sd/new", os.O_CREAT | os.O_WRONLY)))
    t.do("listed", lambda: sorted(os.listdir("sd")))
    t.do("unlink through", os.unlink, "sd/new")
    t.do("rmdir of a symlink", os.rmdir, "sd")
    t.do("rename of a symlink to a directory", os.rename, "sd", "sd2")
    t.stat("sd2", "sd2")


@case
def names_symlinks(t):
    for n in (1, 2, 59, 60, 61, 255, 256, 1000, 1023, 1024):
        target = ("t/" * n)[:n]
        t.do(f"symlink {n}", os.symlink, target, f"s{n}")
        t.do(f"readlink {n}", os.readlink, f"s{n}")
        t.stat(f"stat {n}", f"s{n}")
    t.do("empty target", os.symlink, "", "e")
    t.do("exists", os.symlink, "x", "s1")
    t.do("4096", os.symlink, "x" * 4096, "s4096")
    t.do("any bytes", lambda: (os.symlink(bytes(range(1, 256)), b"any"), os.readlink(b"any"))[1])
    for n in (0, 1, 3, 20):
        buf = ctypes.create_string_buffer(b"\xaa" * 20, 20)
        t.do(f"readlink into {n}", lambda: (system("readlink", "s59", buf, n), buf.raw))
    write("f")
    t.do("readlink of a file", os.readlink, "f")
    t.do("readlink of a directory", os.readlink, ".")
    t.do("chmod of a symlink", system, "fchmodat", AT_FDCWD, "s1", 0o600, AT_SYMLINK_NOFOLLOW)
    t.do("lchown", lambda: os.lchown("s1", U1, G1))
    t.stat("lchowned", "s1")
    t.do("utimes of a symlink", lambda: (utimensat("s1", (1, 2), (3, 4), AT_SYMLINK_NOFOLLOW), os.lstat("s1").st_mtime_ns)[1])
    t.do("rename", os.rename, "s255", "moved")
    t.do("readlink of the moved", os.readlink, "moved")
    os.mkdir("d")
    t.do("rename into a directory", os.rename, "moved", "d/moved2")
    t.do("readlink there", os.readlink, "d/moved2")
    t.stat("moved2", "d/moved2")
    t.do("over a file", os.rename, "d/moved2", "f")
    t.do("readlink f", os.readlink, "f")
    write("g", b"1")
    t.do("a file over it", os.rename, "g", "f")
    t.do("xattr of a symlink", lambda: os.setxattr("s1", "user.a", b"b", follow_symlinks=False))
    t.do("list xattrs of a symlink", lambda: os.listxattr("s1", follow_symlinks=False))
    t.do("get xattr of a symlink", lambda: os.getxattr("s1", "user.a", follow_symlinks=False))


@case
def names_symlinks_long(t):
    for n in (2048, 3000, 4000, 4095):
        target = ("t/" * n)[:n]
        t.do(f"symlink {n}", os.symlink, target, f"s{n}")
        t.do(f"readlink {n}", os.readlink, f"s{n}")
        t.stat(f"stat {n}", f"s{n}")
        t.do(f"rename {n}", os.rename, f"s{n}", f"m{n}")
        t.do(f"readlink moved {n}", os.readlink, f"m{n}")
        t.do(f"unlink {n}", os.unlink, f"m{n}")
