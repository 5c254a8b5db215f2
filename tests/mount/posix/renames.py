"""rename, renameat2."""
import itertools, os, shutil
from harness import *


def objects():
    write("file", b"file")
    write("other", b"other")
    write("long" + "n" * 200, b"long")
    os.link("other", "hard")
    os.mkdir("empty")
    os.mkdir("empty2")
    os.mkdir("full")
    write("full/x", b"x")
    os.symlink("file", "sym")
    os.symlink("full", "symdir")
    os.symlink("none", "dangling")
    os.mkfifo("fifo")


NAMES = ["file", "other", "hard", "empty", "empty2", "full", "full/x", "sym", "symdir", "dangling", "fifo", "none", "full/none", "no/x", "file/x", "long" + "n" * 200]


def state():
    out = []
    for root, ds, fs in os.walk("."):
        for x in sorted(ds + fs):
            p = os.path.join(root, x)
            s = os.lstat(p)
            out.append((p[:20], stat.S_IFMT(s.st_mode) >> 12, s.st_nlink, os.readlink(p) if stat.S_ISLNK(s.st_mode) else read(p).decode() if stat.S_ISREG(s.st_mode) else ""))
    return sorted(out)


def pairs(t, move):
    before = None
    for a, b in itertools.product(NAMES, NAMES):
        if before is None:
            os.mkdir("w")
            os.chdir("w")
            objects()
            before = state()
        label = f"{a[:9]} to {b[:9]}"
        t.do(label, move, a, b)
        after = state()
        if after != before:
            t.note(label + " leaves", [x for x in after if x not in before])
            t.note(label + " takes", [x for x in before if x not in after])
            os.chdir("..")
            shutil.rmtree("w")
            before = None


@case
def rename_pairs(t):
    pairs(t, os.rename)


@case
def rename_pairs_noreplace(t):
    pairs(t, lambda a, b: renameat2(a, b, NOREPLACE))


@case
def rename_pairs_exchange(t):
    pairs(t, lambda a, b: renameat2(a, b, EXCHANGE))


@case
def rename_errnos(t):
    os.makedirs("a/b/c")
    write("f", b"f")
    t.do("into itself", os.rename, "a", "a/x")
    t.do("below itself", os.rename, "a", "a/b/c/x")
    t.do("over an ancestor", os.rename, "a/b/c", "a/b")
    t.do("over the root of it", os.rename, "a/b", "a")
    t.do("exchange with an ancestor", renameat2, "a/b", "a", EXCHANGE)
    t.do("exchange with a descendant", renameat2, "a", "a/b/c", EXCHANGE)
    t.do("whiteout", renameat2, "f", "g", WHITEOUT)
    t.do("flags that contradict", renameat2, "f", "g", NOREPLACE | EXCHANGE)
    t.do("unknown flags", renameat2, "f", "g", 64)
    t.do("no name", os.rename, "", "x")
    t.do("to no name", os.rename, "f", "")
    t.do("dot", os.rename, ".", "x")
    t.do("dotdot", os.rename, "a/..", "x")
    t.do("to dot", os.rename, "a", ".")
    t.do("to a dot below", os.rename, "a", "a/.")
    t.do("another filesystem", os.rename, "f", "/dev/shm/lapse-none")
    t.do("to itself", os.rename, "f", "f")
    t.do("a directory to itself", os.rename, "a", "a")
    t.do("exchange with itself", renameat2, "a", "a", EXCHANGE)
    t.do("noreplace with itself", renameat2, "a", "a", NOREPLACE)
    t.do("loop", lambda: (os.symlink("l", "l"), os.rename("l/x", "y")))
    t.do("listed", lambda: sorted(os.listdir(".")))


