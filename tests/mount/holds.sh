#!/bin/bash
# Legal holds: files under one are not changed, deleted or destroyed, whatever their date; past it only the hold's readers read them; files that come later and
# match are held too; a release says first what it destroys, and destroys the key with the last file.
# ci: asan
# attack items: 52
. "$(dirname "$0")/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class short]
match = **/*.short
expire-after = 6s

[class forever]
match = **/*.forever
expire-after = never

[class keep]
match = **
expire-after = 1d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 1s
mount_archive
hold() { timeout 60 "$LAPSE" hold "$@"; }
held() { "$LAPSE" hold list "$MNT" --json -o NAME,STATE,FILES,FAILED | python3 -c "import json,sys; print([h['$2'] for h in json.load(sys.stdin)['holds'] if h['name'] == '$1'][0])"; }
holds() { "$LAPSE" anchor status "$MNT" --json | python3 -c 'import json,sys; a = json.load(sys.stdin); print(a["holds"], a["barriers"])'; }
explain() { timeout 20 "$LAPSE" explain "$MNT/$1" --json | python3 -c "import json,sys; print(json.load(sys.stdin)['$2'])"; }
gone() { [ ! -e "$MNT/$1" ]; }
overdue() { ! cat "$MNT/$1" >/dev/null 2>&1; }
mkdir "$MNT/case" "$MNT/other" "$MNT/moved"
head -c 70000 /dev/urandom >"$TEST_TMP/image"
for f in case/a.keep case/b.forever other/x.keep other/listed.keep moved/m.keep; do cp "$TEST_TMP/image" "$MNT/$f"; done
for f in case/a.short other/y.short; do cp "$TEST_TMP/image" "$MNT/$f"; done
exec 5<>"$MNT/case/a.keep" # open for writing before

note "what is asked for is looked at"
refuse "needs --reason" hold add H "$MNT" --match 'case/**'
refuse "match something" hold add H "$MNT" --reason r --review 30d
refuse "letters, digits" hold add 'no name' "$MNT" --match 'case/**' --reason r --review 30d
refuse "leading slash" hold add H "$MNT" --match '/case/**' --reason r --review 30d
for review in 2027-02-30 never tomorrow ''; do refuse "--review takes" hold add H "$MNT" --match 'case/**' --reason r --review "$review"; done
for review in 2020-01-01 now -3d; do refuse "has passed" hold add H "$MNT" --match 'case/**' --reason r --review "$review"; done
refuse "there is no user" hold add H "$MNT" --match 'case/**' --reason r --review 30d --readers lapse-nobody
echo other/missing >"$TEST_TMP/list"
refuse "other/missing" hold add H "$MNT" --list "$TEST_TMP/list" --reason r --review 30d
[ "$(holds)" = "0 0" ] || die "something was left of holds that were refused"

note "four on a file; the fifth says that it is not on it, until one goes"
for h in A B C D; do check "hold $h" hold add $h "$MNT" --match 'other/x.keep' --reason "case $h" --review 30d; done
status=0
hold add E "$MNT" --match 'other/*.keep' --reason "case E" --review 30d >"$TEST_TMP/out" 2>&1 || status=$?
[ $status = 1 ] && grep -q 'could not be brought' "$TEST_TMP/out" || die "a fifth hold: exit status $status: $(cat "$TEST_TMP/out")"
[ "$(held E files) $(held E failed) $(held A files) $(held A failed)" = "1 1 1 0" ] || die "$(hold list "$MNT" -o NAME,FILES,FAILED)"
{ "$LAPSE" status "$MNT" || [ $? = 1 ]; } >"$TEST_TMP/out"
grep -q 'legal hold E could not' "$TEST_TMP/out" && ! grep -q 'legal hold A could not' "$TEST_TMP/out" || die "which hold is not on all of its files: $(cat "$TEST_TMP/out")"
check "the first released" hold release A "$MNT" --reason over
[ "$(explain other/x.keep holds) $(held E files) $(held E failed)" = "B,C,D,E 2 0" ] || die "the fifth comes in its place: $(explain other/x.keep holds)"
for h in B C D E; do check "release $h" hold release $h "$MNT" --reason over; done
[ "$(holds)" = "0 0" ] || die "something was left of them"

