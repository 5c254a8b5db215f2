"""A tree for imports: make DIR SEED FILES, list DIR (what it is, as JSON), same LIST DIR (fails where they differ), part LIST DIR (what is there is right), dates FILE EXPLANATION (its life counts
from its mtime), camera DIR STOP (writes files until STOP exists), whole DIR (none of them is torn)."""
import hashlib, json, os, random, stat, sys


def make(root, seed, files):
    r = random.Random(seed)
    os.makedirs(root, exist_ok=True)
    dirs = [root]
    for d in range(max(3, files // 60)):
        p = os.path.join(r.choice(dirs), f"d{d}" if d % 5 else f"d{d}" + "é" * 100)
        os.mkdir(p)
        dirs.append(p)
    for i in range(files):
        d = r.choice(dirs)
        name = f"{i:05}.jpg" if i % 7 else "n" * 245 + f"{i:010}" if i % 2 else f"odd \n\\{i}\t"
        p = os.fsencode(os.path.join(d, name)) + (b"\xff\x01" if i % 21 == 0 and len(name) < 200 else b"")
        with open(p, "wb") as f:
            f.write(r.randbytes(r.choice([0, 1, 5000, 32768, 60000, 200000])))
        if i % 10 == 0:
            os.setxattr(p, "user.camera", b"lane %d" % i)
        if i % 11 == 0:
            q = os.path.join(r.choice(dirs), f"link{i}")
            os.link(p, q)
            os.link(p, q + "b")
        if os.geteuid() == 0 and i % 3 == 0:
            os.chown(p, r.randrange(60000), r.randrange(60000))
        os.chmod(p, r.choice([0o644, 0o600, 0o444, 0o4755, 0o000]) if os.geteuid() == 0 else 0o644)
        os.utime(p, ns=(r.randrange(10**18), 1790000000 * 10**9 + r.randrange(10**15)))
    with open(os.path.join(root, "large"), "wb") as f:
        f.write(r.randbytes(3 * 2**20 + 17))
    os.utime(os.path.join(root, "large"), (1780000000, 1780000000))
    os.mkfifo(os.path.join(root, "fifo"), 0o640)
    os.symlink("no/where\n", os.path.join(root, "symlink"))
    os.symlink("x" * 4000, os.path.join(root, "long symlink"))
    os.lchown(os.path.join(root, "symlink"), *((7, 8) if os.geteuid() == 0 else (-1, -1)))
    for n, d in enumerate(reversed(dirs[1:])):
        os.setxattr(d, "user.place", b"%d" % n)
        os.chmod(d, r.choice([0o755, 0o700, 0o2775, 0o555, 0o1777]))
        os.utime(d, ns=(10**18 + n, 10**18 + 5 * n + 1))


def listing(root):
    """Times of the root, sizes of directories and when things were read last are no matter."""
    out, inodes = {}, {}
    root = os.fsencode(root)
    todo = [root]
    while todo:
        d = todo.pop()
        for name in os.listdir(d):
            p = os.path.join(d, name)
            s = os.lstat(p)
            rel = os.path.relpath(p, root)
            e = [s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns]
            if stat.S_ISDIR(s.st_mode):
                todo.append(p)
            elif stat.S_ISREG(s.st_mode):
                with open(p, "rb") as f:
                    e += [s.st_size, hashlib.sha256(f.read()).hexdigest(), s.st_nlink]
                inodes.setdefault(s.st_ino, []).append(rel)
            elif stat.S_ISLNK(s.st_mode):
                e += [os.fsdecode(os.readlink(p))]
            if not stat.S_ISLNK(s.st_mode) and not stat.S_ISFIFO(s.st_mode):
                e += [[k, os.getxattr(p, k).decode("latin1")] for k in sorted(os.listxattr(p))]
            out[rel.decode("latin1")] = e
    families = sorted(sorted(n.decode("latin1") for n in v) for v in inodes.values() if len(v) > 1)
    return {"entries": out, "families": families}


def same(path, root):
    want, have = json.load(open(path)), json.loads(json.dumps(listing(root)))
    bad = 0
    for p in sorted(set(want["entries"]) | set(have["entries"])):
        a, b = want["entries"].get(p), have["entries"].get(p)
        if a != b:
            print(repr(p), "was", a, "is", b)
            bad += 1
    if want["families"] != have["families"]:
        print("hard links differ")
        bad += 1
    print(len(want["entries"]), "entries,", len(want["families"]), "files with several names,", bad, "differ")
    return bad == 0


def part(path, root):
    """What is there, is right: its content, if not yet its attributes."""
    want, have, bad = json.load(open(path))["entries"], json.loads(json.dumps(listing(root)))["entries"], 0
    for p, e in have.items():
        w = want.get(p)
        if not w or stat.S_IFMT(w[0]) != stat.S_IFMT(e[0]) or (stat.S_ISREG(e[0]) and (w[:6] != e[:6] or w[7:] != e[7:])):
            print(repr(p), "was", w, "is", e)
            bad += 1
    print(len(have), "of", len(want), "entries are there,", bad, "differ")
    return bad == 0


def dates(path, explanation):
    e, mtime = json.loads(explanation), int(os.stat(path).st_mtime)
    print(e, mtime)
    return mtime == e["basis"] == e["created"]


def camera(root, stop):
    i, grown = 0, open(root + "/grows", "ab", buffering=0)
    while not os.path.exists(stop):
        i += 1
        grown.write(b"%08d" % i)
        with open(f"{root}/lane-{i % 400}.jpg", "wb") as f:
            f.write(b"%08d" % i * 5000)


def whole(root):
    n = 0
    for name in os.listdir(root):
        if name.startswith("lane-"):
            d = open(os.path.join(root, name), "rb").read()
            if d != d[:8] * (len(d) // 8) or len(d) not in (0, 40000):
                print(name, len(d))
                return False
            n += 1
    print(n, "whole")
    return n > 50


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
elif sys.argv[1] == "list":
    json.dump(listing(sys.argv[2]), sys.stdout)
elif sys.argv[1] == "camera":
    camera(*sys.argv[2:])
else:
    sys.exit(0 if {"same": same, "part": part, "dates": dates, "whole": whole}[sys.argv[1]](*sys.argv[2:]) else 1)
