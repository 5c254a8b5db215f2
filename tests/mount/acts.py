#!/usr/bin/env python3
"""acts.py FILE DIRECTORY STATE: does to a file all that POLICY.md's table of retention speaks of, and compares what happens with what the state allows, in an
order that leaves the file for the next act. DIRECTORY is of an ordinary class, for what is to be exchanged with it or to replace it. In state `open` the file is
made here."""
import errno
import os
import mmap
import sys

path, other, state = sys.argv[1:]
TABLE = {  # read, write, attributes, link, rename, remove
    "open": [0, 0, 0, 0, 0, 0],
    "fixed": [0] + [errno.EPERM] * 5,
    "passed": [0, errno.EPERM, 0, 0, 0, 0],
    "expired": [errno.EKEYEXPIRED] * 5 + [0],
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
NEEDS = {"removexattr": {"fixed": errno.ENODATA, "expired": errno.ENODATA}}

if state == "open":
    make()
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
if state == "fixed":
    after = os.stat(path)
    for field in ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ino", "st_nlink"):
        if getattr(before, field) != getattr(after, field):
            wrong += 1
            print(f"{field} was changed by what was refused", file=sys.stderr)
sys.exit(wrong != 0)
