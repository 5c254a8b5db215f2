#!/usr/bin/env python3
"""load.py REFERENCE MOUNT SEED STEPS PROCESSES: the operations of differential.py by many processes at once, each in a tree of its own, on a plain directory and
then on the mount: every process sees the same, and leaves the same tree. Between them they use one tree together, where a file always holds what somebody wrote
in one go, and every name that stays is listed."""
import errno, hashlib, os, random, shutil, sys

import differential
from fsx import together

FINE = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.EMLINK}


def shared(root, r, k):
    """One operation in the tree that all use."""
    d, e = (os.path.join(root, r.choice("abc")) for _ in "de")
    p, q = os.path.join(d, f"{r.randrange(6)}.jpg"), os.path.join(e, f"{r.randrange(6)}" + "l" * 200)
    op = r.randrange(10)
    try:
        if op < 3:
            with open(f"{p}.{k}", "wb", buffering=0) as f:
                f.write(bytes([r.randrange(1, 256)]) * r.choice([1, 5000, 32768, 70000]))
            os.rename(f"{p}.{k}", r.choice([p, q]))
        elif op < 6:
            with open(r.choice([p, q]), "rb", buffering=0) as f:
                data = f.read()
                if data and data.count(data[0]) != len(data):
                    raise AssertionError(f"{p}: a mixture of {set(data)}")
        elif op == 6:
            names = os.listdir(d)
            if len(set(names)) != len(names) or "stays" not in names:
                raise AssertionError(f"{d}: {len(names)} names, {len(set(names))} of them different, 'stays' is {'there' if 'stays' in names else 'missing'}")
        elif op == 7:
            os.link(p, q)
        elif op == 8:
            os.unlink(r.choice([p, q]))
        else:
            r.choice([os.mkdir, os.rmdir, lambda x: os.rename(x, os.path.join(e, "sub1"))])(os.path.join(d, f"sub{r.randrange(2)}"))
    except OSError as x:
        if x.errno not in FINE:
            raise


def work(k, root, seed, steps, can):
    own = os.path.join(root, str(k))
    os.umask(0o022)
    os.setgroups([])
    side, r, digest = differential.Side(own, True, can), random.Random(f"{seed} shared {k}"), hashlib.sha256()
    for n in range(steps):
        s = differential.Step(f"{seed} load {k}", n, 32768).settle(own)
        os.setegid(s.user)
        os.seteuid(s.user)
        digest.update(repr((str(s), side.run(s))).encode())
        os.seteuid(0)
        os.setegid(0)
        if n % 3 == 0:
            shared(os.path.join(root, "shared"), r, k)
        if n % 50 == 0 or n == steps - 1:
            with open(os.path.join(root, f"digests.{k}"), "a") as f:
                print(n, digest.hexdigest(), file=f)
    with open(os.path.join(root, f"digests.{k}"), "a") as f:
        print("the end", file=f)


def main():
    roots, (seed, steps, processes) = sys.argv[1:3], map(int, sys.argv[3:6])
    can = differential.abilities(roots[1])
    bad = 0
    for root in roots:
        for k in range(processes):
            os.mkdir(os.path.join(root, str(k)))
            differential.begin([os.path.join(root, str(k))])
        for d in "abc":
            os.makedirs(os.path.join(root, "shared", d))
            open(os.path.join(root, "shared", d, "stays"), "w").close()
        bad += together(lambda k: work(k, root, seed, steps, can), processes)
    for k in range(processes):
        a, b = (open(os.path.join(r, f"digests.{k}")).read().split("\n") for r in roots)
        for x, y in zip(a, b):
            if x != y:
                print(f"seed {seed}: process {k} saw something else before step {x.split()[0]}")
                bad += 1
                break
        try:
            differential.compare_trees([os.path.join(r, str(k)) for r in roots], True)
        except differential.Failure as e:
            print(f"seed {seed}, process {k}: {e}")
            bad += 1
    if bad:
        sys.exit(f"seed {seed}: {bad} failures")
    for root in roots:  # what is left can be deleted
        for x in os.listdir(root):
            p = os.path.join(root, x)
            shutil.rmtree(p) if os.path.isdir(p) else os.unlink(p)


if __name__ == "__main__":
    main()
