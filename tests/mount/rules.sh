#!/bin/bash
# Rules on hours, days and classes, with the build whose clock is injected: permitted from the first second of its hours to the last before they end, by the
# clock of the machine's zone, which goes forward in between; a class that is denied is denied wherever its files are put.
. "$(dirname "$0")/lib.sh"
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
if ! setpriv --reuid 65534 --regid 65534 --clear-groups -- test -x "$LAPSE"; then
	mkdir -p "$TEST_TMP/.bin"
	cp "$LAPSE" "$TEST_TMP/.bin/lapse"
	LAPSE=$TEST_TMP/.bin/lapse
fi
export LAPSE_TEST_CLOCK=$TEST_TMP/clock TZ=CET-1CEST,M3.5.0,M10.5.0/3
expect_log 'refused: |[cC]lock|wall|behind|ahead'
WALL=0 BOOT=0
put() {
	python3 - "$LAPSE_TEST_CLOCK" $WALL $BOOT 1 <<'P'
import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(fd, struct.pack("<qqI4x", int(sys.argv[2]) * 10**9, int(sys.argv[3]) * 10**9, int(sys.argv[4])), 0)
P
}
until_utc() { # until_utc DATE: time goes by until then
	local by=$(($(date -u -d "$1" +%s) - $(date +%s) - WALL))
	[ $by -ge 0 ] || die "the test is slower than its clock: $1"
	WALL=$((WALL + by)) BOOT=$((BOOT + by))
	put
}
reads() { [ "$(as "$1" cat "$MNT/$2")" = "$3" ] || die "$1 cannot read $2"; }
denied() { refuse "Permission denied" as "$1" cat "$MNT/$2"; }

as t1 true
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class secret]
match = secret/**
expire-after = 10y

[class images]
match = **
expire-after = 10y

[rule no-secret]
classes = secret
effect = deny

[rule root]
users = root
effect = permit
budget = none

[rule office]
users = lapse-t1
days = mon-fri
hours = 08:00-18:00
effect = permit
budget = none
E
sed 's/^classes = secret/classes = secrets/' "$TEST_TMP/policy.ini" >"$TEST_TMP/bad.ini"
printf '[budget reader]\nfiles = 500/10min 2000/24h 8K/30d\n' | cat "$TEST_TMP/policy.ini" - >"$TEST_TMP/month.ini"
"$LAPSE" policy check "$TEST_TMP/month.ini" >"$TEST_TMP/said" 2>&1
grep -qE 'budget reader +at most 8.?000 files in 30 days, each reader' "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "the month's most"; }
refuse "there is no [class secrets]; did you mean 'secret'?" "$LAPSE" policy check "$TEST_TMP/bad.ini"

WALL=$(($(date -u -d '2028-03-24 06:40:00' +%s) - $(date +%s))) # a Friday; CET until Sunday
put
archive_new "$TEST_TMP/policy.ini"
mount_archive
chmod 755 "$MNT"
mkdir "$MNT/secret" "$MNT/open"
for n in a b c d; do echo $n >"$MNT/secret/$n"; done
echo day >"$MNT/open/a"

note "a class that is denied, while its writer may still move it anywhere, and afterwards"
refuse "Permission denied" cat "$MNT/secret/a"
until_utc '2028-03-24 06:45:00' # settled
mv "$MNT/secret/a" "$MNT/open/moved"
ln "$MNT/secret/b" "$MNT/open/linked"
refuse "Permission denied" cat "$MNT/open/moved"
refuse "Permission denied" cat "$MNT/open/linked"
refuse "Permission denied" mv -T "$MNT/secret" "$MNT/elsewhere"

note "before eight, at eight, before six, at six"
until_utc '2028-03-24 06:59:00'
denied t1 open/a
until_utc '2028-03-24 07:00:00'
reads t1 open/a day
for f in secret/c secret/b open/moved open/linked; do denied t1 $f; done
until_utc '2028-03-24 16:59:30'
reads t1 open/a day
until_utc '2028-03-24 17:00:00'
denied t1 open/a
[ "$(cat "$MNT/open/a")" = day ] || die "root has no hours"

note "ten hours later not even its writer may move what is denied"
refuse "Permission denied" mv "$MNT/secret/c" "$MNT/open/c"
refuse "Permission denied" ln "$MNT/secret/c" "$MNT/open/c"
[ -e "$MNT/secret/c" ] && [ ! -e "$MNT/open/c" ] || die "it was moved all the same"
for f in secret/c open/moved open/linked; do refuse "Permission denied" cat "$MNT/$f"; done
"$LAPSE" explain "$MNT/open/moved" >"$TEST_TMP/said" || [ $? = 1 ]
grep -q no-secret "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "explain does not name the rule"; }

note "Saturday noon; Monday after the clocks have gone forward"
until_utc '2028-03-25 11:00:00'
denied t1 open/a
until_utc '2028-03-27 05:59:00'
denied t1 open/a
until_utc '2028-03-27 06:00:00'
reads t1 open/a day
until_utc '2028-03-27 16:00:00'
denied t1 open/a

note "the machine's clock set into the hours opens nothing, and set far away it closes them"
WALL=$((WALL - 6 * 3600))
put
denied t1 open/a
WALL=$((WALL + 6 * 3600))
until_utc '2028-03-28 10:00:00'
reads t1 open/a day
WALL=$((WALL + 2 * 86400))
put
denied t1 open/a
WALL=$((WALL - 2 * 86400))
put
reads t1 open/a day

note "after a restart, and under a policy that has no hours any more"
umount_archive
mount_archive
reads t1 open/a day
denied t1 open/moved
sed -e '/^days/d' -e '/^hours/d' "$TEST_TMP/policy.ini" >"$TEST_TMP/always.ini"
check "apply" "$LAPSE" policy apply "$TEST_TMP/always.ini" "$MNT" >"$TEST_TMP/said"
until_utc '2028-03-28 23:00:00'
reads t1 open/a day
denied t1 open/linked
umount_archive
