#!/bin/bash
# Alerts: every event reaches the journal and syslog with its fields, and a command, which has no rights, gets no more than the policy's rate, is killed when it
# hangs, and holds up nobody.
if [ -z "${LAPSE_ALERTS_ALONE:-}" ]; then # sockets of its own where journald and syslog have theirs
	export LAPSE_ALERTS_ALONE=1
	exec unshare --mount --propagation private "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
with_test_clock
for u in t1 t2; do as $u true; done
DIR=$SRC/tests/mount
mkdir -p -m 777 "$TEST_TMP/got"
chmod 1777 "$TEST_TMP/got"
if ! setpriv --reuid 65534 --regid 65534 --clear-groups -- test -r "$DIR/alertcmd.py"; then DIR=$TEST_TMP/.bin; fi
[ "$DIR" = "$SRC/tests/mount" ] || cp "$SRC/tests/mount/alertcmd.py" "$DIR/"
cat >"$TEST_TMP/policy.ini" <<E2
[policy]
version = 1
default-class = images
contact = records "office", ext. 12

[class images]
match = **
expire-after = 10y

[rule t2]
users = lapse-t2
effect = deny

[rule everyone]
effect = permit
budget = small warned

[budget small]
files = 5/1h
on-exceed = lockout
lockout-for = 2h

[budget warned]
per = everyone
files = 2/1h
mode = alert

[alert]
exec = $(command -v python3) $DIR/alertcmd.py $TEST_TMP/got "two words" --now
rate = 3/2s
syslog = yes
E2

# /run and /dev are this mount namespace's own: nothing is made that another run sees, and nothing of another's is used.
own=$TEST_TMP/own
mkdir "$own"
mount -t tmpfs -o mode=755 none "$own"
mkdir -p "$own"/run/systemd/journal "$own"/dev/{shm,pts}
cp -a /dev/{null,zero,full,random,urandom,tty,ptmx,fuse,fd,stdin,stdout,stderr} "$own/dev"
for d in shm pts; do mount --rbind "/dev/$d" "$own/dev/$d"; done
for d in dev run; do mount --rbind "$own/$d" "/$d"; done
python3 "$SRC/tests/mount/alerts.py" /dev/log "$TEST_TMP/syslog" & listeners=($!)
python3 "$SRC/tests/mount/alerts.py" /run/systemd/journal/socket "$TEST_TMP/journal" & listeners+=($!)
at_end kill "${listeners[@]}"
wait_until 30 test -S /dev/log
wait_until 30 test -S /run/systemd/journal/socket

