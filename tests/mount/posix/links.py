"""link, linkat, unlink, rmdir, mkdir: errnos and link counts."""
import os
from harness import *


@case
def link_errnos(t):
    write("f", b"x")
    os.mkdir("d")
    os.symlink("f", "s")
    os.symlink("none", "dangling")
    os.symlink("d", "sd")
    os.mkfifo("p")
    for a in ("f", "d", "s", "dangling", "sd", "p", "none", "f/x", "no/x", ""):
        for b in ("new", "f", "d", "d/new", "no/new", "f/new", "dangling", ""):
            for follow in ("", "follow"):
                t.do(f"{a!r} {b!r} {follow}", system, "linkat", AT_FDCWD, a, AT_FDCWD, b, AT_SYMLINK_FOLLOW if follow else 0)
                for made in ("new", "d/new", "none"):
                    if os.path.lexists(made):
                        t.stat(f"{a!r} {b!r} {follow} made {made}", made)
                        os.unlink(made)
    t.do("flags", system, "linkat", AT_FDCWD, "f", AT_FDCWD, "new", 0x800)
    t.do("another filesystem", os.link, "f", "/dev/shm/lapse-none")
    fd = os.open("f", os.O_RDONLY)
    t.do("AT_EMPTY_PATH", system, "linkat", fd, "", AT_FDCWD, "by-fd", AT_EMPTY_PATH)
    t.do("by /proc", system, "linkat", AT_FDCWD, f"/proc/self/fd/{fd}", AT_FDCWD, "by-proc", AT_SYMLINK_FOLLOW)
    t.stat("f", "f")


@case
def link_counts(t):
    write("f", b"x" * 1000)
    for n in range(100):
        os.link("f", f"l{n}")
    t.stat("100 links", "f")
    t.do("listed", lambda: len(os.listdir(".")))
    os.mkdir("d")
    os.link("f", "d/f")
    os.unlink("f")
    t.stat("without the first name", "l0")
    t.do("write through one", write, "l5", b"new content")
    t.do("read through another", read, "d/f")
    t.note("one inode", len({os.stat(f"l{n}").st_ino for n in range(100)} | {os.stat("d/f").st_ino}))
    os.rename("l0", "l1")
    t.do("rename over the same inode", lambda: sorted(x for x in os.listdir(".") if x in ("l0", "l1")))
    for n in range(100):
        os.unlink(f"l{n}")
    t.stat("one left", "d/f")
    fd = os.open("d/f", os.O_RDWR)
    os.unlink("d/f")
    t.stat("none left", fd)
    t.stat("d", "d")
    for n in range(10):
        os.mkdir(f"d/{n}")
    write("d/file")
    t.stat("directory of ten", "d")
    os.rename("d/3", "3")
    t.stat("of nine", "d")
    os.rmdir("d/4")
    t.stat("of eight", "d")
    t.stat("top", ".")
    os.rename("d/5", "d/6")
    t.stat("replaced", "d")
    write("a")
    write("b")
    os.link("b", "b2")
    os.rename("a", "b")
    t.stat("link of what was replaced", "b2")
    os.symlink("x", "s")
    t.stat("symlink", "s")


@case
def link_symlinks(t):
    os.symlink("target", "s")
    t.do("link", os.link, "s", "t", follow_symlinks=False)
    t.stat("s", "s")
    t.do("readlink", os.readlink, "t")
    t.do("unlink the first", os.unlink, "s")
    t.do("readlink the second", os.readlink, "t")
    t.stat("t", "t")


@case
def unlink_errnos(t):
    write("f")
    os.makedirs("d/sub")
    os.mkdir("e")
    os.symlink("e", "s")
    os.mkfifo("p")
    os.symlink("loop", "loop")
    for p in ("none", "d", "f/x", "no/x", "", ".", "..", "e/", "f/", "s/", "p/", "loop/x", "x" * 256):
        t.do(f"unlink {p[:20]!r}", os.unlink, p)
    for p in ("none", "d", "f", "f/x", "no/x", "", ".", "..", "e/.", "e/..", "s", "s/", "p", "loop", "loop/x", "x" * 256):
        t.do(f"rmdir {p[:20]!r}", os.rmdir, p)
    for p in ("e/", "d/sub"):
        t.do(f"rmdir {p}", os.rmdir, p)
    t.do("unlinkat with AT_REMOVEDIR of a file", system, "unlinkat", AT_FDCWD, "f", AT_REMOVEDIR)
    t.do("unlinkat with unknown flags", system, "unlinkat", AT_FDCWD, "f", 0x1)
    for p in ("f", "s", "p", "loop"):
        t.do(f"unlink {p}", os.unlink, p)
    t.do("listed", lambda: sorted(os.listdir(".")))


@case
def mkdir_errnos(t):
    write("f")
    os.mkdir("d")
    os.symlink("none", "dangling")
    os.symlink("d", "s")
    os.symlink("loop", "loop")
    for p in ("f", "d", "d/", "dangling", "dangling/", "s", "no/x", "f/x", "", ".", "..", "new/", "new2//", "loop", "loop/x", "x" * 256, "d/.", "d/..", "none/."):
        t.do(f"mkdir {p[:20]!r}", os.mkdir, p)
    for p in ("f", "d", "dangling", "s", "no/x", "f/x", "", ".", "new3/", "loop", "x" * 256):
        t.do(f"mkfifo {p[:20]!r}", os.mkfifo, p)
        t.do(f"symlink {p[:20]!r}", os.symlink, "x", p)
    t.do("listed", lambda: sorted(os.listdir(".")))
    os.chmod(".", 0o1777)
    t.do("mode with sticky", os.mkdir, "st", 0o1755)
    t.stat("st", "st")


@case
def rmdir_with_uses(t):
    os.mkdir("d")
    fd = os.open("d", os.O_RDONLY)
    there_r, there_w = os.pipe()
    go_r, go_w = os.pipe()

    def inside():
        os.chdir("d")
        os.write(there_w, b".")
        os.read(go_r, 1)
        t.do("getcwd", os.getcwd)
        t.do("list .", os.listdir, ".")
        t.do("create", write, "x")
        t.do("mkdir", os.mkdir, "x")
    end = t.begin(inside)
    os.read(there_r, 1)
    t.do("rmdir of somebody's working directory", os.rmdir, "d")
    os.write(go_w, b".")
    end()
    t.stat("handle", fd)
    t.do("mkdir again", os.mkdir, "d")
    t.do("list again", os.listdir, "d")
    t.do("list the old", os.listdir, fd)


@case
def create_delete_many(t):
    """Names that come and go hundreds of times."""
    for n in range(250):
        write("f", b"%d" % n)
        if n % 3 == 0:
            os.rename("f", "g" * (n + 1))
            os.unlink("g" * (n + 1))
        else:
            os.unlink("f")
        os.mkdir("f")
        os.rmdir("f")
        os.symlink(str(n), "f")
        os.unlink("f")
    t.do("empty", os.listdir, ".")
    t.stat("top", ".")
