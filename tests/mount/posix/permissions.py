"""Modes, owners, sticky and set-gid directories, set-id bits, access."""
import mmap, os
from harness import *


@case
def permission_matrix(t):
    """Owner, group, other and root against every mode, for files and directories."""
    os.mkdir("d", 0o755)
    for m in (0, 1, 2, 4, 5, 6, 7):
        for who, shift in (("u", 6), ("g", 3), ("o", 0)):
            write(f"d/{who}{m}", b"x", m << shift)
            os.chown(f"d/{who}{m}", U1, G1)
            os.mkdir(f"d/{who}{m}d", 0o700)
            write(f"d/{who}{m}d/in", b"y", 0o666)
            os.chown(f"d/{who}{m}d", U1, G1)
            os.chmod(f"d/{who}{m}d", m << shift)

    def look(name):
        for who in "ugo":
            for m in (0, 1, 2, 4, 5, 6, 7):
                p = f"d/{who}{m}"
                for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK):
                    t.do(f"{name} access {p} {mode}", os.access, p, mode)
                for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_PATH):
                    t.open(f"{name} open {p} {flags}", p, flags)
                t.do(f"{name} list {p}d", os.listdir, p + "d")
                t.do(f"{name} enter {p}d", os.stat, p + "d/none")
                t.do(f"{name} read in {p}d", lambda: read(p + "d/in"))
                t.do(f"{name} create in {p}d", lambda: (write(p + "d/new", b"z"), os.unlink(p + "d/new")) and None)
                t.do(f"{name} chmod {p}", lambda: os.chmod(p, m << dict(u=6, g=3, o=0)[who]))
                t.do(f"{name} truncate {p}", lambda: os.truncate(p, 1))
    for name, uid, groups in (("owner", U1, ()), ("group", U2, (G1,)), ("other", U2, ())):
        t.user(uid, look, name, groups=groups)
    look("root")


@case
def permission_of_paths(t):
    os.makedirs("shut/in")
    write("shut/in/f", b"x", 0o666)
    write("f", b"x", 0o666)
    os.chmod("shut", 0o700)
    os.chmod(".", 0o777)

    def look():
        for call, fn in (("stat", lambda p: bool(os.stat(p))), ("open", lambda p: os.close(os.open(p, os.O_RDONLY))), ("mkdir", os.mkdir), ("unlink", os.unlink), ("rmdir", os.rmdir),
                         ("rename from", lambda p: os.rename(p, "x")), ("rename to", lambda p: os.rename("f", p)), ("link to", lambda p: os.link("f", p)),
                         ("link from", lambda p: os.link(p, "x")), ("symlink", lambda p: os.symlink("x", p)), ("chmod", lambda p: os.chmod(p, 0o777)),
                         ("chown", lambda p: os.chown(p, U1, G1)), ("truncate", lambda p: os.truncate(p, 0)), ("utime", os.utime), ("readlink", os.readlink),
                         ("mkfifo", os.mkfifo), ("getxattr", lambda p: os.getxattr(p, "user.a")), ("listdir", os.listdir), ("access", lambda p: os.access(p, os.F_OK)),
                         ("statvfs", lambda p: bool(os.statvfs(p)))):
            for p in ("shut/in/f", "shut/in", "shut/none", "shut/in/none", "shut/"):
                t.do(f"{call} {p}", fn, p)
    t.user(U1, look)


