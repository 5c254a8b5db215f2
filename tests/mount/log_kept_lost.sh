#!/bin/bash
# The oldest segments of the log were dropped, and what is folded over the log (the counters' snapshot, the freshness table's, the list of canaries) is lost, damaged or of before the drop:
# the archive is mounted, counters are what the log still has, exactly as they were; what nobody knows any more is said.
. "$(dirname "$0")/lib.sh"
with_test_clock
HOUR=3600
policy() { # policy FILE RETAIN-FOR WINDOW
	cat >"$TEST_TMP/$1" <<E
[policy]
version = 1
default-class = images
undo = 1min

[class images]
match = **
expire-after = 1y

[budget some]
files = 20/$3

[rule everyone]
effect = permit
budget = some

[break-glass]
max-time = 1h

[audit]
retain-for = $2
E
}
policy policy.ini 2h 1h
policy long.ini 30d 20d
log=$ARC/.lapse/audit snapshots=$ARC/.lapse/snapshots
at_least() { [ "$(find "$log" -name '*.seg' | wc -l)" -ge "$1" ]; }
first_gone() { [ ! -e "$log/0000000000000001.seg" ]; }
can_read() { as t1 sh -c "for i in \$(seq $1 $2); do cat '$MNT'/\$i.jpg 2>/dev/null; done" | wc -l; }
used() { # used N WHEN: t1 has read the files from 1 to N, and no other
	[ "$(can_read 1 "$1")" = "$1" ] || die "$2: of files that were read already some could not be read again"
	"$LAPSE" guard status "$MNT" >"$TEST_TMP/status"
	grep -qE "^lapse-t1 .* 20/[0-9]+[hd] +$1 " "$TEST_TMP/status" || die "$2: $(cat "$TEST_TMP/status")"
}
incomplete() { # status has something to say then: 1
	timeout 20 "$LAPSE" status "$MNT" --json >"$TEST_TMP/said" || [ $? -eq 1 ]
	python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert d["fresh-complete"] == 0, d' "$TEST_TMP/said"
}
expect_log 'audit: records 1 to [0-9]+ were dropped after 2h'
as t1 true

archive_new "$TEST_TMP/policy.ini" --epoch 1h
mount_archive
for i in $(seq 40); do echo "$i" >"$MNT/$i.jpg"; done
chmod -R a+rX "$MNT"
[ "$(can_read 21 30)" = 10 ] || die "the first ten" # of long ago, then
umount_archive
cp -a "$snapshots" "$TEST_TMP/before"
mount_archive
clock $((HOUR + 120))
wait_until 20 at_least 2
mkdir "$MNT/in"
mv "$MNT/40.jpg" "$MNT/in/40.jpg"
clock $((2 * HOUR + 240))
wait_until 20 at_least 3
umount_archive
clock $((5 * HOUR + 240))
mount_archive
[ "$(can_read 1 5)" = 5 ] || die "five"
clock $((now + 700))
wait_until 30 first_gone
used 5 "after the drop"
umount_archive
cp -a "$snapshots" "$TEST_TMP/good"

note "each snapshot of before the drop, gone, cut off, damaged, a directory; all of it at once"
expect_log 'the snapshot of the counters cannot be used|freshness'
for kind in guard generations; do
	for how in before gone cut damaged directory; do
		rm -r "${snapshots:?}"
		cp -a "$TEST_TMP/good" "$snapshots"
		case $how in
		before) cp "$TEST_TMP/before/$kind" "$snapshots/$kind" ;;
		gone) rm "${snapshots:?}/$kind" ;;
		cut) truncate -s 150 "$snapshots/$kind" ;;
		damaged) printf x | dd of="$snapshots/$kind" bs=1 seek=200 conv=notrunc status=none ;;
		directory) rm "${snapshots:?}/$kind" && mkdir "$snapshots/$kind" ;;
		esac
		mount_archive
		used 5 "$kind: $how"
		[ $kind = guard ] || incomplete || die "$how: it does not say that older files may pass"
		kill_daemon
	done
done
rm -r "${snapshots:?}" "${ARC:?}/.lapse/canaries" "$ARC/.lapse/catalogue.db"*
mount_archive
used 5 "without any of them"
check "the log is whole" "$LAPSE" audit verify "$MNT" >"$TEST_TMP/said"

note "a window that reaches back behind the log's beginning: what nobody knows is said"
expect_log 'windows of budgets reach back to .*, and the log begins at .*: what was read before that is not counted'
"$LAPSE" policy apply "$TEST_TMP/long.ini" "$MNT" >"$TEST_TMP/said" 2>&1 || { cat "$TEST_TMP/said"; die "the policy of the longer window"; }
used 5 "with a longer window"
grep -q 'budgets reach back to' "$DAEMON_LOG" || die "it should have said that the log begins later than the window"
umount_archive
rm -r "${snapshots:?}"
: >"$DAEMON_LOG"
mount_archive
used 5 "with a longer window, and no snapshot"
grep -q 'budgets reach back to' "$DAEMON_LOG" || die "nor at the mount"
umount_archive