@case
def rename_open_files(t):
    write("a", b"a" * 40000)
    write("b", b"b" * 50000)
    fa, fb = os.open("a", os.O_RDWR), os.open("b", os.O_RDWR)
    os.rename("a", "b")
    t.do("replaced", os.pread, fb, 60000, 0)
    t.stat("replaced", fb)
    t.do("write to it", os.pwrite, fb, b"still", 49999)
    t.do("read it", os.pread, fb, 60000, 49990)
    t.do("moved", os.pread, fa, 60000, 0)
    t.do("write to the moved", os.pwrite, fa, b"M" * 10, 32765)
    t.do("seen by name", read, "b")
    t.stat("b", "b")
    t.stat("by handle", fa)
    os.mkdir("d")
    os.rename("b", "d/" + "c" * 200)
    t.do("append after moving", lambda: (os.lseek(fa, 0, os.SEEK_END), os.write(fa, b"end"))[1])
    t.do("seen there", read, "d/" + "c" * 200)
    os.rename("d", "e")
    t.do("after moving the directory", lambda: (os.pwrite(fa, b"E", 0), read("e/" + "c" * 200))[1])
    t.do("fsync", os.fsync, fa)
    t.do("ftruncate", os.ftruncate, fa, 10)
    t.do("seen", read, "e/" + "c" * 200)
    write("x", b"x")
    write("y", b"yy")
    fx, fy = os.open("x", os.O_RDWR), os.open("y", os.O_RDWR)
    t.do("exchange", renameat2, "x", "y", EXCHANGE)
    os.pwrite(fx, b"X", 0)
    os.pwrite(fy, b"Y", 0)
    t.do("x", read, "x")
    t.do("y", read, "y")
    here = os.open("e", os.O_RDONLY)
    os.mkdir("e2")
    os.rename("e", "e2/moved")
    t.do("create in a moved directory", lambda: os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=here)))
    t.do("listed", lambda: sorted(len(x) for x in os.listdir("e2/moved")))
    t.do("parent of a moved directory", lambda: sorted(os.listdir("e2/moved/../..")))
    os.chdir("e2/moved")
    os.rename("../../e2", "../../e3")
    t.do("getcwd", lambda: os.path.basename(os.path.dirname(os.getcwd())))


@case
def rename_directories(t):
    os.makedirs("a/b/c")
    write("a/b/c/f", b"deep")
    os.mkdir("z")
    t.do("move a tree", os.rename, "a/b", "z/b")
    t.do("read in it", read, "z/b/c/f")
    t.stat("z", "z")
    t.stat("a", "a")
    t.do("over an empty one", os.rename, "z/b", "a")
    t.do("read", read, "a/c/f")
    t.stat("z", "z")
    os.mkdir("y")
    fd = os.open("y", os.O_RDONLY)
    t.do("over an empty one that is open", os.rename, "a", "y")
    t.stat("the replaced", fd)
    t.do("listed", lambda: sorted(os.listdir(fd)))
    t.do("exchange directories", renameat2, "y", "z", EXCHANGE)
    t.do("listed z", lambda: sorted(os.listdir("z")))
    write("plain", b"p")
    t.do("exchange with a file", renameat2, "z", "plain", EXCHANGE)
    t.do("a file now", read, "z")
    t.do("a directory now", read, "plain/c/f")
    t.stat("top", ".")


@case
def rename_permissions(t):
    """A directory that moves gets a new "..": that needs to be writable."""
    for d in ("d1", "d2"):
        os.mkdir(d)
        os.chmod(d, 0o777)
    os.mkdir("d1/mine")
    os.chown("d1/mine", U1, G1)
    os.chmod("d1/mine", 0o555)
    os.mkdir("d1/root", 0o755)
    write("d1/f", b"x", 0)

    def look(who):
        t.do(f"{who}: a directory one owns and may not write, to another", os.rename, "d1/mine", "d2/mine")
        t.do(f"{who}: in the same directory", os.rename, "d1/mine", "d1/mine2")
        t.do(f"{who}: somebody else's directory, to another", os.rename, "d1/root", "d2/root")
        t.do(f"{who}: in the same", os.rename, "d1/root", "d1/root2")
        t.do(f"{who}: a file of mode 0", os.rename, "d1/f", "d2/f")
    t.user(U1, look, "user")
    look("root")


@case
def rename_races(t):
    """A name that is replaced again and again is there at every moment."""
    write("target", b"0")
    stop_r, stop_w = os.pipe()

    def reader():
        os.close(stop_w)
        os.set_blocking(stop_r, False)
        missing = wrong = 0
        while True:
            try:
                wrong += not read("target")
            except FileNotFoundError:
                missing += 1
            except OSError as e:
                if e.errno != errno.ESTALE:  # two replacements between the lookup and the open: README
                    raise
            try:
                os.read(stop_r, 1)
                break
            except BlockingIOError:
                pass
        t.note("missing", missing)
        t.note("empty", wrong)
    end = t.begin(reader)
    for n in range(300):
        write("new", b"%d" % n)
        os.rename("new", "target")
    os.close(stop_w)
    end()
