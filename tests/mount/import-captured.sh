#!/bin/bash
# lapse import --basis captured: what a class counts from when it counts from the date of capture; what is overdue by that date and not by its mtime waits for a
# plan; images that say nothing, or nothing that is believed, count from their mtime.
. "$(dirname "$0")/lib.sh"
now=$(date +%s) day=86400
# outcome EXPECTED-STATUS COMMAND…: what it says on both goes to $TEST_TMP/said
outcome() {
	local want=$1 got=0
	shift
	timeout 60 "$@" >"$TEST_TMP/said" 2>&1 </dev/null || got=$?
	[ $got -eq "$want" ] || { cat "$TEST_TMP/said"; die "exit status $got, not $want: $*"; }
}
said() { grep -qF -- "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "should have said '$1'"; }; }
the_plan() { grep -oE -- '--plan [0-9a-f-]+' "$TEST_TMP/said" | head -n 1 | cut -d' ' -f2; }
field() { timeout 20 "$LAPSE" explain "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"; }
# image FILE DAYS-OF-MTIME [DAYS-OF-CAPTURE]: so long ago
image() {
	cp "$TEST_TMP/blank.jpg" "$1"
	[ -z "${3:-}" ] || exiftool -q -overwrite_original -DateTimeOriginal="$(TZ=Asia/Kolkata date -d "@$((now - $3 * day))" '+%Y:%m:%d %H:%M:%S')" "$1"
	touch -d "@$((now - $2 * day))" "$1"
}
# counts FILE captured|created DAYS: from so long ago, for 30 days
counts() {
	[ "$(field "$1" counts-from)" = "$2" ] || die "$1 counts from when it was $(field "$1" counts-from), not $2"
	[ "$(field "$1" basis)" = $((now - $3 * day)) ] || die "$1 counts from $(((now - $(field "$1" basis)) / day)) days ago, not $3"
	[ "$(field "$1" expires)" = $((now - $3 * day + 30 * day)) ] || die "$1 does not live for 30 days from there"
	[ "$(field "$1" undated)" = 0 ] || die "$1 is to be looked at again"
}
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = photos

[class plain]
match = plain/**
expire-after = 30d

[class photos]
basis = captured
timezone = Asia/Kolkata
expire-after = 30d

[rule everyone]
effect = permit
budget = none
E
convert -size 320x240 -seed 1 plasma:gray50 "$TEST_TMP/blank.jpg"
src=$TEST_TMP/src
mkdir -p "$src/plain"
image "$src/dated.jpg" 1 3
image "$src/none.jpg" 2
image "$src/old.jpg" 1 20      # more than seven days before its mtime
image "$src/later.jpg" 5 1     # behind its mtime
image "$src/overdue.jpg" 28 33 # past its date by its capture alone
image "$src/plain/dated.jpg" 1 3
echo text >"$src/text"
touch -d "@$((now - 4 * day))" "$src/text"
python3 - "$src" $((now - 6 * day)) <<'P'
import os, random, sys
random.seed(5)
good = open(f"{sys.argv[1]}/dated.jpg", "rb").read()
at = good.index(b"Exif\0\0") + 6
for n in range(12):
    d = bytearray(good)
    for _ in range(1 + n):
        d[at + random.randrange(200)] = random.choice((0, 1, 0x7f, 0x80, 0xff, random.randrange(256)))
    path = f"{sys.argv[1]}/hostile{n}.jpg"
    open(path, "wb").write(d)
    os.utime(path, (int(sys.argv[2]),) * 2)
P
expect_log 'reader of EXIF data died over an image'

note "into an archive: a dry run says what is overdue, and takes nothing in"
archive_new "$TEST_TMP/policy.ini"
mount_archive
outcome 1 "$LAPSE" import "$MNT" --from "$src" --basis captured --dry-run
said "1 files are past their date already"
[ "$(find "$MNT" -type f | wc -l)" = 0 ] || die "a dry run took something in"
outcome 1 "$LAPSE" import "$MNT" --from "$src" --basis captured --dry-run --json
python3 - "$TEST_TMP/said" <<'P' || die "the counts of a dry run"
import json, sys
text = open(sys.argv[1]).read()
c = {x["class"]: x for x in json.loads(text[text.index("{"):text.rindex("}") + 1])["classes"]}
assert c["photos"]["overdue"] == 1 and c["photos"]["captured"] >= 2, c
assert c["plain"]["overdue"] == 0 and c["plain"]["captured"] == 0, c
P
outcome 1 "$LAPSE" import "$MNT" --from "$src" --basis captured
plan=$(the_plan)
outcome 0 "$LAPSE" import "$MNT" --from "$src" --basis captured --plan "$plan"
said "count from when they were captured"
said "1 past their date were not taken in"
[ ! -e "$MNT/overdue.jpg" ] || die "what is overdue by its capture was taken in"
[ -e "$src/overdue.jpg" ] || die "the source is kept"
counts "$MNT/dated.jpg" captured 3
counts "$MNT/none.jpg" created 2
counts "$MNT/old.jpg" created 1
counts "$MNT/later.jpg" created 5
counts "$MNT/text" created 4
counts "$MNT/plain/dated.jpg" created 1
for n in $(seq 0 11); do
	cmp "$src/hostile$n.jpg" "$MNT/hostile$n.jpg" || die "hostile$n.jpg"
	[ "$(field "$MNT/hostile$n.jpg" basis)" -le $((now - 6 * day)) ] || die "hostile$n.jpg lives longer than by its mtime"
done
umount_archive

note "where no class asks for capture dates, it is refused"
sed '/^basis/d; /^timezone/d' "$TEST_TMP/policy.ini" >"$TEST_TMP/none.ini"
outcome 3 "$LAPSE" import "$src" --in-place --basis captured --policy "$TEST_TMP/none.ini" --key-file "$KEY" --no-recovery-key --anchor "$TEST_TMP/anchor3"
said "no class of the policy counts from it"
[ -e "$src/dated.jpg" ] || die "gone"

note "in place"
rm "${src:?}"/hostile*
ARC=$src
outcome 1 "$LAPSE" import "$ARC" --in-place --basis captured --policy "$TEST_TMP/policy.ini" --key-file "$KEY" --no-recovery-key --anchor "$TEST_TMP/anchor2"
[ -e "$ARC/overdue.jpg" ] || die "gone without a plan"
outcome 0 "$LAPSE" import "$ARC" --in-place --basis captured --policy "$TEST_TMP/policy.ini" --key-file "$KEY" --no-recovery-key --anchor "$TEST_TMP/anchor2" --plan "$(the_plan)"
said "1 count from when they were captured; 5 from when they were modified"
said "1 past their date were not taken in, and are removed"
mount_archive
counts "$MNT/dated.jpg" captured 3
counts "$MNT/none.jpg" created 2
[ ! -e "$MNT/overdue.jpg" ] || die "what is overdue was taken in"
umount_archive
