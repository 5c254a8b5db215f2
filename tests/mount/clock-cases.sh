#!/bin/bash
# What clocks do, one after the other, with the build whose clock is injected: none of it destroys, releases or refills anything before its time, and a clock that
# is put right makes files readable again. lapse clock status says what is believed, lapse clock confirm what would happen.
# attack items: 1 2 3 5 6 7 8
. "$(dirname "$0")/lib.sh"
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
export LAPSE_TEST_CLOCK=$TEST_TMP/clock TZ=UTC
expect_log '[cC]lock|wall|behind|ahead|budget few \(3/1h\) at its limit'
WALL=0 BOOT=0 SYNC=1
put() {
	python3 - "$LAPSE_TEST_CLOCK" $WALL $BOOT $SYNC <<'P'
import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(fd, struct.pack("<qqI4x", int(sys.argv[2]) * 10**9, int(sys.argv[3]) * 10**9, int(sys.argv[4])), 0)
P
}
pass() { WALL=$((WALL + $1)) BOOT=$((BOOT + $1)); put; } # time goes by
wall() { WALL=$((WALL + $1)); put; }                     # the wall clock alone is set
clock() { { timeout 20 "$LAPSE" clock status "$MNT" --json || [ $? = 1 ]; } | python3 -c 'import json,sys; v = json.load(sys.stdin)[sys.argv[1]]; print(int(v or 0))' "$1"; }
sequence() { { timeout 20 "$LAPSE" anchor status "$MNT" --json || [ $? = 1 ]; } | python3 -c 'import json,sys; print(json.load(sys.stdin)["sequence"])'; }
trees() { { timeout 20 "$LAPSE" anchor status "$MNT" --json || [ $? = 1 ]; } | python3 -c 'import json,sys; print(json.load(sys.stdin)["trees"])'; }
# After a minute the anchor is due: when it has been written, the daemon has looked at its clocks as they are.
looked() {
	was=$(sequence)
	pass 61
	wait_until 10 eval '[ "$(sequence)" -gt "$was" ]'
}
gone() { [ ! -e "$MNT/$1" ]; }
reads() { [ "$(cat "$MNT/$1")" = "$2" ] || die "$1 cannot be read"; }
doubted() { refuse "Required key not available" cat "$MNT/$1"; [ -e "$MNT/$1" ] || die "$1 is gone"; }
explain() { "$LAPSE" explain "$MNT/$1" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"; }
says() { grep -qE -- "$1" "$TEST_TMP/said" || die "should have said '$1', but said: $(cat "$TEST_TMP/said")"; }
D=86400 H=3600
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class passing]
match = passing/**
expire-after = 3min

[class short]
match = short/**
expire-after = 1h

[class leap]
match = leap/**
expire-after = 1y

[class old]
match = old/**
expire-after = 75y

[class ages]
match = ages/**
expire-after = 9999y

[class worm]
match = worm/**
retain-for = 1y
expire-after = 20y
commit-after = close

[class keep]
match = **
expire-after = 2y

[rule everyone]
effect = permit
budget = few

[budget few]
files = 3/1h
E
sed 's/9999y/99999y/' "$TEST_TMP/policy.ini" >"$TEST_TMP/refused.ini"
refuse "longer than 9999 years" "$LAPSE" policy check "$TEST_TMP/refused.ini"

note "29 February, 75y, 9999y: on a 29 February"
at() { date -u -d "$1" +%s; }
WALL=$(($(at '2028-02-29 12:00') - $(date +%s)))
put
archive_new "$TEST_TMP/policy.ini" --epoch 1min
mount_archive
mkdir "$MNT"/{passing,short,leap,old,ages,worm,keep}
for d in leap old ages worm keep; do echo $d >"$MNT/$d/a"; done
[ $(($(explain leap/a expires) - $(at '2029-02-28 12:00'))) -lt 60 ] || die "29 February and a year: $(explain leap/a expires)"
[ $(($(explain old/a expires) - $(at '2103-02-28 12:00'))) -lt 60 ] || die "29 February and 75 years: $(explain old/a expires)"
[ "$(explain ages/a expires)" = $((4294967296 * 60)) ] || die "9999 years end with the last epoch, not at $(explain ages/a expires)"
reads old/a old
reads ages/a ages
"$LAPSE" clock status "$MNT" >"$TEST_TMP/said" || die "clock status: $(cat "$TEST_TMP/said")"
says "; synchronised"

note "a class of 3 minutes survives a step of 24 hours: denied while the wall says so, read when it is put right"
echo passing >"$MNT/passing/a"
wall $D
looked
doubted passing/a
wall -$D
reads passing/a passing
pass 240
wait_until 10 gone passing/a

note "a leap ahead of ten years, watched: nothing expires, is released or refilled; the plan says what a confirmation would do"
echo short >"$MNT/short/a"
pass $((H + 61))
wait_until 10 gone short/a
for d in leap old ages; do as t1 cat "$MNT/$d/a" >/dev/null || die "t1 may read three files"; done
refuse "quota" as t1 cat "$MNT/keep/a"
wall $((10 * 365 * D))
looked
doubted keep/a
doubted leap/a
[ "$(clock doubt)" = 1 ] || die "no doubt"
{ "$LAPSE" clock status "$MNT" || [ $? = 1 ]; } >"$TEST_TMP/said"
says "does not follow by itself"
refuse "Operation not permitted" rm "$MNT/worm/a"
status=0
"$LAPSE" clock confirm "$MNT" --reason "just looking" >"$TEST_TMP/said" 2>&1 </dev/null || status=$?
[ $status = 1 ] || die "a plan: status $status: $(cat "$TEST_TMP/said")"
says "class leap: 1 files become unreadable for good .keys of 1 destroyed"
says "In all: 2 files expire, 1 lose their floor"
[ "$(clock by-ns)" -gt $((9 * 365 * D * 1000000000)) ] || die "the plan alone changed something"
wall $((-10 * 365 * D))
reads keep/a keep
refuse "quota" as t1 cat "$MNT/keep/a"

note "a leap back, to before the archive was made: refused, and right again"
wall $((-20 * 365 * D))
looked
doubted keep/a
echo in >"$MNT/keep/ingest"
[ "$(clock behind-mark)" = 1 ] || die "it is before the mark"
"$LAPSE" clock confirm "$MNT" --reason "never back" --plan 12345678 >"$TEST_TMP/said" 2>&1 && die "trusted time was set back"
says "never goes back"
wall $((20 * 365 * D))
reads keep/a keep

note "suspended for a day: boot time has counted it, and files of that day are over"
echo passing >"$MNT/passing/b"
echo keep >"$MNT/keep/b"
pass $D
wait_until 10 gone passing/b
reads keep/b keep
[ "$(clock doubt)" = 0 ] || die "a suspend is no doubt"

note "many small steps: 29 of 50 minutes, each agreed on for an hour; no more than a day of them in a day"
for n in $(seq 29); do
	wall 3000
	wait_until 10 eval '[ "$(clock agreed-ns)" -gt 0 ] || [ "$(clock by-ns)" -lt 2000000000 ]'
	pass 3700
	wait_until 10 eval '[ "$(clock by-ns)" -lt 2000000000 ] || [ "$(clock by-ns)" -gt "$(clock may-step-ns)" ]'
done
ahead=$(($(clock by-ns) / 1000000000))
[ $ahead -ge 1000 ] || die "$((29 * 3000)) s of steps were all taken within $((29 * 6700)) s: $ahead s are left"
wall -$ahead
reads keep/a keep

note "a long power-off: ten days; after an hour of agreement, by itself"
echo short >"$MNT/short/b"
umount_archive
wall $((10 * D))
mount_archive
doubted short/b
reads keep/a keep
[ "$(clock paused)" = 1 ] || die "a pause was not noticed"
wait_until 10 eval '[ "$(clock agreed-ns)" -gt 0 ]'
pass 3700
wait_until 10 gone short/b

note "a snapshot of a running machine put back after sixty days: nothing happens by itself; confirmed, on the record"
echo short >"$MNT/short/c"
wall $((60 * D))
looked
doubted short/c
wait_until 10 eval '[ "$(clock agreed-ns)" -gt 0 ]'
pass 3000
looked
pass 700
looked
[ "$(clock by-ns)" -gt $((59 * D * 1000000000)) ] || die "sixty days were believed"
refuse "reason" "$LAPSE" clock confirm "$MNT"
"$LAPSE" clock confirm "$MNT" --reason "restored snapshot" >"$TEST_TMP/said" 2>&1 </dev/null || [ $? = 1 ]
id=$(sed -n 's/.*--plan \([0-9a-f]*\),.*/\1/p' "$TEST_TMP/said")
wall 100
refuse "new one" "$LAPSE" clock confirm "$MNT" --reason "restored snapshot" --plan "$id"
wall -100
check "confirm" "$LAPSE" clock confirm "$MNT" --reason "restored snapshot" --plan "$id" >"$TEST_TMP/said"
says "set forward by (60 d|59 d)"
[ "$(clock doubt)" = 0 ] || die "still in doubt"
reads keep/a keep
kill_daemon
mount_archive
[ "$(clock by-ns)" -lt 5000000000 ] || die "a confirmation was lost in a crash"

