#!/bin/bash
# The guard, by people: what guard status tells; a lockout stops every open of a reader until its end by the archive's clock, through kill -9, remounts and
# clocks that jump, and is ended by another only; a closed archive takes files in, lets named rules read, and opens by itself.
# attack items: 42
. "$(dirname "$0")/lib.sh"
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
if ! setpriv --reuid 65534 --regid 65534 --clear-groups -- test -x "$LAPSE"; then
	cp "$LAPSE" "$TEST_TMP/.bin/lapse-testclock"
	LAPSE=$TEST_TMP/.bin/lapse-testclock
fi
export LAPSE_TEST_CLOCK=$TEST_TMP/clock
clock() { # clock WALL_SECONDS BOOT_SECONDS SYNCHRONISED
	python3 - "$LAPSE_TEST_CLOCK" "$@" <<'P'
import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(fd, struct.pack("<qqI4x", int(sys.argv[2]) * 10**9, int(sys.argv[3]) * 10**9, int(sys.argv[4])), 0)
P
}
users t1 t2 t3
login_uids
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 10y

[rule monitor]
users = lapse-t3
effect = permit
budget = none

[rule everyone]
effect = permit
budget = small

[budget small]
files = 10/10min
bytes = 1M/1h
on-exceed = lockout
lockout-for = 2h
E
clock 0 0 1
expect_log '[cC]lock|wall|behind|ahead|refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir -m 755 "$MNT/in"
for i in $(seq 30); do head -c 2000 /dev/urandom >"$MNT/in/$i.jpg"; done
mkdir "$MNT/theirs"
chown lapse-t1 "$MNT/theirs"
clock 4000 4000 1 # what root has made is root's own for an hour

read_as() { as "$1" cat "$MNT/in/$2.jpg" >/dev/null; }
guard_json() { "$LAPSE" guard status "$MNT" --json "$@"; }
field() { python3 -c 'import json,sys; d=json.load(sys.stdin)["guard"]; print(*(eval(sys.argv[1], {"r": r}) for r in d))' "$1"; }

note "status: each window of each budget, for each reader"
for i in 1 2 3; do read_as t1 $i; done
read_as t2 1
[ "$(guard_json --user lapse-t1 | field '(r["window"], r["used"], r["limit"], r["state"])')" = "('10/10min', 3, 10, 'used') ('1M/1h', 6000, 1048576, 'used')" ] ||
	{ guard_json; die "guard status of t1"; }
[ "$(guard_json | field 'r["reader"]' | tr ' ' '\n' | sort | xargs)" = "lapse-t1 lapse-t1 lapse-t2 lapse-t2" ] || { guard_json; die "of both"; }
[ -z "$(guard_json --budget other | field 1)" ] && [ "$(guard_json --budget small | field 1)" = "1 1 1 1" ] || die "--budget"
"$LAPSE" guard status "$MNT" --csv >"$TEST_TMP/csv"
[ "$(wc -l <"$TEST_TMP/csv")" = 5 ] || die "CSV"
"$LAPSE" guard status "$MNT" >"$TEST_TMP/table"
grep -q "lapse-t1.*used.*small.*10/10min" "$TEST_TMP/table" || { cat "$TEST_TMP/table"; die "table"; }

note "the eleventh file locks out: what was read, what is one's own, and every other; others read on"
as t1 sh -c "echo mine >$MNT/theirs/mine.jpg; cat $MNT/theirs/mine.jpg" >/dev/null
for i in $(seq 4 10); do read_as t1 "$i"; done
refuse "Permission denied" read_as t1 11
refuse "Permission denied" read_as t1 1
refuse "Permission denied" as t1 cat "$MNT/theirs/mine.jpg"
check "writing goes on" as t1 sh -c "echo more >$MNT/theirs/more.jpg"
check "another reads on" read_as t2 2
refuse "Permission denied" setpriv --ruid lapse-t1 --euid lapse-t2 --clear-groups -- cat "$MNT/in/2.jpg"
status=0
guard_json >"$TEST_TMP/json" || status=$?
[ $status = 1 ] || die "exit status $status while somebody is locked out"
python3 - "$TEST_TMP/json" <<'P' || { cat "$TEST_TMP/json"; die "the lockout is shown with its end and what was exceeded"; }
import json, sys
d = json.load(open(sys.argv[1]))
locked = [r for r in d["guard"] if r["state"] == "locked out"]
assert [(r["reader"], r["budget"], r["window"]) for r in locked] == [("lapse-t1", "small", "10/10min")], locked
assert 7195 <= locked[0]["frees"] - d["now"] <= 7201, (locked, d["now"])
P
"$LAPSE" status "$MNT" >"$TEST_TMP/status" || true
grep -q "lapse-t1.*is locked out, for exceeding budget small" "$TEST_TMP/status" || { cat "$TEST_TMP/status"; die "lapse status"; }
"$LAPSE" explain --as lapse-t1 "$MNT/in/1.jpg" | grep -q "locked out by budget small" || die "explain"

