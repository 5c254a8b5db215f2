"""POSIX ACLs: what is inherited by what is made, how, and what may be removed."""
import os, struct
from harness import *
from xattrs import tool

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def show(p):
    return tool("getfacl", "-n", "--omit-header", "-p", p).replace("\n", " ")


@case
def acl_inherited(t):
    """Default lists with masks that let through all, some and nothing, against the umask and the mode that is asked for."""
    for d, spec in (("wide", f"d:u:{U1}:rwx,d:g::r-x,d:o::-,d:m::rwx"), ("narrow", f"d:u:{U1}:rwx,d:g:{GX}:rw,d:m::r,d:o::r"), ("plain", "d:u::r,d:g::w,d:o::x"), ("shut", f"u:{U1}:rwx,d:u:{U1}:rwx,m::---")):
        os.mkdir(d)
        os.chown(d, U2, GX)
        os.chmod(d, 0o2777)
        t.do(f"set {d}", tool, "setfacl", "-m", spec, d)
        t.note(f"{d}", show(d))

        def make(who):
            for mask in (0, 0o077):
                os.umask(mask)
                for name, fn in (("file", lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o666))), ("set-id", lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o6777))), ("mine", lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o400))),
                                 ("directory", lambda p: os.mkdir(p, 0o777)), ("sticky", lambda p: os.mkdir(p, 0o1700)), ("symlink", lambda p: os.symlink("x", p)), ("node", lambda p: os.mknod(p, stat.S_IFREG | 0o664)),
                                 ("nameless", lambda p: system("linkat", AT_FDCWD, f"/proc/self/fd/{os.open(d, os.O_TMPFILE | os.O_RDWR, 0o664)}", AT_FDCWD, p, AT_SYMLINK_FOLLOW))):
                    p = f"{d}/{who} {mask:o} {name}"
                    t.do(f"make {p}", fn, p)
                    t.stat(p, p)
                    if name != "symlink" and os.access(d, os.R_OK):
                        t.note(f"{p} list", show(p))
        make("root")
        t.user(U1, make, "named")
        t.user(U2, make, "owner", groups=(GX,))


@case
def acl_matched(t):
    """Which entry counts for whom, and chmod against the mask."""
    os.chmod(".", 0o777)
    write("f", b"x", 0o664)
    os.chown("f", U1, GX)
    t.do("set", tool, "setfacl", "-m", f"u:{U2}:rw,g:{G2}:r,m::rwx", "f")
    for mode in (0o600, 0o640, 0o2770, 0o070, 0o007, 0):
        os.chmod("f", mode)
        t.stat(f"{mode:o}", "f")
        t.note(f"{mode:o} list", show("f"))
        for uid, groups in ((U1, ()), (U2, ()), (30005, (G2,)), (30005, (GX,)), (30005, ())):
            def look():
                for right in (4, 2, 1, 6):
                    t.note(f"{mode:o} {uid} {groups} access {right}", os.access("f", right))
                t.do(f"{mode:o} {uid} {groups} read", read, "f")
                t.open(f"{mode:o} {uid} {groups} write", "f", os.O_WRONLY)
                t.do(f"{mode:o} {uid} {groups} utime", os.utime, "f")
            t.user(uid, look, groups=groups)
    os.chown("f", U2, G2)
    t.note("after a chown", show("f"))
    t.do("what a mode says", tool, "setfacl", "--set", "u::rw,g::r,o::-", "f")
    t.stat("f", "f")
    t.note("lists", [x for x in os.listxattr("f") if x.startswith("system.")])


@case
def acl_set_gid(t):
    """chmod and setfacl drop a set-gid bit for an owner who is not in the group; who has it by way of root alone is told by the name service."""
    os.chmod(".", 0o777)
    write("f", b"x", 0o664)
    os.chown("f", U1, GX)
    for who, groups in (("outside", ()), ("inside", (GX,))):
        os.chmod("f", 0o2775)
        t.user(U1, lambda: t.do(f"{who} setfacl", tool, "setfacl", "-m", f"u:{U2}:rw", "f"), groups=groups)
        t.stat(f"{who} after setfacl", "f")
        t.user(U1, lambda: t.do(f"{who} chmod", os.chmod, "f", 0o2775), groups=groups)
        t.stat(f"{who} after chmod", "f")
        t.do("remove", tool, "setfacl", "-b", "f")


@case
def acl_removed(t):
    """Removing a list that is not there changes nothing, and is no error."""
    write("f", b"x")
    os.mkdir("d")
    for p in ("f", "d"):
        for name in (ACCESS, DEFAULT):
            t.do(f"{p} get {name[17:]}", os.getxattr, p, name)
            t.do(f"{p} remove {name[17:]}", os.removexattr, p, name)
            t.do(f"{p} set {name[17:]} to nothing", os.setxattr, p, name, b"")
            t.do(f"{p} set {name[17:]} to no entries", os.setxattr, p, name, struct.pack("<I", 2))
    t.do("setfacl -k", tool, "setfacl", "-k", "d")
    t.do("setfacl -b", tool, "setfacl", "-b", "f", "d")
    for what, args in (("access", ("-m", f"u:{U1}:r")), ("default", ("-d", "-m", f"u:{U1}:r"))):
        t.do(f"set {what}", tool, "setfacl", *args, "d")
        t.do(f"remove {what}", os.removexattr, "d", "system.posix_acl_" + what)
        t.do(f"remove {what} again", os.removexattr, "d", "system.posix_acl_" + what)
        t.stat(f"d without {what}", "d")
    t.note("lists", [x for x in os.listxattr("d") if x.startswith("system.")])
