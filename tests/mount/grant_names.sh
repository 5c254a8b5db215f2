#!/bin/bash
# Break-glass for names: a listing that the budget refuses is shown under a grant, for exactly so many names, in its paths; the same through remounts and kill -9; ended by hand and by the
# archive's clock; marked in the log.
# attack items: 30, 54
. "$(dirname "$0")/lib.sh"
with_test_clock
for u in t1 t2 t3; do as $u true; done
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class plates]
match = strict/**
names = strict
expire-after = 10y

[class images]
match = **
expire-after = 10y

[rule root]
users = root
effect = permit
budget = none

[rule everyone]
effect = permit
budget = small

[budget small]
files = 1000/24h
names = 20/24h

[break-glass]
approve = second-person
max-names = 500
E
expect_log 'refused: uid|over budget|break-glass: grant|[cC]lock|wall|ahead'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/ten" "$MNT/strict" "$MNT/wide" "$MNT/wide/deep" "$MNT/other"
python3 - "$MNT" <<'P'
import os, sys
for d in "ten", "strict", "other", "wide/deep":
    for i in range(10): open(f"{sys.argv[1]}/{d}/{i}.jpg", "w").close()
P
clock 4000 # nobody's own any more

# Directories are listed by descriptors that root has: so nothing that the kernel has forgotten meanwhile is looked up, and counted, on the way.
open_dirs() { exec 4<"$MNT" 5<"$MNT/ten" 6<"$MNT/strict" 7<"$MNT/other" 8<"$MNT/wide/deep"; }
close_dirs() { exec 4<&- 5<&- 6<&- 7<&- 8<&-; }
declare -A fd=([root]=4 [ten]=5 [strict]=6 [other]=7 [deep]=8)
run_as() { # run_as USER COMMAND…: with the descriptors
	local user=lapse-$1
	shift
	timeout 30 setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"
}
names() { run_as "$1" ls "/proc/self/fd/${fd[$2]}/"; }
shows() { [ "$(names "$1" "$2" 2>/dev/null | wc -l)" = 10 ] || die "$1 is not shown $2"; }
again() { # again COMMAND: unmounts by that, mounts, and has the directories again
	close_dirs
	"$1"
	mount_archive
	open_dirs
}
refused() { refuse "Disk quota exceeded" names "$1" "$2"; [ -z "$(names "$1" "$2" 2>/dev/null)" ] || die "a part of $2 was shown"; }
login_as() { # login_as USER COMMAND…: as root who has logged in as that user
	local user=$1
	shift
	timeout 60 sh -c 'echo "$1" >/proc/self/loginuid && shift && exec "$@"' - "$(id -u "lapse-$user")" "$@"
}
login_uids
grants() { "$LAPSE" grant list "$MNT" --json | python3 -c 'import json,sys; print(*(eval(sys.argv[1], {"r": r}) for r in json.load(sys.stdin)["grants"]))' "$1"; }
used() { grants 'r["shown"]'; }
newest() { grants 'r["id"]' | tr ' ' '\n' | sort -n | tail -n 1; }
request() { login_as t2 "$LAPSE" grant request --user lapse-t1 --reason "the case of the 4th" "$@" "$MNT"; }
approve() { check "approved" login_as t3 "$LAPSE" grant approve "$1" --reason seen "$MNT" >/dev/null; }
exhaust() { # what the budget lets through, to the last name: a strict one is asked for each time
	local i
	for i in $(seq 21); do run_as "$1" test -e "/proc/self/fd/${fd[strict]}/0.jpg" || true; done
}

open_dirs

note "not on the policy's terms"
refuse "500 names at most" request --names 501
refuse "500 names at most" request --names any
refuse "above 0" request --names 0
refuse "above 0" request --names -1
refuse "above 0" request --names 18446744073709551616
refuse "is needed" request --for 1h
[ -z "$(grants 1)" ] || die "none of these is there"

note "refused by the budget, asked for, and shown when a second person has approved it"
exhaust t1
refused t1 ten
check "asked for" request --names 25 --for 2h --path "ten/**" --path "strict/*" --path "wide/*"
one=$(newest)
[ "$(grants 'r["state"], r["user"], r["files"], r["names"], r["shown"]')" = "('waiting', 'lapse-t1', 0, 25, 0)" ] || { grants r; die "list"; }
refused t1 ten
refuse "asked for themselves" login_as t2 "$LAPSE" grant approve "$one" --reason mine "$MNT"
refuse "asked for themselves" login_as t1 "$LAPSE" grant approve "$one" --reason "for me" "$MNT"
approve "$one"
refused t1 other
refused t1 deep
refused t1 root
[ "$(used)" = 0 ] || die "$(used) shown"
shows t1 ten
[ "$(used)" = 10 ] || die "$(used) shown after the first listing"
shows t1 ten
refused t1 ten
[ "$(used)" = 20 ] || die "$(used) shown: a listing is refused as a whole"

note "lookups are charged to it, one each, whether there is such a name or not, until it is spent"
run_as t1 python3 - "/proc/self/fd/${fd[strict]}" <<'P' || die "lookups"
import errno, os, sys
codes = []
for i in range(9):
    try: os.stat(f"{sys.argv[1]}/none-{i}.jpg")
    except OSError as e: codes.append(e.errno)
assert codes == [errno.ENOENT] * 5 + [errno.EDQUOT] * 4, codes
P
[ "$(used)" = 25 ] || die "$(used) shown at the end"
refused t1 ten
refuse "Disk quota exceeded" run_as t1 stat "/proc/self/fd/${fd[strict]}/1.jpg"
shows t2 ten
shows t2 other

note "explain --denied and guard status say how much of it is used"
chmod 755 "$TEST_TMP"
looked_up() { # of refused lookups one a second is on the record
	run_as t1 test -e "/proc/self/fd/${fd[strict]}/1.jpg" && die "a lookup beyond the grant"
	as t1 "$LAPSE" explain --denied "$MNT" >"$TEST_TMP/denied" && die "explain --denied: no finding"
	grep -q "^You were refused a lookup" "$TEST_TMP/denied"
}
wait_until 20 looked_up
grep -q "Grant  *$one, until [^,]*): 25 of 25 names; only ten/\*\* strict/\* wide/\*" "$TEST_TMP/denied" || { cat "$TEST_TMP/denied"; die "explain --denied: the grant"; }
refused t1 ten
as t1 "$LAPSE" explain --denied "$MNT" >"$TEST_TMP/denied" && die "explain --denied: no finding"
grep -Eq "^You were refused the listing of directory [0-9a-f]{32}, " "$TEST_TMP/denied" || { cat "$TEST_TMP/denied"; die "explain --denied: a listing"; }
refused t2 other
as t2 "$LAPSE" explain --denied "$MNT" | grep Grant && die "another's grant"
"$LAPSE" guard status --user lapse-t1 --json "$MNT" | python3 -c '
import json, sys
rows = [r for r in json.load(sys.stdin)["guard"] if r["state"] == "granted"]
assert [(r["budget"], r["unit"], r["used"], r["limit"]) for r in rows] == [("grant " + sys.argv[1], "names", 25, 25)], rows' "$one" || die "guard status"

note "a grant for names lets nothing be read, and one for files shows nothing"
check "asked for" request --files 5
two=$(newest)
approve "$two"
refused t1 ten
[ "$(grants 'r["names"]')" = "25 0" ] || { grants r; die "names of one for files"; }
check "revoked" "$LAPSE" grant revoke "$two" --reason done "$MNT" >/dev/null

note "kill -9, clean remounts: spent is spent, what is left is left"
check "asked for" request --names 35 --for 2h
three=$(newest)
approve "$three"
shows t1 ten
again kill_daemon
[ "$(grants 'r["id"], r["names"], r["shown"]')" = "($one, 25, 25) ($three, 35, 10)" ] || { grants r; die "after kill -9"; }
again umount_archive
[ "$(used)" = "25 10" ] || die "after a remount: $(used)"
shows t1 ten
again kill_daemon
[ "$(used)" = "25 20" ] || die "20 were shown, after kill -9 $(used)"
shows t1 ten
refused t1 ten
[ "$(used)" = "25 30" ] || die "$(used)"

note "who makes files has the lookups taken back"
chmod 777 "$MNT/other"
clock 4010
run_as t1 python3 - "/proc/self/fd/${fd[other]}" <<'P' || die "making files under a grant"
import sys
for i in range(200): open(f"{sys.argv[1]}/new-{i}.jpg", "x").close()
P
[ "$(used)" = "25 30" ] || die "$(used) after making 200 files"

note "revoked: refused at once, and after kill -9; what is open was charged"
check "asked for" request --names 100 --for 2h
four=$(newest)
approve "$four"
shows t1 ten
check "revoked" "$LAPSE" grant revoke "$four" --reason done "$MNT" >/dev/null
refused t1 ten
again kill_daemon
refused t1 ten

note "it ends by the archive's clock, and what was shown under it is in no window of the budget"
check "asked for" request --names 100 --for 2h
five=$(newest)
approve "$five"
clock $((4010 + 7190))
shows t1 ten
clock $((4010 + 7210))
refused t1 ten
[ -z "$(grants 1)" ] || { grants r; die "ended"; }
again kill_daemon
refused t1 ten
clock $((4010 + 90000))
shows t1 ten
exhaust t1
refused t1 ten

note "what is approved is on the terms of the policy of then"
check "asked for" request --names 400 --for 2h
sed 's/^max-names.*/max-names = 300/' "$TEST_TMP/policy.ini" >"$TEST_TMP/fewer.ini"
check "applied" "$LAPSE" policy apply "$TEST_TMP/fewer.ini" --reason fewer "$MNT" >/dev/null
refuse "300 names at most" login_as t3 "$LAPSE" grant approve "$(newest)" --reason seen "$MNT"
sed 's/^max-names.*/max-time = 1h/' "$TEST_TMP/policy.ini" >"$TEST_TMP/shorter.ini"
check "applied" "$LAPSE" policy apply "$TEST_TMP/shorter.ini" --reason shorter "$MNT" >/dev/null
refuse "3600 s at most" login_as t3 "$LAPSE" grant approve "$(newest)" --reason seen "$MNT"
[ "$(grants 'r["state"]')" = waiting ] || { grants r; die "it waits"; }
refused t1 ten
check "applied" "$LAPSE" policy apply "$TEST_TMP/policy.ini" --reason back "$MNT" >/dev/null
approve "$(newest)"
shows t1 ten

