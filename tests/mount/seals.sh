#!/bin/bash
# The log's seals: written by the daemon, at least every minute, and verified with nothing but the public key that init printed. Who takes the machine, with every
# key of the archive, cannot change what was sealed. A crash between anchor and seal is made good; an anchor that was put back is refused to the minute.
# attack items: 4 56
. "$(dirname "$0")/lib.sh"
with_test_clock
ask() { # ask STATUS audit-command…: its output in said
	local want=$1 status=0
	shift
	timeout 60 "$LAPSE" "$@" >"$TEST_TMP/said" 2>&1 </dev/null || status=$?
	[ $status = "$want" ] || die "$*: status $status, not $want: $(cat "$TEST_TMP/said")"
}
says() { grep -qE -- "$1" "$TEST_TMP/said" || die "should have said '$1', but said: $(cat "$TEST_TMP/said")"; }
told() { # told: python on what was said, as d
	python3 -c "import json, sys
d = json.load(open(sys.argv[1]))
what = [x['what'] for x in d.get('findings', [])]
$1" "$TEST_TMP/said" || die "$1: $(cat "$TEST_TMP/said")"
}
log=$ARC/.lapse/audit anchor=$TEST_TMP/anchor
sealed() { [ $((($(stat -c %s "$log/seals") - 80) / 168)) -ge "$1" ]; }
cp "$TEST_TMP/open.ini" "$TEST_TMP/policy.ini"
printf '\n[audit]\ncheckpoints = %s/points /proc/none/points %s/other\ncheckpoint-every = 1min\n' "$TEST_TMP" "$TEST_TMP" >>"$TEST_TMP/policy.ini"
echo "somebody's own" >"$TEST_TMP/other"
expect_log 'checkpoint could not be written to (/proc/none/points|.*/other: there is something else in that file)'
archive_new "$TEST_TMP/policy.ini" --epoch 1h
public=$(sed -n 's/^  Log key *//p' "$TEST_TMP/init.out")
[ ${#public} = 64 ] || die "init should print the log's first public key: $(cat "$TEST_TMP/init.out")"
mount_archive
ask 0 anchor status "$MNT"
says "first public key.*: $public"
echo one >"$MNT/one"
for ((n = 1; n <= 4; n++)); do # minutes in which nothing happens
	clock $((n * 61))
	wait_until 10 sealed $n
done
cp "$anchor" "$TEST_TMP/anchor.then"
cp -a "$log" "$TEST_TMP/then"
clock $((5 * 61))
wait_until 10 sealed 5
cat "$MNT/one" >/dev/null
ask 0 audit verify "$MNT" --json
told "assert d['flaws'] == 0 and d['last'] == d['sealed'] and d['public-key'] == '$public' and d['signed']"
cp -a "$log" "$TEST_TMP/copy"

note "a copy, where there is no key"
verify() { ask "$1" audit verify --public-key "$public" "${@:2}"; }
verify 0 "$TEST_TMP/copy" --json
told "assert d['flaws'] == 0 and d['seals'] >= 6 and d['first'] == 1 and d['last'] == d['sealed'] > 3 and d['beyond'] == 0"
verify 0 "$TEST_TMP/then"
ask 1 audit verify --public-key "$(tr 0-9a-f 1-9a-f0 <<<"$public")" "$TEST_TMP/copy" --json
told "assert what == ['seal-forged'] and d['last'] == 0"
ask 2 audit verify --public-key 12 "$TEST_TMP/copy"
ask 2 audit verify --public-key "$public"
ask 3 audit verify --public-key "$public" "$TEST_TMP/none"

note "checkpoints: kept elsewhere, they know a log that was sealed anew from the first record on"
wait_until 10 grep -q '^lapse-checkpoint 1 ' "$TEST_TMP/points"
[ "$(cat "$TEST_TMP/other")" = "somebody's own" ] || die "a file of somebody else's was written to"
verify 0 "$TEST_TMP/copy" --checkpoint "$TEST_TMP/points"
ask 0 audit verify --checkpoint "$TEST_TMP/points" "$TEST_TMP/copy"
sed 's/head=../head=00/' "$TEST_TMP/points" >"$TEST_TMP/points.bad"
ask 1 audit verify --checkpoint "$TEST_TMP/points.bad" "$TEST_TMP/copy" --json
told "assert set(what) == {'checkpoint'}, what"
echo nothing >"$TEST_TMP/points.none"
ask 3 audit verify --checkpoint "$TEST_TMP/points.none" "$TEST_TMP/copy"

note "attacks on the copy"
tamper() { # tamper WHAT FOUND: as somebody who has no key would
	rm -rf "${TEST_TMP:?}/bad"
	cp -a "$TEST_TMP/copy" "$TEST_TMP/bad"
	python3 - "$TEST_TMP/bad" "$1" "$TEST_TMP/then" <<'P'
import os, shutil, struct, sys
log, what, then = sys.argv[1:4]
name = os.path.join(log, "0000000000000001.seg")
data = open(name, "rb").read()
frames, at = [], 128
while at < len(data):
    n = 4 + struct.unpack_from("<I", data, at)[0]
    frames.append(data[at:at + n])
    at += n
seals = open(os.path.join(log, "seals"), "rb").read()
head, seals = seals[:80], [seals[i:i + 168] for i in range(80, len(seals), 168)]
if what == "edit":
    frames[1] = frames[1][:60] + bytes([frames[1][60] ^ 1]) + frames[1][61:]
elif what == "remove":
    del frames[1]
elif what == "reorder":
    frames[1], frames[2] = frames[2], frames[1]
elif what == "double":
    frames.insert(1, frames[1])
elif what == "end":
    frames.pop()
elif what == "seal-edit":
    seals[2] = seals[2][:16] + bytes([seals[2][16] ^ 1]) + seals[2][17:]
elif what == "seal-remove":
    del seals[2]
elif what == "seal-double":
    seals.insert(2, seals[2])
elif what == "started-over":
    frames, seals = [], []
elif what == "seals-gone":
    seals = []
elif what == "seal-reorder":
    seals[2], seals[3] = seals[3], seals[2]
open(name, "wb").write(data[:128] + b"".join(frames))
open(os.path.join(log, "seals"), "wb").write(head + b"".join(seals))
P
	verify 1 "$TEST_TMP/bad" --json
	told "assert what[0] == '$2', what"
	verify 1 "$TEST_TMP/bad"
	says '^FOUND'
}
for how in edit remove reorder double; do tamper $how unsealed; done
tamper end short
tamper seal-edit seal-forged
tamper seal-remove seal-gap
tamper seal-double seal-gap
tamper seal-reorder seal-gap
tamper started-over unsigned
tamper seals-gone unsigned
verify 0 "$TEST_TMP/then"
says 'up to its last seal: .*--checkpoint'
mkdir "$TEST_TMP/second"
timeout 60 "$LAPSE" init "$TEST_TMP/second/archive" --key-file "$KEY" --no-recovery-key --policy "$TEST_TMP/open.ini" --anchor "$TEST_TMP/second/anchor" >/dev/null 2>&1
cp "$TEST_TMP/second/archive/.lapse/audit/0000000000000001.seg" "$TEST_TMP/bad/"
verify 1 "$TEST_TMP/bad"

note "kill -9 between the anchor and its seal: the mount completes it"
kill_daemon
ask 0 audit verify "$ARC" --key-file "$KEY"
python3 - "$log/seals" <<'P'
import os, sys
os.truncate(sys.argv[1], os.path.getsize(sys.argv[1]) - 100) # a torn last seal, which the anchor has
P
ask 0 audit verify "$ARC" --key-file "$KEY" --json
told "assert d['flaws'] == 0 and d['last'] == d['sealed'], d"
mount_archive
ask 0 audit verify "$MNT" --json
told "assert d['flaws'] == 0 and d['last'] == d['sealed'], d"
umount_archive
verify 0 "$log"

note "seals cut off from the file: said at the mount, and found ever after"
cp -a "$log" "$TEST_TMP/whole"
python3 - "$log/seals" <<'P'
import os, sys
os.truncate(sys.argv[1], 80 + 2 * 168)
P
expect_log 'seals of the log are missing or forged'
mount_archive
umount_archive
grep -q 'seals of the log are missing or forged' "$DAEMON_LOG" || die "the mount should have said that seals are missing"
ask 1 audit verify "$ARC" --key-file "$KEY" --json
told "assert what == ['seal-gap'] and d['seals'] == 2, d"
verify 1 "$log"
rm -r "${log:?}"
cp -a "$TEST_TMP/whole" "$log"

note "the anchor put back from minutes ago: refused, although the log names it every hour only"
cp "$anchor" "$TEST_TMP/anchor.now"
cp "$TEST_TMP/anchor.then" "$anchor"
refuse "put back from an earlier time" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
timeout 60 "$LAPSE" fsck "$ARC" --key-file "$KEY" >"$TEST_TMP/said" 2>&1 </dev/null && die "fsck found nothing"
says 'anchor'
