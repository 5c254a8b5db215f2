#!/bin/bash
# [audit] retain-for: whole segments of the log go when the policy lets them, with a tombstone in their place. What is left is proven, also by the public key alone; what
# was dropped is told wherever somebody asks for that time; what was removed otherwise is found. Budgets, the session, holds and learning keep what they need, and the
# deadlines that files have had stay known.
. "$(dirname "$0")/lib.sh"
with_test_clock
export PYTHONDONTWRITEBYTECODE=1
HOUR=3600
policy() { # policy RETAIN-FOR [WINDOW]
	cat >"$TEST_TMP/policy.ini" <<E
[policy]
version = 1
default-class = images
undo = 1min

[class images]
match = **
expire-after = 1y

[budget some]
files = 1000/${2:-1h}

[rule everyone]
effect = permit
budget = some

[break-glass]
max-time = 1h

[audit]
retain-for = $1
E
}
ask() { # ask STATUS command…: its output in said
	local want=$1 status=0
	shift
	timeout 60 "$LAPSE" "$@" >"$TEST_TMP/said" 2>&1 </dev/null || status=$?
	[ $status = "$want" ] || die "$*: status $status, not $want: $(cat "$TEST_TMP/said")"
}
says() { grep -qE -- "$1" "$TEST_TMP/said" || die "should have said '$1', but said: $(cat "$TEST_TMP/said")"; }
silent() { ! grep -qE -- "$1" "$TEST_TMP/said" || die "should not have said '$1', but said: $(cat "$TEST_TMP/said")"; }
told() { # told: python on what was said, as d
	python3 -c "import json, sys
d = json.load(open(sys.argv[1]))
what = [x['what'] for x in d.get('findings', [])]
$1" "$TEST_TMP/said" || die "$1: $(cat "$TEST_TMP/said")"
}
log=$ARC/.lapse/audit
segments() { (cd "$log" && ls -1 ./*.seg | wc -l); }
at_least() { [ "$(segments)" -ge "$1" ]; }
first_gone() { [ ! -e "$log/0000000000000001.seg" ]; }
seals() { stat -c %s "$log/seals"; }
more_seals() { [ "$(seals)" -gt "$1" ]; }
sealed() { # the next seal was made, and what follows it was begun: two, so that the first one's work is over
	local n
	for n in 1 2; do
		n=$(seals)
		clock $((now + 61))
		wait_until 20 more_seals "$n"
	done
}
expect_log '^lapse: audit: records 1 to [0-9]+ were dropped after 2h, as line 21 of the policy says'
expect_log '^lapse: audit: records [0-9]+ to [0-9]+ were dropped after'

note "what the log is needed for, longer than it would be kept"
policy 2h 3h
ask 1 policy check "$TEST_TMP/policy.ini"
says "retain-for = 2h is shorter than the longest window of \[budget some\]"
policy 30min
ask 1 policy check "$TEST_TMP/policy.ini"
says "retain-for = 30min is shorter than a grant may be in force"
policy 2h
ask 0 policy check "$TEST_TMP/policy.ini"
says "images of \[class images\] \(expire-after = 1y\) outlive the log"

archive_new "$TEST_TMP/policy.ini" --epoch 1h
public=$(sed -n 's/^  Log key *//p' "$TEST_TMP/init.out")
mount_archive
echo one >"$MNT/one"
chmod 777 "$MNT"
as t1 cat "$MNT/one" >/dev/null
id=$("$LAPSE" explain "$MNT/one" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
ask 0 audit who "$MNT/one"
silent "log begins"

note "a segment ends with its time, and goes when the policy and the session let it"
clock $((HOUR + 120))
wait_until 20 at_least 2
clock $((4 * HOUR))
sealed
[ -e "$log/0000000000000001.seg" ] || die "the session that is under way begins in the first segment, and that is gone"
ask 0 status "$MNT"
says "kept for 2h; more is needed for the mount"
cp -a "$log" "$TEST_TMP/before"
umount_archive
mount_archive
clock $((now + 2 * HOUR + 600))
wait_until 30 first_gone
sealed
[ -e "$log/pruned" ] || die "without a tombstone"
[ ! -e "$log/0000000000000001.idx" ] || die "its index is still there"

note "it is proven, and said"
ask 0 audit verify "$MNT" --json
told "assert d['flaws'] == 0 and d['pruned'] > 0 and d['first'] == d['pruned'] + 1 and d['last'] == d['sealed'] and d['tombstones'] >= 1 and d['unchecked'] == 0"
first=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["first"])' "$TEST_TMP/said")
ask 0 audit verify "$MNT"
says "The log begins at record $first: those before, all of .* or earlier, were dropped, .* since the policy \(generation 1\) keeps them for 2 h"
cp -a "$log" "$TEST_TMP/copy"
ask 0 audit verify --public-key "$public" "$TEST_TMP/copy"
says "Of [0-9]+ of them it was not checked whether the policy said so"
ask 0 audit verify --public-key "$public" --retain-for 2h "$TEST_TMP/copy"
silent "not checked"
ask 1 audit verify --public-key "$public" --retain-for 1d "$TEST_TMP/copy" --json
told "assert set(what) == {'pruned-beyond'}"
ask 2 audit verify --public-key "$public" --retain-for never "$TEST_TMP/copy"
ask 2 audit verify --retain-for 1d "$MNT"
ask 0 status "$MNT"
says "kept for 2h; begins at"
ask 0 audit who "$MNT/one"
says "The log begins at .*who read what before is not told any more"
ask 0 audit read "$MNT" --user lapse-t1
says "The log begins at"
ask 0 audit read "$MNT" --user lapse-t1 --since "$(date -d '+30 hours' '+%Y-%m-%d %H:%M')"
silent "log begins"
ask 0 audit exposure "$MNT" --user lapse-t1
says "The log begins at .*: what was read before is not in this"
says "Gaps: none"
ask 0 audit destroyed "$MNT"
says "The log begins at .*: of files that expired before, this says nothing"
ask 1 audit destroyed "$MNT" --id "$id" # it exists
says "known since before the log begins"
says "date .*, epoch .*: its key CAN be derived"

note "attacks on a copy, where there is no key"
attack() { # attack FOUND COMMAND…: in a copy of the log
	local found=$1
	shift
	rm -rf "${TEST_TMP:?}/bad"
	cp -a "$TEST_TMP/copy" "$TEST_TMP/bad"
	(cd "$TEST_TMP/bad" && "$@")
	ask 1 audit verify --public-key "$public" "$TEST_TMP/bad" --json
	told "assert '$found' in what, what"
}
oldest() { rm "$(ls -1 ./*.seg | head -n 1)"; }
further() { python3 - "$(printf %016x "$first")" <<'P'
import sys, struct
d = bytearray(open("pruned", "rb").read())
struct.pack_into("<Q", d, 48 + 8, int(sys.argv[1], 16) + 10) # its last record
open("pruned", "wb").write(d)
P
}
shorter() { truncate -s -1 pruned; }
attack missing oldest
attack missing rm pruned
attack tombstone further
attack tombstone shorter
attack missing cp "$TEST_TMP/before/seals" . # put back from before, with the segments of today

note "a file's deadlines are known beyond the log"
expires=$("$LAPSE" explain "$MNT/one" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["expires"])')
ask 0 audit tail "$MNT" --lines 1000 --kind prune --json
python3 - "$TEST_TMP/said" "$id" "$expires" <<'P' || die "not kept: $(cat "$TEST_TMP/said")"
import json, sys
rows = json.load(open(sys.argv[1]))["records"]
assert [r for r in rows if r.get("id") == sys.argv[2] and int(r["expires"]) == int(sys.argv[3]) and r["text"] == "kept"], rows
assert [r for r in rows if r["id"] is None and r["text"].startswith("dropped: records 1 to ")], rows
P

note "a segment that a crash left, or that was put back, goes at the next mount; one that a thief removed is missing there, too"
umount_archive
cp -a "$TEST_TMP/before/0000000000000001.seg" "$log/"
ask 0 audit verify "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor" --json
told "assert d['left'] >= 1"
mount_archive
first_gone || die "a segment that was dropped is still there after a mount"
ask 0 audit verify "$MNT"
kill_daemon
mount_archive
ask 0 audit verify "$MNT"
umount_archive
offline() { ask "$1" audit verify "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor" --json; }
stolen=$(ls -1 "$log"/*.seg | head -n 1)
mv "$stolen" "$TEST_TMP/stolen"
offline 1
told "assert what == ['missing'], what"
mv "$TEST_TMP/stolen" "$stolen"
cp -a "$log" "$TEST_TMP/now"
cp "$TEST_TMP/before"/*.seg "$TEST_TMP/before/seals" "$log/" # all of the log put back from before, but the tombstones
offline 1
rm -r "${log:?}"
cp -a "$TEST_TMP/now" "$log"
rm "${log:?}/pruned"
offline 1
told "assert 'missing' in what, what"
cp "$TEST_TMP/now/pruned" "$log/"
offline 0
mount_archive

note "a hold keeps the log from its placing on, until it is released"
ask 0 hold add case "$MNT" --match one --reason "a case" --review 30d
ask 0 status "$MNT"
silent "more is needed"
umount_archive # so that it is not the session that keeps it
mount_archive
clock $((now + 3 * HOUR))
sealed
held=$(ls -1 "$log"/*.seg | head -n 1)
clock $((now + 3 * HOUR))
sealed
[ -e "$held" ] || die "dropped while a hold is in force since then"
ask 0 status "$MNT"
says "more is needed for a legal hold"
ask 0 hold release case "$MNT" --reason over
released() { ! "$LAPSE" hold list "$MNT" --json | grep -q '"case"'; }
wait_until 20 released
umount_archive
mount_archive
clock $((now + 3 * HOUR))
gone() { [ ! -e "$held" ]; }
wait_until 30 gone
sealed

ask 0 audit verify "$MNT" --json
told "assert d['flaws'] == 0 and d['tombstones'] >= 2"

note "the second reader reads it"
umount_archive
PYTHONPATH=$SRC/tests/reader timeout 60 /usr/bin/python3 -c 'import keys, reader, sys
keys.known_features = 1 # an injected clock
sys.exit(reader.main())' "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor" --log >"$TEST_TMP/read" 2>"$TEST_TMP/problems" ||
	die "the second reader: $(cat "$TEST_TMP/problems")"
grep -q prune "$TEST_TMP/read" || die "the second reader shows no record of a drop"
