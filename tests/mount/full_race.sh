#!/bin/bash
# A full disk that somebody keeps full, taking each block that becomes free: sixteen processes delete, and each deletion that was done is on the record, after a kill -9, too; what has
# no room for its record is not done.
. "$(dirname "$0")/lib.sh"
DISK=$TEST_TMP/small
mkdir "$DISK"
truncate -s 64M "$DISK.img"
mkfs.ext4 -q -F -m 0 "$DISK.img"
mount -o loop "$DISK.img" "$DISK"
let_go() { umount -l "$DISK" 2>/dev/null; }
at_end let_go
ARC=$DISK/race-archive
expect_log 'audit|space|catalogue|recovered|freshness'
{ cat "$TEST_TMP/open.ini"; printf '\n[audit]\nreserve = 256K\n'; } >"$TEST_TMP/policy.ini"
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/d"
python3 - "$MNT/d" <<'P'
import os, sys
for i in range(800):
    open(f"{sys.argv[1]}/{i}", "w").write("x")
    os.symlink("x", f"{sys.argv[1]}/link-{i}")
P
sync -f "$MNT"
python3 - "$MNT/d" "$DISK/filler" "$TEST_TMP/gone" <<'P'
import errno, multiprocessing, os, sys, time
at, filler, told = sys.argv[1:]
def fill(stop, full):
    fd, size = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 65536
    while not stop.is_set():
        try:
            os.write(fd, bytes(size))
        except OSError:
            if size == 4096:
                full.set()
                time.sleep(0.0005)
            size = 4096
def delete(k, counts):
    done = refused = 0
    for i in range(k, 800, 16):
        for name in (f"{at}/link-{i}", f"{at}/{i}"):
            try:
                os.unlink(name)
                done += 1
            except OSError as e:
                assert e.errno == errno.ENOSPC, e
                assert os.path.lexists(name)
                refused += 1
    counts.put((done, refused))
stop, full, counts = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Queue()
fillers = [multiprocessing.Process(target=fill, args=(stop, full)) for _ in range(2)]
for p in fillers: p.start()
assert full.wait(60)
workers = [multiprocessing.Process(target=delete, args=(k, counts)) for k in range(16)]
for p in workers: p.start()
got = [counts.get(timeout=60) for _ in workers]
for p in workers: p.join()
stop.set()
for p in fillers: p.join()
done, refused = (sum(n) for n in zip(*got))
print(f"{done} deleted, {refused} refused")
assert done > 500, done
open(told, "w").write(str(done))
P
kill_daemon
rm "${DISK:?}/filler"
mount_archive
records=$("$LAPSE" audit tail "$MNT" -n 1000000 --kind unlink --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["records"]))')
[ "$records" = "$(cat "$TEST_TMP/gone")" ] || die "$(cat "$TEST_TMP/gone") were deleted, $records are on the record"
check "the log is whole" "$LAPSE" audit verify "$MNT" >"$TEST_TMP/said"
umount_archive
umount "$DISK"
