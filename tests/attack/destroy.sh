#!/bin/bash
# lapse destroy reaches the backups: with keyring, key, the anchor of today and every older copy of the store nothing of a destroyed file can be derived, and of
# its neighbours everything; refused where it has to be; repeatable after a crash at each step.
# timeout: 240
# attack items: 46
. "$(dirname "$0")/../mount/lib.sh"
PYTHON=/usr/bin/python3 # the distribution's, whose PyNaCl the second reader uses
export PYTHONDONTWRITEBYTECODE=1
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class forever]
match = forever/**
expire-after = never

[class governed]
match = governed/**
retain-for = 10d
expire-after = 30d
commit-after = close

[class binding]
match = binding/**
retain-for = 10d
expire-after = 30d
commit-after = close
mode = compliance

[class keep]
match = **
expire-after = 30d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 24h # so that thousands of files share an epoch
destroy() { timeout 100 "$LAPSE" destroy "$@" >"$TEST_TMP/said" 2>&1 </dev/null; }
says() { grep -qE -- "$1" "$TEST_TMP/said" || die "should have said '$1', but said: $(cat "$TEST_TMP/said")"; }
planned() {
	local status=0 id
	destroy "$@" || status=$?
	[ $status = 1 ] || die "the plan of $*: status $status: $(cat "$TEST_TMP/said")"
	id=$(sed -n 's/.*--plan \([0-9a-f]*\),.*/\1/p' "$TEST_TMP/said")
	cp "$TEST_TMP/said" "$TEST_TMP/plan"
	destroy "$@" --plan "$id" || { cat "$TEST_TMP/said"; die "destroy $*"; }
}
plan_says() { grep -qE -- "$1" "$TEST_TMP/plan" || die "the plan should have said '$1', but said: $(cat "$TEST_TMP/plan")"; }
# reader STORE ANCHOR: what opens, whatever the clock says.
reader() {
	local status=0
	timeout 100 "$PYTHON" "$SRC/tests/reader/reader.py" "$1" --key-file "$KEY" --anchor "$2" --accept-rollback --ignore-deadlines \
		>"$TEST_TMP/read" 2>"$TEST_TMP/problems" || status=$?
	[ $status -le 1 ] || { cat "$TEST_TMP/problems" >&2; die "the second reader ended with status $status"; }
}
opens() { grep -qa "^ok $1\b" "$TEST_TMP/read" || { grep -a "$1" "$TEST_TMP/read" "$TEST_TMP/problems" >&2; die "$1 should open"; }; }
dark() { ! grep -qa "^ok $1\b" "$TEST_TMP/read" || die "$1 opens"; }

note "files, some with several names, and a backup of the store"
mount_archive
mkdir "$MNT"/{forever,governed,binding,keep,many}
for d in forever governed binding keep; do head -c 70000 /dev/urandom | tee "$TEST_TMP/$d" >"$MNT/$d/a.jpg"; done
head -c 70000 /dev/urandom | tee "$TEST_TMP/linked" >"$MNT/keep/linked.jpg"
ln "$MNT/keep/linked.jpg" "$MNT/many/second-name.jpg"
python3 - "$MNT/many" <<'P'
import os, sys
for n in range(20):
    with open(f"{sys.argv[1]}/{n}.jpg", "w") as f: f.write(f"image {n}")
P
umount_archive
cp -a "$ARC" "$TEST_TMP/backup"
cp "$TEST_TMP/anchor" "$TEST_TMP/anchor-before"
reader "$TEST_TMP/backup" "$TEST_TMP/anchor"
for f in keep/a.jpg keep/linked.jpg governed/a.jpg forever/a.jpg many/7.jpg; do opens $f; done

note "refused: a compliance floor, a directory, what is being written, no reason, another plan"
mount_archive
refuse "compliance" "$LAPSE" destroy "$MNT/binding/a.jpg" --reason test
refuse "directory" "$LAPSE" destroy "$MNT/keep" --reason test
refuse "reason" "$LAPSE" destroy "$MNT/keep/a.jpg"
refuse "does not lie in" "$LAPSE" destroy "$MNT/keep/a.jpg" "$TEST_TMP/keep" --reason test
exec 5>>"$MNT/many/9.jpg"
echo x >&5
refuse "being written" "$LAPSE" destroy "$MNT/many/9.jpg" --reason test
exec 5>&-
refuse "look at the new one" "$LAPSE" destroy "$MNT/keep/a.jpg" --reason test --plan 00000000
echo held >"$MNT/many/held.jpg"
"$LAPSE" hold add case "$MNT" --match 'many/held*' --reason "a case" --review "$(date -d '+1 year' +%Y-%m-%d)" >"$TEST_TMP/said" 2>&1 || die "hold: $(cat "$TEST_TMP/said")"
refuse "legal hold" "$LAPSE" destroy "$MNT/many/held.jpg" --reason test
check "a plan changes nothing" cmp "$TEST_TMP/keep" "$MNT/keep/a.jpg"

