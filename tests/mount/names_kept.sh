#!/bin/bash
# [audit] keep-names: what a file was named that somebody read is told by the log for so long after its date, and not a second longer than its epoch: then the key of the
# name is gone, for a thief with everything of that time as well. A deadline that is set later, a hold and a destruction take the name along.
. "$(dirname "$0")/lib.sh"
with_test_clock
export PYTHONDONTWRITEBYTECODE=1
HOUR=3600
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 2h
retain-for = 1h
retain-bounds = 1h..10h
commit-after = close

[rule everyone]
effect = permit
budget = none

[audit]
keep-names = 3h
E
ask() { # ask STATUS command…: its output in said
	local want=$1 status=0
	shift
	timeout 60 "$LAPSE" "$@" >"$TEST_TMP/said" 2>&1 </dev/null || status=$?
	[ $status = "$want" ] || die "$*: status $status, not $want: $(cat "$TEST_TMP/said")"
}
says() { grep -qE -- "$1" "$TEST_TMP/said" || die "should have said '$1', but said: $(cat "$TEST_TMP/said")"; }
silent() { ! grep -qE -- "$1" "$TEST_TMP/said" || die "should not have said '$1', but said: $(cat "$TEST_TMP/said")"; }
id_of() { "$LAPSE" explain "$MNT/$1" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])'; }
gone() { [ ! -e "$MNT/$1" ]; }
files() { "$LAPSE" audit read "$MNT" --user lapse-t1 --json | python3 -c 'import json,sys
for f in json.load(sys.stdin)["files"]: print(f["state"], f["name"], f["path"])'; }
names() { files >"$TEST_TMP/said"; }

archive_new "$TEST_TMP/policy.ini" --epoch 1min
mount_archive
chmod 777 "$MNT"
for f in plate-HH-AB-1 plate-later plate-held plate-destroyed; do echo $f >"$MNT/$f"; done
for f in plate-HH-AB-1 plate-later plate-held plate-destroyed; do as t1 cat "$MNT/$f" >/dev/null; done
id=$(id_of plate-HH-AB-1)
names
says 'exists None plate-HH-AB-1'

note "as long as the file is there"
cp -a "$ARC" "$TEST_TMP/store.then"
cp "$TEST_TMP/anchor" "$TEST_TMP/anchor.then"
ask 0 hold add case "$MNT" --match plate-held --reason "a case" --review 30d
ask 0 retain "$MNT/plate-later" --until "$(date -d '+6 hours' '+%Y-%m-%d %H:%M:%S')" --reason "a case"
timeout 60 "$LAPSE" destroy "$MNT/plate-destroyed" --reason "by order" >"$TEST_TMP/said" 2>&1 </dev/null || true
ask 0 destroy "$MNT/plate-destroyed" --reason "by order" --plan "$(sed -n 's/.*--plan \([0-9a-f]*\),.*/\1/p' "$TEST_TMP/said")"
names
says 'destroyed None None'
silent 'plate-destroyed'

note "after its date: by the log"
clock $((2 * HOUR + 120))
wait_until 20 gone plate-HH-AB-1
names
says 'expired plate-HH-AB-1 None'
ask 0 audit who --id "$id" --archive "$MNT"
says 'It was named plate-HH-AB-1'
ask 0 audit exposure "$MNT" --user lapse-t1 --list
says 'expired.* plate-HH-AB-1$'
cp -a "$ARC" "$TEST_TMP/store.between"
cp "$TEST_TMP/anchor" "$TEST_TMP/anchor.between"

note "and gone with its key"
clock $((5 * HOUR + 240))
anchored() { "$LAPSE" audit read "$MNT" --user lapse-t1 --json >"$TEST_TMP/said" && ! grep -q plate-HH-AB-1 "$TEST_TMP/said"; }
wait_until 20 anchored
ask 0 audit who --id "$id" --archive "$MNT"
silent 'named'
names
says 'exists None plate-later'
clock $((8 * HOUR))
wait_until 20 gone plate-later
names
says 'expired plate-later None' # by its new deadline
umount_archive

note "a thief"
thief() { # thief STORE ANCHOR: the names that the log gives to who has that, and every key
	PYTHONPATH=$SRC/tests/reader timeout 60 /usr/bin/python3 - "$1" "$2" "$KEY" <<'P'
import sys, os
import archive as A, keys
keys.known_features = 1
with open(sys.argv[3], "rb") as f:
    secret = f.read()
a = A.Archive(os.fsencode(sys.argv[1]), keys.KEY_FILE, secret, [os.fsencode(sys.argv[2])])
for r in a.records:
    if "sealed-name" in r:
        print(r["kind"], (a.log_name(r) or b"-").decode())
P
}
thief "$ARC" "$TEST_TMP/anchor" >"$TEST_TMP/said"
says '^open -$'
silent 'plate-HH-AB-1|plate-destroyed'
says '^prune plate-later$'
says '^prune plate-held$'
thief "$TEST_TMP/store.between" "$TEST_TMP/anchor" >"$TEST_TMP/said" # an older store does not help him
silent 'plate-HH-AB-1|plate-destroyed'
thief "$TEST_TMP/store.between" "$TEST_TMP/anchor.between" >"$TEST_TMP/said"
says '^open plate-HH-AB-1$'
silent 'plate-destroyed'
