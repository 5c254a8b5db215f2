#!/bin/bash
# Attacks by the policy's file, and by what it says: text that is half written, exchanged while it is read, or made to be read differently by people and programs; floors in
# compliance mode that a new text would end; rules in front of others. What must happen: all of a file or nothing of it, and a floor that was given binds, whatever the text.
# attack items: 19
. "$(dirname "$0")/../mount/lib.sh"
for u in t1 t2; do as $u true; done
cat >"$TEST_TMP/good.ini" <<'E'
[policy]
version = 1
default-class = images

[class vault]
match = vault/**
retain-for = 30d
expire-after = 60d
commit-after = close
mode = compliance

[class images]
match = **
expire-after = 60d

[rule denied]
users = lapse-t2
effect = deny

[rule everyone]
effect = permit
budget = reader

[budget reader]
files = 1000/1h
E
good=$TEST_TMP/good.ini bad=$TEST_TMP/bad.ini
expect_log 'refused: uid'
archive_new "$good"
mount_archive
mkdir "$MNT/vault" "$MNT/in"
echo kept >"$MNT/vault/a"
echo image >"$MNT/in/a"
chmod -R a+rX "$MNT/in"
in_force() { timeout 20 "$LAPSE" policy show "$MNT"; }
cmp <(in_force) "$good" || die "the policy in force"

refused() { # refused WHAT SAYS: bad.ini is refused by check and by apply, for that reason, and nothing changes
	local how out status
	for how in check apply; do
		status=0
		if [ $how = check ]; then out=$(timeout 20 "$LAPSE" policy check "${at:-$bad}" 2>&1 </dev/null) || status=$?
		else out=$(timeout 20 "$LAPSE" policy apply --reason attack "${at:-$bad}" "$MNT" 2>&1 </dev/null) || status=$?; fi
		[ $status = 3 ] || [ $how-$status = check-1 ] || die "$1: policy $how ended with status $status: $out"
		[[ $out == *"$2"* ]] || die "$1: policy $how should have said '$2', but said: $out"
		! grep -q $'[\001-\010\013-\037]' <<<"$out" || die "$1: policy $how repeats control characters"
	done
	cmp -s <(in_force) "$good" || die "$1: another policy is in force"
}
edited() { python3 -c 'import sys
text = open(sys.argv[1], "rb").read()
old, new = (a.encode().decode("unicode_escape").encode("latin1") for a in sys.argv[3:5])
assert old in text, old
open(sys.argv[2], "wb").write(text.replace(old, new, 1))' "$good" "$bad" "$@"; }

note "49: what a person and a program would read differently, or what was not written to its end"
while IFS='|' read -r what old new says; do
	edited "$old" "$new"
	refused "$what" "$says"
done <<'E'
a byte that ends strings|[rule denied]|[rule den\x00ied]|NUL byte
an escape sequence|[rule denied]|# \x1b[2J\n[rule denied]|control character
a byte-order mark|[policy]|\xef\xbb\xbf[policy]|byte-order mark
lines that end as on another system|\n|\r\n|CR
a line that continues another|users = lapse-t2|users = lapse-t2\n  lapse-t1|blank
a comment behind a value|retain-for = 30d|retain-for = 30d # months|comment
a unit that means two things|retain-for = 30d|retain-for = 30m|minutes or months
no unit|retain-for = 30d|retain-for = 30|unit
nothing|retain-for = 30d|retain-for = 0d|0
a sign|retain-for = 30d|retain-for = -30d|retain-for
for ever and a day|expire-after = 60d|expire-after = 99999y|9999 years
a key twice|retain-for = 30d|retain-for = 30d\nretain-for = 1h|twice
a section twice|[rule everyone]|[rule denied]\neffect = permit\nbudget = none\n[rule everyone]|twice
a section that is cut at 49 bytes|[rule denied]|[rule denied-denied-denied-denied-denied-denied-denied-denied]|49 bytes
a criterion that is empty|users = lapse-t2|users =|missing
a list of a blank|users = lapse-t2|users = ,|empty
a key in capitals|users = lapse-t2|Users = lapse-t2|is no key
a key of no meaning|users = lapse-t2|user = lapse-t2|nknown
a user who is not there, denied|users = lapse-t2|users = lapse-nobody-such|user
a floor above the ceiling|expire-after = 60d|expire-after = 20d|ceiling
a path out of it|match = vault/**|match = ../vault/**|component
a letter that looks like another|[rule denied]|[rule denied\xd0\xb0]|name
text that runs the other way|[rule denied]|# \xe2\x80\xae\n[rule denied]|control character
a line end that only people see|[rule denied]|# \xe2\x80\xa8[rule x]\n[rule denied]|control character
E
edited '[rule denied]' "# $(printf 'x%.0s' $(seq 5000))\n[rule denied]"
refused "a line of 5,000 bytes" "long"
for cut in 20 60 300; do
	head -c $cut "$good" >"$bad"
	refused "the first $cut bytes of it" "" # whatever is missing
done
: >"$bad"
refused "an empty file" "empty"
head -c 1100000 /dev/zero | tr '\0' '#' >"$bad"
refused "more than a megabyte" "larger"
at=/dev/zero refused "a file without end" "larger"
at=$TEST_TMP refused "a directory" "cannot"
mkfifo "$TEST_TMP/fifo"
head -c 60 "$good" >"$TEST_TMP/fifo" & # twice: for check and for apply
(sleep 0.5; head -c 60 "$good" >"$TEST_TMP/fifo") &
writer=$!
at=$TEST_TMP/fifo refused "a FIFO whose writer ends too soon" ""
wait $writer
cp "$good" "$bad"
chmod 666 "$bad"
refused "a file that everyone may write" "written by everyone"
chmod 644 "$bad"
at=$TEST_TMP/none refused "none" "cannot open"

note "49: exchanged, renamed over and half written while it is applied and files are read: one of the two, and never a mixture"
sed 's/1000\/1h/2000\/1h/' "$good" >"$TEST_TMP/other.ini"
cat >"$TEST_TMP/swap.py" <<'P'
import os, sys
good, other, place = sys.argv[1:]
texts = [open(good, "rb").read(), open(other, "rb").read()]
n = 0
while os.getppid() != 1 and not os.path.exists(place + ".stop"):
    n += 1
    text = texts[n % 2]
    if n % 3 == 0:
        with open(place, "wb") as f:  # as an editor that writes in place: half of it can be seen
            f.write(text[:200])
            f.flush()
            f.write(text[200:])
    elif n % 3 == 1:
        with open(place + ".new", "wb") as f:
            f.write(text)
        os.rename(place + ".new", place)
    else:
        os.symlink((good, other)[n % 2], place + ".link")
        os.rename(place + ".link", place)
        os.unlink(place)
P
python3 "$TEST_TMP/swap.py" "$good" "$TEST_TMP/other.ini" "$TEST_TMP/swapped.ini" &
swapper=$!
as t1 python3 -c '
import os, sys
n = 0
while not os.path.exists(sys.argv[2]):
    with open(sys.argv[1]) as f: assert f.read() == "image\n"
    n += 1
sys.exit(n < 10)' "$MNT/in/a" "$TEST_TMP/swapped.ini.stop" &
reader=$!
applied=0
for _ in $(seq 40); do
	status=0
	timeout 20 "$LAPSE" policy apply --reason swap "$TEST_TMP/swapped.ini" "$MNT" >"$TEST_TMP/said" 2>&1 || status=$?
	[ $status = 0 ] || [ $status = 3 ] || die "policy apply ended with status $status: $(cat "$TEST_TMP/said")"
	[ $status != 0 ] || applied=$((applied + 1))
	in_force >"$TEST_TMP/now.ini"
	cmp -s "$TEST_TMP/now.ini" "$good" || cmp -s "$TEST_TMP/now.ini" "$TEST_TMP/other.ini" || { cat "$TEST_TMP/now.ini"; die "a policy that nobody wrote is in force"; }
done
: >"$TEST_TMP/swapped.ini.stop"
wait $swapper
wait $reader || die "a reader was refused, or read something else"
[ $applied -ge 3 ] || die "applied $applied times of 40"
note "applied $applied of 40 times"
check "the good one" timeout 20 "$LAPSE" policy apply --reason back "$good" "$MNT" >/dev/null

note "50: a floor in compliance mode, and a text that would end it: shorter, gone, in another class by name, by order, by glob, by mode"
until_of() { timeout 20 "$LAPSE" explain "$MNT/vault/a" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["retain-until"])'; }
floor=$(until_of)
applies() { # with its plan, if it wants one
	local out plan
	out=$(timeout 20 "$LAPSE" policy apply --reason attack "$1" "$MNT" 2>&1 </dev/null) && return 0
	plan=$(sed -n 's/.*--plan \([0-9a-f]*\).*/\1/p' <<<"$out" | head -n 1)
	[ -n "$plan" ] && timeout 20 "$LAPSE" policy apply --reason attack --plan "$plan" "$1" "$MNT" >/dev/null 2>&1
}
while IFS='|' read -r what old new; do
	edited "$old" "$new"
	applies "$bad" || note "refused: $what"
	[ "$(until_of)" -ge "$floor" ] || die "$what: the floor ended $((floor - $(until_of))) s earlier"
	refuse "Operation not permitted" rm "$MNT/vault/a"
	refuse "Operation not permitted" mv "$MNT/in/a" "$MNT/vault/a"
	refuse "Operation not permitted" sh -c ": >'$MNT/vault/a'"
	applies "$good" || cmp -s <(in_force) "$good" || die "$what: not back"
