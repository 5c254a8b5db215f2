"""readdir, telldir, seekdir; entries that come and go."""
import os
from harness import *

libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
GETDENTS64 = 217


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_uint16), ("type", ctypes.c_uint8), ("name", ctypes.c_char * 256)]


class Dir:
    def __init__(self, path):
        self.d = ctypes.c_void_p(libc.opendir(os.fsencode(path)))

    def entry(self):
        """(name, type, inode number), None at the end."""
        p = libc.readdir(self.d)
        if not p:
            return None
        e = Dirent.from_address(p)
        return ctypes.string_at(p + Dirent.name.offset), e.type, e.ino

    def rest(self):
        """The names from here on."""
        out = []
        while e := self.entry():
            out.append(e[0])
        return out

    def tell(self):
        return libc.telldir(self.d)

    def seek(self, off):
        libc.seekdir(self.d, ctypes.c_long(off))

    def rewind(self):
        libc.rewinddir(self.d)

    def close(self):
        libc.closedir(self.d)


def fill(d, n, kind="f"):
    os.mkdir(d)
    for k in range(n):
        os.close(os.open(f"{d}/{kind}{k:05}{'x' * (k % 200)}", os.O_CREAT | os.O_WRONLY))


@case
def directory_entries(t):
    fill("d", 50)
    os.mkdir("d/sub")
    os.symlink("x", "d/sym")
    os.mkfifo("d/fifo")
    d = Dir("d")
    got = []
    while e := d.entry():
        got.append(e)
    t.note("names and types", sorted((n, ty) for n, ty, _ in got))
    t.note("inode numbers are those of stat", all(os.lstat(b"d/" + n).st_ino == ino for n, _, ino in got if n not in (b".", b"..")))
    t.note("and of the dot", [ino == os.stat("d").st_ino for n, _, ino in got if n == b"."])
    t.note("once each", len({n for n, _, _ in got}) == len(got))
    d.rewind()
    write("d/later")
    t.note("after a rewind", b"later" in d.rest())
    d.close()
    t.do("scandir", lambda: sorted((x.name, x.is_file(), x.is_symlink()) for x in os.scandir("d")))
    for p in ("none", "d/sym", "d/fifo", "d/later"):
        t.do(f"opendir {p}", os.listdir, p)
    buf = ctypes.create_string_buffer(10)
    t.do("getdents with no room", system, "syscall", GETDENTS64, os.open("d", os.O_RDONLY | os.O_DIRECTORY), buf, 10)
    t.do("getdents of a file", system, "syscall", GETDENTS64, os.open("d/later", os.O_RDONLY), buf, 10)


@case
def directory_positions(t):
    fill("d", 1500)
    d = Dir("d")
    order, at = [], []
    while True:
        p, e = d.tell(), d.entry()
        if not e:
            break
        order.append(e[0])
        at.append(p)
    t.note("all", len(set(order)))
    wrong = 0
    for k in range(0, len(order), 53):
        d.seek(at[k])
        wrong += d.entry()[0] != order[k]
    t.note("seekdir finds its place", wrong)
    half = len(order) // 2
    d.seek(at[half])
    t.note("from the middle on", d.rest() == order[half:])
    e = Dir("d")
    e.seek(at[half])
    t.note("by another handle", sorted(e.rest()) == sorted(order[half:]))
    for n in order[:half]:
        if n not in (b".", b".."):
            os.unlink(b"d/" + n)
    d.seek(at[half])
    t.note("after what lay before has gone", d.rest() == order[half:])


@case
def directory_changes_while_read(t):
    """Each entry that stays is seen exactly once, whatever comes and goes meanwhile."""
    fill("d", 1200, "stays")
    for k in range(600):
        write(f"d/goes{k}")
    for turn in range(3):
        d, got, comes = Dir("d"), [], []
        while e := d.entry():
            got.append(e[0])
            n = len(got)
            if n % 2 == 0 and n // 2 <= 200:
                os.unlink(f"d/goes{n // 2 - 1 + turn * 200}")
            if n % 3 == 0 and n < 3000:
                comes.append(f"d/comes{turn}-{n}" + "y" * (n % 200))
                write(comes[-1])
            if n % 7 == 0 and comes:
                os.rename(comes.pop(), f"d/renamed{turn}-{n}")
        d.close()
        stays = [x for x in got if x.startswith(b"stays")]
        t.note(f"those that stay, turn {turn}", (len(stays), len(set(stays))))
        t.note(f"what was never there, turn {turn}", [x for x in got if not x.startswith((b"stays", b"goes", b"comes", b"renamed", b"."))])
        t.note(f"twice, turn {turn}", [x for x in set(got) if got.count(x) > 1 and not x.startswith((b"renamed", b"comes"))])


@case
def directory_delete_while_read(t):
    fill("d", 1000)
    d, n = Dir("d"), 0
    while e := d.entry():
        if e[0] not in (b".", b".."):
            os.unlink(b"d/" + e[0])
            n += 1
    t.note("all deleted in one pass", n)
    t.do("empty", os.rmdir, "d")


@case
def directory_by_many(t):
    """Processes that create, delete and list in one directory at once."""
    fill("d", 300, "stays")

    def work(k):
        bad = 0
        for n in range(12):
            for x in range(20):
                write(f"d/p{k}-{x}")
            names = [x for x in os.listdir("d") if x.startswith("stays")]
            bad += len(names) != 300 or len(set(names)) != 300
            for x in range(20):
                os.unlink(f"d/p{k}-{x}")
        t.note(f"process {k}: wrong listings", bad)
    for end in [t.begin(work, k) for k in range(4)]:
        end()
    t.do("left", lambda: len(os.listdir("d")))