note "one with a floor in governance mode, one with two names, one without a deadline, while two are open"
exec 6<"$MNT/keep/linked.jpg" 7<"$MNT/forever/a.jpg"
head -c 10 <&6 >/dev/null
printf '%s\n' "$MNT/keep/a.jpg" "$MNT/keep/linked.jpg" "$MNT/governed/a.jpg" "$MNT/forever/a.jpg" >"$TEST_TMP/list"
planned --list "$TEST_TMP/list" --reason "ordered by the court, 7 C 12/26"
plan_says "class keep: 2 files"
plan_says "class governed: 1 files"
plan_says "5 names"
plan_says "1 of them have no deadline"
for f in keep/a.jpg keep/linked.jpg many/second-name.jpg governed/a.jpg forever/a.jpg; do [ ! -e "$MNT/$f" ] || die "$f is still there"; done
python3 - 6 7 <<'P'
import errno, os, sys
for fd in map(int, sys.argv[1:]):
    try:
        os.pread(fd, 4096, 40000)
        sys.exit(f"a handle that was open before still reads ({fd})")
    except OSError as e:
        assert e.errno == errno.EKEYEXPIRED, e
P
exec 6<&- 7<&-
umount_archive
reader "$TEST_TMP/backup" "$TEST_TMP/anchor"
for f in keep/a.jpg keep/linked.jpg many/second-name.jpg governed/a.jpg; do dark $f; done
for f in binding/a.jpg many/7.jpg forever/a.jpg; do opens $f; done # the last as the plan said
[ "$(grep -ac '^ok many/[0-9]' "$TEST_TMP/read")" = 20 ] || die "neighbours went dark in the backup"
reader "$TEST_TMP/backup" "$TEST_TMP/anchor-before"
opens keep/a.jpg # the attack would be noticed

note "an older header in a backup: the file had another date then"
epoch_of() { "$LAPSE" explain "$MNT/$1" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["epoch"])'; }
mount_archive
head -c 70000 /dev/urandom >"$MNT/keep/dated.jpg"
was=$(epoch_of keep/dated.jpg)
umount_archive
cp -a "$ARC" "$TEST_TMP/older"
reader "$TEST_TMP/older" "$TEST_TMP/anchor"
opens keep/dated.jpg
mount_archive
sed 's/^expire-after = 30d/expire-after = 20d/' "$TEST_TMP/policy.ini" >"$TEST_TMP/shorter.ini"
check "a shorter ceiling" "$LAPSE" policy apply "$TEST_TMP/shorter.ini" "$MNT" >"$TEST_TMP/said" 2>&1
mv "$MNT/keep/dated.jpg" "$MNT/keep/dated-anew.jpg"
wait_until 20 eval '[ "$(epoch_of keep/dated-anew.jpg)" != $was ]'
planned "$MNT/keep/dated-anew.jpg" --reason "it had another date"
umount_archive
reader "$TEST_TMP/older" "$TEST_TMP/anchor"
dark keep/dated.jpg
opens many/7.jpg

note "those who share a leaf live on: two files of one leaf"
mount_archive
# Files are made until two have a leaf in common: some 300 of them.
pair=$(python3 - "$MNT/many" "$LAPSE" <<'P'
import json, os, subprocess, sys
where, lapse = sys.argv[1:]
made = 20
while made < 5000:
    for n in range(made, made + 100):
        with open(f"{where}/{n}.jpg", "w") as f: f.write(f"image {n}")
    made += 100
    rows = json.loads(subprocess.run([lapse, "queue", where, "--json", "-o", "ID,EPOCH,PATH"], capture_output=True, text=True).stdout)
    seen = {}
    for r in next(v for v in rows.values() if isinstance(v, list)):
        if not r["path"] or "many/" not in r["path"]: continue
        leaf = r["epoch"], r["id"][:4]
        if leaf in seen:
            print(seen[leaf], r["path"])
            sys.exit()
        seen[leaf] = r["path"]
P
)
[ -n "$pair" ] || die "no two files of one leaf"
set -- $pair
one=$1 two=$2
what=$(cat "$MNT/$two")
umount_archive
rm -rf "${TEST_TMP:?}/backup"
cp -a "$ARC" "$TEST_TMP/backup"
mount_archive
planned "$MNT/$one" --reason "its neighbour stays"
plan_says "1 files that share a key"
[ "$(cat "$MNT/$two")" = "$what" ] || die "$two died with $one"
umount_archive
mount_archive
[ "$(cat "$MNT/$two")" = "$what" ] || die "$two cannot be read after a remount"
umount_archive
reader "$ARC" "$TEST_TMP/anchor"
opens "$two"
reader "$TEST_TMP/backup" "$TEST_TMP/anchor"
dark "$one"