note "a year goes by: a new tree by itself, on the record"
one=$(trees)
pass $((365 * D))
wait_until 20 eval '[ "$(trees)" = $((one + 1)) ]'
wait_until 10 gone leap/a
umount_archive

note "2038, 2106: seconds that no 32 bits hold"
for when in '2038-01-19 03:10:00' '2106-02-07 06:25:00'; do
	rm -rf "${ARC:?}" "${TEST_TMP:?}/anchor" "${TEST_TMP:?}/state"
	BOOT=0 WALL=$(($(at "$when") - $(date +%s)))
	put
	archive_new "$TEST_TMP/policy.ini" --epoch 1min
	mount_archive
	mkdir "$MNT/short" "$MNT/keep"
	echo short >"$MNT/short/a"
	echo keep >"$MNT/keep/a"
	[ $(($(explain short/a expires) - $(at "$when") - H)) -lt 60 ] || die "$when: $(explain short/a expires)"
	pass 600
	reads short/a short
	pass $((H + 61))
	wait_until 10 gone short/a
	reads keep/a keep
	umount_archive
	mount_archive
	reads keep/a keep
	umount_archive
done

note "a time namespace, whose boot clock is another: no matter"
put
check "time namespaces" unshare --time --boottime 100000000 --fork true
cat >"$TEST_TMP/in-namespace" <<'E'
#!/bin/bash
exec unshare --time --boottime 100000000 --fork --kill-child "$REAL" "$@"
E
chmod 755 "$TEST_TMP/in-namespace"
REAL=$LAPSE
export REAL
LAPSE=$TEST_TMP/in-namespace mount_archive
reads keep/a keep
echo short >"$MNT/short/n"
[ $(($(explain short/n expires) - $(clock trusted-ns) / 1000000000)) -le $H ] || die "the deadline of a file made there"
umount_archive
mount_archive
reads keep/a keep
reads short/n short
umount_archive