done <<'E'
a shorter floor|retain-for = 30d|retain-for = 1s
no floor|retain-for = 30d\nexpire-after = 60d\ncommit-after = close\nmode = compliance|expire-after = 60d
governance|mode = compliance|mode = governance
another name|[class vault]|[class vault2]
another place|match = vault/**|match = vault2/**
behind a class that takes all|[class vault]|[class first]\nmatch = **\nexpire-after = 60d\n\n[class vault]
a ceiling before the floor|retain-for = 30d\nexpire-after = 60d|retain-for = 1s\nexpire-after = 1d
a commit that never comes|commit-after = close|commit-after = 365d
E

note "51: a rule in front of another: said by policy check; a class that takes all before another, too"
warned() { # warned WHAT SAYS
	local out
	out=$(timeout 20 "$LAPSE" policy check "$bad" 2>&1 </dev/null) || [ $? = 1 ] || die "$1: $out"
	[[ $out == *"$2"* ]] || die "$1: policy check should have said '$2', but said: $out"
}
edited '[rule denied]' '[rule all]\neffect = permit\nbudget = none\n\n[rule denied]'
warned "a permit above all" "never"
edited '[class vault]' '[class first]\nmatch = **\nexpire-after = 60d\n\n[class vault]'
warned "a class above all" "never"
edited 'version = 1' 'version = 1\napprove = loosen'
check "approve = loosen" timeout 20 "$LAPSE" policy apply --reason stricter "$bad" "$MNT" >/dev/null
cp "$bad" "$good"
in_force >"$good"
edited '[rule denied]' '[rule all]\nusers = lapse-t2\neffect = permit\nbudget = none\n\n[rule denied]'
out=$(timeout 20 "$LAPSE" policy apply --reason attack "$bad" "$MNT" 2>&1) || true
cmp -s <(in_force) "$good" || die "a permit above a deny is in force without an approver: $out"
refuse "Permission denied" as t2 cat "$MNT/in/a"
umount_archive
