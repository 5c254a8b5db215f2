#!/usr/bin/env python3
"""differential.py REFERENCE MOUNT STEPS SEED: the same random operations on a plain directory and on the mount; every result, errno and byte must agree."""
import ctypes, errno, mmap, os, random, stat, sys

ref, mnt, steps, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rnd = random.Random(seed)
noise = rnd.randbytes(1 << 19)
names = ["a", "b", "c.jpg", "d.part", "n" * 200, "z" * 255, "m" * 160, "l" * 161, "ü" * 100, "e e"]
libc = ctypes.CDLL(None, use_errno=True)
dirs = [""]
handles = []  # pairs of descriptors
sizes = [0, 1, 100, 4096, 32767, 32768, 32769, 50000, 65536, 131072, 200001]


def path():
    d = rnd.choice(dirs)
    return os.path.join(d, rnd.choice(names)) if d else rnd.choice(names)


def renameat2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags):
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def in_child(fn):
    """What fn does in another process: 0, or its errno."""
    pid = os.fork()
    if not pid:
        try:
            fn()
            os._exit(0)
        except OSError as e:
            os._exit(e.errno)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(status, os.strerror(status))


def map_write(fd, off, data):
    """Through a shared mapping, inside the file."""
    size = os.fstat(fd).st_size
    if size == 0:
        return 0
    off %= size
    data = data[:size - off]
    with mmap.mmap(fd, size) as m:
        m[off:off + len(data)] = data
        m.flush()
    return len(data)


def both(what, fn):
    out = []
    for root in (ref, mnt):
        try:
            out.append(fn(root))
        except OSError as e:
            out.append(("errno", errno.errorcode.get(e.errno, e.errno)))
    a, b = out
    if a != b and not (isinstance(a, tuple) and a and a[0] == "fd" and isinstance(b, tuple) and b and b[0] == "fd"):
        sys.exit(f"seed {seed}, {what}: plain {str(a)[:200]!r}, mount {str(b)[:200]!r}")
    return a, b


def summary(p):
    s = os.lstat(p)
    kind = stat.S_IFMT(s.st_mode)
    size = s.st_size if kind != stat.S_IFDIR else 0
    nlink = s.st_nlink if kind != stat.S_IFDIR else 0
    target = os.readlink(p) if kind == stat.S_IFLNK else ""
    return kind, stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid, size, nlink, target


