#!/bin/bash
# A change of policy from plan to expiry: what it would do is counted exactly, nothing is lost without being confirmed, it bites at once on open files and mappings,
# it can be undone while nothing is destroyed by it, longer lives are wrapped anew before their epoch ends, and a moved directory takes its files along.
# attack items: 49
. "$(dirname "$0")/lib.sh"
with_test_clock
policy() { # policy PLATES REST [more lines of [policy]]: to $TEST_TMP/p.ini
	printf '[policy]\nversion = 1\ndefault-class = rest\nsettle = 10s\nundo = 1h\n%s\n[class plates]\nmatch = plates/**\nexpire-after = %s\n%s\n[class rest]\nexpire-after = %s\n\n[rule all]\neffect = permit\nbudget = none\n' \
		"${3:-}" "$1" "${4:-}" "$2" >"$TEST_TMP/p.ini"
}
p=$TEST_TMP/p.ini
plan() { timeout 60 "$LAPSE" policy plan "$p" "$MNT" --json >"$TEST_TMP/plan.json"; }
plan_says() { # plan_says CLASS KEY NUMBER
	python3 - "$TEST_TMP/plan.json" "$@" <<'P'
import json, sys
rows = [r for r in json.load(open(sys.argv[1]))["classes"] if r["class"] == sys.argv[2]]
got = rows[0][sys.argv[3]] if rows else 0
sys.exit(0 if got == int(sys.argv[4]) else f"{sys.argv[2]}.{sys.argv[3]} is {got}, not {sys.argv[4]}")
P
}
plan_id() { timeout 60 "$LAPSE" policy plan "$p" "$MNT" | sed -n 's/^Plan \([0-9a-f]*\),.*/\1/p'; }
field() { timeout 20 "$LAPSE" explain "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"; }
log_says() { grep -q "$1" "$DAEMON_LOG"; }
policy 1h 2h
archive_new "$p" --epoch 1min
mount_archive
mkdir "$MNT"/plates "$MNT"/other "$MNT"/incoming
for i in 1 2 3 4 5; do echo "plate $i" >"$MNT/plates/$i"; done
for i in 1 2 3; do echo "other $i" >"$MNT/other/$i"; done
clock 600

note "plan counts exactly, and changes nothing"
policy 5min 3h
check "plan" plan
check "" plan_says plates files 5
check "" plan_says plates expire 5
check "" plan_says rest longer 3
check "" plan_says rest expire 0
[ "$("$LAPSE" policy plan "$p" "$MNT" -o CLASS --noheadings | sed '/^$/q' | paste -sd' ')" = "plates rest all " ] || die "classes come in the order of their names"
timeout 20 "$LAPSE" policy plan "$p" "$MNT" >"$TEST_TMP/plan.txt"
grep -q '^expires *plates/' "$TEST_TMP/plan.txt" || die "no example"
[ "$(cat "$MNT/plates/1")" = "plate 1" ] || die "a plan changed something"

note "apply: refused without the plan, with a stale one, with one of another text"
refuse "--plan" timeout 20 "$LAPSE" policy apply "$p" "$MNT" </dev/null
id=$(plan_id)
cp "$p" "$TEST_TMP/keep.ini"
echo '; changed' >>"$p"
refuse "another text" timeout 20 "$LAPSE" policy apply "$p" "$MNT" --plan "$id"
cp "$TEST_TMP/keep.ini" "$p"
clock 1600
refuse "older than 15 minutes" timeout 20 "$LAPSE" policy apply "$p" "$MNT" --plan "$id"
id=$(plan_id)
for i in 6 7; do echo late >"$MNT/plates/$i"; done
clock 1910
refuse "more than plan" timeout 20 "$LAPSE" policy apply "$p" "$MNT" --plan "$id"
[ "$(cat "$MNT/plates/1")" = "plate 1" ] || die "a refused apply changed something"

