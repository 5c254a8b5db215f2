#!/usr/bin/env python3
"""races.py DIR SECONDS: eight threads that create, read, rename, list, truncate, link and delete the same few names at once. What comes out of a file must be
what somebody wrote there in one go; at the end the tree must be clean enough to delete."""
import errno, os, random, shutil, sys, threading, time

root, seconds = sys.argv[1], float(sys.argv[2])
dirs = [os.path.join(root, d) for d in ("a", "b", "c")]
for d in dirs:
    os.makedirs(d, exist_ok=True)
names = [f"{i}.jpg" for i in range(6)] + ["l" * 220]
fine = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.ESTALE, errno.EINVAL, errno.ELOOP}
end = time.monotonic() + seconds
problems = []
counts = [0] * 8


def work(k):
    rnd = random.Random(k)
    while time.monotonic() < end and not problems:
        p, q = (os.path.join(rnd.choice(dirs), rnd.choice(names)) for _ in "pq")
        try:
            op = rnd.randrange(10)
            if op < 3:
                byte = bytes([rnd.randrange(1, 256)])
                with open(p + f".{k}", "wb", buffering=0) as f:
                    f.write(byte * rnd.choice([1, 5000, 32768, 70000, 200000]))
                os.rename(p + f".{k}", p)
            elif op < 6:
                with open(p, "rb", buffering=0) as f:
                    data = f.read()
                    if data and data.count(data[0]) != len(data):
                        problems.append(f"{p}: a mixture of {set(data)}")
            elif op == 6:
                os.rename(p, q)
            elif op == 7:
                for name in os.listdir(rnd.choice(dirs)):
                    pass
                os.stat(p)
            elif op == 8:
                os.unlink(p)
            else:
                d = os.path.join(rnd.choice(dirs), f"dir{rnd.randrange(3)}")
                rnd.choice([os.mkdir, os.rmdir])(d)
                e = os.path.join(rnd.choice(dirs), f"dir{rnd.randrange(3)}")
                if rnd.random() < 0.5:
                    os.rename(d, e)
            counts[k] += 1
        except OSError as e:
            if e.errno not in fine:
                problems.append(f"{p} -> {q}: {e}")


threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
for d in dirs:
    shutil.rmtree(d)
if problems or os.listdir(root):
    sys.exit("\n".join(problems[:5]) or f"left: {os.listdir(root)}")
print(sum(counts), "operations")
