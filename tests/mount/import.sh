#!/bin/bash
# lapse import: a plain tree into a mounted archive, and a directory made an archive where it lies. What comes out is what went in: content, names, links,
# owners, modes, times, attributes. What is past its date waits for a plan; what cannot be taken in is said and left.
. "$(dirname "$0")/lib.sh"
tree() { python3 "$SRC/tests/mount/importtree.py" "$@"; }
import() { timeout 60 "$LAPSE" import "$@"; }
# outcome EXPECTED-STATUS COMMAND…: what it says on both goes to $TEST_TMP/said
outcome() {
	local want=$1 got=0
	shift
	"$@" >"$TEST_TMP/said" 2>&1 </dev/null || got=$?
	[ $got -eq "$want" ] || { cat "$TEST_TMP/said"; die "exit status $got, not $want: $*"; }
}
said() { grep -qF -- "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "should have said '$1'"; }; }
the_plan() { grep -oE -- '--plan [0-9a-f-]+' "$TEST_TMP/said" | head -n 1 | cut -d' ' -f2; }
printf '%s\n' '[policy]' 'version = 1' 'default-class = keep' \
	'[class old]' 'match = old/**' 'expire-after = 30d' \
	'[class keep]' 'match = **' 'expire-after = 75y' \
	'[rule everyone]' 'effect = permit' 'budget = none' >"$TEST_TMP/policy.ini"

note "into an archive in use"
archive_new "$TEST_TMP/policy.ini"
mount_archive
src=$TEST_TMP/src
tree make "$src" 3 200
tree list "$src" >"$TEST_TMP/want"
! [ -e "$MNT/large" ] || die "there before" # and the kernel remembers that it is not
outcome 2 import "$MNT" --from "$src"       # no basis
outcome 3 import "$MNT" --from "$src" --basis captured
said "no class of the policy counts from it"
outcome 3 import "$MNT" --from "$MNT" --basis now
outcome 3 import "$ARC" --from "$TEST_TMP" --basis now
said "lie in one another"
mknod "$src/device" c 1 3
outcome 1 import "$MNT" --from "$src" --basis modified --dry-run
said "keep"
said "1 device nodes"
[ "$(find "$MNT" | wc -l)" -eq 1 ] || die "a dry run took something in"
outcome 1 import "$MNT" --from "$src" --basis modified
said "left: device: an archive does not keep device nodes"
rm "${src:?}/device"
tree same "$TEST_TMP/want" "$MNT" || die "not what went in"
python3 "$SRC/tests/mount/importtree.py" dates "$src/large" "$(timeout 10 "$LAPSE" explain "$MNT/large" --json)" || die "its life does not count from its mtime"

note "once more: nothing is doubled, what changed is not overwritten"
outcome 0 import "$MNT" --from "$src" --basis modified
said "were there already"
tree same "$TEST_TMP/want" "$MNT" || die "not as before"
echo other >"$src/large"
outcome 1 import "$MNT" --from "$src" --basis modified
said "left: large: something else has this name"
tree same "$TEST_TMP/want" "$MNT" || die "not as before"
umount_archive
mount_archive
tree same "$TEST_TMP/want" "$MNT" || die "not the same after a remount"

note "status names what was plain, until told otherwise"
outcome 1 timeout 10 "$LAPSE" status "$MNT"
said "$src holds, or held, files in plain"
outcome 2 import "$MNT" --forget-plain
outcome 0 import "$MNT" --forget-plain --reason "the disk was shredded"
timeout 10 "$LAPSE" status "$MNT" >"$TEST_TMP/said" || true
! grep -q "in plain" "$TEST_TMP/said" || die "still named"

note "what is past its date waits for a plan"
late=$TEST_TMP/late
mkdir -p "$late/old"
for i in 1 2 3; do echo $i >"$late/old/$i"; done
touch -d '40 days ago' "$late/old/1" "$late/old/2"
outcome 1 import "$MNT" --from "$late" --basis modified
said "2 files are past their date"
plan=$(the_plan)
[ ! -e "$MNT/old" ] || die "taken in without a plan"
touch -d '40 days ago' "$late/old/3"
outcome 1 import "$MNT" --from "$late" --basis modified --plan "$plan"
said "no longer what was planned"
touch "$late/old/3"
outcome 0 import "$MNT" --from "$late" --basis modified --plan "$plan"
[ "$(ls "$MNT/old")" = 3 ] || die "$(ls "$MNT/old"): what is overdue was taken in, or what is not was left"
[ -e "$late/old/1" ] || die "the source is kept"
outcome 0 import "$MNT" --from "$late/old" --basis now
[ "$(cat "$MNT/1")" = 1 ] || die "basis now"

note "what a hold matches comes in under it, past its date as well"
timeout 30 "$LAPSE" hold add suit "$MNT" --match 'case/**' --reason "the suit" --review 2099-01-01 >"$TEST_TMP/said" 2>&1 || { cat "$TEST_TMP/said"; die "hold add"; }
mkdir -p "$TEST_TMP/suit/case"
echo one >"$TEST_TMP/suit/case/one"
outcome 0 import "$MNT" --from "$TEST_TMP/suit" --basis modified
refuse "Operation not permitted" rm "$MNT/case/one"
[ "$(timeout 10 "$LAPSE" explain "$MNT/case/one" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["key"])')" = hold ] || die "not under the hold's key"
mkdir "$TEST_TMP/suit/case/older"
echo two >"$TEST_TMP/suit/case/older/two"
touch -d '1 jan 1940' "$TEST_TMP/suit/case/older/two"
outcome 1 import "$MNT" --from "$TEST_TMP/suit" --basis modified
outcome 0 import "$MNT" --from "$TEST_TMP/suit" --basis modified --plan "$(the_plan)"
[ -e "$MNT/case/older/two" ] || die "a hold kept it, and it was not taken in"
refuse "Operation not permitted" rm "$MNT/case/older/two"

note "while it is written to: what is taken in is whole"
camera=$TEST_TMP/camera
mkdir "$camera"
python3 "$SRC/tests/mount/importtree.py" camera "$camera" "$TEST_TMP/stop" &
writer=$!
wait_until 10 test -e "$camera/lane-100.jpg"
import "$MNT" --from "$camera" --basis modified >"$TEST_TMP/said" 2>&1 || [ $? -eq 1 ] || { cat "$TEST_TMP/said"; die "import of a tree that is written to"; }
touch "$TEST_TMP/stop"
wait $writer
python3 "$SRC/tests/mount/importtree.py" whole "$MNT" || die "a file is torn"
umount_archive

note "in place"
mv "$ARC" "$TEST_TMP/first-archive"
ARC=$TEST_TMP/images
tree make "$ARC" 4 200
mkdir "$ARC/old"
touch -r "$late/old/1" "$ARC/old"
tree list "$ARC" >"$TEST_TMP/want"
echo plaintext-that-is-late >"$ARC/old/late"
touch -r "$late/old/1" "$ARC/old/late" "$ARC/old"
place() { import "$ARC" --in-place --basis modified --policy "$TEST_TMP/policy.ini" --key-file "$KEY" --anchor "$TEST_TMP/anchor2" "$@"; }
outcome 1 place --dry-run --recovery-key-file "$TEST_TMP/recovery"
[ ! -e "$ARC/.lapse" ] || die "a dry run made an archive"
plan=$(the_plan)
outcome 1 place --no-recovery-key
[ -e "$ARC/large" ] && [ ! -e "$ARC/.lapse" ] || die "begun without a plan"
outcome 2 place --plan "$plan" # no recovery key said, no terminal
[ -e "$ARC/large" ] || die "gone"
outcome 0 place --plan "$plan" --recovery-key-file "$TEST_TMP/recovery" --wipe
said "was overwritten before"
said "1 past their date were not taken in, and are removed"
[ ! -e "$ARC/.lapse/import" ] && [ ! -e "$ARC/.lapse/import.wipe" ] || die "something is left in plain"
! grep -rqs plaintext-that-is-late "$ARC" || die "plain text is left"
mount_archive
tree same "$TEST_TMP/want" "$MNT" || die "not what lay there"
umount_archive
KEY=$TEST_TMP/recovery
mount_archive
tree same "$TEST_TMP/want" "$MNT" || die "not by the recovery key"
umount_archive