@case
def permission_of_names(t):
    """Where one may read a directory but not write, or write but not search it."""
    for mode in (0o555, 0o666, 0o333, 0o711):
        d = f"d{mode:o}"
        os.mkdir(d)
        for n in ("f", "g"):
            write(f"{d}/{n}", b"x", 0o666)
        os.mkdir(d + "/sub", 0o777)
        os.symlink("f", d + "/s")
        os.chmod(d, mode)

        def look():
            for call, fn in (("create", lambda: os.close(os.open(d + "/new", os.O_CREAT | os.O_WRONLY))), ("open creat existing", lambda: os.close(os.open(d + "/f", os.O_CREAT | os.O_WRONLY))),
                             ("excl existing", lambda: os.close(os.open(d + "/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY))), ("mkdir", lambda: os.mkdir(d + "/md")),
                             ("mkdir existing", lambda: os.mkdir(d + "/sub")), ("rmdir", lambda: os.rmdir(d + "/sub")), ("unlink", lambda: os.unlink(d + "/g")),
                             ("unlink none", lambda: os.unlink(d + "/none")), ("rename in", lambda: os.rename(d + "/f", d + "/h")), ("symlink", lambda: os.symlink("x", d + "/sx")),
                             ("symlink existing", lambda: os.symlink("x", d + "/s")), ("link", lambda: os.link(d + "/f", d + "/l")), ("list", lambda: sorted(os.listdir(d))),
                             ("read", lambda: read(d + "/f")), ("readlink", lambda: os.readlink(d + "/s")), ("rename sub", lambda: os.rename(d + "/sub", d + "/sub2")),
                             ("exchange", lambda: renameat2(d + "/f", d + "/sub", EXCHANGE))):
                t.do(f"{mode:o} {call}", fn)
        t.user(U1, look)


@case
def permission_sticky(t):
    os.mkdir("st", 0o700)
    os.chmod("st", 0o1777)
    os.mkdir("own", 0o700)
    os.chown("own", U1, G1)
    os.chmod("own", 0o1777)
    for d in ("st", "own"):
        for n in ("a", "b", "c", "e"):
            write(f"{d}/{n}", b"x", 0o666)
            os.chown(f"{d}/{n}", U1 if n in "ab" else 0, G1)
        os.mkdir(d + "/sub", 0o777)
        os.chmod(d + "/sub", 0o777)

    def look(who):
        for d in ("st", "own"):
            for call, fn in (("unlink other's", lambda: os.unlink(d + "/c")), ("rename other's", lambda: os.rename(d + "/c", d + "/z")), ("rename over other's", lambda: os.rename(d + "/a", d + "/c")),
                             ("rename own over own", lambda: os.rename(d + "/a", d + "/b")), ("exchange", lambda: renameat2(d + "/b", d + "/e", EXCHANGE)),
                             ("rmdir other's", lambda: os.rmdir(d + "/sub")), ("rename dir", lambda: os.rename(d + "/sub", d + "/sub2")), ("write to other's", lambda: write(d + "/c", b"new", 0o666)),
                             ("create", lambda: write(d + "/mine", b"m")), ("link other's", lambda: os.link(d + "/e", d + "/l")), ("unlink own", lambda: os.unlink(d + "/b"))):
                t.do(f"{who} {d} {call}", fn)
            t.do(f"{who} {d} listed", lambda: sorted(os.listdir(d)))
    for who, uid in (("other", U2), ("owner", U1)):
        t.user(uid, look, who)


@case
def permission_setgid_directories(t):
    os.mkdir("d")
    os.chown("d", U1, GX)
    os.chmod("d", 0o2777)

    def make(who):
        for name, fn in (("f", lambda p: write(p, b"x")), ("d", os.mkdir), ("s", lambda p: os.symlink("x", p)), ("p", os.mkfifo),
                         ("m", lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o2775))), ("r", lambda p: os.mknod(p, stat.S_IFREG | 0o2771)), ("e", lambda p: os.mkdir(p, 0o1770))):
            t.do(f"{who} make {name}", fn, f"d/{who}{name}")
            t.stat(f"{who} {name}", f"d/{who}{name}")
        t.do(f"{who} below", os.mkdir, f"d/{who}d/sub")
        t.stat(f"{who} sub", f"d/{who}d/sub")
    t.user(U1, make, "in", groups=(GX,))
    t.user(U2, make, "out")
    make("root")
    t.do("mv into it", lambda: (write("moved"), os.rename("moved", "d/moved")) and None)
    t.stat("moved", "d/moved")
    os.mkdir("n", 0o777)
    os.chmod("n", 0o777)

    def chmods(who):
        write(f"n/{who}", b"x")
        t.do(f"{who} set-gid of the own group", os.chmod, f"n/{who}", 0o2755)
        t.stat(f"{who} own", f"n/{who}")
        t.do(f"{who} chgrp", os.chown, f"n/{who}", -1, GX)
        t.do(f"{who} set-gid of the other group", os.chmod, f"n/{who}", 0o2755)
        t.stat(f"{who} other", f"n/{who}")
        t.do(f"{who} set-gid of a group one is not in", os.chmod, "d", 0o2777)
        os.mkdir(f"n/{who}d")
        t.do(f"{who} sticky set-gid directory", os.chmod, f"n/{who}d", 0o3777)
        t.stat(f"{who} dir", f"n/{who}d")
    t.user(U1, chmods, "a", groups=(GX,))
    t.user(U2, chmods, "b")
    write("n/foreign", b"x")
    os.chown("n/foreign", U2, GX)
    t.user(U2, lambda: (t.do("chmod set-gid", os.chmod, "n/foreign", 0o2755), t.stat("is not set", "n/foreign")))


def map_write():
    fd = os.open("f", os.O_RDWR)
    with mmap.mmap(fd, 0) as m:
        m[3] = 65
        m.flush()
    os.close(fd)


@case
def permission_setid_cleared(t):
    """By writing, truncating and changing owner; not for root's writes (who has CAP_FSETID)."""
    def fresh(mode):
        write("f", b"x" * 100, 0o666)
        os.chown("f", U1, G1)
        os.chmod("f", mode)
    for mode in (0o6777, 0o4767, 0o2666):
        for what, fn in (("write", lambda: os.write(os.open("f", os.O_WRONLY), b"y")), ("append", lambda: os.write(os.open("f", os.O_WRONLY | os.O_APPEND), b"y")),
                         ("truncate", lambda: os.truncate("f", 5)), ("ftruncate", lambda: os.ftruncate(os.open("f", os.O_RDWR), 5)), ("O_TRUNC", lambda: bool(os.open("f", os.O_WRONLY | os.O_TRUNC))),
                         ("extend", lambda: os.truncate("f", 500)), ("same size", lambda: os.truncate("f", 100)), ("empty write", lambda: os.write(os.open("f", os.O_WRONLY), b"")),
                         ("fallocate", lambda: fallocate(os.open("f", os.O_WRONLY), 0, 0, 4096)), ("read", lambda: read("f")), ("utime", lambda: os.utime("f")),
                         ("chown -1", lambda: os.chown("f", -1, -1)), ("chgrp", lambda: os.chown("f", -1, G1)), ("chown", lambda: os.chown("f", U1, -1)),
                         ("link", lambda: (os.link("f", "l"), os.unlink("l")) and None), ("rename", lambda: (os.rename("f", "g"), os.rename("g", "f")) and None),
                         ("mmap", map_write), ("copy_file_range", lambda: os.copy_file_range(os.open("f", os.O_RDONLY), os.open("f", os.O_WRONLY), 10, 0, 50)),
                         ("setxattr", lambda: os.setxattr("f", "user.a", b"b"))):
            for who, uid in (("owner", U1), ("other", U2), ("root", 0)):
                fresh(mode)

                def act():
                    t.do(f"{mode:o} {what} by {who}", fn)
                t.user(uid, act) if uid else act()
                t.stat(f"{mode:o} after {what} by {who}", "f")


@case
def permission_chown(t):
    os.chmod(".", 0o777)
    write("f", b"x")
    os.chown("f", U1, G1)
    os.mkdir("d")
    os.chown("d", U1, G1)
    os.symlink("f", "s")
    os.lchown("s", U1, G1)

    def look(who):
        for p in ("f", "d", "s", "none", "f/x"):
            for u, g in ((U2, -1), (-1, GX), (-1, G2), (U1, G1), (U1, -1), (0, 0), (U1, GX)):
                for call, fn in (("chown", os.chown), ("lchown", os.lchown)):
                    t.do(f"{who} {call} {p} {u} {g}", fn, p, u, g)
                    t.stat(f"{who} {call} {p} {u} {g} =", p)
        t.do(f"{who} fchown", lambda: os.fchown(os.open("f", os.O_RDONLY), -1, G1))
    for who, uid, groups in (("owner", U1, (GX,)), ("other", U2, ()), ("root", 0, ())):
        t.user(uid, look, who, groups=groups) if uid else look(who)
        for p in ("f", "d", "s"):
            os.lchown(p, U1, G1)
    t.do("directory's set-gid stays", lambda: (os.chmod("d", 0o2755), os.chown("d", U2, G2)) and None)
    t.stat("d", "d")


@case
def permission_chmod(t):
    os.chmod(".", 0o777)
    write("f", b"x")
    os.chown("f", U1, G1)

    def look(who):
        for mode in (0, 0o777, 0o4711, 0o2711, 0o1711, 0o7777, 0o644):
            t.do(f"{who} chmod {mode:o}", os.chmod, "f", mode)
            t.stat(f"{who} {mode:o}", "f")
        t.do(f"{who} chmod none", os.chmod, "none", 0o644)
        t.do(f"{who} chmod f/", os.chmod, "f/", 0o644)
        t.do(f"{who} fchmod", lambda: os.fchmod(os.open("f", os.O_RDONLY), 0o640))
    for who, uid in (("owner", U1), ("other", U2), ("root", 0)):
        t.user(uid, look, who) if uid else look(who)
    fd = os.open("f", os.O_RDWR)
    os.fchmod(fd, 0)
    t.do("the handle still writes", os.write, fd, b"new")
    t.do("and reads", os.pread, fd, 10, 0)


@case(uid=U1)
def permission_own_inaccessible(t):
    """What one may do to what one has closed to oneself."""
    for mode in (0, 0o100, 0o200, 0o400, 0o500, 0o300):
        d = f"d{mode:o}"
        os.makedirs(d + "/sub")
        write(d + "/f", b"x")
        os.chmod(d, mode)
        for call, fn in (("list", lambda: sorted(os.listdir(d))), ("read", lambda: read(d + "/f")), ("unlink", lambda: os.unlink(d + "/f")), ("create", lambda: write(d + "/n")),
                         ("rmdir sub", lambda: os.rmdir(d + "/sub")), ("rmdir", lambda: os.rmdir(d)), ("rename", lambda: os.rename(d, d + "x")), ("back", lambda: os.rename(d + "x", d)),
                         ("xattr", lambda: os.setxattr(d, "user.a", b"b")), ("get", lambda: os.getxattr(d, "user.a")), ("utime", lambda: os.utime(d, (1, 1))), ("utime now", lambda: os.utime(d))):
            t.do(f"{mode:o} {call}", fn)
        t.stat(f"{mode:o}", d)
        if os.path.lexists(d):
            os.chmod(d, 0o700)
        f = f"f{mode:o}"
        write(f, b"x", mode)
        for call, fn in (("read", lambda: read(f)), ("write", lambda: os.close(os.open(f, os.O_WRONLY))), ("truncate", lambda: os.truncate(f, 0)), ("utime", lambda: os.utime(f, (1, 1))),
                         ("utime now", lambda: os.utime(f)), ("xattr", lambda: os.setxattr(f, "user.a", b"b")), ("get", lambda: os.getxattr(f, "user.a")),
                         ("link", lambda: os.link(f, f + "l")), ("rename", lambda: os.rename(f, f + "x")), ("unlink", lambda: os.unlink(f + "x"))):
            t.do(f"{mode:o} file {call}", fn)


@case
def permission_hard_links_and_deleting(t):
    """Deleting needs the directory only, linking nothing of the file (protected_hardlinks is the kernel's)."""
    os.mkdir("d")
    os.chown("d", U1, G1)
    write("d/root-file", b"x", 0o600)
    write("d/open-file", b"x", 0o666)
    os.symlink("x", "d/root-link")

    def look():
        t.do("link of a file one may not read", os.link, "d/root-file", "d/l1")
        t.do("link of one that one may", os.link, "d/open-file", "d/l2")
        t.do("rename of root's", os.rename, "d/root-file", "d/renamed")
        t.do("unlink of root's", os.unlink, "d/renamed")
        t.do("unlink of root's symlink", os.unlink, "d/root-link")
    t.user(U1, look)
    t.do("left", lambda: sorted(os.listdir("d")))


@case
def permission_exec(t):
    write("x", b"#!/bin/sh\nexit 7\n", 0o700)
    write("elf", read("/bin/true"), 0o711)
    write("noexec", read("/bin/true"), 0o644)

    def look(who):
        for p in ("x", "elf", "noexec", "none", "."):
            t.do(f"{who} {p}", lambda: os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("./" + p, [p], {}), 0)[1]))
    look("root")
    t.user(U1, look, "user")
