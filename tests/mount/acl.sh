#!/bin/bash
# POSIX ACLs, where the policy says so: enforced, inherited, in step with the mode, kept by cp -a and rsync -A; as on the directory below.
. "$(dirname "$0")/lib.sh"
sed 's/^default-class.*/&\nacl = yes\n\n[class short]\nmatch = **\/*.short\nexpire-after = 5s/' "$TEST_TMP/open.ini" >"$TEST_TMP/acl.ini"
archive_new "$TEST_TMP/acl.ini"
mount_archive

note "two files under a hold, which its reader reads past their date, below"
mkdir "$MNT/case"
for f in attribute list; do
	echo "$f" >"$MNT/case/$f.short"
	setfattr -n user.a -v one "$MNT/case/$f.short"
done
chmod 640 "$MNT/case/list.short"
as t1 true
setfacl -m u:lapse-t1:r "$MNT/case/list.short"
check "hold" "$LAPSE" hold add H "$MNT" --match 'case/*' --reason r --review 30d --readers lapse-t1

cat >"$TEST_TMP/acl.py" <<'P'
import os, subprocess, sys
from outcomes import *
sys.stdout.reconfigure(line_buffering=True)
T1, T2 = user("t1"), user("t2")
def acl(path):
    out = subprocess.run(["getfacl", "-cpE", path], capture_output=True, text=True, check=True).stdout
    print(path, mode(path), out.strip().replace("\n", " "))
