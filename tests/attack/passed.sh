#!/bin/bash
# What is open is handed on, inherited, taken out of another process, or opened anew; a process names itself after another program; its memory is read; somebody else's login uid is
# taken to have him shut out. What must happen: whoever opens pays and is on the record, and nothing that is open opens more; what is handed on is within the budget of who
# opened it, and ends with his lockout.
. "$(dirname "$0")/../mount/lib.sh"
users t1 t2 t3 t4
login_uids
BIN=$TEST_TMP/sbin
mkdir -m 755 "$BIN"
cp "$(command -v cat)" "$BIN/viewer"
rules <<E
[rule denied]
users = lapse-t2
effect = deny

[rule viewers]
users = lapse-t4
programs = $BIN/viewer
effect = permit
budget = none

[rule nobody-else]
users = lapse-t4
effect = deny

[rule shut-out]
users = lapse-t3
effect = permit
budget = strict

[rule everyone]
effect = permit
budget = three

[budget three]
files = 3/10min

[budget strict]
files = 3/10min
on-exceed = lockout
lockout-for = 1h
E
expect_log 'refused: uid|locked out'
archive_new "$TEST_TMP/policy.ini"
mount_archive "$@"
images 9
T1=$(id -u lapse-t1) T2=$(id -u lapse-t2) T3=$(id -u lapse-t3)
actor() { check "$1" python3 "$SRC/tests/attack/passed.py" "$1" "$MNT/in" "${@:2}"; }
# opened_by USER: which files the log says were opened by them, for this test's reads.
opened_by() { "$LAPSE" audit read --user "lapse-$1" --json "$MNT" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["files"]))'; }

note "38: three descriptors handed to somebody who is denied: he reads these, cannot open them anew, and they are on the record and the budget of who opened them"
actor hand-over "$T1" "$T2"
[ "$(opened_by t1)" = 3 ] && [ "$(opened_by t2)" = 0 ] || die "$(opened_by t1) and $(opened_by t2) on the record"
note "38: taken out of another's process: not by a user; by root, who opens nothing by it"
actor take "$T1" "$T2"
note "38: a directory, and a path that was never opened, handed over: whoever opens by them pays"
actor hand-directory 44001 44002
note "36: a descriptor that a program inherits: counted when it was opened; what the program opens itself is judged anew"
actor inherit 44003
note "38: a storm of forks, each with the same directory: three files in all"
actor storm 44004
note "38: who handed them over is locked out: they end for whoever has them"
actor lockout "$T3" "$T2"

note "37: a process that calls itself by a trusted program's name: not by its first argument, its command name, nor by what it writes over its arguments"
[ "$(as t4 "$BIN/viewer" "$MNT/in/1")" = "image 1" ] || die "the viewer"
actor rename "$(id -u lapse-t4)" "$BIN/viewer"
refuse "Permission denied" as t4 bash -c "exec -a '$BIN/viewer' cat '$MNT/in/1'"

note "35: another's viewer: no memory of it, no descriptor, no core, for who may not read himself"
actor memory "$(id -u lapse-t4)" "$T2" "$BIN/viewer"

note "61: somebody else's login uid is taken and its budget exceeded: it is on the record who did it, by real uid; whom it concerns is let in by an officer"
as t3 cat "$MNT/in/1" >/dev/null 2>&1 && die "he is still locked out"
check "let in" "$LAPSE" guard unlock --user lapse-t3 --reason "a test" "$MNT" >/dev/null
actor forge 44005 "$T3"
refuse "Permission denied" as t3 cat "$MNT/in/1"
"$LAPSE" audit tail --json -n 200 "$MNT" >"$TEST_TMP/tail"
grep -q '44005' "$TEST_TMP/tail" || { cat "$TEST_TMP/tail"; die "who took it is not on the record"; }
check "let in" "$LAPSE" guard unlock --user lapse-t3 --reason "it was not he" "$MNT" >/dev/null
check "he reads what is on his budget" as t3 cat "$MNT/in/1" >/dev/null
[ "$(as t1 cat "$MNT/in/1")" = "image 1" ] || die "a third reader is concerned"
umount_archive
