#!/usr/bin/env python3
"""fsx.py DIR SEED STEPS PROCESSES: that many processes, first each on a file of its own (any operation), then all on one file (each on stripes of its own, which
do not care for blocks or pages). Whatever is read must be what the process wrote there; what is printed on failure repeats it."""
import ctypes, mmap, os, random, sys

libc = ctypes.CDLL(None, use_errno=True)
LARGEST = 400000
NOISE = random.Random(0).randbytes(2 * LARGEST)
EDGES = [k * 32768 + d for k in range(1, 9) for d in (-1, 0, 1)] + [k * 4096 + d for k in range(1, 6) for d in (-1, 0, 1)]


class Wrong(Exception):
    pass


def check(what, got, want):
    if bytes(got) != bytes(want):
        at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        raise Wrong(f"{what}: {len(got)} bytes for {len(want)}, the first that differs is {at}: {bytes(got[at:at + 8]).hex()} for {bytes(want[at:at + 8]).hex()}")


class File:
    """A file, and what must be in it."""
    def __init__(self, path, r):
        self.path, self.r, self.model = path, r, bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self.map = None

    def place(self, most):
        return min(self.r.choice(EDGES) if self.r.randrange(3) else self.r.randrange(most + 1), most)

    def noise(self):
        n = self.place(self.r.choice([10, 5000, 70000]))
        at = self.r.randrange(LARGEST)
        return NOISE[at:at + n]

    def put(self, off, data):
        if off > len(self.model):
            self.model.extend(bytes(off - len(self.model)))
        self.model[off:off + len(data)] = data

    def do_write(self):
        off, data = self.place(LARGEST - 70000), self.noise()
        if data:
            os.pwrite(self.fd, data, off)
            self.put(off, data)

    def do_append(self):
        data = self.noise()[:LARGEST - len(self.model)]
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, data)
        os.close(fd)
        self.put(len(self.model), data)

    def do_read(self):
        off, n = self.place(len(self.model) + 10), self.place(100000)
        check(f"read {off} {n}", os.pread(self.fd, n, off), self.model[off:off + n])

    def do_truncate(self):
        n = self.place(LARGEST)
        os.ftruncate(self.fd, n) if self.r.randrange(2) else os.truncate(self.path, n)
        self.unmap()
        self.model[n:] = bytes(max(0, n - len(self.model)))

    def do_allocate(self):
        off, n, keep = self.place(LARGEST - 70000), 1 + self.place(60000), self.r.randrange(2)
        if libc.fallocate(self.fd, keep, ctypes.c_int64(off), ctypes.c_int64(n)):
            raise OSError(ctypes.get_errno(), "fallocate")
        if not keep and off + n > len(self.model):
            self.put(off + n, b"")

    def unmap(self):
        if self.map:
            self.map.close()
        self.map = None

    def mapped(self):
        if not self.map and self.model:
            self.map = mmap.mmap(self.fd, len(self.model))
        return self.map

    def do_map_write(self):
        m = self.mapped()
        if m:
            off = self.place(len(m) - 1)
            data = self.noise()[:len(m) - off]
            m[off:off + len(data)] = data
            self.put(off, data)
            if self.r.randrange(4) == 0:
                m.flush()

    def do_map_read(self):
        m = self.mapped()
        if m:
            off, n = self.place(len(m) - 1), self.place(50000)
            check(f"mapping {off} {n}", m[off:off + n], self.model[off:min(off + n, len(m))])

    def do_sync(self):
        self.r.choice([os.fsync, os.fdatasync])(self.fd)

    def do_reopen(self):
        self.unmap()
        os.close(self.fd)
        if self.r.randrange(8) == 0:
            self.model.clear()
            self.fd = os.open(self.path, os.O_RDWR | os.O_TRUNC)
        else:
            self.fd = os.open(self.path, os.O_RDWR)

    def do_rename(self):
        other = self.path.removesuffix(".moved") if self.path.endswith(".moved") else self.path + ".moved"
        os.rename(self.path, other)
        self.path = other

    def do_copy(self):
        n, src = self.place(30000), self.place(len(self.model))
        dst = min(src + n + self.place(30000), LARGEST - n)
        n = min(n, len(self.model) - src, max(0, dst - src))
        done = 0
        while done < n and (k := os.copy_file_range(self.fd, self.fd, n - done, src + done, dst + done)):
            done += k
        if n:
            self.put(dst, self.model[src:src + n])

    def do_stat(self):
        if os.fstat(self.fd).st_size != len(self.model) or os.stat(self.path).st_size != len(self.model):
            raise Wrong(f"size {os.fstat(self.fd).st_size} for {len(self.model)}")

    def verify(self):
        with open(self.path, "rb") as f:
            check("the whole", f.read(), self.model)


WEIGHTS = dict(write=12, append=3, read=10, truncate=4, allocate=2, map_write=8, map_read=6, sync=1, reopen=2, rename=1, copy=3, stat=4)


def own(k, path, seed, steps):
    """One process on its own file."""
    r = random.Random(f"{seed} own {k}")
    f, log = File(f"{path}/own{k}", r), []
    try:
        for n in range(steps):
            log.append(r.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])
            getattr(f, "do_" + log[-1])()
        f.verify()
        f.unmap()
        os.close(f.fd)
        f.verify()
    except (Wrong, OSError) as e:
        raise Wrong(f"own file {k}, step {len(log) - 1}: {e}; after {' '.join(log[-12:])}")


def same(k, path, seed, steps, processes):
    """One process of those on the same file: its stripes are those whose number is k modulo the number of processes."""
    r, size = random.Random(f"{seed} same {k}"), 300000
    stripes = [(at, r.randrange(300, 1009)) for at in range(k * 1009, size - 1009, processes * 1009)]
    fd = os.open(f"{path}/same", os.O_RDWR)
    m = mmap.mmap(fd, size)
    model = {at: bytes(1009) for at, _ in stripes}
    for n in range(steps):
        at, part = r.choice(stripes)
        data = NOISE[r.randrange(LARGEST):][:1009]
        how = r.randrange(6)
        if how < 2:
            os.pwrite(fd, data, at)
            model[at] = data
        elif how == 2:
            m[at:at + part] = data[:part]
            model[at] = data[:part] + model[at][part:]
        elif how == 3:
            check(f"same file, process {k}, step {n}, mapping {at}", m[at:at + 1009], model[at])
        else:
            check(f"same file, process {k}, step {n}, read {at}", os.pread(fd, 1009, at), model[at])
        if r.randrange(100) == 0:
            os.fsync(fd)
    m.flush()
    m.close()
    os.close(fd)
    with open(f"{path}/same", "rb") as f:
        whole = f.read()
    for at, want in model.items():
        check(f"same file, process {k}, at the end, {at}", whole[at:at + 1009], want)


def together(fn, processes):
    pids = []
    for k in range(processes):
        pid = os.fork()
        if not pid:
            try:
                fn(k)
                os._exit(0)
            except BaseException as e:
                print(f"{type(e).__name__}: {e}", flush=True)
                os._exit(1)
        pids.append(pid)
    return sum(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) != 0 for p in pids)


def main():
    path, seed, steps, processes = sys.argv[1], *map(int, sys.argv[2:5])
    with open(f"{path}/same", "wb") as f:
        f.truncate(300000)
    bad = together(lambda k: own(k, path, seed, steps), processes) + together(lambda k: same(k, path, seed, steps, processes), processes)
    if bad:
        sys.exit(f"seed {seed}: {bad} processes failed")


if __name__ == "__main__":
    main()
