#!/bin/bash
# A hold that is long on its way to its files keeps nothing else alive: what it does not match is shredded with its epoch, what it matches stays.
. "$(dirname "$0")/lib.sh"
with_test_clock
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class short]
match = **/*.short
expire-after = 60s

[class later]
match = **/*.later
expire-after = 30min

[class keep]
match = **
expire-after = 1d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 10s
export LAPSE_TEST_HOLD_PACE=40 # ms a file: 400 files keep it busy for longer than this test takes
mount_archive
hold() { "$LAPSE" hold list "$MNT" --json | python3 -c "import json,sys; h = json.load(sys.stdin)['holds'][0]; print(*(h[f] for f in '$1'.split()))"; }
anchor() { "$LAPSE" anchor status "$MNT" --json | python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }
gone() { [ ! -e "$MNT/$1" ]; }
passed() { [ "$(anchor next-epoch)" -ge "$1" ]; }
mkdir "$MNT/case" "$MNT/other"
for ((n = 0; n < 400; n++)); do echo "$n" >"$MNT/case/$n.keep"; done
for d in case other; do for f in a.short b.later; do echo "$d $f" >"$MNT/$d/$f"; done; done
sync "$MNT"/case/*
epoch=$(anchor next-epoch)

note "a hold is placed; before it is, files beside it expire and are shredded"
"$LAPSE" hold add large "$MNT" --match 'case/**' --reason 'a large one' --review 30d >"$TEST_TMP/added" 2>&1 &
adding=$!
placing() { [ "$(hold state 2>/dev/null)" = placing ]; }
wait_until 8 placing
clock 100
wait_until 8 passed $((epoch + 9))
wait_until 8 gone other/a.short
[ "$(hold state)" = placing ] || die "it was too quick for this test: $(hold 'state files')"

note "… and later ones, too"
clock 2000
wait_until 8 passed $((epoch + 199))
wait_until 8 gone other/b.later
[ "$(hold state) $(anchor barriers)" = "placing 1" ] || die "it was too quick for this test: $(hold 'state files')"
for f in a.short b.later; do [ -e "$MNT/case/$f" ] || die "case/$f is held, and gone"; done
umount_archive
wait $adding || true

note "begun again by the next mount, it comes to every file"
unset LAPSE_TEST_HOLD_PACE
mount_archive
placed() { [ "$(hold state)" = placed ]; }
wait_until 20 placed
[ "$(hold files) $(anchor barriers)" = "402 0" ] || die "$(hold files) files, $(anchor barriers) barriers"
for f in a.short b.later; do [ "$("$LAPSE" explain "$MNT/case/$f" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["key"])')" = hold ] || die "case/$f"; done
umount_archive