note "the log says under which grant names were shown, and reads the same"
"$LAPSE" audit tail --kind list -n 1000 "$MNT" --json >"$TEST_TMP/tail"
grep -q "\"grant $one; names: \"" "$TEST_TMP/tail" || { cat "$TEST_TMP/tail"; die "audit tail: no mark of a listing"; }
grep -q "\"grant $one; lookups: \"" "$TEST_TMP/tail" || die "audit tail: no mark of a lookup"
"$LAPSE" audit exposure --user lapse-t1 --json "$MNT" >"$TEST_TMP/exposure"
"$LAPSE" audit exposure --user lapse-t1 "$MNT" >"$TEST_TMP/exposure.txt"
python3 - "$TEST_TMP/exposure" "$one" "$two" "$four" "$five" <<'P' || { cat "$TEST_TMP/exposure.txt"; die "audit exposure"; }
import json, sys
approvals = {g["number"]: g for g in json.load(open(sys.argv[1]))["approvals"]}
one, two, four, five = (approvals[int(i)] for i in sys.argv[2:])
assert (one["names"], two["names"], four["names"]) == (25, 0, 10), approvals
assert five["names"] == 10 and five["files"] == 0 and five["state"] == "ended" and four["state"] == "revoked", approvals
P
grep -q "^    25 names shown under it" "$TEST_TMP/exposure.txt" || { cat "$TEST_TMP/exposure.txt"; die "audit exposure"; }
close_dirs
umount_archive
