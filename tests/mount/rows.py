#!/usr/bin/env python3
"""rows.py MOUNT SEED COUNT: makes, writes again, renames, exchanges, links and removes files of two directories at random; few names, so that most take one that is taken."""
import ctypes, os, random, sys

mount, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)
libc = ctypes.CDLL(None, use_errno=True)


def exchange(a, b):
    if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), 2):
        raise OSError(ctypes.get_errno(), a)


def some():
    return f"{mount}/{draw.choice(['one', 'two'])}/{draw.randrange(12)}"


def write(path):
    with open(path, "wb") as f:
        f.write(b"x" * draw.randrange(5000))


def over(path):
    write(f"{mount}/one/new")
    os.rename(f"{mount}/one/new", path)


for _ in range(count):
    what = draw.randrange(10)
    try:
        if what < 3:
            write(some())
        elif what < 5:
            over(some())
        elif what < 7:
            os.rename(some(), some())
        elif what == 7:
            exchange(some(), some())
        elif what == 8:
            os.link(some(), some())
        else:
            os.unlink(some())
    except (FileNotFoundError, FileExistsError):
        pass
