#!/bin/bash
# lapse audit tail, read, who, exposure, export and verify: what two users read, what became of it, and whether the log can be trusted. Each attack on the log's
# files is told for what it is, also offline and on a copy. The clock is injected.
# attack items: 56
. "$(dirname "$0")/lib.sh"
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
export LAPSE_TEST_CLOCK=$TEST_TMP/clock
clock() { # clock SECONDS: wall and boot time, ahead of the machine's
	python3 - "$LAPSE_TEST_CLOCK" "$1" <<'P'
import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(fd, struct.pack("<qqI4x", int(sys.argv[2]) * 10**9, int(sys.argv[2]) * 10**9, 1), 0)
P
}
day=86400
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class short]
match = short/**
expire-after = 2d

[class keep]
match = **
expire-after = 30d

[rule secret]
effect = deny
paths = secret/**

[rule everyone]
effect = permit
budget = none
E
ask() { # ask STATUS audit-command…: its output in said, what it says to people in words
	local want=$1 status=0
	shift
	timeout 60 "$LAPSE" audit "$@" >"$TEST_TMP/said" 2>"$TEST_TMP/words" </dev/null || status=$?
	[ $status = "$want" ] || die "audit $*: status $status, not $want: $(cat "$TEST_TMP/said" "$TEST_TMP/words")"
}
says() { grep -qE -- "$1" "$TEST_TMP/said" "$TEST_TMP/words" || die "should have said '$1', but said: $(cat "$TEST_TMP/said" "$TEST_TMP/words")"; }
told() { # told: python on what was said, as d
	python3 -c "import json, sys
d = json.load(open(sys.argv[1]))
$1" "$TEST_TMP/said" || die "$1: $(cat "$TEST_TMP/said")"
}
id_of() { "$LAPSE" explain "$MNT/$1" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])'; }
clock 0
archive_new "$TEST_TMP/policy.ini" --epoch 1min
expect_log 'refused: uid'
mount_archive
chmod 755 "$MNT"
mkdir -m 755 "$MNT"/{short,keep,secret}
for f in short/a short/b keep/c keep/d keep/e keep/unread secret/s; do echo "$f" >"$MNT/$f"; done
chmod -R a+rX "$MNT"
as t1 true && as t2 true
u1=$(id -u lapse-t1) u2=$(id -u lapse-t2)
id_a=$(id_of short/a) id_c=$(id_of keep/c) id_d=$(id_of keep/d) id_s=$(id_of secret/s)

note "t1 reads four, one of them three times; t2 one; both are refused one"
for f in short/a keep/c keep/c keep/c keep/d keep/e; do as t1 cat "$MNT/$f" >/dev/null; done
as t2 cat "$MNT/keep/c" >/dev/null
for u in t1 t2; do refuse "Permission denied" as $u cat "$MNT/secret/s"; done

ask 0 read "$MNT" --user lapse-t1 --json
told "
f = {x['path']: x for x in d['files']}
assert sorted(f) == ['keep/c', 'keep/d', 'keep/e', 'short/a'], sorted(f)
assert f['keep/c']['times'] == 3 and f['keep/c']['bytes'] == 3 * 7 and f['keep/d']['times'] == 1
assert all(x['state'] == 'exists' for x in d['files'])
assert d['reads'] == 6 and d['denied'] == 1"
ask 0 read "$MNT" --user "$u2" --json
told "assert [x['path'] for x in d['files']] == ['keep/c'] and d['denied'] == 1"
ask 0 read "$MNT" --user nobody
says '^0 distinct files|0 distinct files'
ask 2 read "$MNT"
ask 2 read "$MNT" --user no-such-user
ask 0 who "$MNT/keep/c" --json
told "
r = {x['user']: x for x in d['readers']}
assert set(r) == {$u1, $u2} and r[$u1]['times'] == 3 and r[$u2]['times'] == 1
assert all(x['decision'] == 'permit' and x['rule'] == 'everyone' for x in d['readers'])"
ask 0 who "$MNT/secret/s" --csv -o USER,DECISION,TIMES
says "^$u1,deny,1$"
says "^$u2,deny,1$"
ask 0 who "$MNT/keep/unread"
says 'Nobody has opened it'
ask 3 who "$MNT/keep/none"
says 'no such file.*ask by its id'

note "one is deleted, one destroyed, one expires"
rm "$MNT/keep/d"
timeout 60 "$LAPSE" destroy "$MNT/keep/e" --reason "by order" >"$TEST_TMP/said" 2>&1 </dev/null || [ $? = 1 ]
timeout 60 "$LAPSE" destroy "$MNT/keep/e" --reason "by order" --plan "$(sed -n 's/.*--plan \([0-9a-f]*\),.*/\1/p' "$TEST_TMP/said")" >/dev/null 2>&1 || [ $? = 1 ]
clock $((3 * day))
wait_until 30 sh -c "[ -z \"\$(ls -A '$MNT/short')\" ]"
ask 0 read "$MNT" --user lapse-t1 --json
told "
f = {x['id']: x for x in d['files']}
assert f['$id_a']['state'] == 'expired' and f['$id_d']['state'] == 'deleted', f
assert (d['exists'], d['expired'], d['destroyed'], d['deleted']) == (1, 1, 1, 1), d
assert f['$id_a']['path'] is None and f['$id_c']['path'] == 'keep/c'"
ask 0 read "$MNT" --user lapse-t1
says "4 distinct files, read 6 times: 1 exist, 1 expired, 1 destroyed, 1 deleted; 1 times refused"
ask 0 who --id "$id_a" --archive "$MNT" --json
told "assert [x['user'] for x in d['readers']] == [$u1]"
ask 3 who --id xyz --archive "$MNT"
ask 2 who --id "$id_a" "$MNT/keep/c"

