#!/bin/bash
# Legal holds that begin and end in the very moment in which files expire, while the clock goes on. What must happen: a file is held and read by the hold's readers, or it is gone; never
# on the list of a hold and dark, and never released and readable. The clock is injected.
. "$(dirname "$0")/../mount/lib.sh"
with_test_clock
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = brief

[class brief]
match = **
expire-after = 10min

[rule everyone]
effect = permit
budget = none
E
expect_log 'refused|[cC]lock|ahead|behind|hold'
archive_new "$TEST_TMP/policy.ini" --epoch 2s
mount_archive
now=0
readable() { local n=0 f; for f in "$MNT/$1"/*; do [ "$(timeout 20 cat "$f" 2>/dev/null)" != "image ${f##*/}" ] || n=$((n + 1)); done; echo $n; }
held() { "$LAPSE" hold list "$MNT" --json | python3 -c 'import json, sys; print(sum(h["files"] for h in json.load(sys.stdin)["holds"] if h["name"] == sys.argv[1]))' "$1"; }
release() {
	local plan
	plan=$("$LAPSE" hold release "$1" "$MNT" --reason over 2>&1 </dev/null | sed -n 's/.*--plan \([0-9a-f]*\).*/\1/p') || true
	timeout 60 "$LAPSE" hold release "$1" "$MNT" --reason over ${plan:+--plan "$plan"} >/dev/null 2>&1 </dev/null
}

note "52: begun as the files' second comes, five times, a little sooner and a little later"
caught=0 missed=0
for round in 1 2 3 4 5; do
	mkdir "$MNT/r$round"
	for i in 1 2 3 4 5 6; do
		clock $((now + 1))
		echo "image $i" >"$MNT/r$round/$i"
	done
	last=$now
	clock $((last + 591 + 2 * round))
	timeout 60 "$LAPSE" hold add "r$round" "$MNT" --match "r$round/**" --reason case --review 30d --readers root >/dev/null 2>&1 &
	hold=$!
	for step in 1 2 3 4 5 6 7 8; do clock $((now + 1)); done
	wait $hold || note "round $round: the hold was refused"
	clock $((now + 30))
	settled() { [ "$(held "r$round")" = "$(readable "r$round")" ] && [ "$(ls "$MNT/r$round" | wc -l)" = "$(held "r$round")" ]; }
	wait_until 20 settled
	caught=$((caught + $(held "r$round"))) missed=$((missed + 6 - $(held "r$round")))
done
note "$caught files are held and read, $missed are gone"
[ $caught -gt 0 ] && [ $missed -gt 0 ] || die "there was no race"

note "52: released while overdue, and killed in it: gone, or still held and read"
for round in 1 2; do
	[ "$(held "r$round")" -gt 0 ] || continue
	release "r$round" &
	kill_daemon
	wait
	mount_archive
	consistent() { local n; n=$(readable "r$round"); [ "$(held "r$round")" = "$n" ] && [ "$(ls "$MNT/r$round" | wc -l)" = "$n" ]; }
	wait_until 20 consistent
	[ "$(held "r$round")" = 0 ] || release "r$round" || die "it cannot be released any more"
	wait_until 20 sh -c "[ -z \"\$(ls '$MNT/r$round')\" ]"
done
umount_archive
mount_archive
for round in 3 4 5; do [ "$(held "r$round")" = "$(readable "r$round")" ] || die "after a remount r$round is another"; done
umount_archive
