#!/bin/bash
# kill -9 of the daemon during ingest, 20 times at random points: every file whose close returned after an fsync is whole; the next mount needs no repair.
# timeout: 300
. "$(dirname "$0")/../mount/lib.sh"
archive_new
cat >"$TEST_TMP/ingest.py" <<'P'
import hashlib, os, random, sys
root, round_, done = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], "a", buffering=1)
rnd = random.Random(round_)
d = f"{root}/r{round_}"
i = 0
try:
    os.mkdir(d)
    while True:
        i += 1
        p = f"{d}/{i:05}.jpg" if i % 7 else f"{d}/{'l' * 200}{i}.jpg"
        data = rnd.randbytes(rnd.choice([0, 10, 5000, 32768, 60000, 200000]))
        fd = os.open(p + ".part", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o644)
        at = 0
        while at < len(data):
            at += os.write(fd, data[at:at + 40000])
        sync = i % 3 == 0
        if sync:
            os.fsync(fd)
        os.close(fd)
        os.rename(p + ".part", p)
        if sync:
            done.write(f"{p} {hashlib.sha256(data).hexdigest()}\n")
except OSError:
    pass
print(i)
P
cat >"$TEST_TMP/verify.py" <<'P'
import hashlib, os, sys
n = 0
for line in open(sys.argv[1]):
    path, want = line.split()
    got = hashlib.sha256(open(path, "rb").read()).hexdigest()
    assert got == want, path
    n += 1
# And nothing else is damaged: what was not synced is there whole, shorter, or not at all, but it reads.
m = 0
for d, _, files in os.walk(sys.argv[2]):
    for f in files:
        open(os.path.join(d, f), "rb").read()
        m += 1
print(n, "synced files whole,", m, "files readable")
P
: >"$TEST_TMP/done"
rounds=20
for round in $(seq $rounds); do
	mount_archive
	python3 "$TEST_TMP/ingest.py" "$MNT" "$round" "$TEST_TMP/done" >/dev/null &
	writer=$!
	before=$(wc -l <"$TEST_TMP/done")
	wait_until 20 sh -c "[ \$(wc -l <'$TEST_TMP/done') -gt $((before + RANDOM % 20)) ]"
	kill_daemon
	wait "$writer" || true
done
mount_archive
CHECK_TIMEOUT=120 check "verify" python3 "$TEST_TMP/verify.py" "$TEST_TMP/done" "$MNT"
umount_archive
mount_archive
CHECK_TIMEOUT=120 check "verify after a clean remount" python3 "$TEST_TMP/verify.py" "$TEST_TMP/done" "$MNT"
umount_archive
[ "$(wc -l <"$TEST_TMP/done")" -gt 40 ] || die "the writer got nowhere"
