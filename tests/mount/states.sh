#!/bin/bash
# The table of retention (POLICY.md) where retention.sh has it not: held files, before and past their date, and a clock in doubt; and each state through handles that were opened
# before the file came to it. With the build whose clock is injected.
# attack items: 9 11 16 52
. "$(dirname "$0")/lib.sh"
# It begins at one o'clock, so that no epoch, of a day each, ends while the test goes on.
base=$((90000 - $(date +%s) % 86400))
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
export LAPSE_TEST_CLOCK=$TEST_TMP/clock
clock() { # clock SECONDS [WALL_SECONDS]
	now=$1
	python3 -c 'import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(fd, struct.pack("<qqI4x", int(sys.argv[3]) * 10**9, int(sys.argv[2]) * 10**9, 1), 0)' "$LAPSE_TEST_CLOCK" $((base + $1)) $((base + ${2:-$1}))
}
clock 0
expect_log '[cC]lock|wall|ahead'
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = plain
settle = 10s

[class worm]
match = worm/**
retain-for = 2h
expire-after = 4h
commit-after = close

[class late]
match = late/**
retain-for = 2h
expire-after = 4h
commit-after = 50min

[class brief]
match = brief/** held/** released/**
expire-after = 30min

[class plain]
expire-after = never

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 24h
mount_archive
mkdir "$MNT"/{worm,late,brief,held,released,doubt,plain}
make() { head -c 50000 /dev/zero | tr '\0' x >"$MNT/$1"; }
declare -A waiting
before() { # before FILE STATE HANDLES: opened now; `then_acts FILE` when it has come to that state
	local fifo=$TEST_TMP/go.${1//\//-}
	mkfifo "$fifo"
	python3 "$SRC/tests/mount/acts.py" "$MNT/$1" "$MNT/plain" "$2" "$3" <"$fifo" >"$fifo.out" 2>&1 &
	waiting[$1]=$!
	exec {go}>"$fifo"
	goes[$1]=$go
	wait_until 10 test -e "$MNT/plain/${1##*/}.ready"
}
declare -A goes
then_acts() {
	local status=0 fd=${goes[$1]}
	echo go >&"$fd"
	wait "${waiting[$1]}" || status=$?
	eval "exec $fd>&-"
	cat "$TEST_TMP/go.${1//\//-}.out"
	[ $status = 0 ] || die "$1 through handles of before"
}
acts() { python3 "$SRC/tests/mount/acts.py" "$MNT/$1" "$MNT/plain" "$2" || die "$1, $2"; }
hold() { check "hold $*" "$LAPSE" hold "$@" >/dev/null; }

for f in worm/w late/l brief/b brief/gone held/h held/past held/h2 held/p2 released/r; do make $f; done
before worm/w fixed r
before late/l passed r
before brief/b expired rwt
before held/h held rw
before held/past held-expired rw
before released/r open rwt

note "committed by idle time: through a handle for reading that was opened before"
then_acts worm/w

note "held: by its name, and through handles"
hold add case "$MNT" --match 'held/**' --reason "a case" --review 30d
then_acts held/h
acts held/h2 held

note "an ordinary file: through handles"
clock 600
then_acts released/r

note "past its date: expired, and held"
clock 1810
then_acts brief/b
acts brief/gone expired
then_acts held/past
acts held/p2 held-expired

note "the floor has passed"
clock $((2 * 3600 + 3100))
then_acts late/l

note "a clock in doubt: by its name, and through handles"
mkdir "$MNT/worm/d" "$MNT/brief/d"
make brief/d/n
make brief/d/o
before brief/d/o doubt rwt
clock "$now" $((now + 3 * 86400))
then_acts brief/d/o
acts brief/d/n doubt
clock "$now"
umount_archive
