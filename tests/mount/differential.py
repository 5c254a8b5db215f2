#!/usr/bin/env python3
"""differential.py REFERENCE MOUNT SEED FIRST LAST [BLOCK]: the steps FIRST to LAST-1 of the random sequence SEED, on a plain directory and on the mount. Two
processes, as three users, with several handles and mappings each; every result, errno, attribute and byte must agree. A sequence may be interrupted
(for a remount) and taken up again, without its handles. A step is a function of seed, number and BLOCK, the block size whose edges are sought.
On failure the steps are tried again without most of them, and those that still fail are printed."""
import copy, ctypes, errno, mmap, multiprocessing, os, random, shutil, stat, sys, time

libc = ctypes.CDLL(None, use_errno=True)
NOISE = random.Random(0).randbytes(1 << 20)
DIRS = ["d", "e", "D" * 180]
NAMES = ["a", "b", "c.jpg", "d.part", "n" * 200, "z" * 255, "l" * 161, "ü" * 100, "e e"]
USERS = [0, 0, 30001, 30002]
SLOTS, MAPS = 5, 2
OPEN_FLAGS = [os.O_RDONLY, os.O_RDWR, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL,
              os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_RDWR | os.O_TRUNC, os.O_RDWR | os.O_CREAT | os.O_APPEND, os.O_RDONLY | os.O_NOFOLLOW,
              os.O_RDWR | os.O_CREAT | os.O_SYNC, os.O_RDONLY | os.O_DIRECTORY]
OPS = {"open": 12, "close": 3, "pwrite": 12, "write": 5, "pread": 6, "ftruncate": 5, "truncate": 4, "fallocate": 3, "fsync": 2, "map": 4, "map_write": 8, "map_read": 4,
       "unmap": 2, "rename": 8, "noreplace": 2, "exchange": 4, "link": 5, "symlink": 3, "readlink": 2, "unlink": 7, "mkdir": 5, "rmdir": 3, "fifo": 1, "chmod": 4,
       "chown": 2, "utime": 3, "stat": 3, "fstat": 3, "access": 2, "list": 3, "setxattr": 3, "getxattr": 2, "listxattr": 1, "removexattr": 1, "copy": 3, "tmpfile": 2,
       "sync": 1, "replace": 3}

# How often the two paths of an operation are those of something that is there.
EXISTING = {"open": (.7, 0), "truncate": (.9, 0), "sync": (.8, 0), "rename": (.8, .3), "noreplace": (.9, .2), "exchange": (.9, .9), "link": (.9, .1), "readlink": (.8, 0),
            "unlink": (.5, 0), "chmod": (.9, 0), "chown": (.9, 0), "utime": (.9, 0), "stat": (.8, 0), "access": (.9, 0), "list": (.9, 0), "setxattr": (.9, 0),
            "getxattr": (.9, 0), "listxattr": (.9, 0), "removexattr": (.9, 0), "replace": (.5, 0)}


