#!/bin/bash
# A vendor's visit: the archive is closed to all but a named rule, opened again, and the statement of the visit says so, with every read up to now; whose lockout it was; and
# who asked for a grant that is older than the time asked about. The clock is injected.
. "$(dirname "$0")/lib.sh"
with_test_clock
users t1 t2 t3
cat >"$TEST_TMP/policy.ini" <<'P'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule cameras]
users = root
effect = permit
budget = none

[rule vendor]
users = lapse-t3
effect = permit
budget = visit

[rule locky]
users = lapse-t2
effect = permit
budget = locks

[rule everyone]
effect = permit
budget = small

[budget visit]
files = 100/1h

[budget small]
files = 3/30d

[budget locks]
files = 2/1h
on-exceed = lockout
lockout-for = 3h
P
expect_log 'refused: uid|lock|break-glass|grant|clock|ahead|behind'
archive_new "$TEST_TMP/policy.ini"
mount_archive
images 9
clock 4000
status() { # status WANTED lapse-arguments…: its output in said
	local want=$1 got=0
	shift
	timeout 60 "$LAPSE" "$@" >"$TEST_TMP/said" 2>&1 </dev/null || got=$?
	[ $got = "$want" ] || { cat "$TEST_TMP/said"; die "lapse $*: status $got, not $want"; }
}
says() { grep -qE -- "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "does not say: $1"; }; }
told() { python3 -c "import json, sys
d = json.load(open(sys.argv[1]))
$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "$1"; }; }
u1=$(id -u lapse-t1) u2=$(id -u lapse-t2) u3=$(id -u lapse-t3)

note "what nobody may say"
status 3 guard close "$MNT" --until 1h --reason visit --except vendor --except nobody-knows
says "no rule 'nobody-knows'"
status 2 guard close "$MNT" --until 1h
status 3 guard close "$MNT" --until 2020-01-01 --reason visit
says "lies ahead"
status 3 guard open "$MNT" --reason x
says "not closed"

note "closed but for the vendor; a reader who is locked out, and let in again"
for i in 1 2; do as t2 cat "$MNT/in/$i" >/dev/null; done
refuse "Permission denied" as t2 cat "$MNT/in/3"
status 0 guard unlock "$MNT" --user lapse-t2 --reason "talked to him"
status 0 guard close "$MNT" --until 1h --reason "vendor on site" --except vendor
for i in 1 2 3 4; do as t3 cat "$MNT/in/$i" >/dev/null; done
refuse "Permission denied" as t1 cat "$MNT/in/1"
refuse "Permission denied" cat "$MNT/in/1"
umount_archive
mount_archive # it stands, and is told once
as t3 cat "$MNT/in/5" >/dev/null
refuse "Permission denied" as t1 cat "$MNT/in/1"
status 0 guard open "$MNT" --reason "vendor has left"
as t1 cat "$MNT/in/1" >/dev/null

note "the statement, in the same second: all of it, until now"
status 0 audit exposure --during -1h..now "$MNT"
says "lapse-t3 .*5 distinct images, 5 reads"
says "lapse-t1 .*1 distinct images"
says ", of lapse-t2 \(uid $u2\): lockout: 2/1h \(until "
says ", by root \(uid 0\), for lapse-t2 \(uid $u2\): unlock: talked to him"
says ", by root \(uid 0\): close vendor: vendor on site \(until "
says ", by root \(uid 0\): open: vendor has left"
status 0 audit exposure --during -1h..now "$MNT" --json
told "
acts = [a['text'] for a in d['guard']]
assert acts == ['lockout: 2/1h', 'unlock: talked to him', 'close vendor: vendor on site', 'open: vendor has left'], acts
assert d['guard'][0]['about'] == $u2 and 'about' not in d['guard'][2], d['guard']
p = {(x['uid'], x['decision']): x for x in d['principals']}
assert p[$u3, 'permit']['files'] == 5 and p[$u1, 'deny']['times'] == 2 and p[0, 'deny']['times'] == 1, p"
status 0 audit exposure --user lapse-t1 "$MNT" --json
told "assert all('about' not in a for a in d['guard']) and len(d['guard']) == 2, d['guard']"

note "a record is not of so many bytes because somebody has that uid"
status 0 audit tail --kind guard -n 20 "$MNT" --json
told "
r = d['records']
assert all('bytes' not in x or x['bytes'] is None for x in r), r
assert {x['about'] for x in r if x['text'].startswith(('lockout', 'unlock'))} == {$u2}, r"
status 0 audit tail --kind guard -n 20 "$MNT" --raw -o ABOUT,TEXT
says '^lapse-t2 unlock'

note "a grant that is older than the time: who asked for it, and why"
refuse "Disk quota exceeded" as t1 sh -c "cat $MNT/in/*"
status 0 grant request --user lapse-t1 --files 5 --for 6h --reason "the case of the 4th" "$MNT"
clock 12000
as t1 cat "$MNT/in/7" >/dev/null
status 0 audit exposure --user lapse-t1 --since 10min "$MNT"
says 'Grant [0-9]+ for lapse-t1 .*asked for by root .*the case of the 4th'
says '1 distinct images, 1 reads under it'
status 0 audit exposure --during -10min..now "$MNT"
says 'Grant [0-9]+ for lapse-t1 .*asked for by root .*the case of the 4th'
umount_archive
