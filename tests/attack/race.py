"""race.py DIRECTORY UID PROCESSES TRIES SEED BEFORE: so many processes of a user, begun at once, each try to read one byte of so many of the files there, in an order of
their own. Prints how many files gave a byte to anybody, how many did in this race or in those whose names are in the file BEFORE, how many opens were permitted and how many refused, and every other errno."""
import errno
import mmap
import os
import random
import struct
import sys

directory, uid, processes, tries, seed, before = sys.argv[1], *map(int, sys.argv[2:6]), sys.argv[6]
files = sorted(os.listdir(directory))
shown = mmap.mmap(-1, len(files))
counts = mmap.mmap(-1, 12 * processes)
start, go = os.pipe()


def attack(me):
    os.setresuid(uid, uid, uid)
    at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    choice = random.Random(seed * 100003 + me)
    permitted = refused = other = 0
    os.close(go)
    os.read(start, 1)
    for _ in range(tries):
        i = choice.randrange(len(files))
        try:
            fd = os.open(files[i], os.O_RDONLY, dir_fd=at)
        except OSError as e:
            refused += e.errno == errno.EDQUOT
            other = other if e.errno == errno.EDQUOT else e.errno
            continue
        permitted += 1
        if os.read(fd, 1):
            shown[i] = 1
        os.close(fd)
    struct.pack_into("<III", counts, 12 * me, permitted, refused, other)


children = []
for n in range(processes):
    pid = os.fork()
    if pid == 0:
        attack(n)
        os._exit(0)
    children.append(pid)
os.close(go)
failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
told = [struct.unpack_from("<III", counts, 12 * n) for n in range(processes)]
with open(before, "a+") as f:
    f.seek(0)
    known = set(f.read().split())
    now = {files[i] for i in range(len(files)) if shown[i]}
    f.write("".join(name + "\n" for name in now - known))
print(len(now), len(now | known), sum(t[0] for t in told), sum(t[1] for t in told), sorted({t[2] for t in told} - {0}), failed)
