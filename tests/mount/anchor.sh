#!/bin/bash
# Copies of the anchor come and go on a live mount, a lost one is told until it is back or dropped, and backups open nothing that expires before their horizon:
# the store and the anchor are lost, and made again from backups of both.
. "$(dirname "$0")/lib.sh"
PYTHON=/usr/bin/python3
export PYTHONDONTWRITEBYTECODE=1
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = long

[class short]
match = short/**
expire-after = 4s

[class middle]
match = middle/**
expire-after = 1h

[class long]
match = **
expire-after = 60d

[rule everyone]
effect = permit
budget = none
E
A=$TEST_TMP/anchor B=$TEST_TMP/other/anchor
mkdir "$TEST_TMP/other" "$TEST_TMP/safe"
archive_new "$TEST_TMP/policy.ini" --epoch 1s
anchor() { # anchor VERB options…
	local verb=$1
	shift
	timeout 60 "$LAPSE" anchor "$verb" "$@" >"$TEST_TMP/said" 2>&1 </dev/null
}
says() { grep -qE -- "$1" "$TEST_TMP/said" || die "should have said '$1', but said: $(cat "$TEST_TMP/said")"; }
sequence() { { "$LAPSE" anchor status "$MNT" --json || true; } | python3 -c 'import json,sys; print(json.load(sys.stdin)["sequence"])'; }
state_of() { { "$LAPSE" anchor status "$MNT" -o STATE,PATH --noheadings --raw || true; } | awk -v p="$1" '$2 == p {print $1}'; }
status_says() { { timeout 20 "$LAPSE" status "$MNT" || true; } | grep -q -- "$1" || die "status should say '$1'"; }
degraded() { [ "$(state_of "$1")" = degraded ]; }
fine() { [ "$(state_of "$1")" = ok ]; }
# planned COMMAND…: shows a plan and changes nothing; then with its id.
planned() {
	local status=0 id
	anchor "$@" || status=$?
	[ $status = 1 ] || die "the plan of $*: status $status: $(cat "$TEST_TMP/said")"
	id=$(sed -n 's/.*--plan \([0-9a-f]*\),.*/\1/p' "$TEST_TMP/said")
	[ -n "$id" ] || die "no id: $(cat "$TEST_TMP/said")"
	anchor "$@" --plan "$id"
}

mount_archive
mkdir "$MNT/short" "$MNT/middle" "$MNT/long"
for d in middle long; do echo "$d" >"$MNT/$d/a"; done

note "a copy is added while it is mounted, and advanced"
refuse "reason" "$LAPSE" anchor add "$MNT" "$B"
refuse "apart" "$LAPSE" anchor add "$MNT" "$MNT/anchor" --reason test
refuse "apart" "$LAPSE" anchor add "$MNT" "$ARC/anchor" --reason test
echo mine >"$TEST_TMP/other/file"
refuse "not touched" "$LAPSE" anchor add "$MNT" "$TEST_TMP/other/file" --reason test
[ "$(cat "$TEST_TMP/other/file")" = mine ] || die "somebody's file was overwritten"
fine "$TEST_TMP/other/file" && die "a copy that was not made is listed"
check "add" anchor add "$MNT" "$B" --reason "a second disk"
fine "$B" || die "not listed: $("$LAPSE" anchor status "$MNT")"
was=$(sequence)
advanced() { [ "$(sequence)" -gt $((was + 1)) ]; }
wait_until 10 advanced
cmp "$A" "$B" || { sleep 0.3; cmp "$A" "$B" || die "the copies differ"; }

note "a copy that is gone is told, its shreds are not done, and it is told no more when it is back"
expect_log 'anchor: degraded: not shredded on|anchor: .* is written again'
mv "$B" "$B.away"
wait_until 10 degraded "$B"
status_says "degraded: not shredded on $B"
lag() { [ "$({ "$LAPSE" status "$MNT" --json || true; } | python3 -c 'import json,sys; print(json.load(sys.stdin)["shred-lag"])')" -"$1" "$2" ]; }
echo short >"$MNT/short/a"
shredded() { "$LAPSE" queue "$MNT" --all -o SHREDDED,PATH; }
shredded | grep -q 'not while an anchor is degraded' || die "queue tells a date at which keys are destroyed: $(shredded)"
wait_until 20 test ! -e "$MNT/short/a"
wait_until 10 lag ge 3
mv "$B.away" "$B"
wait_until 10 fine "$B"
! shredded | grep -q degraded || die "queue: $(shredded)"
wait_until 10 lag eq 0

note "an unreachable copy is dropped with a reason; the last one never; a dropped file is overwritten"
mv "$B" "$B.away"
wait_until 10 degraded "$B"
refuse "reason" "$LAPSE" anchor drop "$MNT" "$B"
refuse "last copy" "$LAPSE" anchor drop "$MNT" "$A" --reason test
status=0
planned drop "$MNT" "$B" --reason "the disk burnt" || status=$?
[ $status = 1 ] || die "drop of what cannot be reached: status $status: $(cat "$TEST_TMP/said")"
says "could not be overwritten"
[ -z "$(state_of "$B")" ] || die "still listed"
"$LAPSE" status "$MNT" >/dev/null || die "status: $("$LAPSE" status "$MNT")"
rm "$B.away"
check "add again" anchor add "$MNT" "$B" --reason "a new disk"
ln "$B" "$TEST_TMP/other/kept" # what is in the file after it has been removed
refuse "plan" "$LAPSE" anchor drop "$MNT" "$B" --reason test --plan 00000000
check "drop" planned drop "$MNT" "$B" --reason "no more"
[ ! -e "$B" ] || die "the file is still there"
cmp -s <(head -c 2097152 /dev/zero) "$TEST_TMP/other/kept" || die "the file was not overwritten"

