#!/bin/bash
# on-exceed = throttle: an open over the limit is put off until it fits, and never more are read in a window than it permits; one open of a reader at a time; who would have
# to wait longer than 5 s is refused at once; others are not held up; an unmount does not wait.
# attack items: 61
. "$(dirname "$0")/lib.sh"
for u in t1 t2 t3; do as $u true; done
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule root]
users = root
effect = permit
budget = none

[rule slow]
users = lapse-t3
effect = permit
budget = hour

[rule everyone]
effect = permit
budget = second

[budget second]
files = 5/1s
on-exceed = throttle

[budget hour]
files = 5/1h
on-exceed = throttle
E
expect_log 'refused: uid|told by a signal'
archive_new "$TEST_TMP/policy.ini"
cat >"$TEST_TMP/reader.py" <<'P'
import errno, os, sys, time
mnt, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
asked, opened = [], []  # it is counted at some time between
for i in range(first, first + count):
    asked.append(time.monotonic())
    fd = os.open(f"{mnt}/in/{i}.jpg", os.O_RDONLY)
    opened.append(time.monotonic())
    assert os.read(fd, 1) == b"x"
    os.close(fd)
assert all(b - a > 0.98 for a, b in zip(asked, opened[5:])), (asked, opened)
print(f"{opened[-1] - opened[0]:.1f} s for {count}")
P
cat >"$TEST_TMP/race.py" <<'P'
import errno, os, sys
mnt = sys.argv[1]
for i in range(5): os.close(os.open(f"{mnt}/in/{i}.jpg", os.O_RDONLY))
kids = []
for i in range(10, 20):
    pid = os.fork()
    if pid == 0:
        try: os.open(f"{mnt}/in/{i}.jpg", os.O_RDONLY)
        except OSError as e: os._exit(e.errno)
        os._exit(0)
    kids.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in kids]
assert set(codes) == {0, errno.EDQUOT} and codes.count(0) <= 5, codes
P
for t in $(transports); do
	note "$t"
	mount_by "$t"
	[ -d "$MNT/in" ] || mkdir "$MNT/in"
	for i in $(seq 0 39); do [ -e "$MNT/in/$i.jpg" ] || echo x >"$MNT/in/$i.jpg"; done
	as t1 python3 "$TEST_TMP/reader.py" "$MNT" 0 13 &
	one=$!
	check "another is not held up" as t2 python3 "$TEST_TMP/reader.py" "$MNT" 20 5
	wait $one || die "paced reading"
	check "one at a time of one reader" as t2 python3 "$TEST_TMP/race.py" "$MNT"
	note "too long to wait for"
	as t3 sh -c "cat $MNT/in/0.jpg $MNT/in/1.jpg $MNT/in/2.jpg $MNT/in/3.jpg $MNT/in/4.jpg" >/dev/null || die "five"
	refuse "Disk quota exceeded" as t3 cat "$MNT/in/5.jpg"
	umount_archive
done
note "a store that is slow for one whose time has come is so for nobody else"
sed -i 's|5/1s|5/3s|' "$TEST_TMP/policy.ini"
cat >"$TEST_TMP/hold.py" <<'P'
import os, sys, time
mnt, first = sys.argv[1], int(sys.argv[2])
for i in range(first, first + 6):
    os.close(os.open(f"{mnt}/in/{i}.jpg", os.O_RDONLY))
print(f"{time.monotonic():.3f}")
P
for u in t4 t5 t6 t7 t8; do as $u true; done
slowly() {
	mount_by "$1"
	"$LAPSE" policy apply "$TEST_TMP/policy.ini" --reason slower "$MNT" >/dev/null 2>&1
	for i in $(seq 0 39); do cat "$MNT/in/$i.jpg" >/dev/null; done
	local u slow jobs=() opened
	opened=$(requests open)
	for u in t4 t5 t6 t7 t8; do
		as $u python3 "$TEST_TMP/hold.py" "$MNT" "${#jobs[@]}" >"$TEST_TMP/held.$u" &
		jobs+=($!)
	done
	wait_until 3 sh -c "[ \$(python3 '$SRC/tests/mount/stats.py' '$MNT' open) -ge $((opened + 30)) ]"
	strace -f -qq -o /dev/null -e trace=openat,openat2 -e inject=openat,openat2:delay_enter=700ms -p "$DAEMON" &
	slow=$!
	for j in "${jobs[@]}"; do wait "$j" || die "one that was put off"; done
	kill $slow
	wait $slow || true
	sort -n "$TEST_TMP"/held.* | awk 'NR == 1 { first = $1 } { last = $1 } END { exit !(NR == 5 && last - first < 2.1) }' ||
		die "one after another: $(cat "$TEST_TMP"/held.*)"
	umount_archive
}
slowly "$(transports | tail -n 1)"
sed -i 's|5/3s|5/5s|' "$TEST_TMP/policy.ini"

note "a signal ends it at once, also while one is put off"
mount_archive
"$LAPSE" policy apply "$TEST_TMP/policy.ini" --reason slower "$MNT" >/dev/null 2>&1 || "$LAPSE" policy apply "$TEST_TMP/policy.ini" "$MNT" >/dev/null
(cd / && as t1 python3 "$TEST_TMP/reader.py" "$MNT" 20 6 >/dev/null 2>&1) &
waiting=$!
wait_until 3 sh -c "[ \$(python3 '$SRC/tests/mount/stats.py' '$MNT' open) -ge 6 ]"
begun=$(date +%s%N)
kill -TERM "$DAEMON"
wait $waiting && die "it was read all the same"
daemon_gone
took=$((($(date +%s%N) - begun) / 1000000))
[ $took -lt 3000 ] || die "$took ms"
