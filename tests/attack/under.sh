#!/bin/bash
# Who changes the store while it is mounted and read: deletes, renames, swaps, overwrites, cuts and locks what lies there. What must happen: the right bytes or an error, never others;
# the daemon goes on, and what was not touched is as it was. And what the kernel itself would read of the mount: swap, exports, verity.
. "$(dirname "$0")/../mount/lib.sh"
as t1 true
archive_new
mount_archive
mkdir "$MNT/in" "$TEST_TMP/want"
python3 - "$MNT/in" "$TEST_TMP/want" <<'P'
import os, sys
for i in range(60):
    data = os.urandom(70000)
    for d in sys.argv[1:]:
        with open(f"{d}/{i}", "wb") as f: f.write(data)
P
for d in one two; do mkdir "$MNT/$d"; echo "of $d" >"$MNT/$d/image"; done
umount_archive
mount_archive # nothing of it is in the page cache
expect_log 'damaged|forged|not at home|does not authenticate|truncated|content root|torn|ends before|another|being written|foreign|gone|missing|refused'

note "48: fifty files of sixty change below four readers"
cat >"$TEST_TMP/readers.py" <<'P'
import errno, os, random, sys
mnt, want, stop, seed = sys.argv[1:5]
rnd, held, wrong, ok, bad = random.Random(seed), {}, [], 0, set()
may = {errno.EIO, errno.ENOENT, errno.ESTALE, errno.EBADMSG}
right = {i: open(f"{want}/{i}", "rb").read() for i in range(60)}
while not os.path.exists(stop):
    i = rnd.randrange(60)
    try:
        fd = held.pop(i, None) or os.open(f"{mnt}/{i}", os.O_RDONLY)
        at = rnd.choice((0, 32768, 65536, 50000))
        got = os.pread(fd, 5000, at)
        if got != right[i][at:at + 5000]: wrong.append((i, at, len(got)))
        ok += 1
        if rnd.random() < 0.3: held[i] = fd
        else: os.close(fd)
    except OSError as e:
        if e.errno not in may: wrong.append((i, e))
        bad.add(i)
print(seed, ok, "reads,", len(bad), "files gave an error")
sys.exit(f"wrong: {wrong[:5]}" if wrong or not ok else 0)
P
readers=()
for seed in 1 2 3 4; do
	python3 "$TEST_TMP/readers.py" "$MNT/in" "$TEST_TMP/want" "$TEST_TMP/stop" $seed >"$TEST_TMP/reader.$seed" 2>&1 &
	readers+=($!)
done
python3 - "$ARC" "$MNT/in" <<'P'
import os, random, sys, time
arc, mnt = sys.argv[1:]
rnd = random.Random(5)
number = {os.stat(f"{mnt}/{i}").st_ino: i for i in range(60)}
place = {number[os.stat(p).st_ino]: p for d, _, names in os.walk(arc) if "/.lapse" not in d for n in names if os.stat(p := os.path.join(d, n)).st_ino in number}
assert len(place) == 60
def swap(i):
    os.rename(place[i], place[i] + "x"), os.rename(place[i + 1], place[i]), os.rename(place[i] + "x", place[i + 1])
def over(i):
    with open(place[i], "r+b") as f: f.seek(rnd.randrange(1024, 60000)), f.write(os.urandom(500))
def headers(i):
    with open(place[i], "r+b") as f: f.write(os.urandom(1024))
def other(i):
    with open(place[i + 1], "rb") as g, open(place[i], "r+b") as f: f.write(g.read())
def replaced(i):
    with open(place[i + 1], "rb") as g, open(place[i] + "n", "wb") as f: f.write(g.read())
    os.rename(place[i] + "n", place[i])
def fifo(i):
    os.unlink(place[i]), os.mkfifo(place[i])
def link(i):
    os.unlink(place[i]), os.symlink("/etc/passwd", place[i])
acts = [lambda i: os.unlink(place[i]), swap, over, headers, other, replaced, lambda i: os.truncate(place[i], rnd.randrange(70000)), lambda i: os.truncate(place[i], 0),
        lambda i: os.rename(place[i], place[i] + "z"), fifo, link, lambda i: os.chmod(place[i], 0)]
for n in range(0, 50, 2):
    acts[n // 2 % len(acts)](n)
    time.sleep(0.05)
P
opened=$(requests open)
more_opens() { [ "$(requests open)" -ge $((opened + 200)) ]; }
wait_until 20 more_opens
: >"$TEST_TMP/stop"
for r in "${readers[@]}"; do wait "$r" || { cat "$TEST_TMP"/reader.*; die "a reader got something else"; }; done
cat "$TEST_TMP"/reader.*
for i in 52 55 59; do check "what was not touched" cmp "$TEST_TMP/want/$i" "$MNT/in/$i"; done
check "and what is made now" sh -c "echo new >'$MNT/in/new' && [ \"\$(cat '$MNT/in/new')\" = new ]"
status=0
timeout 60 "$LAPSE" scrub "$MNT" >"$TEST_TMP/scrub" 2>&1 || status=$?
[ $status = 1 ] || die "scrub ended with status $status: $(cat "$TEST_TMP/scrub")"
[ "$(wc -l <"$TEST_TMP/scrub")" -ge 10 ] || { cat "$TEST_TMP/scrub"; die "scrub names too few"; }

note "48: two directories change places while somebody is in one of them"
python3 - "$ARC" "$MNT" <<'P'
import os, sys
arc, mnt = sys.argv[1:]
os.chdir(f"{mnt}/two")
assert open("image").read() == "of two\n"
place = [os.path.join(arc, n) for n in os.listdir(arc) if not n.startswith(".lapse") and os.path.isdir(os.path.join(arc, n))]
two = next(p for p in place if os.stat(p).st_ino == os.stat(".").st_ino)
inside = next(p for p in place if os.stat(p).st_ino == os.stat(f"{mnt}/in").st_ino)
one = next(p for p in place if p not in (two, inside))
os.rename(one, one + "x"), os.rename(two, one), os.rename(one + "x", two)
try:
    got = open(f"{mnt}/one/image").read()
    raise SystemExit(f"one/image is {got!r}")
except OSError as e:
    assert e.errno in (5, 2, 116), e
assert open("image").read() == "of two\n"
P

note "40: what the kernel would read by itself: swap, verity, handles, a reader of the block device of a file"
head -c 1048576 /dev/zero >"$MNT/swap"
chmod 600 "$MNT/swap"
mkswap "$MNT/swap" >/dev/null 2>&1
! swapon "$MNT/swap" 2>"$TEST_TMP/err" || { swapoff "$MNT/swap"; die "it is swapped to"; }
python3 - "$MNT/in/52" "$MNT" <<'P'
import ctypes, errno, fcntl, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDONLY)
try:
    fcntl.ioctl(fd, 0x40806685, struct.pack("<IIIIQIIQ11Q", 1, 1, 4096, 0, 0, 0, 0, 0, *[0] * 11))  # FS_IOC_ENABLE_VERITY
    raise SystemExit("verity")
except OSError as e:
    assert e.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM), e
for request in (0x5401, 0x80086601, 0x40049409):  # TCGETS, FS_IOC_GETFLAGS, FICLONE of itself
    try:
        fcntl.ioctl(fd, request, fd if request == 0x40049409 else b"\0" * 64)
        raise SystemExit(f"ioctl {request:x}")
    except OSError as e:
        assert e.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EBADF), (hex(request), e)
P
umount_archive
