#!/bin/bash
# What destroys asks for the number of files on a terminal: only that number, typed, lets it go on. Destruction, release of a hold, an import of what is
# past its date.
. "$(dirname "$0")/lib.sh"
# types ANSWER EXPECTED-STATUS COMMAND…
types() {
	local answer=$1 want=$2 got=0
	shift 2
	timeout 60 python3 "$SRC/tests/mount/typed.py" 30 "$answer" "$@" >"$TEST_TMP/screen" || got=$?
	[ $got -eq "$want" ] || { cat "$TEST_TMP/screen"; die "'$answer' typed: exit status $got, not $want: $*"; }
}
shows() { grep -qE -- "$1" "$TEST_TMP/screen" || { cat "$TEST_TMP/screen"; die "should have shown '$1'"; }; }
# refused COMMAND…: by everything but the number 2
refused() {
	local answer
	for answer in "" y yes 1 22 02 "2 " " 2" -2 2.0; do types "$answer" 3 "$@"; done
	shows "not confirmed"
}
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class short]
match = short/**
expire-after = 30d

[class keep]
match = **
expire-after = 1y

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/a" "$MNT/short"
echo 1 >"$MNT/a/1"
echo 2 >"$MNT/a/2"
echo 3 >"$MNT/3"

note "destroy"
refused "$LAPSE" destroy "$MNT/a/1" "$MNT/a/2" --reason "an order"
[ "$(cat "$MNT/a/1" "$MNT/a/2")" = $'1\n2' ] || die "destroyed without the number"
types 2 0 "$LAPSE" destroy "$MNT/a/1" "$MNT/a/2" --reason "an order"
[ ! -e "$MNT/a/1" ] && [ ! -e "$MNT/a/2" ] && [ -e "$MNT/3" ] || die "not destroyed, or too much"

note "an import of what is past its date"
mkdir -p "$TEST_TMP/src/short"
for i in 1 2 3; do echo "new $i" >"$TEST_TMP/src/short/$i"; done
touch -d '40 days ago' "$TEST_TMP/src/short/1" "$TEST_TMP/src/short/2"
refused "$LAPSE" import "$MNT" --from "$TEST_TMP/src" --basis modified
[ -z "$(ls "$MNT/short")" ] || die "taken in without the number"
types 2 0 "$LAPSE" import "$MNT" --from "$TEST_TMP/src" --basis modified
[ "$(ls "$MNT/short")" = 3 ] || die "$(ls "$MNT/short") was taken in"

note "the release of a hold that keeps files past their date"
check "hold add" "$LAPSE" hold add case "$MNT" --match 'short/case/**' --reason "a case" --review 90d
mkdir "$TEST_TMP/src/short/case"
for i in 4 5 6; do echo "new $i" >"$TEST_TMP/src/short/case/$i"; done
touch -d '40 days ago' "$TEST_TMP/src/short/case/4" "$TEST_TMP/src/short/case/5"
types 4 0 "$LAPSE" import "$MNT" --from "$TEST_TMP/src" --basis modified
refused "$LAPSE" hold release case "$MNT" --reason "over"
refuse "Operation not permitted" rm "$MNT/short/case/4"
types 2 0 "$LAPSE" hold release case "$MNT" --reason "over"
gone() { [ ! -e "$MNT/short/case/4" ] && [ ! -e "$MNT/short/case/5" ]; }
wait_until 20 gone
[ "$(cat "$MNT/short/case/6")" = "new 6" ] || die "what lives is gone as well"
umount_archive
