#!/bin/bash
# A reader's budget: exact, across processes, users asked one by one, a remount and a killed daemon; root is not exempt; a writer's own files are free.
# ci: asan
# attack items: 21 42
. "$(dirname "$0")/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule nobody-reads-secret]
users = lapse-t1
paths = secret/**
effect = deny

[rule everyone]
effect = permit
budget = small

[budget small]
files = 20/10min 20/24h
per = user
on-exceed = deny
E
as t1 true
as t2 true
expect_log "^refused|: refused|refused: uid"
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/in" "$MNT/secret"
for i in $(seq 60); do head -c 5000 /dev/urandom >"$MNT/in/$i.jpg"; done
echo secret >"$MNT/secret/1.jpg"
chmod -R a+rX "$MNT"

read_as() { # read_as USER FROM TO: how many of these files could be read
	as "$1" python3 - "$MNT/in" "$2" "$3" <<'P'
import errno, os, sys
n = 0
for i in range(int(sys.argv[2]), int(sys.argv[3]) + 1):
    try:
        with open(f"{sys.argv[1]}/{i}.jpg", "rb") as f:
            n += len(f.read()) == 5000
    except OSError as e:
        if e.errno != errno.EDQUOT:
            raise
print(n)
P
}

[ "$(read_as t1 1 10)" = 10 ] || die "the first ten"
[ "$(read_as t1 1 10)" = 10 ] || die "the same again is free"
[ "$(read_as t1 1 60)" = 20 ] || die "twenty in all"
refuse "Disk quota exceeded" as t1 cat "$MNT/in/50.jpg"
refuse "Permission denied" as t1 sh -c "exec 3<>$MNT/in/50.jpg"
[ "$(read_as t1 5 5)" = 1 ] || die "one of those counted stays readable"
[ "$(read_as t2 31 60)" = 20 ] || die "another user has a budget of its own"
refuse "Permission denied" as t1 cat "$MNT/secret/1.jpg"
check "a deny rule of one user does not hit another" as t2 true

note "what another reader has cached is refused, too"
cat "$MNT/in/60.jpg" >/dev/null
refuse "Disk quota exceeded" as t1 cat "$MNT/in/60.jpg"

note "the writer reads its own for an hour, root or not"
[ "$(cat "$MNT"/in/*.jpg | wc -c)" = 300000 ] || die "root reads back what it wrote"

note "kill -9, and the counters are the same"
kill_daemon
mount_archive
[ "$(read_as t1 1 60)" = 20 ] || die "after kill -9"
refuse "Disk quota exceeded" as t1 cat "$MNT/in/50.jpg"

note "root is a reader like any other"
umount_archive
mount_archive
as t2 true
cp "$TEST_TMP/policy.ini" "$TEST_TMP/p2.ini"
mkdir "$MNT/theirs"
chown lapse-t2 "$MNT/theirs"
as t2 sh -c "for i in \$(seq 40); do echo \$i >$MNT/theirs/\$i.jpg; done"
n=0
for i in $(seq 40); do cat "$MNT/theirs/$i.jpg" >/dev/null 2>&1 && n=$((n + 1)); done
[ $n = 20 ] || die "root read $n of 40 files that it did not write, should be 20"

note "many processes at once: exact all the same"
as t2 sh -c "for i in \$(seq 100 160); do echo \$i >$MNT/theirs/\$i.jpg; done"
id lapse-t3 >/dev/null 2>&1 || as t3 true
as t3 sh -c "for i in \$(seq 100 160); do (cat $MNT/theirs/\$i.jpg 2>/dev/null) & done; wait" >"$TEST_TMP/parallel"
[ "$(wc -l <"$TEST_TMP/parallel")" = 20 ] || die "$(wc -l <"$TEST_TMP/parallel") files came out of 61 processes, should be 20"
umount_archive
