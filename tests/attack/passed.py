"""passed.py WAY DIRECTORY UID…: descriptors that go from one process to another. Exit status 0: what must happen, did."""
import array
import contextlib
import ctypes
import errno
import os
import signal
import socket
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
way, where = sys.argv[1:3]


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, as whatever a user has started


def gives(code, call, *args):
    try:
        got = call(*args)
    except OSError as e:
        assert e.errno in (code if isinstance(code, tuple) else (code,)), (call, args, e)
        return
    raise AssertionError(f"{call.__name__}{args}: {got!r}")


def shown(i):
    return b"image %d\n" % i


def opened(i, flags=os.O_RDONLY):
    return os.open(f"{where}/{i}", flags)


def put(s, fds, text=b"x"):
    s.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def get(s):
    fds = array.array("i")
    for level, kind, data in s.recvmsg(100, socket.CMSG_SPACE(16 * 4))[1]:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % 4])
    return list(fds)


def child(uid, f, *args):
    """Runs it as that user. The parent waits for it with `done`."""
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            try:
                become(uid)
                f(*args)
                status = 0
            except BaseException as e:
                print(f"{way}: uid {uid}: {e!r}", file=sys.stderr, flush=True)
        os._exit(status)
    return pid


def done(*pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, way


def hand_over(s):
    fds = [opened(i) for i in (1, 2, 3)]
    gives(errno.EDQUOT, opened, 4)
    put(s, fds)
    s.recv(1)


def taken_over(t):
    fds = get(t)
    assert [os.pread(fd, 100, 0) for fd in fds] == [shown(i) for i in (1, 2, 3)]
    for fd in fds:
        gives(errno.EACCES, os.open, f"/proc/self/fd/{fd}", os.O_RDONLY)
    gives(errno.EACCES, opened, 1)
    t.send(b"x")


def holder(s):
    fd = opened(1)
    s.send(b"%d" % fd)
    s.recv(1)


def thief(pid, fd):
    pidfd = os.pidfd_open(pid)
    assert libc.syscall(438, pidfd, fd, 0) == -1 and ctypes.get_errno() == errno.EPERM, "pidfd_getfd"
    gives((errno.EACCES, errno.EPERM), os.open, f"/proc/{pid}/fd/{fd}", os.O_RDONLY)
    gives((errno.EACCES, errno.EPERM), os.open, f"/proc/{pid}/root{where}/1", os.O_RDONLY)
    gives((errno.EACCES, errno.EPERM), os.open, f"/proc/{pid}/mem", os.O_RDONLY)


def hand_directory(s):
    put(s, [os.open(where, os.O_RDONLY | os.O_DIRECTORY), opened(4, os.O_PATH), opened(5, os.O_PATH)])
    for i in (1, 2, 3):
        os.close(opened(i))  # as many as before: none of what the other opens is charged here
    s.recv(1)
    gives(errno.EDQUOT, opened, 4)


def take_directory(t):
    at, *paths = get(t)
    for fd in paths:
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY))
    os.close(os.open("6", os.O_RDONLY, dir_fd=at))
    gives(errno.EDQUOT, lambda name: os.open(name, os.O_RDONLY, dir_fd=at), "7")
    t.send(b"x")


def inherit():
    for i in (1, 2, 3):
        fd = opened(i)
        os.set_inheritable(fd, True)
        pid = os.fork()
        if pid == 0:
            os.execl("/bin/sh", "sh", "-c", f"[ \"$(cat <&{fd})\" = 'image {i}' ] && ! cat {where}/{i + 3} 2>/dev/null" if i == 3 else f"[ \"$(cat <&{fd})\" = 'image {i}' ]")
        done(pid)
    gives(errno.EDQUOT, opened, 5)


def storm():
    at, (r, w) = os.open(where, os.O_RDONLY | os.O_DIRECTORY), os.pipe()
    pids = []
    for n in range(100):
        pid = os.fork()
        if pid == 0:
            for k in range(9):
                with contextlib.suppress(OSError):
                    fd = os.open(str((n + k) % 9 + 1), os.O_RDONLY, dir_fd=at)
                    os.write(w, os.pread(fd, 100, 0)[6:7])
            os._exit(0)
        pids.append(pid)
    done(*pids)
    os.close(w)
    files = set(os.read(r, 65536).decode())
    assert len(files) == 3, files