note "times"
as t2 cat "$MNT/keep/unread" >/dev/null
from=$(date -d '+2 days' '+%Y-%m-%d')
ask 0 read "$MNT" --user lapse-t2 --since "$from" --json
told "assert [x['path'] for x in d['files']] == ['keep/unread'] and d['denied'] == 0"
ask 0 read "$MNT" --user lapse-t2 --until "$from" --json
told "assert [x['path'] for x in d['files']] == ['keep/c']"
ask 0 who "$MNT/keep/c" --since "$from" --json
told "assert d['readers'] == []"
ask 2 read "$MNT" --user lapse-t2 --since yesterday
ask 2 read "$MNT" --user lapse-t2 --since 1h --until 2h
says 'is not later than --since 1h'
ask 3 who /etc/passwd
says '/etc/passwd lies in no archive that is mounted'

note "tail"
ask 0 tail "$MNT" -n 3 --kind open --decision deny --json
told "assert [x['user'] for x in d['records']] == [$u1, $u2] and all(x['id'] == '$id_s' and x['rule'] == 'secret' for x in d['records'])"
ask 0 tail "$MNT" -n 1 --kind expire,unlink,destroy -o KIND --noheadings --raw
says '^expire$'
ask 0 tail "$MNT" -n 2 --json
told "n = [x['record'] for x in d['records']]; assert len(n) == 2 and n[0] + 1 == n[1]"
ask 0 tail "$MNT" -n 0 --json
told "assert d['records'] == []"
ask 3 tail "$MNT" --kind opened
says "no 'opened' among the kinds"
"$LAPSE" audit tail "$MNT" -n 0 --follow --kind open --json >"$TEST_TMP/follow" 2>&1 &
follower=$!
at_end eval "kill $follower 2>/dev/null"
wait_until 10 sh -c "cat '$MNT/keep/c' >/dev/null; [ -s '$TEST_TMP/follow' ]"
as t2 cat "$MNT/keep/c" >/dev/null
wait_until 10 grep -q "\"uid\":$u2" "$TEST_TMP/follow"
wait_until 10 sh -c "grep -c . '$TEST_TMP/follow' >/dev/null && kill -0 $follower"

note "exposure"
ask 0 exposure "$MNT" --user lapse-t1 --list
says "of what lapse-t1 \(uid $u1\) read"
says 'keep: 3 distinct images, of which 1 still exist; 5 reads'
says 'Images: 4 distinct ones were read'
says '1 have expired'
says 'Gaps: none'
says "$id_a  class short.*expired"
says "Sealed up to record"
ask 0 exposure "$MNT" --during "..$from" --list --json
told "
assert d['files'] == 4 and d['denied'] == 2 and d['gaps'] == [] and d['log']['flaws'] == 0
p = {(x['uid'], x['decision']): x for x in d['principals'] if x['uid'] in ($u1, $u2)}
assert p[($u1, 'permit')]['files'] == 4 and p[($u2, 'permit')]['files'] == 1 and p[($u2, 'deny')]['times'] == 1
assert sorted(x['state'] for x in d['images']) == ['deleted', 'destroyed', 'exists', 'expired']"
ask 2 exposure "$MNT"
ask 2 exposure "$MNT" --during "..$from" --since 1d

