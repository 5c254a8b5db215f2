"""What the cases share. A case is a function of a `Trial`; it runs in a process of its own, in an empty directory, once on a plain directory of a filesystem
that is the oracle (ext4) and once on the mount. What it sees, under labels of its own, must be the same."""
import ctypes, errno, fnmatch, hashlib, json, os, stat, sys, time, traceback

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR = -100, 0x1000, 0x400, 0x100, 0x200
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
REALTIME_COARSE = 5
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
U1, U2, G1, G2, GX = 30001, 30002, 30001, 30002, 30003  # nobody's
CASES = {}


def case(fn=None, *, uid=0):
    """Registers a case under its function's name. With `uid` all of it runs as that user, whose directory it is."""
    def add(f):
        assert f.__name__ not in CASES, f.__name__
        CASES[f.__name__] = (f, uid)
        return f
    return add(fn) if fn else add


def system(name, *args):
    """A function of libc that sets errno."""
    call = getattr(libc, name)
    call.restype = ctypes.c_int
    ctypes.set_errno(0)
    r = call(*[os.fsencode(x) if isinstance(x, str) else x for x in args])
    if r < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return r


def renameat2(old, new, flags):
    return system("renameat2", AT_FDCWD, old, AT_FDCWD, new, flags)


def fallocate(fd, mode, off, size):
    return system("fallocate", fd, mode, ctypes.c_int64(off), ctypes.c_int64(size))


class Timespec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_int64), ("nsec", ctypes.c_int64)]


def utimensat(path, atime, mtime, flags=0):
    """Each of the times is (seconds, nanoseconds)."""
    return system("utimensat", AT_FDCWD, path, (Timespec * 2)(Timespec(*atime), Timespec(*mtime)), flags)


def write(path, data=b"", mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.fchmod(fd, mode)
    while data:
        data = data[os.write(fd, data):]
    os.close(fd)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def tick():
    """Until the clock that filesystems stamp with has moved."""
    t = time.clock_gettime_ns(REALTIME_COARSE)
    while time.clock_gettime_ns(REALTIME_COARSE) == t:
        time.sleep(0.001)


def plain(v):
    """A value as JSON keeps it, short."""
    if isinstance(v, (bytes, bytearray)):
        v = bytes(v)
        return f"{len(v)} bytes {hashlib.sha1(v).hexdigest()[:10]}" if len(v) > 60 else v.hex() if any(c < 32 or c > 126 for c in v) else v.decode()
    if isinstance(v, (tuple, list)):
        return [plain(x) for x in v]
    return v


class Trial:
    def __init__(self):
        self.seen = []

    def note(self, label, value):
        self.seen.append((label, plain(value)))

    def do(self, label, fn, *args, **named):
        """Notes what fn returns, or its errno. Returns what it returned."""
        try:
            v = fn(*args, **named)
        except OSError as e:
            self.note(label, errno.errorcode.get(e.errno, str(e.errno)))
            return None
        self.note(label, "ok" if v is None else v)
        return v

    def open(self, label, path, flags, mode=0o644, **named):
        """As `do`, for descriptors, whose numbers do not count. None on failure."""
        try:
            fd = os.open(path, flags, mode, **named)
        except OSError as e:
            self.note(label, errno.errorcode.get(e.errno, str(e.errno)))
            return None
        self.note(label, "opened")
        return fd

    def stat(self, label, path):
        try:
            s = os.fstat(path) if isinstance(path, int) else os.lstat(path)
        except OSError as e:
            self.note(label, errno.errorcode[e.errno])
            return
        self.note(label, f"{stat.filemode(s.st_mode)} {s.st_nlink} {s.st_uid}:{s.st_gid}{'' if stat.S_ISDIR(s.st_mode) else f' {s.st_size}'}")

    def times(self, label, fn, *paths):
        """Which of atime, mtime and ctime of the paths fn moves."""
        def get():
            out = []
            for p in paths:
                try:
                    s = os.fstat(p) if isinstance(p, int) else os.lstat(p)
                    out.append((s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns))
                except OSError:
                    out.append(None)
            return out
        tick()
        before = get()
        try:
            fn()
        except OSError as e:
            self.note(label + ": failed", errno.errorcode[e.errno])
        for p, b, a in zip(paths, before, get()):
            what = "gone" if a is None else "new" if b is None else "".join(c for c, x, y in zip("amc", b, a) if x != y) or "-"
            if a and b and any(y < x for x, y in zip(b, a)):
                what += " backwards"
            self.note(f"{label}: {'handle' if isinstance(p, int) else p}", what)

    def user(self, uid, fn, *args, groups=()):
        """fn as another user, in a process of its own; what it notes is noted here."""
        self.child(lambda: (os.setgroups(groups), os.setgid(uid), os.setuid(uid), fn(*args)))

    def child(self, fn, *args):
        """fn in another process; what it notes is noted here."""
        self.begin(fn, *args)()

    def begin(self, fn, *args):
        """Starts fn in another process; the function that is returned waits for it and takes over what it noted."""
        r, w = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(r)
            self.seen = []
            run_guarded(self, fn, args, w)
        os.close(w)

        def finish():
            with os.fdopen(r, "rb") as f:
                seen = f.read()
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if seen:
                self.seen += [tuple(x) for x in json.loads(seen)]
            else:
                self.note("exception", f"a child ended with {status}")
        return finish


def run_guarded(trial, fn, args, w):
    """In a child: fn, what it saw to the pipe, and the end."""
    try:
        fn(*args)
    except BaseException as e:
        trial.note("exception", f"{type(e).__name__} {e}: {traceback.extract_tb(e.__traceback__)[-1].line}")
    data = json.dumps(trial.seen).encode()
    while data:
        data = data[os.write(w, data):]
    os._exit(0)


def run_case(name, root):
    """What the case sees in a directory of its own below root."""
    fn, uid = CASES[name]
    here = os.path.join(root, name)
    os.mkdir(here)
    if uid:
        os.chown(here, uid, uid)
    t = Trial()

    def body():
        os.umask(0o022)
        if uid:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        os.chdir(here)
        fn(t)
    t.child(body)
    return t.seen


def unique(seen):
    """By label; a label that came before gets a number."""
    out = {}
    for label, value in seen:
        n, name = 1, label
        while name in out:
            n += 1
            name = f"{label} #{n}"
        out[name] = value
    return out


def compare(plain_root, mount_root, known, chosen):
    """Runs the cases; returns what is wrong, as lines, and the number of observations. `known`: see deviations.py."""
    wrong, met, count = [], set(), 0
    for name in CASES:
        if chosen and name not in chosen:
            continue
        want, got = unique(run_case(name, plain_root)), unique(run_case(name, mount_root))
        count += len(want)
        if not want:
            wrong.append(f"{name}: saw nothing")
        for label in {**want, **got}:
            a, b = want.get(label, "not reached"), got.get(label, "not reached")
            if label == "exception":
                wrong.append(f"{name}: {a} / {b}")
            if a == b:
                continue
            rows = [k for k in known if k[0] == name and fnmatch.fnmatchcase(label, k[1]) and k[2] in (None, b)]
            met.update(rows)
            if not rows:
                wrong.append(f"{name}: {label}: ext4 {a}, mount {b}")
    for row in known:
        if row not in met and (not chosen or row[0] in chosen):
            wrong.append(f"{row[0]}: {row[1]}: deviates no longer: take it from the table and from README")
    return wrong, count
