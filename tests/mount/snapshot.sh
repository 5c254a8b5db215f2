#!/bin/bash
# Counters of readers from a snapshot and what came after it: whatever happens to the snapshot, and whenever the daemon is killed, a budget goes on exactly where it was.
. "$(dirname "$0")/lib.sh"

policy() { # policy FILE RULE-BUDGET BUDGET-SECTION…
	cat >"$TEST_TMP/$1" <<E
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule everyone]
effect = permit
budget = $2

[budget $2]
files = $3
E
}

policy first.ini small 40/24h
policy second.ini other 1000/1h
as t1 true
expect_log "snapshot of the counters cannot be used|refused"
archive_new "$TEST_TMP/first.ini"
mount_archive
mkdir "$MNT/in"
for i in $(seq 80); do echo "$i" >"$MNT/in/$i.jpg"; done
chmod -R a+rX "$MNT"
snapshot=$ARC/.lapse/snapshots/guard

can_read() { # can_read FROM TO: how many of these files t1 could read
	as t1 sh -c "for i in \$(seq $1 $2); do cat '$MNT'/in/\$i.jpg 2>/dev/null; done" | wc -l
}

used() { # used N WHY: the files from 1 to N, and nothing else, are on t1's budget of 40
	local n
	n=$(can_read 1 "$1")
	[ "$n" = "$1" ] || die "$2: of $1 files that were read already $n could be read again"
	"$LAPSE" guard status "$MNT" >"$TEST_TMP/status"
	grep -qE "^lapse-t1 .* 40/24h +$1 " "$TEST_TMP/status" || die "$2: $(cat "$TEST_TMP/status")"
}

note "a clean end, then kill -9, then kill -9 again"
[ "$(can_read 1 5)" = 5 ] || die "the first five"
umount_archive
[ -s "$snapshot" ] || die "there is no snapshot after a clean end"
cp "$snapshot" "$TEST_TMP/older"
mount_archive
used 5 "after a clean end"
[ "$(can_read 1 10)" = 10 ] || die "five more"
kill_daemon
mount_archive
used 10 "after kill -9"
[ "$(can_read 1 15)" = 15 ] || die "five more"
kill_daemon
mount_archive
used 15 "after kill -9 again"

note "a snapshot of an older day only means that more of the log is read"
umount_archive
cp "$TEST_TMP/older" "$snapshot"
mount_archive
used 15 "with an older snapshot"

note "deleted, truncated, damaged, another archive's"
umount_archive
cp "$snapshot" "$TEST_TMP/good"
rm "${ARC:?}/.lapse/snapshots/guard"
mount_archive
used 15 "without a snapshot"
umount_archive
truncate -s 200 "$snapshot"
mount_archive
used 15 "with a truncated one"
umount_archive
printf x | dd of="$snapshot" bs=1 seek=250 conv=notrunc status=none
mount_archive
used 15 "with a damaged one"
umount_archive
ours=$ARC
theirs=$TEST_TMP/theirs
timeout 60 "$LAPSE" init "$theirs" --key-file "$KEY" --no-recovery-key --anchor "$TEST_TMP/their-anchor" --policy "$TEST_TMP/first.ini" >/dev/null 2>&1
ARC=$theirs
mount_archive
umount_archive
ARC=$ours
cp "$theirs/.lapse/snapshots/guard" "$snapshot"
mount_archive
used 15 "with another archive's"

note "a budget that is taken out and put back counts what was read before, and meanwhile, with remounts between"
check "another policy" "$LAPSE" policy apply "$TEST_TMP/second.ini" "$MNT"
[ "$(can_read 1 20)" = 20 ] || die "five more, on another budget"
umount_archive
mount_archive
[ "$(can_read 1 25)" = 25 ] || die "five more"
check "the first policy" "$LAPSE" policy apply "$TEST_TMP/first.ini" "$MNT"
used 25 "put back"
kill_daemon
mount_archive
used 25 "put back, and killed"
[ "$(can_read 1 80)" = 40 ] || die "forty in all"
[ "$(can_read 41 80)" = 0 ] || die "not one more"
umount_archive
