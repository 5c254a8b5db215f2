#!/bin/bash
# Past the deadline: by what was open, mapped, locked, spliced or mounted before; by what the owner may do to a file; by a directory that somebody holds so that
# the kernel cannot be told. At its second a file is dark, whatever was prepared.
# timeout: 120
# attack items: 12 15 16 20 22 61
. "$(dirname "$0")/../mount/lib.sh"
as t1 true
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep
settle = 1s

[class short]
match = short/** held/**
expire-after = 8s

[class keep]
match = **
expire-after = 1y

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 2s
mount_archive "$@"

note "a second filesystem, whose daemon will stand still: what is to be read into its memory has to wait"
slow=$TEST_TMP/slow
mkdir "$slow" "$slow/mnt"
chmod 755 "$slow"
timeout 30 "$LAPSE" init "$slow/arc" --key-file "$KEY" --no-recovery-key --policy "$TEST_TMP/open.ini" --anchor "$slow/anchor" >"$slow/init.out" 2>&1
slow_daemon=
let_go() {
	[ -z "$slow_daemon" ] || kill -CONT "$slow_daemon" 2>/dev/null || true
	umount -l "$slow/mnt" 2>/dev/null || true
}
at_end let_go
slow_mount() {
	"$LAPSE" mount "$slow/arc" "$slow/mnt" --key-file "$KEY" --foreground >>"$slow/log" 2>&1 &
	slow_daemon=$!
	wait_until 20 mountpoint -q "$slow/mnt"
}
slow_mount
head -c 400000 /dev/zero >"$slow/mnt/memory"
chmod 666 "$slow/mnt/memory"
"$LAPSE" umount "$slow/mnt"
wait $slow_daemon
slow_mount # nothing of it is in the page cache

mkdir "$MNT/short" "$MNT/held" "$MNT/keep"
chmod 777 "$MNT"/*
cat >"$TEST_TMP/holder.py" <<'P'
import ctypes, mmap, os, sys
# Lists a directory into memory that does not come: the kernel holds the directory's lock meanwhile.
b = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(b, 400000, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
address = ctypes.addressof(ctypes.c_char.from_buffer(m)) + 262144
d = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)
print("ready", os.getpid(), flush=True)
sys.stdin.readline()
print("go", flush=True)
print("listed", ctypes.CDLL(None, use_errno=True).syscall(217, d, ctypes.c_void_p(address), 65536), ctypes.get_errno(), flush=True)
P
echo held >"$MNT/held/a"
mkfifo "$TEST_TMP/go"
as t1 /usr/bin/python3 "$TEST_TMP/holder.py" "$slow/mnt/memory" "$MNT/held" <"$TEST_TMP/go" >"$TEST_TMP/holder.out" &
holder=$!
exec 9>"$TEST_TMP/go"
wait_until 10 grep -q ready "$TEST_TMP/holder.out"
kill -STOP $slow_daemon
stands() { ! grep -L '^State:.T' /proc/$slow_daemon/task/*/status | grep -q .; }
wait_until 10 stands
echo >&9
wait_until 10 grep -q go "$TEST_TMP/holder.out"
wait_until 10 grep -q '^217 ' "/proc/$(sed -n 's/^ready //p' "$TEST_TMP/holder.out")/syscall" # getdents64

sleep 3 # the file in the held directory goes first
head -c 200000 /dev/urandom >"$TEST_TMP/image"
for i in 1 2 3 4 5 6 7 8; do cp "$TEST_TMP/image" "$MNT/short/$i"; done
chown -R lapse-t1 "$MNT/short"
cat >"$TEST_TMP/late.py" <<'P'
import ctypes, errno, mmap, os, signal, sys, time
base, first, deadline = sys.argv[1], int(sys.argv[2].split()[0]), int(sys.argv[2].split()[1])
want = open(sys.argv[3], "rb").read()
fd = [os.open(f"{base}/short/{i}", os.O_RDONLY) for i in range(1, 9)]
rw = os.open(f"{base}/short/8", os.O_RDWR)
maps = [mmap.mmap(fd[0], 200000, mmap.MAP_SHARED, mmap.PROT_READ), mmap.mmap(fd[1], 200000, mmap.MAP_PRIVATE, mmap.PROT_READ),
        mmap.mmap(fd[2], 200000, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ), mmap.mmap(rw, 200000, mmap.MAP_SHARED)]