note "what was added is known to the next mount, also after kill -9"
check "add" anchor add "$MNT" "$B" --reason "again"
kill_daemon
mount_archive
fine "$B" || die "forgotten by the next mount"

note "reseed: a leaked copy of the anchor opens nothing that comes later"
cp "$A" "$TEST_TMP/leaked"
check "reseed" anchor reseed "$MNT" --reason "it leaked"
echo after >"$MNT/long/after"
[ "$("$LAPSE" explain "$MNT/long/after" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["tree"])')" = 2 ] || die "not in the new tree"
trees() { "$LAPSE" anchor status "$MNT" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["trees"])'; }
check "none goes while it has files" anchor reseed "$MNT" --retire --reason "tidy"
says "Trees that went: 0"
[ "$(trees)" = 3 ] || die "$(trees) trees, not 3"
rm "$MNT/long/a" "$MNT/middle/a"
check "retire" planned reseed "$MNT" --retire --reason "tidy"
says "Trees that went: 1"
[ "$(trees)" = 3 ] || die "$(trees) trees, not 3" # 1 went, 3 was empty and is current until now
[ "$(cat "$MNT/long/after")" = after ] || die "a file of a tree that stays"
for d in middle long; do echo "$d" >"$MNT/$d/a"; done

note "backups: overdue when what they open has expired"
refuse "horizon" "$LAPSE" anchor backup "$MNT" "$TEST_TMP/safe/b" --reason test
check "backup" anchor backup "$MNT" "$TEST_TMP/safe/soon" --horizon 1s --reason "to be overdue"
overdue() { [ "$(state_of "$TEST_TMP/safe/soon")" = overdue ]; }
wait_until 10 overdue
status_says "opens what has expired since: $TEST_TMP/safe/soon"
check "drop a backup" planned drop "$MNT" "$TEST_TMP/safe/soon" --reason "overdue"
[ ! -e "$TEST_TMP/safe/soon" ] || die "the backup is still there"
"$LAPSE" status "$MNT" >/dev/null || die "status still wants something: $("$LAPSE" status "$MNT")"
refuse "neither" "$LAPSE" anchor drop "$MNT" "$TEST_TMP/safe/soon" --reason twice

note "the drill: store and anchor are lost; a backup of the store, and one of the anchor with a horizon of 30 days"
check "backup" anchor backup "$MNT" "$TEST_TMP/safe/anchor-30d" --horizon 30d --reason "kept off site"
umount_archive
cp -a "$ARC" "$TEST_TMP/safe/store"
mount_archive
# Everything goes on after the backups: a key, a file, another tree.
head -c 32 /dev/urandom >"$TEST_TMP/key2"
chmod 600 "$TEST_TMP/key2"
echo lost >"$MNT/long/after-the-backup"
check "reseed" anchor reseed "$MNT" --reason "once more"
umount_archive
rm -rf "${ARC:?}" "$A" "$B" "$TEST_TMP/state"
cp -a "$TEST_TMP/safe/store" "$ARC"
refuse "anchor" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
refuse "opens with this key" "$LAPSE" anchor restore "$ARC" "$TEST_TMP/safe/anchor-30d" --key-file "$TEST_TMP/key2"
refuse "no backup" "$LAPSE" anchor restore "$ARC" "$TEST_TMP/leaked" --key-file "$KEY" --anchor "$A"
check "restore" anchor restore "$ARC" "$TEST_TMP/safe/anchor-30d" --key-file "$KEY" --anchor "$A"
refuse "File exists" "$LAPSE" anchor restore "$ARC" "$TEST_TMP/safe/anchor-30d" --key-file "$KEY" --anchor "$A"
refuse "lapse fsck" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
check "fsck" "$LAPSE" fsck "$ARC" --key-file "$KEY" --accept-rollback --reason "the machine burnt" --yes >"$TEST_TMP/said" 2>&1
mount_archive
[ "$(cat "$MNT/long/a")$(cat "$MNT/long/after")" = longafter ] || die "what expires behind the horizon should be there"
refuse "expired" cat "$MNT/middle/a"
next_of() { "$LAPSE" queue "$MNT" --json --path "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["queue"][0]["next"])'; }
[ "$(next_of middle/a) $(next_of long/a)" = "lost deny" ] || die "the queue: $("$LAPSE" queue "$MNT")"
"$LAPSE" explain "$MNT/middle/a" >"$TEST_TMP/said"
says "gone already"
says "nobody can read it any more"
echo new >"$MNT/middle/new"
echo new >"$MNT/short/new"
[ "$(cat "$MNT/middle/new")$(cat "$MNT/short/new")" = newnew ] || die "ingest goes on"
wait_until 20 test ! -e "$MNT/short/new"
[ "$(state_of "$TEST_TMP/safe/anchor-30d")" = backup ] || die "the backup is not listed: $("$LAPSE" anchor status "$MNT")"
check "drop the backup" planned drop "$MNT" "$TEST_TMP/safe/anchor-30d" --reason "used"
umount_archive