note "the window has freed, the lockout has not ended: kill -9, a remount, clocks that jump"
clock 8000 8000 1
refuse "Permission denied" read_as t1 1
kill_daemon
mount_archive
refuse "Permission denied" read_as t1 1
umount_archive
mount_archive
refuse "Permission denied" read_as t1 1
clock $((8000 + 31536000)) 8000 1
refuse "" read_as t1 1
clock 8000 8000 1
refuse "Permission denied" read_as t1 1
umount_archive
clock 100 8000 1 # the machine's clock is set back while nothing is mounted
mount_archive
refuse "" read_as t1 1
umount_archive
clock 11100 11100 1 # the clock goes on by itself meanwhile: a minute and more is left
mount_archive
refuse "Permission denied" read_as t1 1
kill_daemon
mount_archive
refuse "Permission denied" read_as t1 1
clock 11202 11202 1
check "it has ended by itself" read_as t1 1
[[ $(guard_json | field 'r["state"]') != *locked* ]] || die "no more shown"

note "unlock: never by oneself, whatever uid one has become"
for i in $(seq 2 10); do read_as t1 "$i"; done
refuse "Permission denied" read_as t1 11
unlock() { "$LAPSE" guard unlock --user lapse-t1 --reason "the nightly report" "$MNT"; }
logged_in() { # logged_in UID COMMAND…: as root who has logged in as that user; 4294967295: as nobody
	sh -c 'echo "$1" >/proc/self/loginuid && shift && exec "$@"' - "$@"
}
T1=$(id -u lapse-t1) T2=$(id -u lapse-t2) NOBODY=4294967295 LET_IN=("$LAPSE" guard unlock --user lapse-t1 --reason "let me in" "$MNT")
refuse "nobody ends a lockout of their own" logged_in "$T1" "${LET_IN[@]}"
refuse "nobody ends a lockout of their own" setpriv --ruid lapse-t1 --euid 0 -- "${LET_IN[@]}"
refuse "Permission denied" read_as t1 1
refuse "--reason" "$LAPSE" guard unlock --user lapse-t1 "$MNT"
check "by another" unlock
check "in again" read_as t1 1
refuse "is not locked out" unlock

note "where the policy asks for a second person, somebody who has logged in as another: root without a login uid, or with root's, is nobody"
{ cat "$TEST_TMP/policy.ini"; printf '\n[break-glass]\napprove = second-person\n'; } >"$TEST_TMP/second.ini"
check "a policy with a second person" "$LAPSE" policy apply --reason "by two" "$TEST_TMP/second.ini" "$MNT" >/dev/null
refuse "Permission denied" read_as t1 11
for login in $NOBODY 0; do
	refuse "who asks has no login uid, or root's" logged_in $login "${LET_IN[@]}"
done
refuse "nobody ends a lockout of their own" logged_in "$T1" "${LET_IN[@]}"
[ "$("$LAPSE" audit export --reason test "$MNT" 2>/dev/null | grep -c '"deny".*unlock: let me in\|unlock: let me in.*"deny"')" = 5 ] || die "each refusal is on the record"
refuse "Permission denied" read_as t1 1
check "by another" logged_in "$T2" "$LAPSE" guard unlock --user lapse-t1 --reason "talked to him" "$MNT"
check "in again" read_as t1 1
kill_daemon
mount_archive
check "and after kill -9" read_as t1 1

note "closed: files come in, the rule that is excepted reads, and it ends by itself"
refuse "no rule 'nobody'" "$LAPSE" guard close --until 1h --reason visit --except nobody "$MNT"
check "close" "$LAPSE" guard close --until 1h --reason "vendor's visit" --except monitor "$MNT"
refuse "Permission denied" read_as t1 1
refuse "Permission denied" cat "$MNT/in/1.jpg"
check "the rule excepted" read_as t3 1
check "ingest" as t1 sh -c "echo new >$MNT/theirs/new.jpg && mv $MNT/theirs/new.jpg $MNT/theirs/new2.jpg"
check "ingest by a handle that could read" as t1 python3 -c "import os; fd = os.open('$MNT/theirs/rw.jpg', os.O_RDWR | os.O_CREAT | os.O_EXCL); os.write(fd, b'x' * 9000)"
"$LAPSE" status "$MNT" >"$TEST_TMP/status" || true
grep -q "closed until .*vendor's visit" "$TEST_TMP/status" || { cat "$TEST_TMP/status"; die "lapse status"; }
"$LAPSE" explain --as lapse-t1 "$MNT/in/1.jpg" | grep -q "the archive is closed until" || die "explain"
kill_daemon
mount_archive
refuse "Permission denied" read_as t1 1
clock $((11202 + 3500)) $((11202 + 3500)) 1
refuse "Permission denied" read_as t1 1
umount_archive
mount_archive
refuse "Permission denied" read_as t1 1
clock $((11202 + 3602)) $((11202 + 3602)) 1
check "open again by itself" read_as t1 1
check "close" "$LAPSE" guard close --until 1h --reason "vendor's visit" "$MNT"
refuse "Permission denied" read_as t3 1
check "open" "$LAPSE" guard open --reason "they have left" "$MNT"
check "open again" read_as t1 1
umount_archive
