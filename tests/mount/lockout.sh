#!/bin/bash
# A lockout reaches what its reader has open: the next read of an old handle is refused, its cached pages are dropped, mappings give SIGBUS; another's handles, what is on no
# budget, and what is being made go on. `cache = no`: what is read stays in no cache.
. "$(dirname "$0")/lib.sh"
for u in t1 t2; do as $u true; done
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class uncached]
match = uncached/**
cache = no
expire-after = 1y

[class images]
match = **
expire-after = 1y

[rule free]
paths = free/**
effect = permit
budget = none

[rule root]
users = root
effect = permit
budget = none

[rule everyone]
effect = permit
budget = small

[budget small]
files = 5/10min
on-exceed = lockout
lockout-for = 2h
E
expect_log 'refused: uid|locked out'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/in" "$MNT/free" "$MNT/uncached" "$MNT/theirs"
chown lapse-t1 "$MNT/theirs"
python3 - "$MNT" <<'P'
import sys
for d in ("in", "free", "uncached"):
    for i in range(10):
        with open(f"{sys.argv[1]}/{d}/{i}.jpg", "wb") as f: f.write(bytes([65 + i]) * 200000)
P
cat >"$TEST_TMP/reader.py" <<'P'
import errno, mmap, os, signal, sys, time
mnt = sys.argv[1]
fds = [os.open(f"{mnt}/in/{i}.jpg", os.O_RDONLY) for i in range(5)]
free = os.open(f"{mnt}/free/1.jpg", os.O_RDONLY)
making = os.open(f"{mnt}/theirs/new.jpg", os.O_RDWR | os.O_CREAT, 0o644)
os.write(making, b"first")
assert all(os.pread(fd, 200000, 0) == bytes([65 + i]) * 200000 for i, fd in enumerate(fds))
mapping = mmap.mmap(fds[0], 200000, prot=mmap.PROT_READ)
assert mapping[100000] == 65
if sys.argv[2] == "waits":
    print("open", flush=True)
    sys.stdin.readline()
    assert os.pread(fds[0], 10, 0) == b"A" * 10 and mapping[150000] == 65
    sys.exit(0)
try:
    os.open(f"{mnt}/in/5.jpg", os.O_RDONLY)
    sys.exit("the sixth was opened")
except PermissionError:
    pass
def refused(fd):
    try:
        os.pread(fd, 10, 100000)
        return False
    except PermissionError:
        return True
end = time.monotonic() + 5
while not all(refused(fd) for fd in fds):
    if time.monotonic() > end: sys.exit("pages that were read are read on")
    time.sleep(0.02)
pid = os.fork()
if pid == 0:
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    mapping[150000]
    os._exit(0)
assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGBUS, "the mapping"
assert os.pread(free, 10, 0) == b"B" * 10
assert os.write(making, b" and more") == 9 and os.pread(making, 5, 0) == b"first"
P
note "another has the same files open"
mkfifo "$TEST_TMP/go" "$TEST_TMP/ready"
sed "s|/theirs/new|/theirs/../theirs2/new|" "$TEST_TMP/reader.py" >"$TEST_TMP/other.py"
mkdir "$MNT/theirs2"
chown lapse-t2 "$MNT/theirs2"
as t2 python3 "$TEST_TMP/other.py" "$MNT" waits <"$TEST_TMP/go" >"$TEST_TMP/ready" &
other=$!
exec 7>"$TEST_TMP/go"
read -r _ <"$TEST_TMP/ready"
note "what the locked out one has open"
check "old handles" as t1 python3 "$TEST_TMP/reader.py" "$MNT" exceeds
echo >&7
wait $other || die "the other one does not read on"
refuse "Permission denied" as t1 cat "$MNT/in/1.jpg"
note "he is told of it as of a decoy's; an officer hears which budget it was"
for f in 5 1; do
	as t1 "$LAPSE" explain --denied --json "$MNT/in/$f.jpg" >"$TEST_TMP/said" && die "no finding"
	grep -q '"deny-lockout"' "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "no lockout"; }
	grep -Eq '"(line|budget|window|used|limit)"' "$TEST_TMP/said" && { cat "$TEST_TMP/said"; die "what only a budget's lockout has"; }
done
"$LAPSE" explain --denied --as lapse-t1 "$MNT/in/5.jpg" >"$TEST_TMP/said" && die "no finding"
grep -q 'for exceeding budget small' "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "the budget"; }
note "cache = no"
reads() { requests read; }
twice() { before=$(reads); cat "$MNT/$1" >/dev/null; cat "$MNT/$1" >/dev/null; echo $(($(reads) - before)); }
cached=$(twice in/9.jpg) uncached=$(twice uncached/9.jpg)
[ "$uncached" -ge 2 ] || die "$uncached reads"
cat "$MNT/in/9.jpg" "$MNT/uncached/9.jpg" >/dev/null
again=$(twice in/9.jpg) uncached=$(twice uncached/9.jpg)
[ "$again" = 0 ] && [ "$uncached" -ge 2 ] || die "cached $cached, then $again; uncached $uncached"
cmp "$MNT/in/9.jpg" "$MNT/uncached/9.jpg" || die "content"
check "written and read through one handle" python3 - "$MNT/uncached/rw.jpg" <<'P'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(fd, b"x" * 70000)
os.pwrite(fd, b"y", 40000)
assert os.pread(fd, 70001, 0) == b"x" * 40000 + b"y" + b"x" * 29999
P
umount_archive
