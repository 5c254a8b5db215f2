"""Makes system calls in a process as if it had been taken over: stops its main thread by ptrace, which only root outside may, and steps it over a `syscall`
instruction of its C library with registers of our own. x86-64.

hijack.py PID: reads lines "NAME NUMBER ARG…" (a decimal or hexadecimal number, or a string in single quotes) and prints "NAME RESULT", a negative errno if it failed."""
import ctypes, os, shlex, signal, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
GETREGS, SETREGS, SINGLESTEP, DETACH, SEIZE, INTERRUPT = 12, 13, 9, 17, 0x4206, 0x4207
FIELDS = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs".split()


class Regs(ctypes.Structure):
    _fields_ = [(f, ctypes.c_ulonglong) for f in FIELDS]


def ptrace(request, pid, addr=None, data=None):
    if libc.ptrace(request, pid, addr, data) == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), "ptrace")


def stopped(pid):
    _, status = os.waitpid(pid, 0x40000000)  # __WALL
    assert os.WIFSTOPPED(status), status


def gadget(pid, mem):
    for line in open(f"/proc/{pid}/maps"):
        where, rights, *_, name = line.split(None, 5) if len(line.split()) > 5 else (line.split() + [""])
        if "x" in rights and "libc" in name:
            start, end = (int(x, 16) for x in where.split("-"))
            mem.seek(start)
            at = mem.read(end - start).find(b"\x0f\x05")
            if at >= 0:
                return start + at
    raise SystemExit("no syscall instruction")


def call(pid, mem, at, number, args):
    saved, regs = Regs(), Regs()
    ptrace(GETREGS, pid, None, ctypes.byref(saved))
    ctypes.memmove(ctypes.byref(regs), ctypes.byref(saved), ctypes.sizeof(regs))
    room = saved.rsp - 16384
    values = []
    for a in args:
        if a[0] == "'":
            text = a[1:-1].encode() + b"\0"
            mem.seek(room)
            mem.write(text)
            mem.flush()
            values.append(room)
            room += len(text) + 16 & ~15
        else:
            values.append(int(a, 0) & (1 << 64) - 1)
    values += [0] * (6 - len(values))
    regs.rax, regs.orig_rax, regs.rip = number, (1 << 64) - 1, at
    regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9 = values
    regs.rsp = saved.rsp - 32768
    ptrace(SETREGS, pid, None, ctypes.byref(regs))
    ptrace(SINGLESTEP, pid)
    stopped(pid)
    ptrace(GETREGS, pid, None, ctypes.byref(regs))
    ptrace(SETREGS, pid, None, ctypes.byref(saved))
    return regs.rax - (1 << 64) if regs.rax >> 63 else regs.rax


def main():
    pid = int(sys.argv[1])
    ptrace(SEIZE, pid)
    ptrace(INTERRUPT, pid)
    stopped(pid)
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as mem:
        at = gadget(pid, mem)
        for line in sys.stdin:
            words = shlex.split(line, posix=False)
            if words:
                print(words[0], call(pid, mem, at, int(words[1]), words[2:]), flush=True)
    ptrace(DETACH, pid)


main()
