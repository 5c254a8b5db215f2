#!/bin/bash
# The filesystem below is cut off while somebody reads, under `fsync = always`: what he had been given by then is on the record, all of it, and the budget counts it.
# timeout: 120
# attack items: 58
. "$(dirname "$0")/../mount/lib.sh"
expect_log 'Input/output|EIO|header could not be written|audit|anchor|catalogue|journal|refused: '
DISK=${TEST_TMP:?}/disk
mkdir "$DISK"
let_go() { umount -l "$MNT" "$DISK" 2>/dev/null; }
at_end let_go
rules <<'E2'
[rule everyone]
effect = permit
budget = reader

[budget reader]
files = 5000/1d

[audit]
fsync = always
E2
cat >"$TEST_TMP/reader.py" <<'E2'
import os, sys
mnt, ledger = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
try:
    for n in sorted(os.listdir(mnt), key=int):
        with open(f"{mnt}/{n}", "rb") as f:
            if f.read():
                os.write(ledger, f"{n}\n".encode())
except OSError as e:
    print(e)
E2
reached() { [ "$(wc -l <"$TEST_TMP/ledger")" -ge "$1" ]; }
RANDOM=${SEED:-1}

as t1 true
for round in 1 2 3; do
	truncate -s 256M "$TEST_TMP/disk.img"
	mkfs.ext4 -q "$TEST_TMP/disk.img"
	mount -o loop "$TEST_TMP/disk.img" "$DISK"
	chmod 755 "$DISK"
	ARC=$DISK/poweroff-log
	archive_new "$TEST_TMP/policy.ini"
	mount_archive
	for n in $(seq 1500); do echo "image $n" >"$MNT/$n"; done
	sync -f "$MNT"
	umount_archive # nobody's own any more, and no page of them in memory
	mount_archive
	: >"$TEST_TMP/ledger"
	chmod 666 "$TEST_TMP/ledger"
	as t1 python3 "$TEST_TMP/reader.py" "$MNT" "$TEST_TMP/ledger" >"$TEST_TMP/reader.out" 2>&1 &
	reader=$!
	wait_until 30 reached $((20 + RANDOM % 200))
	cut_off "$DISK"
	wait "$reader" || true
	kill_daemon
	umount -l "$DISK" "/run/lapse/poweroff-log/store"
	cp --sparse=always "$TEST_TMP/disk.img" "$TEST_TMP/again.img"
	mv "$TEST_TMP/again.img" "$TEST_TMP/disk.img"
	mount -o loop "$TEST_TMP/disk.img" "$DISK"
	mount_archive
	"$LAPSE" audit exposure "$MNT" --user lapse-t1 --list --json >"$TEST_TMP/exposure" || die "exposure"
	"$LAPSE" guard status "$MNT" --json >"$TEST_TMP/guard" || die "guard status"
	python3 - "$TEST_TMP/ledger" "$TEST_TMP/exposure" "$TEST_TMP/guard" <<'P' || die "round $round"
import json, sys
given = set(open(sys.argv[1]).read().split())
stated = {i["path"] for i in json.load(open(sys.argv[2]))["images"]}
used = max(r["used"] for r in json.load(open(sys.argv[3]))["guard"])
print(f"-- {len(given)} files given, {len(stated)} on the record, {used} counted")
assert len(given) >= 20 and given <= stated, sorted(given - stated)
assert used == len(stated) <= len(given) + 2, used  # one on its way, at most
P
	umount_archive
	umount "$DISK"
	rm "${TEST_TMP:?}/anchor" "${TEST_TMP:?}/disk.img"
done
