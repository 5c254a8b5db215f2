#!/bin/bash
# Clocks that jump: with the build whose clock is injected. A leap ahead denies and destroys nothing, and is forgotten once it is put right; nothing expired
# ever comes back; a clock behind the mark is no reason to read; archives made so are refused by the ordinary build.
# attack items: 1 2 3 5 55
. "$(dirname "$0")/lib.sh"
plain=$LAPSE
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
export LAPSE_TEST_CLOCK=$TEST_TMP/clock
clock() { # clock WALL_SECONDS BOOT_SECONDS SYNCHRONISED
	python3 - "$LAPSE_TEST_CLOCK" "$@" <<'P'
import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(fd, struct.pack("<qqI4x", int(sys.argv[2]) * 10**9, int(sys.argv[3]) * 10**9, int(sys.argv[4])), 0)
P
}
year=31536000
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class short]
match = short/**
expire-after = 10min

[class forever]
match = forever/**
expire-after = never

[class keep]
match = **
expire-after = 2y

[rule everyone]
effect = permit
budget = none
E
clock 0 0 1
expect_log '[cC]lock|wall|behind|ahead'
archive_new "$TEST_TMP/policy.ini" --epoch 1min
mount_archive
mkdir "$MNT/short" "$MNT/forever" "$MNT/keep"
for d in short forever keep; do echo "$d" >"$MNT/$d/a"; done
read_a() { cat "$MNT/$1/a"; }
[ "$(read_a short)$(read_a keep)" = shortkeep ] || die "readable at first"

note "ten years ahead: denied because the wall says so, nothing destroyed; right again: readable"
before=$("$LAPSE" anchor status "$MNT" --json)
clock $((10 * year)) 0 1
refuse "Required key not available" read_a short
refuse "Required key not available" read_a keep
"$LAPSE" explain --denied "$MNT" | grep -q "clock is .* ahead of the archive's: .* (Required key not available)" || die "who is refused does not hear of the clock"
[ "$(read_a forever)" = forever ] || die "a file without a ceiling"
echo new >"$MNT/keep/while-ahead"
sleep 2.5 # the sweeper looks at its clock at least once a second: it must have had the chance to go wrong
[ -e "$MNT/short/a" ] && [ -e "$MNT/keep/a" ] || die "a leap of the wall clock removed a file"
clock 0 0 1
[ "$(read_a short)$(read_a keep)" = shortkeep ] || die "not readable again after the clock was put right"
[ "$(cat "$MNT/keep/while-ahead")" = new ] || die "what came in while the clock was wrong"
python3 - "$before" "$("$LAPSE" anchor status "$MNT" --json)" <<'P'
import json, sys
def epoch(t):
    d = json.loads(t)
    return (d.get("anchor") or d)["next-epoch"]
assert epoch(sys.argv[2]) - epoch(sys.argv[1]) <= 1, "the anchor ran ahead"
P

note "eleven minutes of boot time: the short class expires for good"
clock 660 660 1
if read_a short 2>/dev/null; then die "readable past its deadline"; fi
wait_until 20 test ! -e "$MNT/short/a"
note "a year back: gone stays gone, and what has a ceiling is not read against the mark"
umount_archive
clock -$year 660 1
mount_archive
[ ! -e "$MNT/short/a" ] || die "an expired file came back"
refuse "Required key not available" read_a keep
"$LAPSE" explain --denied "$MNT" | grep -q "clock is .* behind the archive's: .* (Required key not available)" || die "who is refused does not hear that the clock is behind"
[ "$(read_a forever)" = forever ] || die "no ceiling, no doubt"
echo in >"$MNT/keep/ingest"
umount_archive
clock 660 660 1
mount_archive
[ "$(read_a keep)" = keep ] || die "the clock is right again"
umount_archive

note "off for two days, then on: a pause is believed only after agreement; nothing is destroyed meanwhile"
mount_archive
echo s >"$MNT/short/b"
umount_archive
clock $((660 + 2 * 86400)) 660 1
mount_archive
refuse "Required key" cat "$MNT/short/b"
[ -e "$MNT/short/b" ] || die "destroyed before the clocks had agreed for an hour"
[ "$(read_a keep)" = keep ] || die "what lives for two years"
clock $((660 + 2 * 86400 + 3700)) $((660 + 3700)) 1
wait_until 20 test ! -e "$MNT/short/b"
umount_archive

note "the ordinary build refuses such an archive"
unset LAPSE_TEST_CLOCK
status=0
"$plain" mount "$ARC" "$MNT" --key-file "$KEY" >"$TEST_TMP/out" 2>&1 || status=$?
[ $status = 3 ] || { cat "$TEST_TMP/out"; umount "$MNT" 2>/dev/null; die "exit status $status"; }
