#!/bin/bash
# What a refusal tells: by its errno, or by how long it takes. What must happen: who may not look into a directory, may not read, or has used up his names, does not learn whether a
# file is there, of which class it is, how large, or whether it is a decoy. And looking alone, at names and attributes, is bounded.
. "$(dirname "$0")/../mount/lib.sh"
users t1 t2 t3 t4 t5 t6
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class plates]
match = strict/** closed/**
names = strict
expire-after = 1y

[class faces]
match = of/*[02468]/**
retain-for = 1h
expire-after = 12h

[class images]
match = **
expire-after = 10y

[rule cameras]
users = root
effect = permit
budget = none

# elsewhere

[rule denied]
users = lapse-t1 lapse-t5
effect = deny

[rule spent]
users = lapse-t4
effect = permit
budget = files

[rule everyone]
effect = permit
budget = names

[budget names]
names = 300/1h

[budget files]
files = 1/24h

E
for i in $(seq 50); do # a decision is to take long, so that one that is made twice is seen
	printf '[rule far%d]\nusers = lapse-t4 lapse-t5\npaths = l*n*/far/**/%d*\neffect = deny\n\n' "$i" "$i"
done | sed -i '/^# elsewhere/r /dev/stdin' "$TEST_TMP/policy.ini"
expect_log 'refused: uid|over budget|canary: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/in"
echo x >"$MNT/in/small.jpg"
python3 "$SRC/tests/attack/oracle_lists.py" "$MNT" "$TEST_TMP"
mkdir "$MNT/lane"
check "decoys" "$LAPSE" canary plant --per 1 --reason test "$MNT/lane" >/dev/null
check "and their neighbours" python3 "$SRC/tests/attack/oracle_decoys.py" "$LAPSE" "$MNT" "$TEST_TMP"
chmod -R a+rX "$MNT"
chmod 700 "$MNT/private"
class_of() { "$LAPSE" explain --json "$(head -n 1 "$TEST_TMP/$1")" | python3 -c 'import json, sys; print(json.load(sys.stdin)["class-now"])'; }
[ "$(class_of faces) $(class_of images)" = "faces images" ] || die "of classes $(class_of faces) and $(class_of images)"

# If nothing is told, one of the ten questions fails once in 100,000 runs: ten times 10^-6.
ask() { timeout 60 python3 "$SRC/tests/attack/oracle.py" "$(id -u "lapse-$1")" "$2" "$TEST_TMP/$3" "$TEST_TMP/$4" "${@:5}"; }
unlikely() { python3 -c 'import sys; sys.exit(float(sys.argv[1]) >= 1e-6)' "$1"; }
silent() { # silent USER CALL LIST LIST: nothing is told, by errno nor by time
	local chance ns one other
	read -r chance ns one other < <(ask "$@")
	[ "$one" = "$other" ] || die "$2: $3 is answered by errno $one, $4 by $other"
	note "$1, $2 of $3 and $4: errno $one; $ns ns, seen by chance with a probability of $chance"
	! unlikely "$chance" || die "$2: $3 takes $ns ns more than $4"
}

note "31: the experiment sees a difference of 2 us"
seen() { local chance; read -r chance _ < <(ask t1 open faces images 2000); unlikely "$chance"; }
wait_until 40 seen # not while something else takes the machine

note "31: a file that is there, and one that is not: where one may not look, and where one's names are used up"
silent t2 open private.there private.none
silent t2 stat private.there private.none
as t3 sh -c "for i in \$(seq 400); do test -e '$MNT/strict/guess-'\$i; done; true"
refuse "Disk quota exceeded" as t3 ls "$MNT/strict/none.jpg"
silent t3 stat strict.there strict.none
silent t3 open closed.there closed.none
silent t3 open closed.there closed.large

note "31: who is denied: of one class and of another, with a floor and without; as it was made, and with one more header" # how large it is, stat tells him
generation() { "$LAPSE" explain --json "$(head -n 1 "$TEST_TMP/$1")" | python3 -c 'import json, sys; print(json.load(sys.stdin)["generation"])'; }
[ $((($(generation made) + $(generation renamed)) % 2)) = 1 ] || die "the newest header is in the same slot"
silent t1 open made renamed
silent t1 open faces images
silent t1 access images.large faces

note "31, 60: a decoy and an image: of who is denied, and of who has used up his budget"
umount_archive
mount_archive # no more decoys come, and none is open
alarms() { "$LAPSE" audit tail --kind canary -n 99 "$MNT" --json | grep -c '"opened"' || true; }
check "what the budget allows" as t4 cat "$MNT/in/small.jpg" >/dev/null
refuse "Disk quota exceeded" as t4 cat "$(head -n 1 "$TEST_TMP/neighbours")"
silent t5 open decoys neighbours
silent t4 open decoys neighbours
[ "$(alarms)" = 0 ] || die "what is refused anyway is an alarm"
refuse "Permission denied" as t6 cat "$(head -n 1 "$TEST_TMP/decoys")"
[ "$(alarms)" = 1 ] || die "those were no decoys"

note "30: looking alone: listings, attributes, extended attributes, statfs: the budget of names bounds what is found"
as t2 python3 - "$MNT" <<'P'
import errno, os, sys
mnt, found, refused = sys.argv[1], 0, 0
for n in range(600):
    for call in (lambda p: os.stat(p), lambda p: os.getxattr(p, "user.x"), lambda p: os.readlink(p), lambda p: os.open(p, os.O_PATH), lambda p: os.access(p, os.F_OK) or os.stat(p)):
        try:
            call(f"{mnt}/in/{n:06}.jpg")
            found += 1
        except OSError as e:
            refused += e.errno == errno.EDQUOT
os.statvfs(mnt)
assert found == 0 and refused > 600, (found, refused)
P
refuse "Disk quota exceeded" as t2 ls "$MNT/in"
refuse "Disk quota exceeded" as t2 find "$MNT" -mindepth 1
umount_archive