note "an export of files counts as reading them; an export of the log is on the record"
mkdir "$TEST_TMP/out"
timeout 60 "$LAPSE" export "$MNT" "$TEST_TMP/out" --reason audit >/dev/null 2>&1 || [ $? = 1 ]
ask 0 read "$MNT" --user root --json
told "assert 'secret/s' in [x['path'] for x in d['files']]"
ask 2 export "$MNT"
ask 0 export "$MNT" --reason "for the court"
python3 - "$TEST_TMP/said" <<'P'
import json, sys
r = [json.loads(line) for line in open(sys.argv[1])]
assert [x["sequence"] for x in r] == list(range(1, len(r) + 1))
assert r[-1]["kind"] == "admin" and r[-1]["text"] == "audit log handed out: for the court", r[-1]
P
as t1 "$LAPSE" audit verify "$ARC" >/dev/null 2>&1 && die "another user asked the log"

note "verify: mounted, while it is written to"
ask 0 verify "$MNT"
says '^0 findings: the log is whole'
cp -a "$ARC/.lapse/audit" "$TEST_TMP/old" 2>/dev/null || cp -a "/run/lapse/$(basename "$ARC")/store/.lapse/audit" "$TEST_TMP/old"
umount_archive
wait "$follower" && die "the follower should have been told that the daemon went"
ask 0 verify "$ARC" --key-file "$KEY"
says '^0 findings: the log is whole'
ask 0 read "$ARC" --key-file "$KEY" --user lapse-t1
says "4 distinct files"
ask 1 verify "$ARC" --key-file "$KEY" --log "$TEST_TMP/old" --json
told "assert [x['what'] for x in d['findings']] == ['short'], d"

note "attacks"
cp -a "$ARC/.lapse/audit" "$TEST_TMP/good"
cat >"$TEST_TMP/attack.py" <<'P'
import os, shutil, struct, sys
good, log, old, what = sys.argv[1:5]
shutil.rmtree(log)
shutil.copytree(good, log)
name = os.path.join(log, "0000000000000001.seg")
data = open(name, "rb").read()
head, frames, at = data[:128], [], 128
while at < len(data):
    n = 4 + struct.unpack_from("<I", data, at)[0]
    frames.append(data[at:at + n])
    at += n
k = len(frames) // 2
if what == "flip":
    frames[k] = frames[k][:60] + bytes([frames[k][60] ^ 1]) + frames[k][61:]
elif what == "cut":
    del frames[k]
elif what == "swap":
    frames[k], frames[k + 1] = frames[k + 1], frames[k]
elif what == "double":
    frames.insert(k, frames[k - 1])
elif what == "end":
    del frames[k:]
elif what == "old-tail":
    frames += frames[k:]
elif what == "torn":
    frames[-1] = frames[-1][:-9]
elif what == "head":
    head = head[:60] + bytes([head[60] ^ 1]) + head[61:]
elif what == "over":
    head, frames = open(old, "rb").read()[:128], []
open(name, "wb").write(head + b"".join(frames))
if what == "gone":
    os.unlink(name)
if what == "renamed":
    os.rename(name, os.path.join(log, "0000000000000002.seg"))
print(k)
P
mkdir "$TEST_TMP/second"
timeout 60 "$LAPSE" init "$TEST_TMP/second/archive" --key-file "$KEY" --no-recovery-key --policy "$TEST_TMP/open.ini" --anchor "$TEST_TMP/second/anchor" >/dev/null 2>&1
attack() { # attack WHAT FOUND: what verify finds, and the last record that is proven
	local k
	k=$(python3 "$TEST_TMP/attack.py" "$TEST_TMP/good" "$ARC/.lapse/audit" "$TEST_TMP/second/archive/.lapse/audit/0000000000000001.seg" "$1")
	ask 1 verify "$ARC" --key-file "$KEY" --json
	told "
assert '$2' in [x['what'] for x in d['findings']], d
assert d['last'] == ($3), (d['last'], $k)" || die "$1"
	ask 1 verify "$ARC" --key-file "$KEY"
	says "^FOUND "
	cp -a "$ARC/.lapse/audit" "${TEST_TMP:?}/copy"
	rm -r "${ARC:?}/.lapse/audit"
	cp -a "$TEST_TMP/good" "$ARC/.lapse/audit"
	ask 1 verify "$ARC" --key-file "$KEY" --log "$TEST_TMP/copy"
	rm -r "${TEST_TMP:?}/copy"
}
records=$("$LAPSE" audit verify "$ARC" --key-file "$KEY" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["last"])')
half=$((records / 2))
attack flip edited $half
attack cut removed $half
attack swap reordered $half
attack double duplicated $half
attack end short $half
attack old-tail duplicated "$records"
attack torn cut $((records - 1))
attack head head 0
attack over head 0
attack gone short 0
attack renamed misplaced 0
ask 0 verify "$ARC" --key-file "$KEY"