note "a hold on a directory and what comes into it, readable past its date by t1; another on a list"
as t1 true
as t2 true
chmod 755 "$MNT"
hold add case-17 "$MNT" --match 'case/**' --reason 'file 17/2026' --review 30d --readers lapse-t1
[ "$(held case-17 state) $(held case-17 files)" = "placed 3" ] || die "$("$LAPSE" hold list "$MNT")"
[ "$(holds)" = "1 0" ] || die "one key, and no barrier left: $(holds)"
echo "$MNT/other/listed.keep" >"$TEST_TMP/list"
hold add order-2 "$MNT" --list "$TEST_TMP/list" --reason 'order 2' --review 2030-01-31
refuse "already" hold add order-2 "$MNT" --list "$TEST_TMP/list" --reason 'order 2' --review 30d
[ "$(explain other/listed.keep holds)" = order-2 ] && [ "$(explain case/a.keep holds)" = case-17 ] || die "what explain says"
[ "$(explain case/a.keep key) $(explain case/b.forever key)" = "hold archive" ] || die "whose key is where"
"$LAPSE" explain "$MNT/case/a.keep" | grep -q 'Held *by case-17' || die "explain"
"$LAPSE" status "$MNT" | grep -q 'Holds *case-17, 3 files' || die "status"

note "nothing is done to a held file, by whatever way"
for f in case/a.keep case/b.forever other/listed.keep; do
	refuse "Operation not permitted" rm "$MNT/$f"
	refuse "Operation not permitted" mv "$MNT/$f" "$MNT/other/elsewhere"
	refuse "Operation not permitted" mv "$MNT/other/x.keep" "$MNT/$f"
	refuse "Operation not permitted" chmod 600 "$MNT/$f"
	refuse "Operation not permitted" touch -d 2030-01-01 "$MNT/$f"
	refuse "Operation not permitted" truncate -s 0 "$MNT/$f"
	refuse "Operation not permitted" ln "$MNT/$f" "$MNT/other/link"
	refuse "Operation not permitted" dd if=/dev/zero of="$MNT/$f" bs=1 count=1 conv=notrunc status=none
	check "still read" cmp "$TEST_TMP/image" "$MNT/$f"
done
(echo more >&5) 2>/dev/null && die "written through a handle of before"
exec 5>&-

note "what comes later and matches is held: made, renamed, linked, moved with its directory, without a name first"
cp "$TEST_TMP/image" "$MNT/case/new.keep"
cp "$TEST_TMP/image" "$MNT/other/part" && mv "$MNT/other/part" "$MNT/case/renamed.keep"
cp "$TEST_TMP/image" "$MNT/other/linked" && ln "$MNT/other/linked" "$MNT/case/linked.keep"
mv "$MNT/moved" "$MNT/case/moved"
python3 - "$MNT/case" <<'P'
import os, sys
fd = os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR, 0o644)
os.write(fd, b"x" * 1000)
os.link(f"/proc/self/fd/{fd}", sys.argv[1] + "/tmpfile.keep", src_dir_fd=os.open(".", os.O_PATH), follow_symlinks=True)
P
is_held() { [ "$(explain "$1" holds)" = "$2" ]; }
wait_until 20 is_held case/moved/m.keep case-17
for f in new renamed linked tmpfile; do is_held "case/$f.keep" case-17 || die "$f is not held"; done
refuse "Operation not permitted" rm "$MNT/other/linked"
refuse "Operation not permitted" rm "$MNT/case/tmpfile.keep"

note "past its date: gone where it is not held; where it is, kept, and read by t1 alone"
cp -a "$ARC" "$TEST_TMP/during" # a backup of the time of the hold
wait_until 20 gone other/y.short
wait_until 20 overdue case/a.short
wait_until 5 gone other/y.short
CHECK_TIMEOUT=20 check "its reader" as t1 cmp "$TEST_TMP/image" "$MNT/case/a.short"
refuse "Key has expired" cat "$MNT/case/a.short"
refuse "Key has expired" as t2 cat "$MNT/case/a.short"
refuse "Operation not permitted" rm "$MNT/case/a.short"
"$LAPSE" explain "$MNT/case/a.short" | grep -q 'expires when the hold is released' || die "explain of what is kept past its date"