def setfacl(*args):
    r = subprocess.run(["setfacl", *args], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    print("setfacl", *args, r.returncode, r.stderr.strip())
def attempts(path, only=None):
    """What each of the users may do."""
    def work():
        for what, flags in ("read", os.O_RDONLY), ("write", os.O_WRONLY):
            say(f"{what} {path}", lambda: os.close(os.open(path, flags)))
    for who in ("t1", "t2"):
        print(who)
        as_user(who, work)
def within(path):
    def work():
        say(f"list {path}", os.listdir, path, show=len)
        say(f"make in {path}", lambda: os.close(os.open(f"{path}/by{os.getuid() == T1.pw_uid}", os.O_CREAT | os.O_WRONLY)))
    for who in ("t1", "t2"):
        print(who)
        as_user(who, work)
os.umask(0o022)
open("f", "w").close()
acl("f")
attempts("f")
setfacl("-m", "u:lapse-t1:rw", "f")
acl("f"); attempts("f")
os.chmod("f", 0o604)
acl("f"); attempts("f")
os.chmod("f", 0o670)
acl("f"); attempts("f")
setfacl("-m", "g:lapse-t2:r,m::r", "f")
acl("f"); attempts("f")
setfacl("-x", "u:lapse-t1", "f")
acl("f"); attempts("f")
setfacl("-m", "g::---,o::---", "f")
acl("f"); attempts("f")
setfacl("-b", "f")
acl("f"); attempts("f")
setfacl("-m", "u::rwx,g::r-x,o::-wx", "f")
acl("f")
setfacl("-d", "-m", "u:lapse-t1:rw", "f")
os.chmod("f", 0o640)
os.chown("f", T1.pw_uid, T2.pw_gid)
def owner():
    setfacl("-m", "u:lapse-t2:r", "f"); acl("f")
    os.chmod("f", 0o2750); acl("f")
    setfacl("-m", "u:lapse-t2:rx", "f"); acl("f")
as_user("t1", owner)
attempts("f")
def stranger():
    setfacl("-m", "u:lapse-t2:rwx", "f")
    say("remove", os.removexattr, "f", "system.posix_acl_access")
as_user("t2", stranger)
def malformed(what, value):
    say(what, os.setxattr, "f", "system.posix_acl_access", value)
import struct
def entries(*e): return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", t, p, i) for t, p, i in e)
N = 0xffffffff
malformed("empty", b"")
malformed("version", struct.pack("<I", 1))
malformed("short", b"\2\0\0")
malformed("no mask", entries((1, 6, N), (2, 6, 1), (4, 4, N), (32, 4, N)))
malformed("out of order", entries((4, 6, N), (1, 6, N), (32, 4, N)))
malformed("two others", entries((1, 6, N), (4, 4, N), (32, 4, N), (32, 4, N)))
malformed("tag", entries((1, 6, N), (3, 4, N), (4, 4, N), (32, 4, N)))
acl("f")

os.mkdir("d", 0o755)
setfacl("-m", "d:u:lapse-t1:rwx,d:g::r-x,d:o::---", "d")
acl("d")
for umask in 0o022, 0o077, 0:
    os.umask(umask)
    for m in 0o666, 0o600, 0o777, 0o400:
        n = f"d/{umask:o}-{m:o}"
        os.close(os.open(n, os.O_CREAT | os.O_WRONLY, m)); acl(n)
        os.mkdir(n + "d", m); acl(n + "d")
        os.mkdir(n + "d/e", 0o777); acl(n + "d/e")
    os.mknod(f"d/{umask:o}-node", 0o100664); acl(f"d/{umask:o}-node")
    open(f"{umask:o}-plain", "w").close(); acl(f"{umask:o}-plain")
    os.mkdir(f"{umask:o}-plaind"); acl(f"{umask:o}-plaind")
os.symlink("x", "d/link")
print(mode("d/link"))
attempts("d/0-666"); within("d"); within("d/0-777d")
os.chmod("d", 0o770); within("d")
setfacl("-m", "u:lapse-t2:x", "d"); within("d"); attempts("d/0-666")
setfacl("-k", "d"); acl("d")
open("d/after", "w").close(); acl("d/after")
os.mkdir("only", 0o755)
setfacl("-m", "d:u::rw,d:g::r,d:o::-", "only"); acl("only")
open("only/f", "w").close(); acl("only/f")
os.mkdir("sg"); os.chown("sg", 0, T2.pw_gid); os.chmod("sg", 0o2775)
setfacl("-m", "d:u:lapse-t1:rwx", "sg")
os.mkdir("sg/sub"); acl("sg/sub")
open("sg/f", "w").close(); acl("sg/f")
P
for transport in $(transports); do
	umount_archive
	mount_by "$transport"
	same_as_plain "$TEST_TMP/acl.py" "acl-$transport"
done

note "of the root directory, and after a mount"
chmod 750 "$MNT"
refuse "Permission denied" as t1 ls "$MNT"
check "setfacl" setfacl -m u:lapse-t1:rx,d:u:lapse-t1:rw "$MNT"
check "list" as t1 ls "$MNT"
echo plate >"$MNT/new"
umount_archive
mount_archive
check "list" as t1 ls "$MNT"
refuse "Permission denied" as t2 ls "$MNT"
check "read what was made in it" as t1 cat "$MNT/new"
[ "$(stat -c %a "$MNT")" = 750 ] || die "mode of the root: $(stat -c %a "$MNT")"

note "past its date a held file is opened by the hold's reader whom mode or list lets in"
overdue() { ! cat "$MNT/case/attribute.short" >/dev/null 2>&1; }
wait_until 20 overdue
chmod 755 "$MNT"
check "by its mode" as t1 cat "$MNT/case/attribute.short"
check "by its list" as t1 cat "$MNT/case/list.short"
check "the list" getfacl -cp "$MNT/case/list.short"
refuse "Key has expired" as t2 cat "$MNT/case/attribute.short"
refuse "Permission denied" as t2 cat "$MNT/case/list.short"
refuse "Key has expired" as t1 getfattr -n user.a "$MNT/case/attribute.short"
chmod 750 "$MNT"

note "cp -a and rsync -A bring them along"
mkdir "$TEST_TMP/there"
check "cp -a" cp -a "$MNT/acl-device/d" "$TEST_TMP/there/copied"
check "rsync" rsync -aA "$MNT/acl-device/d/" "$MNT/synced/"
acls() { (cd "$1" && find . ! -type l | sort | xargs getfacl -n 2>/dev/null); }
diff <(acls "$MNT/acl-device/d") <(acls "$TEST_TMP/there/copied") || die "cp -a"
diff <(acls "$MNT/acl-device/d") <(acls "$MNT/synced") || die "rsync -A"

note "asked once: who is not the owner walks a path again (the kernel forgets the list of what was read, with its attributes)"
setfacl -b -k "$MNT"
mkdir -p "$MNT/many/levels/deep"
chmod 755 "$MNT" "$MNT/many" "$MNT/many/levels" "$MNT/many/levels/deep"
echo plate >"$MNT/many/levels/deep/f"
chmod 644 "$MNT/many/levels/deep/f"
as t1 cat "$MNT/many/levels/deep/f" >"$TEST_TMP/out"
before=$(requests getxattr)
for _ in 1 2 3 4 5; do as t1 cat "$MNT/many/levels/deep/f" >"$TEST_TMP/out"; done
[ $(($(requests getxattr) - before)) -le 7 ] || die "$(($(requests getxattr) - before)) GETXATTR for five walks of one path"
umount_archive
