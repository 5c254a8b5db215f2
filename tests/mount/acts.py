#!/usr/bin/env python3
"""acts.py FILE DIRECTORY STATE [HANDLES]: does to a file all that POLICY.md's table of retention speaks of, and compares what happens with what the state allows, in an
order that leaves the file for the next act. DIRECTORY is of an ordinary class, for what is to be exchanged with it or to replace it. In state `open` the file is
made here. With HANDLES (r, rw) the file, and with `t` one without a name beside it, is opened so before, FILE.ready is made in DIRECTORY, and when a line is read from standard
input it is done through these handles. Prints how many acts there were."""
import errno
import os
import mmap
import sys

path, other, state = sys.argv[1:4]
handles = sys.argv[4] if len(sys.argv) > 4 else ""
TABLE = {  # read, write, attributes, link, rename, remove
    "open": [0, 0, 0, 0, 0, 0],
    "fixed": [0] + [errno.EPERM] * 5,
    "passed": [0, errno.EPERM, 0, 0, 0, 0],
    "expired": [errno.EKEYEXPIRED] * 5 + [0],
    "held": [0] + [errno.EPERM] * 5,
    "held-expired": [errno.EKEYEXPIRED] + [errno.EPERM] * 5,
    "doubt": [errno.ENOKEY, errno.EPERM, 0, errno.EPERM, 0, errno.EPERM],
}
READ, WRITE, ATTRIBUTES, LINK, RENAME, REMOVE = range(6)
wrong = 0


def make():
    with open(path, "wb") as f:
        f.write(b"x" * 50000)


def with_fd(flags, act):
    def run():
        fd = os.open(path, flags)
        try:
            act(fd)
        finally:
            os.close(fd)
    return run


def shared_mapping():
    fd = os.open(path, os.O_RDWR)
    try:
        with mmap.mmap(fd, 0) as m:
            m[0:1] = b"m"
            m.flush()
    finally:
        os.close(fd)


def exchange():
    beside = os.path.join(other, "beside")
    with open(beside, "wb"):
        pass
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if libc.renameat2(-100, path.encode(), -100, beside.encode(), 2):
            raise OSError(ctypes.get_errno(), "renameat2")
        libc.renameat2(-100, path.encode(), -100, beside.encode(), 2)
    finally:
        os.unlink(beside)


def replaced():
    above = os.path.join(other, "above")
    with open(above, "wb") as f:
        f.write(b"y" * 50000)
    try:
        os.rename(above, path)
    except OSError:
        os.unlink(above)
        raise


def linked():
    name = os.path.join(os.path.dirname(path), "linked")
    os.link(path, name)
    os.unlink(name)


def renamed():
    name = os.path.join(os.path.dirname(path), "renamed")
    os.rename(path, name)
    os.rename(name, path)


ACTS = [
    ("open for reading", READ, with_fd(os.O_RDONLY, lambda fd: os.read(fd, 10))),
    ("open for writing", WRITE, with_fd(os.O_WRONLY, lambda fd: None)),
    ("write", WRITE, with_fd(os.O_RDWR, lambda fd: os.pwrite(fd, b"w", 0))),
    ("append", WRITE, with_fd(os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"a"))),
    ("open to truncate", WRITE, with_fd(os.O_WRONLY | os.O_TRUNC, lambda fd: os.write(fd, b"t" * 50000))),
    ("read and truncate", WRITE, with_fd(os.O_RDONLY | os.O_TRUNC, lambda fd: None)),
    ("truncate", WRITE, lambda: os.truncate(path, 60000)),
    ("allocate", WRITE, with_fd(os.O_WRONLY, lambda fd: os.posix_fallocate(fd, 0, 70000))),
    ("write through a mapping", WRITE, shared_mapping),
    ("chmod", ATTRIBUTES, lambda: os.chmod(path, 0o640)),
    ("chown", ATTRIBUTES, lambda: os.chown(path, 0, 1)),
    ("utimens", ATTRIBUTES, lambda: os.utime(path, (1, 1))),
    ("chmod by descriptor", ATTRIBUTES, with_fd(os.O_RDONLY, lambda fd: os.fchmod(fd, 0o600))),
    ("setxattr", ATTRIBUTES, lambda: os.setxattr(path, "user.note", b"n")),
    ("removexattr", ATTRIBUTES, lambda: os.removexattr(path, "user.note")),
    ("link", LINK, linked),
    ("rename", RENAME, renamed),
    ("exchange", RENAME, exchange),
    ("replaced by a rename", REMOVE, replaced),
    ("unlink", REMOVE, lambda: os.unlink(path)),
]
# What an act needs of another: without the attribute there is nothing to remove, and a descriptor needs an open.
NEEDS = {
    "removexattr": {s: errno.ENODATA for s in ("fixed", "expired", "held", "held-expired")},
}
# These open the file for reading, too, and that is refused first.
for name in ("write", "read and truncate", "write through a mapping", "chmod by descriptor"):
    NEEDS[name] = {"held-expired": errno.EKEYEXPIRED, "doubt": errno.ENOKEY}


def through_handles():
    """The acts through what is opened now, once somebody says go."""
    ro = os.open(path, os.O_RDONLY)
    rw = os.open(path, os.O_RDWR) if "w" in handles else None
    unnamed = os.open(os.path.dirname(path), os.O_TMPFILE | os.O_RDWR, 0o600) if "t" in handles else None
    open(os.path.join(other, os.path.basename(path) + ".ready"), "w").close()
    sys.stdin.readline()
    acts = [
        ("read", READ, lambda: os.pread(ro, 10, 0)),
        ("chmod", ATTRIBUTES, lambda: os.fchmod(ro, 0o640)),
        ("chown", ATTRIBUTES, lambda: os.fchown(ro, 0, 1)),
        ("utimens", ATTRIBUTES, lambda: os.utime(ro, (1, 1))),
        ("setxattr", ATTRIBUTES, lambda: os.setxattr(ro, "user.note", b"n")),
    ]
    if rw is not None:
        acts += [
            ("write", WRITE, lambda: os.pwrite(rw, b"w", 0)),
            ("truncate", WRITE, lambda: os.ftruncate(rw, 100)),
            ("allocate", WRITE, lambda: os.posix_fallocate(rw, 0, 70000)),
        ]
    if unnamed is not None:
        acts.append(("link of a file without a name", RENAME, # its first: it is being made
                     lambda: os.link(f"/proc/self/fd/{unnamed}", path + ".named", src_dir_fd=os.open("/", os.O_PATH), follow_symlinks=True)))
    return [(name + " through a handle of before", act, do) for name, act, do in acts]


if state == "open" and not handles:
    make()
if handles:
    ACTS = through_handles()
before = None if state == "expired" else os.stat(path)
for name, act, do in ACTS:
    want = NEEDS.get(name, {}).get(state, TABLE[state][act])
    if name == "replaced by a rename" and state == "expired":
        continue  # it would be another file afterwards
    if state == "passed" and act == REMOVE and name != "unlink":
        continue
    try:
        do()
        got = 0
    except OSError as e:
        got = e.errno
    if got != want:
        wrong += 1
        print(f"{state}: {name}: {errno.errorcode.get(got, 'done')}, not {errno.errorcode.get(want, 'done')}", file=sys.stderr)
print(f"{state}: {len(ACTS)} acts")
if state in ("fixed", "held", "held-expired"):
    after = os.stat(path)
    for field in ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ino", "st_nlink"):
        if getattr(before, field) != getattr(after, field):
            wrong += 1
            print(f"{field} was changed by what was refused", file=sys.stderr)
sys.exit(wrong != 0)
