#!/bin/bash
# mode = learn: what would be refused is permitted and on the record; guard learn proposes sections that policy check takes, and under which the same reading passes.
. "$(dirname "$0")/lib.sh"
as t1 true
budget='[budget reader]
files = 3/1h
names = 5/1h
mode = learn
learn-until = 2200-01-01'
policy() { # policy BUDGET
	cat <<-E
	[policy]
	version = 1
	default-class = images

	[class images]
	match = **
	expire-after = 1y

	[rule root]
	users = root
	effect = permit
	budget = none

	[rule everyone]
	effect = permit
	budget = reader

	$1
	E
}
policy "$budget" >"$TEST_TMP/policy.ini"
expect_log 'over budget'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/in"
for i in $(seq 20); do echo x >"$MNT/in/$i.jpg"; done
read_all() { as t1 sh -c "cat $MNT/in/*.jpg" >/dev/null; }
check "twenty of three, while it learns" read_all
"$LAPSE" audit tail -n 60 "$MNT" --json >"$TEST_TMP/tail" || true
grep -q '"alert"' "$TEST_TMP/tail" || die "what would be refused is on the record"
check "guard learn" "$LAPSE" guard learn --since 1d "$MNT" >"$TEST_TMP/learned"
grep -q '^; too low if it goes on like that: 1h (the record is of 0 min)' "$TEST_TMP/learned" || { cat "$TEST_TMP/learned"; die "an hour was not seen"; }
grep -q '^files = [34][0-9]/1h' "$TEST_TMP/learned" || { cat "$TEST_TMP/learned"; die "twice twenty, or a little more"; }
refuse "no [budget other]" "$LAPSE" guard learn --budget other "$MNT"
policy "$(cat "$TEST_TMP/learned")" >"$TEST_TMP/next.ini"
check "policy check takes it" "$LAPSE" policy check "$TEST_TMP/next.ini"
check "policy apply" "$LAPSE" policy apply "$TEST_TMP/next.ini" --reason "as learned" "$MNT" || check "policy apply" "$LAPSE" policy apply "$TEST_TMP/next.ini" "$MNT"
check "the same again, enforced" read_all
umount_archive
