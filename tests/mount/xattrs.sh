#!/bin/bash
# Extended attributes of every namespace as on the directory below, sealed; file capabilities go with a write, a chown and a truncation.
. "$(dirname "$0")/lib.sh"
archive_new
mount_archive

cat >"$TEST_TMP/xattrs.py" <<'P'
import os, sys
from outcomes import *
sys.stdout.reconfigure(line_buffering=True)
CAP = bytes.fromhex("0100000200040000000000000000000000000000")
open("f", "w").close()
os.mkdir("d")
os.mkfifo("p")
os.symlink("f", "l")
def names(path, **k): return sorted(n for n in os.listxattr(path, **k) if not n.startswith("system."))
for path in "f", "d":
    for ns in "user.", "trusted.", "security.":
        n = ns + "lapsetest"
        say(f"get none {path} {n}", os.getxattr, path, n)
        say(f"replace none {path} {n}", os.setxattr, path, n, b"1", os.XATTR_REPLACE)
        say(f"remove none {path} {n}", os.removexattr, path, n)
        say(f"create {path} {n}", os.setxattr, path, n, b"one", os.XATTR_CREATE)
        say(f"create again {path} {n}", os.setxattr, path, n, b"two", os.XATTR_CREATE)
        say(f"get {path} {n}", os.getxattr, path, n)
        say(f"replace {path} {n}", os.setxattr, path, n, bytes(range(256)), os.XATTR_REPLACE)
        say(f"get {path} {n}", os.getxattr, path, n)
        say(f"empty {path} {n}", os.setxattr, path, n, b"")
        say(f"get {path} {n}", os.getxattr, path, n)
    say(f"other namespace {path}", os.setxattr, path, "other.x", b"1")
    say(f"no namespace {path}", os.setxattr, path, "x", b"1")
    say(f"namespace alone {path}", os.setxattr, path, "user.", b"1")
    say(f"too large {path}", os.setxattr, path, "user.large", b"x" * 65537)
    say(f"name too long {path}", os.setxattr, path, "user." + "n" * 251, b"x")
    say(f"list {path}", names, path)
    say(f"2,000 bytes {path}", os.setxattr, path, "user.big", b"y" * 2000)
    say(f"get it {path}", os.getxattr, path, "user.big", show=len)
    say(f"remove {path}", os.removexattr, path, "trusted.lapsetest")
    say(f"list {path}", names, path)
say("user of a fifo", os.setxattr, "p", "user.x", b"1")
say("user of a symlink", os.setxattr, "l", "user.x", b"1", follow_symlinks=False)
say("user of a fifo", os.getxattr, "p", "user.x")
say("list a symlink", names, "l", follow_symlinks=False)
def ordinary():
    say("set trusted", os.setxattr, "f", "trusted.x", b"1")
    say("get trusted", os.getxattr, "d", "trusted.lapsetest")
    say("get trusted", os.getxattr, "f", "trusted.t")
    say("set security", os.setxattr, "f", "security.x", b"1")
    say("get security", os.getxattr, "f", "security.lapsetest")
    say("set capability", os.setxattr, "f", "security.capability", CAP)
    say("set user of another's", os.setxattr, "f", "user.x", b"1")
    say("list", names, "f")
    open("own", "w").close()
    say("set user", os.setxattr, "own", "user.x", b"1")
    os.chmod("own", 0o400)
    say("set user of what is read-only", os.setxattr, "own", "user.y", b"1")
    say("list", names, "own")
os.chmod("f", 0o666)
os.setxattr("f", "trusted.t", b"secret")
as_user("t1", ordinary)
def cap(path): say(f"capability of {path}", os.getxattr, path, "security.capability")
def give(path):
    with open(path, "wb") as f: f.write(b"program")
    os.chmod(path, 0o6755)
    os.chown(path, 0, 0)
    os.chmod(path, 0o6755)
    os.setxattr(path, "security.capability", CAP)
    cap(path)
    return path
def write(path, how="r+b"):
    with open(path, how) as f: f.write(b"x")
for what, act in [("write", write), ("append", lambda p: write(p, "ab")), ("truncate", lambda p: os.truncate(p, 1)), ("O_TRUNC", lambda p: os.close(os.open(p, os.O_WRONLY | os.O_TRUNC))),
                  ("chown", lambda p: os.chown(p, 1, 1)), ("chmod", lambda p: os.chmod(p, 0o755)), ("rename", lambda p: os.rename(p, p)), ("utime", lambda p: os.utime(p)),
                  ("fallocate", lambda p: (lambda fd: (os.posix_fallocate(fd, 0, 4096), os.close(fd)))(os.open(p, os.O_WRONLY)))]:
    say(what, act, give(what), show=lambda r: "")
    cap(what)
    print(mode(what))
P
for transport in $(transports); do
	umount_archive
	mount_by "$transport"
	same_as_plain "$TEST_TMP/xattrs.py" "xattrs-$transport"
done

note "they are on the disk sealed, and there again after a mount"
cp /bin/true "$MNT/program"
check "setcap" setcap cap_net_raw+ep "$MNT/program"
check "setfattr" setfattr -n trusted.origin -v "camera three" "$MNT/program"
umount_archive
grep -raq "camera three" "$ARC" && die "a value lies in the store in clear"
getfattr -R -h -d -m - "$ARC" 2>/dev/null | grep -aq "origin\|capability" && die "a name lies in the store in clear"
mount_archive
[[ $(getcap "$MNT/program") == *cap_net_raw* ]] || die "the capability is gone after a mount"
[ "$(getfattr --only-values -n trusted.origin "$MNT/program" 2>/dev/null)" = "camera three" ] || die "trusted.origin after a mount"

note "cp -a and rsync -X bring them along, both ways"
mkdir "$TEST_TMP/there" "$MNT/back"
check "cp -a" cp -a "$MNT/program" "$TEST_TMP/there/copied"
check "rsync" rsync -aX "$MNT/program" "$TEST_TMP/there/synced"
check "cp -a back" cp -a "$TEST_TMP/there/copied" "$MNT/back/copied"
check "rsync back" rsync -aX "$TEST_TMP/there/synced" "$MNT/back/synced"
for f in "$TEST_TMP/there/copied" "$TEST_TMP/there/synced" "$MNT/back/copied" "$MNT/back/synced"; do
	[[ $(getcap "$f") == *cap_net_raw* ]] || die "no capability on $f"
	[ "$(getfattr --only-values -n trusted.origin "$f" 2>/dev/null)" = "camera three" ] || die "no trusted.origin on $f"
done

note "what cannot be kept is refused"
mkfifo "$MNT/fifo"
refuse "not supported" setfattr -n trusted.x -v 1 "$MNT/fifo"
refuse "No space left" python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.x", b"x" * 65536)' "$MNT/program"
refuse "Numerical result out of range" setfattr -n "user.$(printf 'n%.0s' {1..200})" -v 1 "$MNT/program"
refuse "not supported" setfacl -m u:1234:r "$MNT/program"
umount_archive
