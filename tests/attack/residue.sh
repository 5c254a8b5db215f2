#!/bin/bash
# What is left on the disk says nothing; what is put back says nothing new; names say nothing to the log. Restarts and an old catalogue refill no budget.
# attack items: 13 43 57
. "$(dirname "$0")/../mount/lib.sh"
as t1 true
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = borderphotographs

[class borderphotographs]
match = **
expire-after = 41d

[rule analystrule]
effect = permit
budget = smallbudget

[budget smallbudget]
files = 4/24h
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive "$@"
mkdir "$MNT/checkpointnorth"
for i in $(seq 9); do echo "exifcapturetime $i" >"$MNT/checkpointnorth/platefile$i.jpg"; done
setfattr -n user.plateowner -v ownervalue "$MNT/checkpointnorth/platefile1.jpg"
ln -s /etc/linktargetname "$MNT/checkpointnorth/symbolic"
chmod -R a+rX "$MNT"
came() { local n=0 i; for i in $(seq 9); do ! as t1 cat "$MNT/checkpointnorth/platefile$i.jpg" >/dev/null 2>&1 || n=$((n + 1)); done; echo $n; }

note "names with newlines, escapes and words of the log: in no line of the daemon's"
bad=$'\n2026 lapse: refused: forgedline\033[31m uid 0'
echo x >"$MNT/$bad"
echo x >"$MNT/%s%n%s.jpg"
printf 'x' >"$MNT/$(printf 'a%.0s' $(seq 255))"
[ "$(came)" = 4 ] || die "four of nine"
refuse "Disk quota exceeded" as t1 cat "$MNT/$bad"
! grep -aq 'forgedline\|platefile\|checkpointnorth\|%s%n' "$DAEMON_LOG" || die "a name in the daemon's log"
"$LAPSE" queue "$MNT" >"$TEST_TMP/queue.txt"
! grep -aq $'\033' "$TEST_TMP/queue.txt" || die "an escape sequence in a table"
! grep -aq '^2026 lapse: refused' "$TEST_TMP/queue.txt" || die "a name made a line of its own"

note "in the store, its catalogue, write-ahead log and audit log, and in the anchor: no name, class, rule, content, date"
strings_in() { # while it is mounted, and after
	local word found
	for word in platefile checkpointnorth borderphotographs analystrule smallbudget exifcapturetime plateowner ownervalue linktargetname lapse-t1 .jpg; do
		found=$(grep -rlaF -- "$word" "$ARC" "$TEST_TMP"/anchor* || true)
		[ -z "$found" ] || die "'$word' is in the clear in: $found"
	done
	! find "$ARC" | grep -qE 'platefile|checkpoint|symbolic' || die "a name in the clear"
	/usr/bin/python3 - "$ARC" "$TEST_TMP/anchor" "$KEY" "$(stat -c %Y "$TEST_TMP/policy.ini")" <<'P'
import os, struct, sys
root, anchor, key, now = sys.argv[1], sys.argv[2], open(sys.argv[3], "rb").read(), int(sys.argv[4])
files = [os.path.join(d, f) for d, _, fs in os.walk(root) for f in fs if not os.path.islink(os.path.join(d, f))] + [anchor]
for f in files:
    data = open(f, "rb").read()
    assert key not in data and key[:16] not in data, f"key bytes in {f}"
    for day in range(0, 3):  # deadlines, as 8 bytes of seconds in either order
        for t in range(now - 5, now + 60):
            for form in ("<q", ">q"):
                assert struct.pack(form, t + 41 * 86400 + day - 1) not in data, f"a deadline in {f}"
P
}
strings_in
sync_store() { rm -rf "$1"; cp -a "$ARC" "$1"; }
sync_store "$TEST_TMP/live-copy"
umount_archive
strings_in

note "restart, kill -9, and a catalogue of before: the same four files"
sync_store "$TEST_TMP/before"
mount_archive "$@"
[ "$(came)" = 4 ] || die "after a remount"
kill_daemon
mount_archive "$@"
[ "$(came)" = 4 ] || die "after kill -9"
umount_archive
cp -a "$TEST_TMP/live-copy/.lapse/catalogue.db"* "$ARC/.lapse/"
expect_log 'catalogue|rebuilt'
mount_archive "$@"
[ "$(came)" = 4 ] || die "with an old catalogue"
umount_archive
rm "$ARC/.lapse/catalogue.db"*
mount_archive "$@"
[ "$(came)" = 4 ] || die "without a catalogue"
umount_archive

note "an audit log of before, cut or lost: refused, not believed"
cp -a "$ARC/.lapse/audit" "$TEST_TMP/audit-now"
old() { rm -rf "$ARC/.lapse/audit"; cp -a "$1" "$ARC/.lapse/audit"; }
refused_mount() { ! timeout 30 "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" >"$TEST_TMP/refused.out" 2>&1 || { "$LAPSE" umount "$MNT"; die "$1: mounted"; }; }
old "$TEST_TMP/live-copy/.lapse/audit"
refused_mount "an old log"
rm -rf "$ARC/.lapse/audit"
refused_mount "no log"
mkdir "$ARC/.lapse/audit"
refused_mount "an empty log"
old "$TEST_TMP/audit-now"
last=$(find "$ARC/.lapse/audit" -name "*.seg" | sort | tail -n 1)
truncate -s $(($(stat -c %s "$last") / 2)) "$last"
refused_mount "a log cut short"
old "$TEST_TMP/audit-now"
mount_archive "$@"
[ "$(came)" = 4 ] || die "with its own log again"
umount_archive
