"""Extended attributes, ACLs."""
import os, struct, subprocess
from harness import *


def rounds(t, prefix, p, **named):
    name = prefix + "a"
    t.do(f"{p} {prefix} get none", os.getxattr, p, name, **named)
    t.do(f"{p} {prefix} replace none", os.setxattr, p, name, b"1", os.XATTR_REPLACE, **named)
    t.do(f"{p} {prefix} create", os.setxattr, p, name, b"1", os.XATTR_CREATE, **named)
    t.do(f"{p} {prefix} create again", os.setxattr, p, name, b"2", os.XATTR_CREATE, **named)
    t.do(f"{p} {prefix} get", os.getxattr, p, name, **named)
    t.do(f"{p} {prefix} replace", os.setxattr, p, name, b"three", os.XATTR_REPLACE, **named)
    t.do(f"{p} {prefix} set", os.setxattr, p, name, b"\0bytes\xff", **named)
    t.do(f"{p} {prefix} get bytes", os.getxattr, p, name, **named)
    t.do(f"{p} {prefix} empty", os.setxattr, p, prefix + "empty", b"", **named)
    t.do(f"{p} {prefix} get empty", os.getxattr, p, prefix + "empty", **named)
    t.do(f"{p} {prefix} flags", os.setxattr, p, name, b"2", 4, **named)
    t.do(f"{p} {prefix} both flags", os.setxattr, p, name, b"2", 3, **named)
    t.do(f"{p} {prefix} list", lambda: sorted(x for x in os.listxattr(p, **named) if x.startswith(prefix)))
    t.do(f"{p} {prefix} remove", os.removexattr, p, name, **named)
    t.do(f"{p} {prefix} remove again", os.removexattr, p, name, **named)
    t.do(f"{p} {prefix} remove empty", os.removexattr, p, prefix + "empty", **named)
    t.do(f"{p} {prefix} list none", lambda: sorted(x for x in os.listxattr(p, **named) if x.startswith(prefix)))


@case
def xattr_user(t):
    write("f", b"x")
    os.mkdir("d")
    os.mkfifo("p")
    os.symlink("f", "s")
    for p in ("f", "d"):
        rounds(t, "user.", p)
    rounds(t, "user.", "s", follow_symlinks=False)
    rounds(t, "user.", "p")
    for name in ("user.", "user", "nothing.a", "a", "", "system.a", "user." + "n" * 250, "user." + "n" * 251, "user.a b\n", "USER.a", "user.ü"):
        t.do(f"name {name[:12]!r} {len(name)}", os.setxattr, "f", name, b"1")
        t.do(f"get {name[:12]!r} {len(name)}", os.getxattr, "f", name)
    t.do("nothing there", os.setxattr, "none", "user.a", b"1")
    t.do("fd", lambda: (os.setxattr(os.open("f", os.O_RDONLY), "user.fd", b"1"), os.getxattr(os.open("f", os.O_RDONLY), "user.fd"))[1])


@case
def xattr_user_sizes(t):
    write("f", b"x")
    body = bytes(range(256)) * 300
    for n in (0, 1, 100, 255, 256, 1000, 2000, 3000):
        t.do(f"set {n}", os.setxattr, "f", "user.size", body[:n])
        t.do(f"get {n}", os.getxattr, "f", "user.size")
    t.do("65536", os.setxattr, "f", "user.size", body[:65536])
    t.do("65537", os.setxattr, "f", "user.size", body[:65537])
    buf = ctypes.create_string_buffer(4000)
    for n in (0, 1, 2999, 3000, 4000):
        t.do(f"into {n}", system, "getxattr", "f", "user.size", buf, n)
        t.do(f"list into {n}", lambda: bool(system("listxattr", "f", buf, n)))
    os.removexattr("f", "user.size")
    for n in range(12):
        t.do(f"attribute {n}", os.setxattr, "f", f"user.{n}" + "x" * n * 5, body[:n * 7])
    t.do("listed", lambda: sorted(os.listxattr("f")))
    os.link("f", "l")
    t.do("through a link", lambda: sorted(os.listxattr("l")))
    os.rename("f", "g")
    t.do("after rename", os.getxattr, "g", "user.3" + "x" * 15)
    write("g", b"new content")
    t.do("after a truncating write", lambda: len(os.listxattr("g")))


