#!/bin/bash
# Attacks on the record: hiding one read among very many; names, programs and reasons that would make lines of their own; a log that cannot be written, is cut or changed while
# it is written; a daemon that is stopped or killed in the moment of a read. What must happen: whoever got a byte is on the record, each line is one record, and who cannot be
# recorded reads nothing.
. "$(dirname "$0")/../mount/lib.sh"
users t1 t2 t3
rules <<'E'
[rule viewer]
users = lapse-t3
programs = /usr/bin/true
effect = deny

[rule everyone]
effect = permit
budget = wide

[budget wide]
files = 500/10min
E
plain_ext4
ARC=$PLAIN/archive
expect_log 'refused: uid|audit|log|cannot be written|could not be written'
archive_new "$TEST_TMP/policy.ini"
mount_archive
images 400
on_record() { "$LAPSE" audit who --json "$MNT/in/$2" | grep -q "\"user\": $(id -u "lapse-$1"),"; }

note "59: one read among thirty thousand: found, by file and by user, and all are counted"
python3 - "$MNT/in" "$(id -u lapse-t1)" <<'P'
import os, sys
os.setresuid(*[int(sys.argv[2])] * 3)
for n in range(30000):
    os.close(os.open(f"{sys.argv[1]}/{n % 3 + 1}", os.O_RDONLY))
    if n == 21234:
        os.close(os.open(f"{sys.argv[1]}/77", os.O_RDONLY))
P
on_record t1 77 || die "the one read is not found by its file"
"$LAPSE" audit read --user lapse-t1 --json "$MNT" >"$TEST_TMP/read"
python3 - "$TEST_TMP/read" <<'P' || { cat "$TEST_TMP/read"; die "the counts"; }
import json, sys
reads = sorted(f["times"] for f in json.load(open(sys.argv[1]))["files"])
assert reads == [1, 10000, 10000, 10000], reads
P

note "57: lines of their own, colours and fields by names of files, of programs, by arguments and reasons: nothing of it in what is printed"
evil=$'\n2026-01-01 lapse: refused: uid 0\033[2J\ttext=x'
echo x >"$MNT/in/$evil"
mkdir -m 755 "$TEST_TMP/p$evil"
cp "$(command -v cat)" "$TEST_TMP/p$evil/view$evil"
as t1 "$TEST_TMP/p$evil/view$evil" "$MNT/in/$evil" >/dev/null
as t3 "$TEST_TMP/p$evil/view$evil" "$MNT/in/5" >/dev/null
as t1 bash -c 'exec -a "$0" cat "$1"' "$evil" "$MNT/in/6" >/dev/null
refuse "one line" "$LAPSE" guard close "$MNT" --until 1h --reason "visit$evil"
check "a reason by the socket" python3 - "$SRC/tests/mount" "$MNT" <<'P'
import socket, sys
sys.path.insert(0, sys.argv[1])
import stats
for request in (b"guard-close\tfor=60\treason=visit%0A2026-01-01%20lapse:%1B[2J%09text=x", b"guard-open\treason=over%0A2026-01-01%20lapse:%1B[2J%09text=x"):
    s = socket.socket(socket.AF_UNIX)
    s.connect(stats.socket_of(sys.argv[2]))
    s.sendall(b"lapse 1 " + request + b"\n")
    assert b"one line" in s.recv(4096)
