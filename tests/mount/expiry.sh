#!/bin/bash
# A file expires at its second: by name, through an old handle, through mappings; then it is gone, its key is gone, and old copies of the store are dark.
# ci: asan
# attack items: 44
. "$(dirname "$0")/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class short]
match = short/**
expire-after = 8s

[class keep]
match = **
expire-after = 1d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 2s
mount_archive "$@"
mkdir "$MNT/short" "$MNT/keep"
head -c 100000 /dev/urandom >"$TEST_TMP/image"
cp "$TEST_TMP/image" "$MNT/keep/a.jpg"
cp "$TEST_TMP/image" "$MNT/short/a.jpg"
cp "$TEST_TMP/image" "$MNT/short/b.jpg"
ln "$MNT/keep/a.jpg" "$MNT/keep/linked.jpg"
check "readable before" cmp "$TEST_TMP/image" "$MNT/short/a.jpg"

note "renamed into a longer-lived class after it settled, touched, chmodded: the deadline stands (the class is settled by rename within 2 min)"
touch -d '2035-01-01' "$MNT/short/b.jpg"
chmod 600 "$MNT/short/b.jpg"

note "a copy of the store, as a thief or a backup has it"
cp -a "$ARC" "$TEST_TMP/stolen"

cat >"$TEST_TMP/holder.py" <<'P'
import errno, mmap, os, signal, sys, time
path = sys.argv[1]
fd = os.open(path, os.O_RDONLY)
m = mmap.mmap(fd, 100000, mmap.MAP_SHARED, mmap.PROT_READ)
p = mmap.mmap(fd, 100000, mmap.MAP_PRIVATE, mmap.PROT_READ)
first = os.pread(fd, 4096, 0)
assert m[:4096] == first == p[:4096]
print("holding", flush=True)
end = time.monotonic() + 30
while True:
    try:
        os.pread(fd, 4096, 0)
    except OSError as e:
        assert e.errno in (errno.EKEYEXPIRED,), e
        break
    assert time.monotonic() < end, "still readable"
    time.sleep(0.02)
gone = time.time()
def faults(what):
    pid = os.fork()
    if pid == 0:
        what[50000]
        os._exit(0)
    return os.WIFSIGNALED(status := os.waitpid(pid, 0)[1]) and os.WTERMSIG(status) == signal.SIGBUS
# The flag is set before the kernel is told; its pages go within moments.
while not (faults(m) and faults(p)):
    assert time.monotonic() < end, "a mapping still shows the image"
    time.sleep(0.02)
try:
    os.open(path, os.O_RDONLY)
    raise SystemExit("opened after its deadline")
except OSError as e:
    assert e.errno in (errno.EKEYEXPIRED, errno.ENOENT), e
print(f"expired {gone:.2f}", flush=True)
P
deadline=$("$LAPSE" queue "$MNT" --json --class short | python3 -c 'import json,sys; print(max(int(f["expires"]) for f in json.load(sys.stdin)["queue"]))')
CHECK_TIMEOUT=40 check "holder of a handle and two mappings" python3 "$TEST_TMP/holder.py" "$MNT/short/a.jpg" >"$TEST_TMP/held"
cat "$TEST_TMP/held"
python3 - "$TEST_TMP/held" "$deadline" <<'P'
import sys
gone = float(open(sys.argv[1]).read().split()[-1])
late = gone - int(sys.argv[2])
assert -1.01 < late < 1.0, f"denied {late:.2f} s after its second"
P
wait_until 15 test ! -e "$MNT/short/b.jpg"
wait_until 15 sh -c "[ -z \"\$(ls -A '$MNT/short')\" ]"
check "the other class lives" cmp "$TEST_TMP/image" "$MNT/keep/linked.jpg"
[ "$("$LAPSE" queue "$MNT" --class short --json | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["queue"]))')" = 0 ] || die "still in the queue"

note "the old copy of the store with today's keys: what lives opens, what expired does not"
umount_archive
rm -rf "$ARC"
cp -a "$TEST_TMP/stolen" "$ARC"
expect_log 'short|not at home|overdue|unlink|anchor|rolled back|log'
if "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" >"$TEST_TMP/old.out" 2>&1; then
	check "what lives" cmp "$TEST_TMP/image" "$MNT/keep/a.jpg"
	[ ! -e "$MNT/short/a.jpg" ] || refuse "Key has expired" cat "$MNT/short/a.jpg"
	timeout 60 "$LAPSE" umount "$MNT"
else
	grep -q 'log' "$TEST_TMP/old.out" || { cat "$TEST_TMP/old.out"; die "refused for an unexpected reason"; }
fi
