#!/bin/bash
# lapse audit destroyed: what is gone for good, by class and in all, whether the anchor bears it out, and what is left that could bring some of it back; for one id the
# proof. Each statement is made to say something else by what it is about.
. "$(dirname "$0")/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class short]
match = short/**
expire-after = 3s

[class forever]
match = forever/**
expire-after = never

[class keep]
match = **
expire-after = 30d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 1s
mount_archive
audit() { # audit STATUS options…
	local want=$1 status=0
	shift
	timeout 60 "$LAPSE" audit destroyed "$MNT" "$@" >"$TEST_TMP/said" 2>&1 </dev/null || status=$?
	[ $status = "$want" ] || die "audit destroyed $*: status $status, not $want: $(cat "$TEST_TMP/said")"
}
says() { grep -qE -- "$1" "$TEST_TMP/said" || die "should have said '$1', but said: $(cat "$TEST_TMP/said")"; }
id_of() { "$LAPSE" explain "$MNT/$1" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])'; }
sure() {
	local id
	timeout 60 "$LAPSE" destroy "$@" >"$TEST_TMP/said" 2>&1 </dev/null || [ $? = 1 ]
	id=$(sed -n 's/.*--plan \([0-9a-f]*\),.*/\1/p' "$TEST_TMP/said")
	timeout 60 "$LAPSE" destroy "$@" --plan "$id" >"$TEST_TMP/said" 2>&1 || [ $? = 1 ] || die "destroy: $(cat "$TEST_TMP/said")"
}
mkdir "$MNT"/{short,forever,keep}

note "nothing yet"
audit 0
says "In all: 0 files expired"

note "five that expired, one that was destroyed, one that was deleted, one that lives"
for n in 1 2 3 4 5; do echo $n >"$MNT/short/$n"; done
for n in destroyed deleted lives; do echo $n >"$MNT/keep/$n"; done
for f in short/3 keep/destroyed keep/deleted keep/lives; do eval "id_${f##*/}=$(id_of $f)"; done
rm "$MNT/keep/deleted"
sure "$MNT/keep/destroyed" --reason "by order"
wait_until 30 sh -c "[ -z \"\$(ls -A '$MNT/short')\" ]"
audit 0
says "class short: 5 expired, 0 destroyed"
says "class keep: 0 expired, 1 destroyed"
says "In all: 5 files expired"
says "keys of 6 of them can no longer be derived"
audit 0 --json
python3 - "$TEST_TMP/said" <<'P'
import json, sys
d = json.load(open(sys.argv[1]))
assert d["expired"] == 5 and d["destroyed"] == 1 and d["proven"] == 6 and d["unproven"] == 0 and d["begun"] == 0, d
assert 1 <= d["epochs"] <= 5 and 0 <= d["worst-lag"] <= 20, d
P
audit 0 --since 1h --until "$(date -d '-30 min' '+%Y-%m-%d %H:%M')"
says "In all: 0 files expired"
audit 2 --since yesterday

note "one file"
audit 0 --id "$id_3"
says "Expired; recorded"
says "cannot be derived: tree 1 begins at epoch"
audit 0 --id "$id_destroyed"
says "Destroyed .*by order"
says "tree 1 is punctured there"
audit 1 --id "$id_deleted"
says "Deleted .*backups of the store can be read"
says "its key CAN be derived"
audit 1 --id "$id_lives"
says "no record of its end"
audit 3 --id 00000000000000000000000000000000
audit 3 --id xyz

note "what is outstanding: a file without a deadline, a backup of the anchor, a copy that is behind"
echo f >"$MNT/forever/f"
id=$(id_of forever/f)
sure "$MNT/forever/f" --reason "by order"
audit 0
says "Of those 1 had no deadline"
audit 1 --id "$id"
says "no key of its own"
"$LAPSE" anchor backup "$MNT" "$TEST_TMP/backup" --horizon 1d --reason test >/dev/null
audit 0
says "Backup .*opens 0 of these"
echo x >"$MNT/keep/later"
sure "$MNT/keep/later" --reason "by order"
audit 1
says "Backup .*opens 1 of these"
mkdir "$TEST_TMP/disk"
"$LAPSE" anchor add "$MNT" "$TEST_TMP/disk/anchor" --reason test >/dev/null
mv "$TEST_TMP/disk" "$TEST_TMP/away"
expect_log 'anchor: degraded: not shredded on|anchor: .* is written again'
wait_until 10 eval '{ "$LAPSE" anchor status "$MNT" --noheadings --raw || true; } | grep -q degraded'
audit 1
says "NOT WRITTEN, not destroyed there"
says "those of [0-9]+ CAN, or a copy is behind"
mv "$TEST_TMP/away" "$TEST_TMP/disk"
umount_archive

note "unmounted, with the key"
timeout 60 "$LAPSE" audit destroyed "$ARC" --key-file "$KEY" >"$TEST_TMP/said" 2>&1 || [ $? = 1 ]
says "In all: 5 files expired"