def will_be_locked_out(s):
    put(s, [opened(i) for i in (1, 2, 3)])
    s.recv(1)
    gives(errno.EACCES, opened, 4)
    s.send(b"x")


def holds_on(t):
    fds = get(t)
    assert [os.pread(fd, 100, 0) for fd in fds] == [shown(i) for i in (1, 2, 3)]
    t.send(b"x")
    t.recv(1)
    until = time.monotonic() + 5
    for fd in fds:
        while True:
            try:
                os.pread(fd, 100, 0)
            except PermissionError:
                break
            assert time.monotonic() < until, "what was handed over is read on"
            time.sleep(0.02)


def rename(viewer):
    assert libc.prctl(15, os.path.basename(viewer).encode(), 0, 0, 0) == 0  # PR_SET_NAME
    gives(errno.EACCES, opened, 1)
    with open("/proc/self/comm", "w") as f:
        f.write("viewer")
    gives(errno.EACCES, opened, 1)
    exe = os.open(viewer, os.O_RDONLY)
    # PR_SET_MM, PR_SET_MM_EXE_FILE: what it is running stays what it is.
    assert libc.prctl(35, 13, exe, 0, 0) == -1 and ctypes.get_errno() in (errno.EPERM, errno.EBUSY, errno.EINVAL), "another program's file"
    gives(errno.EACCES, opened, 1)


def reads_on(viewer, w):
    os.dup2(w, 1)
    os.execl(viewer, viewer, f"{where}/1", "-")


def looks(pid):
    for name in ("mem", "maps", "environ", "fd/3", "auxv"):
        gives((errno.EACCES, errno.EPERM), os.open, f"/proc/{pid}/{name}", os.O_RDONLY)

    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]

    buf = ctypes.create_string_buffer(100)
    local, remote = Vector(ctypes.addressof(buf), 100), Vector(0x400000, 100)
    assert libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) == -1 and ctypes.get_errno() == errno.EPERM, "process_vm_readv"
    assert libc.ptrace(16, pid, None, None) == -1 and ctypes.get_errno() == errno.EPERM, "ptrace"
    gives(errno.EPERM, os.kill, pid, signal.SIGABRT)
    gives(errno.EACCES, opened, 1)


def forged(login):
    for i in (1, 2, 3):
        os.close(opened(i))
    gives(errno.EACCES, opened, 4)


def pair(uid, f, other, g):
    s, t = socket.socketpair()
    done(child(uid, f, s), child(other, g, t))


if way == "hand-over":
    pair(int(sys.argv[3]), hand_over, int(sys.argv[4]), taken_over)
elif way == "take":
    s, t = socket.socketpair()
    owner = child(int(sys.argv[3]), holder, s)
    fd = int(t.recv(10))
    done(child(int(sys.argv[4]), thief, owner, fd))
    got = libc.syscall(438, os.pidfd_open(owner), fd, 0)
    assert got >= 0 and os.pread(got, 100, 0) == shown(1), "root, who is let to by the kernel"
    t.send(b"x")
    done(owner)
elif way == "hand-directory":
    pair(int(sys.argv[3]), hand_directory, int(sys.argv[4]), take_directory)
elif way == "inherit":
    done(child(int(sys.argv[3]), inherit))
elif way == "storm":
    done(child(int(sys.argv[3]), storm))
elif way == "lockout":
    pair(int(sys.argv[3]), will_be_locked_out, int(sys.argv[4]), holds_on)
elif way == "rename":
    done(child(int(sys.argv[3]), rename, sys.argv[4]))
elif way == "memory":
    r, w = os.pipe()
    os.set_inheritable(w, True)
    (blocked, keep) = os.pipe()
    os.dup2(blocked, 0)
    viewer = child(int(sys.argv[3]), reads_on, sys.argv[5], w)
    assert os.read(r, 100) == shown(1)
    done(child(int(sys.argv[4]), looks, viewer))
    os.close(keep)
    os.kill(viewer, signal.SIGKILL)
    os.waitpid(viewer, 0)
elif way == "forge":
    with open("/proc/self/loginuid", "w") as f:
        f.write(sys.argv[4])
    done(child(int(sys.argv[3]), forged, int(sys.argv[4])))
else:
    raise SystemExit(f"no way {way}")