expect_log 'refused: uid|over budget: uid|[cC]lock|ahead|behind'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir -m 755 "$MNT/in"
for i in $(seq 9); do echo "$i" >"$MNT/in/$i.jpg"; done
clock 4000
read_as() { as "$1" cat "$MNT/in/$2.jpg" >/dev/null; }
# got FILE PYTHON: does an object in FILE (of the command: "got") make the expression over `e` true? It is printed, in short.
got() { python3 - "$TEST_TMP" "$@" <<'P'
import glob, json, os, sys
tmp, which, wanted = sys.argv[1:]
if which == "got":
    rows = [json.load(open(n)) for n in sorted(glob.glob(tmp + "/got/*.json"), key=os.path.getmtime)]
else:
    rows = [json.loads(l) for l in open(f"{tmp}/{which}")] if os.path.exists(f"{tmp}/{which}") else []
sys.exit(not any(eval(f"({wanted})", {"e": e}) for e in rows))
P
}
shown() { cat "$TEST_TMP/journal" "$TEST_TMP/syslog" "$TEST_TMP"/got/*.json >&2 2>/dev/null; }
told() { wait_until 20 got "$@" || { shown; die "not told: $*"; }; }

note "a refusal: journal, syslog, command"
refuse "Permission denied" read_as t2 1
uid=$(id -u lapse-t2)
told journal "e['LAPSE_EVENT'] == 'refused' and e['PRIORITY'] == '5' and e['SYSLOG_IDENTIFIER'] == 'lapse' and e['LAPSE_UID'] == '$uid'
	and e['LAPSE_RULE'] == 't2' and len(e['LAPSE_FILE']) == 32 and e['LAPSE_POLICY_LINE'] == '10' and e['LAPSE_ARCHIVE'] == '$ARC'
	and e['LAPSE_CONTACT'] == 'records \"office\", ext. 12' and e['MESSAGE'].startswith('refused: uid $uid') and 'contact records' in e['MESSAGE']"
told syslog "e['text'].startswith('<29>1 20') and ' refused [lapse@32473 event=\"refused\"' in e['text'] and ' uid=\"$uid\"' in e['text']
	and 'contact=\"records \\\\\"office\\\\\", ext. 12\"' in e['text']"
told got "e['event']['event'] == 'refused' and e['event']['uid'] == $uid and e['event']['policy-line'] == 10 and e['lines'] == 1"
grep -rq '\.jpg' "$TEST_TMP/journal" "$TEST_TMP/syslog" "$TEST_TMP/got" && die "an alert names a file"

note "the command has no rights"
python3 - "$TEST_TMP/got" <<'P' || die "what the command is"
import glob, json, pwd, sys
e = json.load(open(glob.glob(sys.argv[1] + "/*.json")[0]))
nobody = pwd.getpwnam("nobody").pw_uid
assert e["uid"] == [nobody] * 4 and not e["groups"], e
assert all(int(c, 16) == 0 for c in e["capabilities"]) and e["no-new-privs"] == "1", e
assert e["environment"] == [] and e["fds"] == [] and e["cwd"] == "/" and e["argv"] == ["two words", "--now"], e
P

note "a closure (whose command hangs), an opening, a budget that warns, a lockout, its end"
"$LAPSE" guard close --until 1h --reason "hang on" "$MNT"
told got "e['event']['event'] == 'closed'"
wait_until 5 sh -c "ls '$TEST_TMP'/got/*.hangs >/dev/null 2>&1"
hanging=$(cat "$TEST_TMP"/got/*.hangs)
"$LAPSE" guard open --reason "they have left" "$MNT"
told got "e['event']['event'] == 'opened' and 'they have left' in e['event']['message']"
for i in 1 2 3; do read_as t1 $i; done
told journal "e['LAPSE_EVENT'] == 'over-budget' and e['LAPSE_BUDGET'] == 'warned' and e['LAPSE_WINDOW'] == '2/1h' and e['LAPSE_USED'] == '2' and e['PRIORITY'] == '4'"
for i in 4 5; do read_as t1 $i; done
refuse "Permission denied" read_as t1 6
uid=$(id -u lapse-t1)
told got "e['event']['event'] == 'lockout' and e['event']['severity'] == 'critical' and e['event']['uid'] == $uid and e['event']['budget'] == 'small'
	and e['event']['frees-at'] - e['event']['trusted'] in range(7199, 7202)"
"$LAPSE" guard unlock --user lapse-t1 --reason "the nightly report" "$MNT"
told got "e['event']['event'] == 'unlocked' and 'the nightly report' in e['event']['message']"

note "clocks that disagree"
python3 -c 'import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, struct.pack("<qqI4x", 40000000 * 10**9, 4000 * 10**9, 1), 0)' "$LAPSE_TEST_CLOCK"
told journal "e['LAPSE_EVENT'] == 'clock-doubt' and e['PRIORITY'] == '3'"
grep -q "^lapse: alert: the wall clock is" "$DAEMON_LOG" || die "not said in the foreground"
clock 4001
told journal "e['LAPSE_EVENT'] == 'clock-fine'"

note "a flood: the command gets the rate's share, then how many were held back; nobody waits, not even for a deliverer that is stopped"
deliverer=$(pgrep -P "$(pgrep -P "$DAEMON" -x lapse-helper)" -x lapse-alerts)
rm -f "${TEST_TMP:?}"/got/*.json
sleep 2 # the rate's stretch, so that the bucket is full
for i in $(seq 30); do refuse "Permission denied" read_as t2 1; done
told got "e['event']['event'] == 'suppressed' and e['event']['count'] >= 1 and \"'refused'\" in e['event']['message']"
count=$(grep -l '"event": {"event": "refused"' "$TEST_TMP"/got/*.json | wc -l)
[ "$count" -ge 3 ] && [ "$count" -le 12 ] || die "$count refusals reached the command"
kill -STOP "$deliverer"
start=$SECONDS
for i in $(seq 20); do refuse "Permission denied" read_as t2 1; done
[ $((SECONDS - start)) -le 10 ] || die "readers wait for the deliverer"
kill -CONT "$deliverer"

note "the command that hangs is killed"
wait_until 12 sh -c "! kill -0 $hanging 2>/dev/null"

note "what the policy names is run from the next mount on, and not in root's group; root is not a user for it"
id lapse-g0 >/dev/null 2>&1 || useradd --system --no-create-home --gid 0 lapse-g0
at_end userdel lapse-g0
sed 's/^rate = .*/rate = 3\/2s\nuser = lapse-g0/' "$TEST_TMP/policy.ini" >"$TEST_TMP/other.ini"
"$LAPSE" policy apply "$TEST_TMP/other.ini" "$MNT" >/dev/null
"$LAPSE" guard close --until 1h --reason "visit" "$MNT"
told journal "e['LAPSE_EVENT'] == 'closed' and 'visit' in e['MESSAGE']"
wait_until 5 grep -q "is not the one that there was at the mount" "$DAEMON_LOG"
expect_log 'is not the one that there was at the mount'
! got got "e['event']['event'] == 'closed' and 'visit' in e['event']['message']" || die "a command that was not there at the mount was run"
kill_daemon
wait_until 15 sh -c "! kill -0 $deliverer 2>/dev/null"
mount_archive
"$LAPSE" guard open --reason "they have left" "$MNT"
told got "e['event']['event'] == 'opened' and e['uid'] == [$(id -u lapse-g0)] * 4 and e['gid'] == [65534] * 4"
sed 's/^rate = .*/rate = 3\/2s\nuser = root/' "$TEST_TMP/policy.ini" >"$TEST_TMP/root.ini"
refuse "is not run as root" "$LAPSE" policy check "$TEST_TMP/root.ini"
deliverer=$(pgrep -P "$(pgrep -P "$DAEMON" -x lapse-helper)" -x lapse-alerts)
umount_archive
kill -0 "$deliverer" 2>/dev/null && die "the deliverer is still there"

note "without a journal, syslog has it"
kill "${listeners[1]}"
rm /run/systemd/journal/socket
sed '/^syslog/d' "$TEST_TMP/policy.ini" >"$TEST_TMP/fallback.ini"
mount_archive --policy "$TEST_TMP/fallback.ini"
: >"$TEST_TMP/syslog"
"$LAPSE" guard close --until 1h --reason "again" "$MNT"
told syslog "' closed [lapse@32473 ' in e['text'] and e['text'].endswith('again')"
umount_archive