class Step:
    """All that is random about a step."""
    def __init__(self, seed, n, block):
        r = random.Random(f"{seed} {n}")
        self.n = n
        self.actor, self.user = r.randrange(2), r.choice(USERS)
        self.op = r.choices(list(OPS), list(OPS.values()))[0]
        self.p, self.q = self.path(r), self.path(r)
        if self.op in ("mkdir", "rmdir") and r.randrange(4):
            self.p = os.path.join(os.path.dirname(self.p), r.choice(DIRS))
        self.there = [r.randrange(1 << 16) if r.random() < x else None for x in EXISTING.get(self.op, (0, 0))]
        self.slot, self.slot2, self.map = r.randrange(SLOTS), r.randrange(SLOTS), r.randrange(MAPS)
        self.off, self.off2, self.size = self.edge(r, block), self.edge(r, block), self.edge(r, block)
        self.flags = r.choice(OPEN_FLAGS)
        self.mode = r.choice([0o644, 0o600, 0o755, 0o777, 0o666, 0o400, 0o4755, 0o2775, 0o1777, 0])
        self.key = r.choice(["user.a", "user.comment", "user." + "k" * 100])
        self.pick = r.randrange(1 << 16)

    @staticmethod
    def path(r):
        return "/".join([r.choice(DIRS) for _ in range(r.choice([0, 0, 1, 1, 2]))] + [r.choice(NAMES if r.randrange(12) else DIRS)])

    @staticmethod
    def edge(r, block):
        kind = r.randrange(4)
        if kind == 0:
            return r.choice([0, 1, 100, 777, 4095, 4096, 4097])
        if kind == 1:
            return r.randrange(6 * block)
        return max(0, r.randrange(7) * block + r.choice([-1, 0, 1, -5, 5, -4096, 4096]))

    def settle(self, root):
        """The same with its paths chosen among what is below root."""
        s = copy.copy(self)
        if any(x is not None for x in self.there):
            every = sorted(os.path.relpath(os.path.join(path, x), root) for path, ds, fs in os.walk(root) for x in ds + fs)
            few = [x for x in every if s.op != "readlink" or os.path.islink(os.path.join(root, x))]
            s.p, s.q = (few[x % len(few)] if x is not None and few else old for x, old in zip(self.there, (s.p, s.q)))
            s.there = [None, None]
        return s

    def data(self):
        at = self.n * 7919 % (len(NOISE) // 2)
        return NOISE[at:at + min(self.size, len(NOISE) // 2)]

    def __str__(self):
        short = lambda p: "/".join(x if len(x) < 9 else f"{x[0]}*{len(x)}" for x in p.split("/"))
        return (f"{self.n}: {self.op} by {self.actor} as {self.user}: {short(self.p)} {short(self.q)} slots {self.slot} {self.slot2} map {self.map} "
                f"off {self.off} {self.off2} size {self.size} flags {self.flags:#o} mode {self.mode:o}")


def failing(e):
    return "errno " + errno.errorcode.get(e.errno, str(e.errno))


def renameat2(old, new, flags):
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def attributes(s, times):
    """What must agree: times only where they were set, for what is stamped now differs."""
    kind = stat.S_IFMT(s.st_mode)
    old = lambda t: t if t < 10**18 else "now"
    return (kind, stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid, s.st_nlink, s.st_size if kind != stat.S_IFDIR else 0,
            old(s.st_mtime_ns) if times and kind == stat.S_IFREG else 0)


def summary(p, times):
    try:
        s = os.lstat(p)
    except OSError as e:
        return failing(e)
    return attributes(s, times) + ((os.readlink(p),) if stat.S_ISLNK(s.st_mode) else ())


class Side:
    """One of the two roots, as one of the processes uses it."""
    def __init__(self, root, flush, can):
        self.root, self.flush, self.can = root, flush, can
        self.fds, self.maps = [None] * SLOTS, [None] * MAPS

    def path(self, p):
        return os.path.join(self.root, p)

    def fd(self, slot):
        there = [x for x in self.fds if x is not None]
        if not there:
            raise OSError(errno.EBADF, "")
        return there[slot % len(there)]

    def put(self, slot, fd):
        if self.fds[slot] is not None:
            os.close(self.fds[slot])
        self.fds[slot] = fd
        return "opened"

    def mapped(self, s):
        """The mapping and as much of the step's range in it as lies inside the file now."""
        there = [x for x in self.maps if x]
        if not there:
            raise OSError(errno.EBADF, "")
        m = there[s.map % len(there)]
        end = min(os.fstat(m[1]).st_size, len(m[0]))
        at = s.off % end if end else 0
        return m[0], at, min(at + len(s.data()), end)

    def run(self, s):
        try:
            v = getattr(self, "op_" + s.op)(s, self.path(s.p), self.path(s.q))
        except OSError as e:
            v = failing(e)
        return v, summary(self.path(s.p), self.flush), summary(self.path(s.q), self.flush)

    def op_open(self, s, p, q):
        if "fifo" not in self.can and os.path.exists(p) and stat.S_ISFIFO(os.stat(p).st_mode):
            return
        return self.put(s.slot, os.open(p, s.flags | os.O_NONBLOCK, s.mode))

    def op_close(self, s, p, q):
        self.put(s.slot, None)

    def op_pwrite(self, s, p, q):
        return os.pwrite(self.fd(s.slot), s.data(), s.off)

    def op_write(self, s, p, q):
        fd = self.fd(s.slot)
        os.lseek(fd, 0, os.SEEK_END if s.pick % 2 else os.SEEK_CUR)
        return os.write(fd, s.data()[:5000])

    def op_pread(self, s, p, q):
        return os.pread(self.fd(s.slot), s.size + 1, s.off)

    def op_ftruncate(self, s, p, q):
        os.ftruncate(self.fd(s.slot), s.off)

    def op_truncate(self, s, p, q):
        os.truncate(p, s.off)

    def op_fallocate(self, s, p, q):
        fd = self.fd(s.slot)
        if libc.fallocate(fd, s.pick % 2, ctypes.c_int64(s.off), ctypes.c_int64(s.size)):
            raise OSError(ctypes.get_errno(), "")
        return os.fstat(fd).st_size

    def op_fsync(self, s, p, q):
        (os.fsync if s.pick % 2 else os.fdatasync)(self.fd(s.slot))

    def op_sync(self, s, p, q):
        fd = os.open(p, os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def op_map(self, s, p, q):
        fd = os.dup(self.fd(s.slot))
        try:
            m = mmap.mmap(fd, os.fstat(fd).st_size or 1)
        except (OSError, ValueError) as e:
            os.close(fd)
            return type(e).__name__
        self.op_unmap(s, p, q)
        self.maps[s.map] = (m, fd)

    def op_unmap(self, s, p, q):
        if self.maps[s.map]:
            self.maps[s.map][0].close()
            os.close(self.maps[s.map][1])
            self.maps[s.map] = None

    def op_map_write(self, s, p, q):
        m, at, end = self.mapped(s)
        m[at:end] = s.data()[:end - at]
        if self.flush:
            m.flush()
        return end - at

    def op_map_read(self, s, p, q):
        m, at, end = self.mapped(s)
        return m[at:end]

    def op_rename(self, s, p, q):
        os.rename(p, q)

    def op_noreplace(self, s, p, q):
        renameat2(p, q, 1)

    def op_exchange(self, s, p, q):
        if "exchange" not in self.can and (os.path.islink(p) or os.path.islink(q)):
            return
        renameat2(p, q, 2)

    def op_link(self, s, p, q):
        if "link" not in self.can and os.path.islink(p):
            return
        os.link(p, q, follow_symlinks=False)

    def op_symlink(self, s, p, q):
        os.symlink(s.q[:60], p)

    def op_readlink(self, s, p, q):
        return os.readlink(p)

    def op_unlink(self, s, p, q):
        os.unlink(p)

    def op_mkdir(self, s, p, q):
        os.mkdir(p, s.mode | 0o700)

    def op_rmdir(self, s, p, q):
        os.rmdir(p)

    def op_fifo(self, s, p, q):
        os.mkfifo(p, s.mode)

    def op_chmod(self, s, p, q):
        os.fchmod(self.fd(s.slot), s.mode) if s.pick % 3 == 0 else os.chmod(p, s.mode)

    def op_chown(self, s, p, q):
        os.lchown(p, USERS[s.pick % 4], USERS[s.pick // 4 % 4])

    def op_utime(self, s, p, q):
        os.utime(p, ns=(s.n * 10**9 + 5, s.n * 10**9 + 123456789))

    def op_stat(self, s, p, q):
        return attributes(os.stat(p), self.flush)

    def op_fstat(self, s, p, q):
        return attributes(os.fstat(self.fd(s.slot)), self.flush)

    def op_access(self, s, p, q):
        return [os.access(p, m, effective_ids=True) for m in (os.R_OK, os.W_OK, os.X_OK)]

    def op_list(self, s, p, q):
        return sorted((x.name, x.is_dir(follow_symlinks=False), x.is_symlink()) for x in os.scandir(p if s.pick % 2 else os.path.dirname(p)))

    def op_setxattr(self, s, p, q):
        os.setxattr(p, s.key, s.data()[:300], s.pick % 3)

    def op_getxattr(self, s, p, q):
        return os.getxattr(p, s.key)

    def op_listxattr(self, s, p, q):
        return sorted(x for x in os.listxattr(p) if x.startswith("user."))

    def op_removexattr(self, s, p, q):
        os.removexattr(p, s.key)

    def op_copy(self, s, p, q):
        a, b, done = self.fd(s.slot), self.fd(s.slot2), 0
        if os.path.sameopenfile(a, b):
            return
        n = min(s.size, max(0, os.fstat(a).st_size - s.off)) if stat.S_ISREG(os.fstat(a).st_mode) else s.size
        while done < n and (k := os.copy_file_range(a, b, n - done, s.off + done, s.off2 + done)):
            done += k
        return done

    def op_tmpfile(self, s, p, q):
        if "tmpfile" not in self.can:
            return
        fd = os.open(os.path.dirname(p), os.O_TMPFILE | os.O_RDWR, s.mode)
        try:
            os.write(fd, s.data())
            if s.pick % 2:
                os.link(f"/proc/self/fd/{fd}", p, follow_symlinks=True)
        finally:
            self.put(s.slot, fd)

    def op_replace(self, s, p, q):
        """As editors save."""
        fd = os.open(p + ".new"[:255 - len(os.path.basename(os.fsencode(p)))], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, s.mode)
        try:
            os.write(fd, s.data())
            if s.pick % 2:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(p + ".new"[:255 - len(os.path.basename(os.fsencode(p)))], p)


def actor(roots, flush, can, pipe):
    """One of the two processes: steps come in, what they gave on the two sides goes out."""
    os.umask(0o022)
    os.setgroups([])
    sides = [Side(r, flush, can) for r in roots]
    while s := pipe.recv():
        out = []
        for side in sides:
            os.setegid(s.user)
            os.seteuid(s.user)
            out.append(side.run(s))
            os.seteuid(0)
            os.setegid(0)
        pipe.send(out)


def tree(root, times):
    """Everything below root, with what is in it."""
    out = {}
    for path, ds, fs in os.walk(root):
        for x in ds + fs:
            p = os.path.join(path, x)
            v = summary(p, times)
            xattrs = {k: os.getxattr(p, k) for k in os.listxattr(p) if k.startswith("user.")} if v[0] in (stat.S_IFREG, stat.S_IFDIR) else {}
            out[os.path.relpath(p, root)] = (v, xattrs, open(p, "rb").read() if v[0] == stat.S_IFREG else None)
    return out


class Failure(Exception):
    """What differs; `steps` are those that led there."""
    steps = []


def compare_trees(roots, flush):
    a, b = (tree(r, flush) for r in roots)
    for p in sorted({**a, **b}):
        x, y = a.get(p), b.get(p)
        if x != y:
            where = ""
            if x and y and x[2] != y[2]:
                where = f"content differs at {next((i for i, (c, d) in enumerate(zip(x[2], y[2])) if c != d), 'the end')}: "
            raise Failure(f"the trees differ in {p[-60:]!r}: {where}plain {str(x)[:200]}, mount {str(y)[:200]}")


def run(roots, steps, flush, can):
    """The steps, in two new processes; Failure says what differs."""
    pipes, processes, done = [], [], []
    for _ in range(2):
        ours, theirs = multiprocessing.Pipe()
        processes.append(multiprocessing.Process(target=actor, args=(roots, flush, can, theirs)))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        for k, s in enumerate(steps):
            s = s.settle(roots[0])
            done.append(s)
            pipes[s.actor].send(s)
            if not pipes[s.actor].poll(60):
                raise Failure(f"step {s}: nothing for 60 s")
            try:
                a, b = pipes[s.actor].recv()
            except EOFError:
                raise Failure(f"step {s}: the process has ended")
            if a != b:
                raise Failure(f"step {s}: plain {str(a)[:300]}, mount {str(b)[:300]}")
            if k % 200 == 199:
                compare_trees(roots, flush)
        compare_trees(roots, flush)
    except Failure as e:
        e.steps = done
        raise
    finally:
        for pipe, p in zip(pipes, processes):
            try:
                pipe.send(None)
            except OSError:
                pass
            p.join(20)
    compare_trees(roots, flush)


def deleted_fifo(p):
    os.mkfifo(p)
    fd = os.open(p, os.O_RDONLY | os.O_NONBLOCK)
    os.unlink(p)
    try:
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)


def abilities(root):
    """What is refused on the mount and left out: see posix/deviations.py."""
    can, (a, b) = set(), (os.path.join(root, x) for x in "xy")
    os.symlink("x", a)
    for what, fn in (("link", lambda: (os.link(a, b, follow_symlinks=False), os.unlink(b))), ("exchange", lambda: (os.symlink("y", b), renameat2(a, b, 2))),
                     ("tmpfile", lambda: os.close(os.open(root, os.O_TMPFILE | os.O_RDWR))), ("fifo", lambda: deleted_fifo(os.path.join(root, "z")))):
        try:
            fn()
            can.add(what)
        except OSError:
            pass
    for p in (a, b):
        if os.path.lexists(p):
            os.unlink(p)
    return can


def begin(roots):
    for r in roots:
        os.chmod(r, 0o777)
        for d in ("d", "e", "d/e"):
            os.mkdir(os.path.join(r, d))
            os.chmod(os.path.join(r, d), 0o777)


def shrink(roots, steps, flush, can, seconds):
    """Fewer steps that fail as well."""
    end, size, tries = time.monotonic() + seconds, len(steps) // 2, 0
    why = None
    while size and time.monotonic() < end:
        k = 0
        while k < len(steps) and time.monotonic() < end:
            fewer, tries = steps[:k] + steps[k + size:], tries + 1
            here = [os.path.join(r, f"again{tries}") for r in roots]
            for h in here:
                os.mkdir(h)
            begin(here)
            try:
                run(here, fewer, flush, can)
                k += size
            except Failure as e:
                steps, why = e.steps, e
            for h in here:
                shutil.rmtree(h, ignore_errors=True)
        size //= 2
    return steps, why


def main():
    roots, (seed, first, last) = sys.argv[1:3], map(int, sys.argv[3:6])
    block = int(sys.argv[6]) if len(sys.argv) > 6 else 32768
    flush = seed % 2 == 0  # what is written through mappings is flushed at once, and times are compared; or neither
    steps = [Step(seed, n, block) for n in range(first, last)]
    if first == 0:
        begin(roots)
    can = abilities(roots[1])
    try:
        run(roots, steps, flush, can)
    except Failure as e:
        print(f"seed {seed}, block {block}: {e}")
        if first == 0:
            print("shrinking…", flush=True)
            steps, why = shrink(roots, e.steps, flush, can, float(os.environ.get("SHRINK", "20")))
            print(f"{why}\nby the {len(steps)} steps:", *steps, sep="\n")
        sys.exit(1)


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    main()