note "a handle of somebody else does not profit from what the reader reads"
cp "$TEST_TMP/image" "$MNT/case/c.short"
chmod 644 "$MNT/case/c.short" 2>/dev/null || true
exec 6<"$MNT/case/c.short"
head -c 10 <&6 >/dev/null
wait_until 20 overdue case/c.short
as t1 cat "$MNT/case/c.short" >/dev/null
cat <&6 >/dev/null 2>&1 && die "read past its date through a handle of before"
cat >"$TEST_TMP/map.py" <<'P'
import mmap, os, sys
m = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 70000, mmap.MAP_PRIVATE, mmap.PROT_READ)
assert m[:70000] == open(sys.argv[2], "rb").read()
P
chmod 644 "$TEST_TMP/image"
check "mapped by the reader" as t1 python3 "$TEST_TMP/map.py" "$MNT/case/c.short" "$TEST_TMP/image"
not_read() { ! python3 -c 'import os; os.pread(6, 70000, 0)' 2>/dev/null; }
wait_until 10 not_read
exec 6<&-

note "a second hold, and the first released: what is under both stays"
hold add audit "$MNT" --match '**/*.short' --match 'case/new.keep' --reason 'internal audit' --review 90d --readers lapse-t2
is_held case/a.short case-17,audit || die "under two holds: $(explain case/a.short holds)"
refuse "Key has expired" cat "$MNT/case/a.short"
check "a reader of the second" as t2 cmp "$TEST_TMP/image" "$MNT/case/a.short"
out=$(hold release case-17 "$MNT" --reason 'case closed') || [ $? -eq 1 ] || die "release"
echo "$out"
umount_archive
mount_archive
wait_until 20 is_held case/a.short audit
check "readable to the second's reader" as t2 cmp "$TEST_TMP/image" "$MNT/case/a.short"
refuse "Key has expired" as t1 cat "$MNT/case/a.short"
"$LAPSE" hold list "$MNT" --json | grep -q case-17 && die "case-17 is still listed"
check "free again" rm "$MNT/case/a.keep"
check "free again" mv "$MNT/case/renamed.keep" "$MNT/other/"
refuse "Operation not permitted" rm "$MNT/case/new.keep"

note "the last one released: a plan first, by its number; no other; then what is overdue expires at once"
out=$(hold release audit "$MNT" --reason done) && die "released without being asked: $out"
echo "$out"
grep -q '2 expire at once' <<<"$out" && grep -q 'class short' <<<"$out" || die "the plan"
[ -n "$(as t2 head -c 5 "$MNT/case/a.short" | tr -d '\0')" ] || die "a plan changed something"
plan=$(sed -n 's/.*--plan \([0-9a-f]*\).*/\1/p' <<<"$out")
refuse "no such plan" hold release audit "$MNT" --reason done --plan 0123456789abcdef
check "released" hold release audit "$MNT" --reason done --plan "$plan"
gone case/a.short && gone case/c.short || die "overdue files are still there"
[ "$(holds)" = "1 0" ] || die "its key is destroyed: $(holds)"
check "free again" rm "$MNT/case/new.keep"
refuse "no such plan" hold release order-2 "$MNT" --reason done --plan "$plan"
check "released" hold release order-2 "$MNT" --reason done
[ "$(holds)" = "0 0" ] && [ -z "$(ls "$ARC/.lapse/holds")" ] || die "nothing is left of holds"
check "still readable, under its own date" cmp "$TEST_TMP/image" "$MNT/other/listed.keep"
[ "$(explain other/listed.keep key)" = epoch ] || die "under its epoch again"
umount_archive

note "the backup of the time of the hold does not open with what is there now"
python3 - "$ARC" "$TEST_TMP/during" <<'P'
import shutil, sys, os
# Today's keyring, policy, log and anchor; the files of then.
now, then = sys.argv[1:]
shutil.rmtree(then + "/.lapse")
shutil.copytree(now + "/.lapse", then + "/.lapse")
os.remove(then + "/.lapse/catalogue.db")
P
mv "$ARC" "$TEST_TMP/now"
mv "$TEST_TMP/during" "$ARC"
expect_log 'damaged|catalogue|no longer|recover'
mount_archive
refuse "Input/output error" cat "$MNT/case/a.keep" # of an earlier time than the log knows
umount_archive
check "accept the files of then" "$LAPSE" fsck "$ARC" --key-file "$KEY" --accept-rollback --reason "the test" --yes >"$TEST_TMP/out"
mount_archive
gone case/a.short || die "a file past its date, of a hold that is not there any more"
refuse "Key has expired" cat "$MNT/case/a.keep" # was under the hold then
umount_archive