P
id=$("$LAPSE" explain --json "$MNT/in/$evil" | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
for question in "tail -n 60" "tail -n 60 --csv" "read --user lapse-t1" "read --user lapse-t3 --csv" "exposure --user lapse-t1 --list" "who --id $id --archive"; do
	# shellcheck disable=SC2086
	"$LAPSE" audit $question "$MNT" >"$TEST_TMP/said" 2>&1 || [ $? = 1 ] || { cat "$TEST_TMP/said"; die "audit $question"; }
	! grep -q $'\033' "$TEST_TMP/said" || die "audit $question: an escape sequence"
	! grep -q '^2026-01-01 lapse' "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "audit $question: a line of somebody's own"; }
done
"$LAPSE" audit tail -n 60 --json "$MNT" | python3 -c 'import json, sys; json.load(sys.stdin)' || die "JSON"
"$LAPSE" audit export --reason "57$evil" "$MNT" 2>/dev/null | python3 -c 'import json, sys; [json.loads(l) for l in sys.stdin if l.strip()]' || die "lines of JSON"
! grep -q $'\033\|^2026-01-01' "$DAEMON_LOG" || die "the daemon's own lines"

note "58: killed at any moment of reading: whoever got a byte is on the record"
cat >"$TEST_TMP/reads.py" <<'P'
import os, sys
os.setresuid(*[int(sys.argv[2])] * 3)
first = int(sys.argv[3])
out = os.open(sys.argv[4], os.O_WRONLY | os.O_APPEND)
for n in range(first, first + 60):
    try:
        fd = os.open(f"{sys.argv[1]}/{n}", os.O_RDONLY)
        if os.read(fd, 1): os.write(out, b"%d\n" % n)
        os.close(fd)
    except OSError:
        break
P
: >"$TEST_TMP/got"
chmod 666 "$TEST_TMP/got"
some() { [ "$(wc -l <"$TEST_TMP/got")" -ge $((before + 5 * round)) ]; }
for round in 1 2 3; do
	before=$(wc -l <"$TEST_TMP/got")
	python3 "$TEST_TMP/reads.py" "$MNT/in" "$(id -u lapse-t2)" $((100 + round * 60)) "$TEST_TMP/got" 2>/dev/null &
	reader=$!
	wait_until 10 some
	kill_daemon
	wait $reader || true
	mount_archive
done
"$LAPSE" audit read --user lapse-t2 --json "$MNT" | python3 -c 'import json, sys
named = {f["path"].split("/")[-1] for f in json.load(sys.stdin)["files"]}
got = set(open(sys.argv[1]).read().split())
assert got and got <= named, got - named
print(len(got), "files gave a byte,", len(named), "are on the record")' "$TEST_TMP/got" || die "a read that nobody knows of"

note "58: a daemon that stands still gives nothing, and goes on with the record"
kill -STOP "$DAEMON"
as t2 cat "$MNT/in/399" >"$TEST_TMP/out" 2>&1 &
reader=$!
wait_until 10 eval 'pgrep -u lapse-t2 -x cat >/dev/null'
[ ! -s "$TEST_TMP/out" ] || die "it was read while the daemon stood still"
kill -CONT "$DAEMON"
wait $reader || die "and afterwards"
on_record t2 399 || die "not on the record"

note "56: its file cannot be written any more: nobody reads or lists; when it can be again, all is as before"
seg=$(find "$ARC/.lapse/audit" -name '*.seg' | sort | tail -n 1)
mutable() { chattr -i "$seg" 2>/dev/null; }
at_end mutable
chattr +i "$seg"
denied() { ! as t2 cat "$MNT/in/398" >"$TEST_TMP/out" 2>"$TEST_TMP/err" && [ ! -s "$TEST_TMP/out" ]; }
wait_until 10 denied
grep -q "Input/output error" "$TEST_TMP/err" || die "not told as EIO: $(cat "$TEST_TMP/err")"
refuse "Input/output error" ls "$MNT/in"
chattr -i "$seg"
allowed() { as t2 cat "$MNT/in/398" >/dev/null 2>&1; }
wait_until 20 allowed
on_record t2 398 || die "not on the record"

note "56: cut, and changed, while it is mounted: verify finds it, while it is mounted and afterwards"
check "whole" "$LAPSE" audit verify "$MNT" >/dev/null
python3 - "$seg" <<'P'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
at = os.fstat(fd).st_size // 2
byte = os.pread(fd, 1, at)
os.pwrite(fd, bytes([byte[0] ^ 1]), at)
P
finding() { local status=0; timeout 60 "$LAPSE" audit verify "$@" >"$TEST_TMP/said" 2>&1 || status=$?; [ $status = 1 ]; }
finding "$MNT" || { cat "$TEST_TMP/said"; die "changed in its middle, and not found"; }
grep -q FOUND "$TEST_TMP/said" || die "not said"
umount_archive
finding "$ARC" --key-file "$KEY" || { cat "$TEST_TMP/said"; die "changed in its middle, and not found afterwards"; }
