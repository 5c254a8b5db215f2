#!/bin/bash
# How many requests an image costs, on every transport: a number that grows is a regression that no stopwatch shows.
. "$(dirname "$0")/lib.sh"
archive_new

cat >"$TEST_TMP/count.py" <<'P'
import os, random, sys, time
tools, mnt, stage = sys.argv[1:]
sys.path.insert(0, tools)
sys.dont_write_bytecode = True
import stats
BESIDE = {"forget", "by-uring", "by-device", "handed-off", "read-bytes", "written-bytes", "uring-negotiated", "statfs"}
def settled():
    # RELEASE comes after close has returned.
    old = stats.counters(mnt)
    while True:
        time.sleep(0.05)
        new = stats.counters(mnt)
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
data = random.Random(1).randbytes(60000)
d = mnt + "/d"
def create(path):
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    assert os.write(fd, data) == len(data)
    os.close(fd)
def read(path):
    fd = os.open(path, os.O_RDONLY)
    assert os.read(fd, 1 << 20) == data and os.read(fd, 1 << 20) == b""
    os.close(fd)
def small_writes(path):
    with open(path, "r+b", buffering=os.stat(path).st_blksize) as f:
        for at in range(0, 60000, 1000):
            f.write(data[at : at + 1000])
def in_pieces(path, size):
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    for at in range(0, len(data), size):
        os.write(fd, data[at : at + size])
    os.close(fd)
def beginning(path):
    fd = os.open(path, os.O_RDONLY)
    assert os.read(fd, 4096) == data[:4096]
    os.close(fd)
def list_all(path):
    with os.scandir(path) as entries:
        assert len([e.stat() for e in entries]) == 40
def fresh(path):
    os.stat(d)
    expect("create, write 60,000 bytes, close", lambda: create(path), lookup=1, create=1, write=1, release=1)
    # The kernel forgets the attributes of a directory that has changed, and asks for its mode.
    expect("the next one", lambda: create(path + "2"), getattr=1, lookup=1, create=1, write=1, release=1)
    os.stat(d)
    expect("a name that is not there", lambda: os.path.exists(path + "3"), lookup=1)
    expect("and again", lambda: os.path.exists(path + "3"))
    os.stat(d)
    expect("60,000 bytes in pieces of 16 KiB", lambda: in_pieces(path + "4", 16384), lookup=1, create=1, write=4, release=1)
    os.stat(d)
    expect("a rename over another", lambda: os.rename(path + "4", path + "2"), lookup=1, rename=1)
    os.stat(d)
    expect("unlink", lambda: os.unlink(path + "2"), unlink=1)
    os.makedirs(path + ".d")
    for i in range(40):
        create(f"{path}.d/{i}")
    expect("a listing with attributes of 40", lambda: list_all(path + ".d"), getattr=1, opendir=1, readdirplus=2, releasedir=1)
    os.stat(d)
    expect("60,000 bytes through stdio", lambda: small_writes(path), getattr=1, open=1, getxattr=1, write=1, release=1)
def cold(path):
    os.stat(d)
    expect("stat", lambda: os.stat(path), lookup=1)
    expect("and again", lambda: os.stat(path))
    expect("open, read, close", lambda: read(path), open=1, read=1, release=1)
    expect("the first 4 KiB of another", lambda: beginning(path.replace("cold", "head")), lookup=1, open=1, read=1, release=1)
    expect("and again, from the page cache", lambda: read(path), open=1, release=1)
os.makedirs(d, exist_ok=True)
# Whoever drops the machine's caches meanwhile makes the kernel ask again.
for attempt in range(3):
    try:
        {"fresh": fresh, "cold": cold}[stage](f"{d}/{stage}{attempt}" if stage == "fresh" else f"{d}/cold{attempt}.jpg")
        break
    except AssertionError as e:
        print("--", e)
else:
    raise SystemExit("three times over")
if stage == "fresh":
    for attempt in range(3):
        create(f"{d}/cold{attempt}.jpg")
        create(f"{d}/head{attempt}.jpg")
P
count() { check "requests of a $1 file" python3 "$TEST_TMP/count.py" "$SRC/tests/mount" "$MNT" "$1"; }
for transport in $(transports); do
	note "$transport"
	mount_by "$transport"
	count fresh
	umount_archive
	mount_by "$transport"
	count cold
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
for i in range(600):
    os.mkdir(f"{sys.argv[1]}.d{i}")
    os.close(os.open(f"{sys.argv[1]}.d{i}/f", os.O_CREAT | os.O_WRONLY))
P
umount_archive
printf '#!/bin/bash\nulimit -n 400\nexec "%s" "$@"\n' "$LAPSE" >"$TEST_TMP/lapse" # fewer descriptors than inodes, and than directories
chmod 755 "$TEST_TMP/lapse"
LAPSE=$TEST_TMP/lapse mount_by device
check "walk" python3 - "$MNT/many" <<'P'
import os, sys
n = 0
for e in os.scandir(sys.argv[1]):
    os.stat(e.path)
    n += 1
assert n == 1500, n
P
[ "$(requests lookup)" -lt 300 ] || die "$(requests lookup) lookups: the listing did not bring the attributes"

note "what the kernel remembers takes no descriptors: 1,500 files, and 600 directories in turn"
descriptors() { find "/proc/$DAEMON/fd" -type l | wc -l; }
all="$(descriptors) before"
check "directories" python3 - "$MNT" <<'P'
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = [os.open(f"{sys.argv[1]}/many.d{i}", os.O_PATH) for i in range(600)]
for turn in range(2):
    for d in held:
        assert os.stat("f", dir_fd=d).st_size == 0
        os.close(os.open(f"g{turn}", os.O_CREAT | os.O_WRONLY, dir_fd=d))
files = [os.open(f"{sys.argv[1]}/many/{i:06}.jpg", os.O_PATH) for i in range(1500)]
assert all(os.fstat(f).st_size == 0 for f in files)
P
note "descriptors of the daemon: $all, $(descriptors) after"
[ "$(descriptors)" -le 300 ] || die "$(descriptors) descriptors"
umount_archive
