#!/bin/bash
# What a refusal tells: by its errno, or by how long it takes. What must happen: who may not look into a directory, may not read, or has used up his names, does not learn whether a
# file is there, of which class it is, how large, or whether it is a decoy. And looking alone, at names and attributes, is bounded.
. "$(dirname "$0")/../mount/lib.sh"
for u in t1 t2 t3; do as $u true; done
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class plates]
match = strict/** closed/**
names = strict
expire-after = 1y

[class faces]
match = faces/**
retain-for = 1h
expire-after = 12h

[class images]
match = **
expire-after = 10y

[rule cameras]
users = root
effect = permit
budget = none

[rule denied]
users = lapse-t1
effect = deny

[rule everyone]
effect = permit
budget = names

[budget names]
names = 300/1h

E
expect_log 'refused: uid|over budget'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT"/{in,faces,strict,closed,private}
for d in in faces strict closed private; do echo x >"$MNT/$d/small.jpg"; done
head -c 3000000 /dev/urandom >"$MNT/in/large.jpg"
chmod -R a+rX "$MNT"
chmod 700 "$MNT/private"
tells() { # tells USER PATH PATH CALL: nothing, by errno nor by time
	local said tries
	for tries in 1 2 3; do # a neighbour's work may hit one side more often than the other, but not thrice
		said=$(timeout 60 python3 "$SRC/tests/attack/oracle.py" "$(id -u "lapse-$1")" 1500 "$MNT/$2" "$MNT/$3" "$4")
		# shellcheck disable=SC2086
		set -- "$1" "$2" "$3" "$4" $said
		[ "$6" = "$7" ] || die "$4: $2 is answered by errno $6, $3 by $7"
		# which of two globs comes first is some 100 ns, and no secret
		[ "$5" -lt 30 ] || [ "$5" -gt 70 ] || { note "$1, $4 of $2 and $3: errno $6; the first takes longer in $5 %"; return 0; }
	done
	die "$4: of $2 and $3 the first takes longer in $5 %"
}

note "31: a file that is there, and one that is not: where one may not look, and where one's names are used up"
tells t2 private/small.jpg private/none.jpg open
tells t2 private/small.jpg private/none.jpg stat
as t3 sh -c "for i in \$(seq 400); do test -e '$MNT/strict/guess-'\$i; done; true"
refuse "Disk quota exceeded" as t3 ls "$MNT/strict/none.jpg"
tells t3 strict/small.jpg strict/none.jpg stat
tells t3 closed/small.jpg closed/none.jpg open

note "31: who is denied: large and small, of one class and of another, with a floor and without"
tells t1 in/small.jpg in/large.jpg open
tells t1 in/small.jpg faces/small.jpg open
tells t1 in/large.jpg faces/small.jpg access

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
