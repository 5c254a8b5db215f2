#!/usr/bin/env python3
"""maketree.py DIR COUNT SEED: a tree of COUNT files as people have them: odd names, long names, sizes around block borders, links, modes, times."""
import os, random, sys

root, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rnd = random.Random(seed)
os.makedirs(root)
noise = rnd.randbytes(1 << 20)
dirs = [root]
for d in range(max(4, count // 60)):
    parent = rnd.choice(dirs[-12:])
    name = rnd.choice([f"lane-{d:03}", f"Ordner {d}", f"d\u00e9p\u00f4t-{d}", "x" * 200 + str(d)])
    path = os.path.join(parent, name)
    os.mkdir(path)
    dirs.append(path)
edges = [0, 1, 4095, 4096, 32767, 32768, 32769, 65536, 98304, 100001]
made = []
for i in range(count):
    d = rnd.choice(dirs)
    kind = rnd.random()
    name = f"2026-11-23T{i:06}.jpg".encode()
    if kind < 0.02:
        name = b"n" * 240 + b"-%05d" % i
    elif kind < 0.03:
        name = b"\xff\xfe odd\n%d" % i
    elif kind < 0.04:
        name = b"-leading %d \\ \"quote\"" % i
    path = os.path.join(os.fsencode(d), name)
    if kind > 0.985:
        os.symlink(rnd.choice([b"../nowhere", b"/etc/hostname", b"t" * 500, name[:40]]), path)
        continue
    if kind > 0.98 and made:
        os.link(rnd.choice(made), path)
        continue
    size = rnd.choice(edges) if rnd.random() < 0.2 else min(int(rnd.expovariate(1 / 12000)), 400000)
    at = rnd.randrange(0, len(noise) - 1)
    data = (noise[at:] + noise[:at])[:size]
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, rnd.choice([0o644, 0o640, 0o600, 0o444, 0o755]))
    os.utime(path, ns=(rnd.randrange(10**18, 2 * 10**18), rnd.randrange(10**18, 2 * 10**18)))
    made.append(path)
for d in reversed(dirs):
    os.utime(d, ns=(10**18 + seed, 10**18 + seed))
