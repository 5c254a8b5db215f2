"""precreated.py WAY DIRECTORY THIEF CAMERA: somebody makes the files that a camera is going to write. Exit status 0: what must happen, did."""
import ctypes
import errno
import mmap
import os
import pickle
import signal
import socket
import sys

way, where = sys.argv[1:3]
THIEF, CAMERA = int(sys.argv[3]), int(sys.argv[4])
FILES, BUDGET = 5, 2
MINE, SHOT = b"mine" * 2000, b"shot" * 2000


class Actor:
    """A process of that user's, which does one thing after the other."""

    def __init__(self, uid):
        self.talk, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
            os.umask(0)
            while request := theirs.recv(65536):
                what, args = pickle.loads(request)
                try:
                    answer = what(*args)
                except OSError as e:
                    answer = e
                theirs.send(pickle.dumps(answer))
            os._exit(0)
        theirs.close()

    def __call__(self, what, *args):
        self.talk.send(pickle.dumps((what, args)))
        return pickle.loads(self.talk.recv(65536))


mapped = {}


def make(i, flags=os.O_RDWR):
    fd = os.open(f"{where}/{i}", flags | os.O_CREAT | os.O_EXCL, 0o666)
    os.write(fd, MINE)
    return fd


def map_it(fd):
    mapped[fd] = mmap.mmap(fd, len(MINE), mmap.MAP_SHARED, mmap.PROT_READ)
    return mapped[fd][:4]


def look(fd):
    """What the mapping shows, or SIGBUS."""
    pid = os.fork()
    if pid == 0:
        os._exit(1 if mapped[fd][:4] == SHOT[:4] else 0)
    status = os.waitpid(pid, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def shoot(i, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
    fd = os.open(f"{where}/{i}", flags, 0o644)
    os.write(fd, SHOT)
    return fd


def see(i):
    fd = os.open(f"{where}/{i}", os.O_RDONLY)
    got = os.read(fd, 8)
    os.close(fd)
    return got


def gives(code, got):
    assert isinstance(got, OSError) and got.errno == code, got


def counted():
    """So many are read as the budget has, and no more: whichever, for what its maker has closed may not have been released yet when another opens it, and is charged."""
    got = [thief(see, i) for i in range(FILES)]
    assert sum(isinstance(g, bytes) for g in got) == BUDGET, got
    for g in got:
        if not isinstance(g, bytes):
            gives(errno.EDQUOT, g)


thief, camera = Actor(THIEF), Actor(CAMERA)
if way == "make":
    for i in range(FILES):
        thief(os.close, thief(make, i))
        camera(os.close, camera(shoot, i))
elif way == "count":
    counted()
elif way == "truncate":
    for i in range(FILES):
        thief(os.close, thief(make, i))
        camera(os.truncate, f"{where}/{i}", 10)
    counted()
elif way == "hold":
    for i, flags in enumerate([os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_WRONLY]):
        making = thief(make, i)
        again = thief(os.open, f"{where}/{i}", os.O_RDONLY)
        for fd in (making, again):
            assert thief(os.pread, fd, 4, 0) == MINE[:4] and thief(map_it, fd) == MINE[:4]
        writer = camera(shoot, i, flags)
        for late in False, True:
            if late:
                camera(os.pwrite, writer, SHOT, 0)
                assert SHOT in camera(os.pread, camera(os.open, f"{where}/{i}", os.O_RDONLY), 4 * len(SHOT), 0)
            for fd in (making, again):
                if i < BUDGET:  # charged as if it were opened now
                    assert isinstance(thief(os.pread, fd, 8, 0), bytes)
                else:
                    gives(errno.EACCES, thief(os.pread, fd, 8, 0))
                    assert thief(look, fd) == signal.SIGBUS, thief(look, fd)
    gives(errno.EDQUOT, thief(see, BUDGET))
elif way == "self":
    other = Actor(THIEF)
    for i in range(FILES):
        making = thief(make, i)
        assert thief(map_it, making) == MINE[:4]
        other(os.close, other(shoot, i))
        assert thief(os.pread, making, 4, 0) == SHOT[:4] and thief(look, making) == 1
        assert other(see, i) == SHOT[:8]
elif way == "move":
    thief(os.close, thief(make, "a"))
    thief(os.close, thief(make, "b"))
    camera(os.close, camera(shoot, "a"))
    gives(errno.EACCES, thief(os.rename, f"{where}/a", f"{where}/../a"))
    gives(errno.EACCES, thief(os.link, f"{where}/a", f"{where}/../a"))
    assert thief(os.rename, f"{where}/b", f"{where}/../b") is None
