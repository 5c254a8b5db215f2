#!/usr/bin/env python3
"""durability.py DIR...: what durable changes cost, in each directory in turn, three rounds interleaved; medians. Prints one table.

  sqlite     transactions a second of one row each, WAL, synchronous=FULL
  overwrite  random 4 KiB overwrites a second of a 64 MiB file, an fsync after every 16
  nosync     the same without any fsync but one at the end
  save       saves by rename a second: write 60 KB beside, fsync, rename over
  new        files of 60 KB a second: create, write, fsync, close
"""
import os, random, sqlite3, statistics, sys, time

SECONDS = float(os.environ.get("SECONDS", 3))
IMAGE = random.Random(1).randbytes(60000)


def rate(step):
    start, n = time.monotonic(), 0
    while time.monotonic() - start < SECONDS:
        n += step(n)
    return n, start


def sqlite(d):
    db = sqlite3.connect(f"{d}/db", isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=full")
    db.execute("create table if not exists plates(id integer primary key, seen text)")

    def step(n):
        db.execute("insert into plates(seen) values(?)", (f"{n:032}",))
        return 1
    n, start = rate(step)
    db.close()
    return n / (time.monotonic() - start)


def big_file(d):
    path = f"{d}/big"
    if not os.path.exists(path):
        with open(path, "wb") as f:
            for _ in range(64):
                f.write(random.randbytes(1 << 20))
            os.fsync(f.fileno())
    return os.open(path, os.O_RDWR)


def overwrite(d, every=16):
    fd, rnd = big_file(d), random.Random(2)

    def step(n):
        os.pwrite(fd, IMAGE[:4096], rnd.randrange(16384) * 4096)
        if every and n % every == every - 1:
            os.fsync(fd)
        return 1
    n, start = rate(step)
    os.fsync(fd)
    os.close(fd)
    return n / (time.monotonic() - start)


def nosync(d):
    return overwrite(d, 0)


def save(d):
    def step(n):
        with open(f"{d}/document.tmp", "wb", buffering=0) as f:
            f.write(IMAGE)
            os.fsync(f.fileno())
        os.rename(f"{d}/document.tmp", f"{d}/document")
        return 1
    n, start = rate(step)
    return n / (time.monotonic() - start)


def new(d):
    os.makedirs(f"{d}/new", exist_ok=True)
    base = time.monotonic_ns()

    def step(n):
        with open(f"{d}/new/{base}-{n}", "xb", buffering=0) as f:
            f.write(IMAGE)
            os.fsync(f.fileno())
        return 1
    n, start = rate(step)
    return n / (time.monotonic() - start)


def main():
    dirs, works = sys.argv[1:], (sqlite, overwrite, nosync, save, new)
    if not dirs:
        sys.exit(__doc__)
    seen = {(w, d): [] for w in works for d in dirs}
    for _ in range(3):
        for w in works:
            for d in dirs:
                seen[w, d].append(w(d))
    print(f"{'a second':10}" + "".join(f"{d[-24:]:>26}" for d in dirs))
    for w in works:
        medians = [statistics.median(seen[w, d]) for d in dirs]
        print(f"{w.__name__:10}" + "".join(f"{m:17.0f} ({m / medians[0]:5.2f}x)" for m in medians))


main()