libc = ctypes.CDLL(None, use_errno=True)
assert all(m[:] == want for m in maps)
maps[3][5] = maps[3][5]  # a dirty page
path = os.open(f"{base}/short/3", os.O_PATH)
r, w = os.pipe()
for f in fd:
    assert os.pread(f, 200000, 0) == want
# While it lives: nothing that its owner may do moves the date.
os.utime(f"{base}/short/4", (4e9, 4e9))
os.chmod(f"{base}/short/4", 0o444)
os.chmod(f"{base}/short/4", 0o644)
os.setxattr(f"{base}/short/4", "user.expires-at", b"9999999999")
for name in ("user.lapse.expires", "trusted.lapse", "security.lapse", "system.lapse"):
    try:
        os.setxattr(f"{base}/short/4", name, b"9999999999")
        assert name.startswith("user."), name
    except OSError:
        pass
os.truncate(f"{base}/short/5", 0)
with open(f"{base}/short/5", "wb") as f:
    f.write(want)
os.link(f"{base}/short/6", f"{base}/keep/linked")
os.rename(f"{base}/short/7", f"{base}/short/7b")
print("prepared", flush=True)
while time.time() < deadline + 0.3:
    for i, f in enumerate(fd):
        before = time.time()
        try:
            os.pread(f, 100, 65536)
        except OSError as e:
            assert e.errno == errno.EKEYEXPIRED, e
            assert before >= first - 0.01 or time.time() >= first, f"expired {first - time.time():.2f} s early"
    time.sleep(0.01)

def dark(what, f, *a):
    try:
        got = f(*a)
    except OSError as e:
        assert e.errno in (errno.EKEYEXPIRED, errno.ENOENT, errno.ESTALE, errno.EOPNOTSUPP), (what, e)
        return
    raise SystemExit(f"{what}: {got!r:.60} after the deadline")

def faults(m):
    pid = os.fork()
    if pid == 0:
        m[100000]
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS

end = time.monotonic() + 3
for i, m in enumerate(maps):
    while not faults(m):
        assert time.monotonic() < end, f"mapping {i} still shows the image"
        time.sleep(0.05)
for i, f in enumerate(fd):
    dark(f"handle {i}", os.pread, f, 100, 0)
    dark(f"handle {i}, another block", os.pread, f, 100, 150000)
    dark(f"reopened handle {i}", os.open, f"/proc/self/fd/{f}", os.O_RDONLY)
    dark("sendfile", os.sendfile, w, f, 0, 100)
    dark("splice", os.splice, f, w, 100, 0)
dark("preadv2", os.preadv, fd[4], [bytearray(100)], 0, os.RWF_NOWAIT)
dark("read and write", os.pread, rw, 100, 0)
dark("write", os.pwrite, rw, b"x", 0)
dark("O_PATH", os.open, f"/proc/self/fd/{path}", os.O_RDONLY)
for n in ("1", "4", "5", "6", "7b"):
    dark(n, os.open, f"{base}/short/{n}", os.O_RDONLY)
dark("its other name", os.open, f"{base}/keep/linked", os.O_RDONLY)
dark("renamed away", os.rename, f"{base}/short/4", f"{base}/keep/4")
print("dark", flush=True)
P
deadline=$("$LAPSE" queue "$MNT" --json --class short | /usr/bin/python3 -c 'import json,sys; d = [int(f["expires"]) for f in json.load(sys.stdin)["queue"] if f["path"].split("/")[-1].isdigit()]; print(min(d), max(d))')
CHECK_TIMEOUT=60 check "what was prepared" as t1 /usr/bin/python3 "$TEST_TMP/late.py" "$MNT" "$deadline" "$TEST_TMP/image"
wait_until 20 sh -c "[ -z \"\$(find '$ARC' -type f -size +100k -not -path '*/.lapse/*')\" ]"
expect_log 'somebody holds its directory'

note "and once the directory is let go"
! grep -q listed "$TEST_TMP/holder.out" || die "nobody held the directory: this test has shown nothing"
kill -CONT $slow_daemon
wait $holder || true
exec 9>&-
umount "$slow/mnt" || umount -l "$slow/mnt"
wait $slow_daemon || true
slow_daemon=
wait_until 10 test ! -e "$MNT/held/a"
umount_archive
