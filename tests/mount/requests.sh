#!/bin/bash
# How many requests an image costs, on every transport: a number that grows is a regression that no stopwatch shows.
. "$(dirname "$0")/lib.sh"
archive_new

cat >"$TEST_TMP/count.py" <<'P'
import os, subprocess, sys, time
tool, mnt = sys.argv[1:3]
def counters():
    out = subprocess.run([sys.executable, tool, mnt], check=True, capture_output=True, text=True).stdout
    return {n: int(v) for n, v in (l.split() for l in out.splitlines())}
BESIDE = {"forget", "by-uring", "by-device", "handed-off", "read-bytes", "written-bytes", "uring-negotiated", "statfs"}
def settled():
    # RELEASE comes after close has returned.
    old = counters()
    while True:
        time.sleep(0.05)
        new = counters()
        if new == old:
            return new
        old = new
def expect(what, act, **want):
    before = settled()
    act()
    after = settled()
    got = {n: after[n] - before[n] for n in after if n not in BESIDE and after[n] != before[n]}
    assert got == want, f"{what}: {got}, not {want}"
    print(f"-- {what}: {sum(got.values())} requests")
data = os.urandom(60000)
def create():
    fd = os.open(mnt + "/d/a.jpg", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    assert os.write(fd, data) == len(data)
    os.close(fd)
def read():
    fd = os.open(mnt + "/d/a.jpg", os.O_RDONLY)
    assert os.read(fd, 1 << 20) == data and os.read(fd, 1 << 20) == b""
    os.close(fd)
def missing():
    assert not os.path.exists(mnt + "/d/none.jpg")
def small_writes():
    with open(mnt + "/d/a.jpg", "r+b", buffering=os.stat(mnt + "/d/a.jpg").st_blksize) as f:
        for at in range(0, 60000, 1000):
            f.write(data[at : at + 1000])
stage = sys.argv[3]
if stage == "fresh":
    os.mkdir(mnt + "/d")
    expect("create, write 60,000 bytes, close", create, lookup=1, create=1, getxattr=1, write=1, flush=1, release=1)
    expect("a name that is not there", missing, lookup=1)
    expect("and again", missing)
    expect("60,000 bytes through stdio", small_writes, getattr=1, open=1, write=1, flush=1, release=1)
else:
    os.stat(mnt + "/d")
    expect("stat", lambda: os.stat(mnt + "/d/a.jpg"), lookup=1)
    expect("and again", lambda: os.stat(mnt + "/d/a.jpg"))
    expect("open, read, close", read, open=1, read=1, release=1)
    expect("and again, from the page cache", read, open=1, release=1)
P
for transport in $(transports); do
	note "$transport"
	mount_by "$transport"
	check "requests of a new file" python3 "$TEST_TMP/count.py" "$SRC/tests/mount/stats.py" "$MNT" fresh
	umount_archive
	mount_by "$transport"
	check "requests of a file the kernel does not know" python3 "$TEST_TMP/count.py" "$SRC/tests/mount/stats.py" "$MNT" cold
	rm -r "$MNT/d"
	if [ "$transport" = io_uring ]; then
		[ "$(requests by-device)" -le "$(requests by-uring)" ] || die "most requests come by the device"
	else
		[ "$(requests by-uring)" = 0 ] || die "requests come by io_uring"
	fi
	umount_archive
done

note "a listing brings the attributes along: names and stat of 1,500 files"
mount_by device
mkdir "$MNT/many"
python3 - "$MNT/many" <<'P'
import os, sys
for i in range(1500):
    os.close(os.open(f"{sys.argv[1]}/{i:06}.jpg", os.O_CREAT | os.O_WRONLY))
P
umount_archive
mount_by device
check "walk" python3 - "$MNT/many" <<'P'
import os, sys
n = 0
for e in os.scandir(sys.argv[1]):
    os.stat(e.path)
    n += 1
assert n == 1500, n
P
[ "$(requests lookup)" -lt 300 ] || die "$(requests lookup) lookups: the listing did not bring the attributes"
