#!/bin/bash
# The incident: a contractor who may log in copies images of a border crossing's cameras, over months, by everything but the keys. Under the policy that lapse init
# writes: how many get out, and does the exposure statement at the end name exactly these? A day and 3,000 images here; incident.long.sh has three months, and the 184,000 of the real one.
# attack items: 24
. "$(dirname "$0")/../mount/lib.sh"
with_test_clock
IMAGES=${INCIDENT_IMAGES:-3000}
DIR=$SRC/tests/attack
users t1 t2
login_uids
export MNT LOOT=$TEST_TMP/loot THIEF=$TEST_TMP/thief.py VIEWER=$TEST_TMP/imgview
mkdir -m 777 "$LOOT"
cp "$DIR/incident_thief.py" "$THIEF"
cp "$(command -v cat)" "$VIEWER"
chmod 755 "$TEST_TMP" "$THIEF" "$VIEWER"
chmod 777 "$LOOT"
expect_log 'refused: uid|over budget: uid|[cC]lock|ahead|behind|freshness: there is no snapshot of it'

[ -e "$KEY" ] || head -c 32 /dev/urandom >"$KEY"
chmod 600 "$KEY"
mkdir -p "$MNT"
check "init" "$LAPSE" init "$ARC" --key-file "$KEY" --no-recovery-key --expire-after 1y --anchor "$TEST_TMP/anchor" >/dev/null 2>"$TEST_TMP/init.err"
mount_archive
CHECK_TIMEOUT=400 check "$IMAGES images" python3 -B "$DIR/incident_images.py" "$MNT" "$IMAGES"
catalogued() { [ "$("$LAPSE" status --metrics "$MNT" | sed -n 's/^lapse_files{.*} //p')" = "$IMAGES" ]; }
wait_until 60 catalogued
[ "$(file -b --mime-type "$MNT/lane-000/000042.jpg")" = image/jpeg ] || die "an image of the archive is no JPEG to file(1)"
echo "0 0" >"$TEST_TMP/incident-clock"
happens() { CHECK_TIMEOUT=900 check "$*" python3 -B "$DIR/incident_months.py" "$@"; }
happens settle # what root has made is root's own for an hour
got() { sort -u "$LOOT/names" | wc -l; }
limit() { [ "$1" -le "$2" ] || die "$3: $1 images, the policy allows $2"; }
least() { [ "$1" -ge "$(($2 < IMAGES ? $2 : IMAGES))" ] || die "$3: only $1 images came out: is it the policy that stops him?"; }
long() { [ -n "${INCIDENT_MONTHS:-}" ]; }

# The limits are the policy's own arithmetic, which the contractor does not know: 500 in 10 minutes, 2,000 in 24 hours, 8,000 in 30 days.
note "$IMAGES images; the first evening"
happens visit
first=$(got)
limit "$first" 500 "the first evening"
least "$first" 500 "the first evening"
note "the first day"
happens day
day=$(got)
limit "$day" 2500 "the first day"
least "$day" 2000 "the first day"
if long; then
	note "the rest of the first month"
	happens month
	limit "$(got)" 8000 "the first month"
	least "$(got)" 8000 "the first month"
fi
month1=$(got)
note "the daemon is killed, and mounted again"
kill_daemon
mount_archive
happens at-once
[ "$(got)" = "$month1" ] || die "a restart gave him $(($(got) - month1)) more"
if long; then
	note "the second month"
	happens thirty
	limit "$(got)" 16000 "two months"
fi
month2=$(got)
note "he sets the clock"
happens jump
jumped=$(got)
limit "$jumped" $((month2 + 2000)) "the clock"
umount_archive
mount_archive
happens at-once
[ "$(got)" = "$jumped" ] || die "a restart gave him $(($(got) - jumped)) more"
if long; then
	note "the third month"
	happens thirty
	limit "$(got)" 26000 "three months"
fi
note "out of $IMAGES: $first on the first evening, $day in the first day, $month1 until the first restart, $month2 until he sets the clock, $((jumped - month2)) by that, $(got) in all"

note "the statement"
status=0
timeout 120 "$LAPSE" audit exposure "$MNT" --user lapse-t1 >"$TEST_TMP/statement" || status=$?
cat "$TEST_TMP/statement"
[ $status = 0 ] || die "exposure: exit status $status"
timeout 300 "$LAPSE" audit exposure "$MNT" --user lapse-t1 --list --json >"$TEST_TMP/exposure.json" || die "exposure --list"
python3 - "$TEST_TMP/exposure.json" "$LOOT/names" <<'P' || die "the statement is not what was read"
import json, sys
d = json.load(open(sys.argv[1]))
stolen = set(open(sys.argv[2]).read().split())
named = {f["path"].lstrip("/") for f in d["images"]}
print(f"-- {len(stolen)} images stolen, {len(named)} in the statement; not in it {len(stolen - named)}, in it and not stolen {len(named - stolen)}")
assert len(d["images"]) == len({f["id"] for f in d["images"]}) == len(named)
assert stolen == named, (sorted(stolen - named)[:5], sorted(named - stolen)[:5])
P
check "the log is whole" "$LAPSE" audit verify "$MNT" >/dev/null

if [ -n "${INCIDENT_STRANGERS:-}" ]; then
	note "what this does not stop (README): root with users of his own making. It is on the record, and it is told"
	export LOOT=$TEST_TMP/loot-strangers
	mkdir -m 777 "$LOOT"
	chmod 777 "$LOOT"
	before=$("$LAPSE" status --metrics "$MNT" | sed -n 's/^lapse_opens_total{.*decision="alerted"} //p')
	happens strangers
	after=$("$LAPSE" status --metrics "$MNT" | sed -n 's/^lapse_opens_total{.*decision="alerted"} //p')
	note "$(got) images in an hour; alerts of the archive's own budget: $((after - before))"
	[ "$after" -gt "$before" ] || die "and nobody was told"
fi
umount_archive