@case
def xattr_user_permissions(t):
    os.chmod(".", 0o777)
    for name, mode in (("r", 0o444), ("w", 0o222), ("rw", 0o666), ("none", 0)):
        write(name, b"x", mode)
        os.setxattr(name, "user.a", b"1")
    for name, mode in (("sticky", 0o1777), ("open", 0o777)):
        os.mkdir(name)
        os.chmod(name, mode)

    def look():
        for p in ("r", "w", "rw", "none", "sticky", "open"):
            t.do(f"{p} get", os.getxattr, p, "user.a")
            t.do(f"{p} list", os.listxattr, p)
            t.do(f"{p} set", os.setxattr, p, "user.b", b"2")
            t.do(f"{p} remove", os.removexattr, p, "user.a")
            for space in ("trusted.", "security."):
                t.do(f"{p} {space} get", os.getxattr, p, space + "x")
                t.do(f"{p} {space} set", os.setxattr, p, space + "x", b"2")
    t.user(U1, look)


@case
def xattr_trusted(t):
    write("f", b"x")
    os.mkdir("d")
    os.symlink("f", "s")
    os.mkfifo("p")
    for p in ("f", "d", "p"):
        rounds(t, "trusted.", p)
    rounds(t, "trusted.", "s", follow_symlinks=False)


@case
def xattr_security(t):
    write("f", b"x", 0o755)
    os.mkdir("d")
    for p in ("f", "d"):
        rounds(t, "security.", p)
    cap = struct.pack("<IIIII", 0x02000000, 1 << 10, 0, 0, 0)
    has = lambda p: "security.capability" in os.listxattr(p)
    t.do("capability", os.setxattr, "f", "security.capability", cap)
    t.do("get capability", os.getxattr, "f", "security.capability")
    t.do("write clears it", lambda: (os.write(os.open("f", os.O_WRONLY), b"y"), has("f"))[1])
    write("g", b"x", 0o777)
    t.do("capability of g", os.setxattr, "g", "security.capability", cap)
    t.user(U1, lambda: os.write(os.open("g", os.O_WRONLY), b"y"))
    t.do("a user's write clears it", has, "g")
    t.do("again", os.setxattr, "g", "security.capability", cap)
    t.do("chown clears it", lambda: (os.chown("g", U1, G1), has("g"))[1])


def tool(*args):
    p = subprocess.run(args, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
    return p.stdout if not p.returncode else f"failed: {p.stderr.strip().rsplit(': ', 1)[-1]}"


@case
def acl_basic(t):
    write("f", b"secret", 0o600)
    os.mkdir("d", 0o700)
    show = lambda p: tool("getfacl", "-n", "--omit-header", "-p", p).replace("\n", " ")
    t.do("none", show, "f")
    t.do("set", tool, "setfacl", "-m", f"u:{U1}:r", "f")
    t.do("show", show, "f")
    t.stat("f", "f")
    t.user(U1, lambda: t.do("U1 reads", read, "f"))
    t.user(U2, lambda: t.do("U2 does not", read, "f"))
    t.do("mask", tool, "setfacl", "-m", "m::0", "f")
    t.user(U1, lambda: t.do("U1 masked", read, "f"))
    t.do("chmod sets the mask", lambda: (os.chmod("f", 0o640), show("f"))[1])
    t.do("group", tool, "setfacl", "-m", f"g:{GX}:rw", "f")
    t.user(U2, lambda: t.open("a group's member writes", "f", os.O_WRONLY), groups=(GX,))
    t.do("default", tool, "setfacl", "-m", f"d:u:{U1}:rwx,d:g::r-x,d:o::-", "d")
    t.do("show d", show, "d")
    write("d/new", b"x", 0o666)
    t.do("inherited", show, "d/new")
    os.mkdir("d/sub")
    t.do("inherited by a directory", show, "d/sub")
    t.stat("new", "d/new")
    os.umask(0o077)
    os.close(os.open("d/umask", os.O_CREAT | os.O_WRONLY, 0o666))
    t.do("the umask does not count", show, "d/umask")
    t.do("remove", tool, "setfacl", "-b", "f")
    t.do("removed", show, "f")
    t.do("raw", lambda: sorted(x for x in os.listxattr("d") if x.startswith("system.")))
    t.do("invalid", os.setxattr, "f", "system.posix_acl_access", b"\x02\0\0\0garbage!")
    t.user(U1, lambda: t.do("not the owner", tool, "setfacl", "-m", f"u:{U1}:rwx", "f"))
    t.do("default of a file", tool, "setfacl", "-d", "-m", "u::r", "f")
