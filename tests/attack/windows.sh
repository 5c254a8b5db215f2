#!/bin/bash
# Patience: reading slowly, in bursts where windows begin and end, and the same files over and over. Each of thousands of opens is permitted or refused exactly as the sum of
# what was permitted before says, over windows of minutes to a month, through kill -9. The clock is injected.
# attack items: 9 42
. "$(dirname "$0")/../mount/lib.sh"
with_test_clock
users t1 t3 t4
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 10y

[rule cameras]
users = root
effect = permit
budget = none

[rule everyone]
effect = permit
budget = reader

[budget reader]
files = 5/10min 12/1h 20/24h 45/30d
E
expect_log 'refused: uid|[cC]lock|ahead|behind'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/in"
for i in $(seq 0 399); do echo "image $i" >"$MNT/in/$i"; done
clock 4000 # nobody's own any more
patient() { # patient WAY USER [SEED STEPS]
	CHECK_TIMEOUT=100 check "$1" python3 "$SRC/tests/attack/windows.py" "$1" "$MNT" "$LAPSE_TEST_CLOCK" "$(id -u "lapse-$2")" "${@:3}"
}

note "25: at the edges of four windows, a second before and half a second after each: as the sum of what was read says, also through kill -9 and while the wall clock is wrong"
patient model t1 7 1100 "$TEST_TMP/state"
for seed in 8 9; do # what was read before counts on, to the second
	kill_daemon
	mount_archive
	patient model t1 $seed 500 "$TEST_TMP/state"
done
umount_archive
mount_archive
patient model t1 10 500 "$TEST_TMP/state"

note "24: a new file every five minutes, for a month: the month's limit, and not one more"
patient drip t3

note "26: five files read a hundred thousand times: counted once, and nobody is shut out for it"
python3 - "$MNT/in" "$(id -u lapse-t4)" <<'P'
import errno, os, sys
os.setresuid(*[int(sys.argv[2])] * 3)
for n in range(100000):
    os.close(os.open(f"{sys.argv[1]}/{n % 5}", os.O_RDONLY))
try:
    os.open(f"{sys.argv[1]}/6", os.O_RDONLY)
    raise SystemExit("a sixth file")
except OSError as e:
    assert e.errno == errno.EDQUOT, e
os.close(os.open(f"{sys.argv[1]}/4", os.O_RDONLY))
P
"$LAPSE" guard status "$MNT" --user lapse-t4 --json | python3 -c '
import json, sys
used = {r["window"]: r["used"] for r in json.load(sys.stdin)["guard"]}
assert set(used.values()) == {5}, used'
umount_archive