note "applied: open handles and mappings stop at once, nothing is destroyed while it can be undone"
exec 7<"$MNT/plates/2"
attribute() { python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.lane").decode(), *os.listxattr(sys.argv[1]))' "$MNT/plates/1"; }
python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.lane", b"3")' "$MNT/plates/1"
[ "$(attribute)" = "3 user.lane" ] || die "an attribute"
python3 "$SRC/tests/mount/mapped.py" "$MNT/plates/3" "$TEST_TMP/mapped" &
mapped=$!
wait_until 10 test -s "$TEST_TMP/mapped"
timeout 20 "$LAPSE" policy apply "$p" "$MNT" --plan "$(plan_id)" --reason "ordinance 12" || die "apply"
refuse "Key has expired" cat "$MNT/plates/1"
refuse "Key has expired" cat <&7
refuse "Key has expired" attribute
wait "$mapped" || die "a mapping outlived the change"
[ -e "$MNT/plates/1" ] || die "unlinked before it cannot be undone any more"
[ "$(cat "$MNT/other/1")" = "other 1" ] || die "a file that lives longer"
"$LAPSE" explain "$MNT/plates/1" >"$TEST_TMP/explained"
grep -q 'You *may not read it' "$TEST_TMP/explained" && grep -q 'lapse policy undo takes back until' "$TEST_TMP/explained" || die "explain: $(cat "$TEST_TMP/explained")"
for says in undo removed; do
	[ "$(field "$MNT/plates/1" $says)" -gt $(($(field "$MNT/plates/1" created) + 3500)) ] && [ "$(field "$MNT/plates/1" $says)" -le $(($(field "$MNT/plates/1" created) + 3660)) ] ||
		die "undo lasts for longer than its key: $says"
done
"$LAPSE" status "$MNT" | grep -q 'policy undo takes it back until' || die "status does not say until when it can be undone"
clock 2400
[ -e "$MNT/plates/1" ] || die "destroyed while it could be undone"

note "across kill -9: still denied, still to be undone"
kill_daemon
expect_log 'did not end well|unclean|recover|still being completed'
mount_archive
refuse "Key has expired" cat "$MNT/plates/1"

note "undo: readable again"
complete() { timeout 20 "$LAPSE" status "$MNT" --json | python3 -c 'import json, sys; sys.exit(not json.load(sys.stdin)["catalogue-complete"])'; }
wait_until 30 complete
timeout 20 "$LAPSE" policy undo "$MNT" --reason "not yet in force" >"$TEST_TMP/undo.txt" || die "undo: $(cat "$TEST_TMP/undo.txt")"
[ "$(cat "$MNT/plates/1")" = "plate 1" ] || die "not readable after undo"
[ "$(cat "$MNT/other/1")" = "other 1" ] || die "after undo"

note "longer lives: the key is wrapped anew before its epoch ends"
policy 10h 10h
timeout 20 "$LAPSE" policy apply "$p" "$MNT" || die "longer needs no plan"
follows() { [ "$(field "$MNT/plates/1" expires)" -ge 36000 ] && [ "$(field "$MNT/plates/1" epoch)" -ge 599 ]; }
start=$(field "$MNT/plates/1" created)
follows_now() { [ "$(field "$MNT/plates/1" epoch)" -ge $(((start + 36000) / 60 - 1)) ]; }
wait_until 30 follows_now
barrier_gone() { [ "$("$LAPSE" anchor status "$MNT" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["barriers"])')" = 0 ]; }
wait_until 30 barrier_gone
clock 7400
[ "$(cat "$MNT/plates/1")" = "plate 1" ] || die "gone at its first deadline"

note "shorter, and undo has passed: destroyed"
policy 1h 10h
timeout 20 "$LAPSE" policy apply "$p" "$MNT" --plan "$(plan_id)" || die "apply"
refuse "Key has expired" cat "$MNT/plates/1"
clock 11100
gone() { [ ! -e "$1" ]; }
wait_until 30 gone "$MNT/plates/1"
{ timeout 20 "$LAPSE" audit destroyed "$MNT" || [ $? = 1 ]; } >"$TEST_TMP/destroyed"
grep -q 'CAN until ....-..-.. ..:..:..: a change of the policy' "$TEST_TMP/destroyed" || die "until when backups can be read: $(cat "$TEST_TMP/destroyed")"
"$LAPSE" status "$MNT" | grep -q 'policy undo' && die "status says that it can be undone"
refuse "can be undone no more" timeout 20 "$LAPSE" policy undo "$MNT"

note "a directory that is moved takes its files into the stricter class: exactly, and at once"
echo m >"$MNT/incoming/m"
clock $((now + 4000))
[ "$(cat "$MNT/incoming/m")" = m ] || die "an hour is not long"
mv "$MNT/incoming" "$MNT/plates/moved"
unreadable() { ! cat "$1" >"$TEST_TMP/out" 2>/dev/null && [ ! -s "$TEST_TMP/out" ]; } # denied, or destroyed already
check "an old file in a class of an hour" unreadable "$MNT/plates/moved/m"
mkdir "$MNT/plates/d"
echo n >"$MNT/plates/d/n"
clock $((now + 20))
mv "$MNT/plates/d" "$MNT/d"
[ "$(cat "$MNT/d/n")" = n ] || die "moved out"
clock $((now + 3700))
check "a file that was of a class of an hour" unreadable "$MNT/d/n"

note "history and diff"
timeout 20 "$LAPSE" policy show --history "$MNT" --json | python3 -c 'import json, sys
g = [r["generation"] for r in json.load(sys.stdin)["policies"]]
sys.exit(g != sorted(g, reverse=True) or len(g) < 5)' || die "history"
timeout 20 "$LAPSE" policy diff 1 2 "$MNT" >"$TEST_TMP/diff" && die "no difference?"
grep -q '^+expire-after = 5min' "$TEST_TMP/diff" || die "diff"
cmp <("$LAPSE" policy show "$MNT") "$p" || die "the text as it was applied"

note "an editor's habits: half a file, a file for everyone to write, a link"
head -c 60 "$p" >"$TEST_TMP/half.ini"
refuse "error" timeout 20 "$LAPSE" policy apply "$TEST_TMP/half.ini" "$MNT"
ln -s "$p" "$TEST_TMP/link.ini"
for what in plan apply; do refuse "is a symbolic link: name the file itself, $p" timeout 20 "$LAPSE" policy $what "$TEST_TMP/link.ini" "$MNT"; done
check "through a pipe" "$LAPSE" policy check <(cat "$p") >/dev/null
chmod o+w "$p"
refuse "can be written by everyone" timeout 20 "$LAPSE" policy apply "$p" "$MNT"
umount_archive