def step(n):
    global dirs
    op = rnd.choice(["open", "open", "open", "write", "write", "write", "read", "read", "pread", "truncate", "ftruncate", "rename", "rename", "unlink",
                     "mkdir", "rmdir", "symlink", "link", "link", "chmod", "utime", "stat", "list", "close", "close", "fsync", "xattr", "append", "chown",
                     "rename2", "rename2", "mmap", "fallocate", "child", "sync"])
    p, q = path(), path()
    data = noise[(o := rnd.randrange(len(noise) - 210000)):o + rnd.choice(sizes)]
    off = rnd.choice(sizes + [300000])
    j = lambda root, x: os.path.join(root, x)
    what = f"step {n}: {op} {p[-20:]!r} {q[-20:]!r} off {off} len {len(data)}"
    if op == "open":
        flags = rnd.choice([os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL,
                            os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_RDWR | os.O_TRUNC, os.O_RDWR | os.O_CREAT | os.O_APPEND])
        mode = rnd.choice([0o644, 0o600, 0o755, 0o400])
        a, b = both(what, lambda r: ("fd", os.open(j(r, p), flags, mode)))
        if a[0] == "fd":
            handles.append((a[1], b[1]))
            if len(handles) > 20:
                for fd in handles.pop(0):
                    os.close(fd)
    elif op in ("write", "read", "pread", "ftruncate", "close", "fsync", "append", "mmap", "fallocate"):
        if not handles:
            return
        k = rnd.randrange(len(handles))
        fd = dict(zip((ref, mnt), handles[k]))
        if op == "write":
            both(what, lambda r: os.pwrite(fd[r], data, off))
        elif op == "append":
            both(what, lambda r: (os.lseek(fd[r], 0, os.SEEK_END), os.write(fd[r], data[:777])))
        elif op == "read":
            both(what, lambda r: (os.lseek(fd[r], 0, os.SEEK_SET), os.read(fd[r], 400000)))
        elif op == "pread":
            both(what, lambda r: os.pread(fd[r], rnd_len, off) if (rnd_len := len(data)) else b"")
        elif op == "ftruncate":
            both(what, lambda r: os.ftruncate(fd[r], off))
        elif op == "fsync":
            both(what, lambda r: os.fsync(fd[r]))
        elif op == "mmap":
            both(what, lambda r: map_write(fd[r], off, data))
        elif op == "fallocate":
            both(what, lambda r: (os.posix_fallocate(fd[r], off, len(data) + 1), os.fstat(fd[r]).st_size))
        else:
            for f in handles.pop(k):
                os.close(f)
    elif op == "truncate":
        both(what, lambda r: os.truncate(j(r, p), off))
    elif op == "rename":
        both(what, lambda r: os.rename(j(r, p), j(r, q)))
        dirs = [d for d in dirs if os.path.isdir(j(ref, d))]
        if q not in dirs and os.path.isdir(j(ref, q)) and not os.path.islink(j(ref, q)) and q.count("/") < 4:
            dirs.append(q)
    elif op == "rename2":
        flag = rnd.choice([1, 2])  # NOREPLACE, EXCHANGE
        what += f" flag {flag}"
        if flag == 2 and (os.path.islink(j(ref, p)) or os.path.islink(j(ref, q))):
            return  # a symlink is sealed for its one place; README says so
        both(what, lambda r: renameat2(j(r, p), j(r, q), flag))
        dirs = [d for d in dirs if os.path.isdir(j(ref, d))]
        for x in (p, q):
            if x not in dirs and os.path.isdir(j(ref, x)) and not os.path.islink(j(ref, x)) and x.count("/") < 4:
                dirs.append(x)
    elif op == "child":
        def act(r):
            with open(j(r, p), "ab", buffering=0) as f:  # beside the handles that we have
                f.write(data)
            os.rename(j(r, p), j(r, q))
        if os.path.isdir(j(ref, q)) or os.path.islink(j(ref, p)):
            return
        both(what, lambda r: in_child(lambda: act(r)))
    elif op == "sync":
        def sync(r):
            f = os.open(j(r, p), os.O_RDONLY | os.O_NONBLOCK)
            os.fsync(f)
            os.close(f)
        both(what, sync)
    elif op == "unlink":
        both(what, lambda r: os.unlink(j(r, p)))
    elif op == "mkdir":
        both(what, lambda r: os.mkdir(j(r, p), 0o755))
        if p.count("/") < 4 and p not in dirs and os.path.isdir(j(ref, p)) and not os.path.islink(j(ref, p)):
            dirs.append(p)
    elif op == "rmdir":
        both(what, lambda r: os.rmdir(j(r, p)))
        dirs = [d for d in dirs if os.path.isdir(j(ref, d))]
    elif op == "symlink":
        both(what, lambda r: os.symlink(rnd_target, j(r, p)) if (rnd_target := q[:60] or "x") else None)
    elif op == "link":
        if os.path.islink(j(ref, p)):
            return  # a symlink is sealed for its one place; README says so
        both(what, lambda r: os.link(j(r, p), j(r, q), follow_symlinks=False))
    elif op == "chmod":
        both(what, lambda r: os.chmod(j(r, p), 0o640 if n % 2 else 0o4755))
    elif op == "chown":
        both(what, lambda r: os.chown(j(r, p), n % 3 * 1000, n % 2 * 1000, follow_symlinks=False))
    elif op == "utime":
        both(what, lambda r: (os.utime(j(r, p), ns=(n * 10**9 + 5, n * 10**9 + 123456789)), os.stat(j(r, p)).st_mtime_ns)[1])
    elif op == "stat":
        both(what, lambda r: summary(j(r, p)))
    elif op == "list":
        d = rnd.choice(dirs)
        both(what, lambda r: sorted(os.listdir(j(r, d))))
    elif op == "xattr":
        key = rnd.choice(["user.a", "user.comment"])
        what += key
        k = n % 3
        if k == 0:
            both(what, lambda r: os.setxattr(j(r, p), key, data[:300]))
        elif k == 1:
            both(what, lambda r: os.getxattr(j(r, p), key))
        else:
            both(what, lambda r: sorted(x for x in os.listxattr(j(r, p)) if x.startswith("user.")))


def compare():
    for root, ds, fs in os.walk(ref):
        rel = os.path.relpath(root, ref)
        both(f"final listing of {rel}", lambda r: sorted(os.listdir(os.path.join(r, rel))))
        for f in ds + fs:
            x = os.path.join(rel, f)
            both(f"final stat of {x[-40:]}", lambda r: summary(os.path.join(r, x)))
            if f in fs and not os.path.islink(os.path.join(ref, x)):
                both(f"final content of {x[-40:]}", lambda r: open(os.path.join(r, x), "rb").read())


if steps:
    for i in range(steps):
        step(i)
    for pair in handles:
        for f in pair:
            os.close(f)
compare()
