#!/bin/bash
# lapse explain --denied: who was refused learns why, until when and whom to ask; of others, and of what he could not look up himself, he learns nothing.
# attack items: 31
. "$(dirname "$0")/lib.sh"
for u in t1 t2; do as $u true; done
cat >"$TEST_TMP/policy.ini" <<'E2'
[policy]
version = 1
default-class = images
contact = records office, ext. 12

[class images]
match = **
expire-after = 10y

[rule t2]
users = lapse-t2
paths = in/**
effect = deny

[rule t4]
users = lapse-t4
effect = permit
budget = names

[rule t3]
users = lapse-t3
days = mon
hours = 03:00-03:01
effect = permit
budget = none

[rule everyone]
users = lapse-t1 lapse-t2 root
effect = permit
budget = small

[budget names]
names = 5/1h

[budget small]
files = 3/1h 1000/24h
E2
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
chmod 755 "$TEST_TMP"
mkdir -m 755 "$MNT/in" "$MNT/in/deep" "$MNT/many"
for i in $(seq 20); do : >"$MNT/many/$i"; done
for i in $(seq 9); do echo "$i" >"$MNT/in/$i.jpg"; done
echo x >"$MNT/in/deep/er.jpg"
denied() { # denied USER [PATH]: output in $TEST_TMP/said
	local user=$1 status=0
	shift
	as "$user" "$LAPSE" explain --denied "$@" >"$TEST_TMP/said" 2>"$TEST_TMP/err" || status=$?
	cat "$TEST_TMP/err" >>"$TEST_TMP/said"
	return $status
}
says() { grep -q -- "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "does not say: $1"; }; }
nothing() { # nothing USER PATH: nothing is known, and that is no finding
	denied "$@" || { cat "$TEST_TMP/said"; die "explain --denied $*"; }
	says "No refusal of yours is known"
	[ "$(wc -l <"$TEST_TMP/said")" = 1 ] || die "says more than that"
}

note "nothing was refused"
nothing t1 "$MNT"
nothing t1 "$MNT/in/1.jpg"
nothing t1 "$MNT/in/no-such-file.jpg"

note "a budget: which, how much, until when, whom to ask"
for i in 1 2 3; do as t1 cat "$MNT/in/$i.jpg" >/dev/null; done
refuse "Disk quota exceeded" as t1 cat "$MNT/in/4.jpg"
status=0
denied t1 "$MNT/in/4.jpg" || status=$?
[ $status = 1 ] || { cat "$TEST_TMP/said"; die "exit status $status"; }
says "You were refused file .*Disk quota exceeded"
says "budget small is used up, window 3/1h"
says "3 of 3"
says "rule everyone; line $(grep -n "^\[budget small" "$TEST_TMP/policy.ini" | cut -d: -f1) decided"
says "Frees"
says "records office, ext. 12"
nothing t1 "$MNT/in/5.jpg"
denied t1 --json "$MNT" && die "no finding"
python3 - "$TEST_TMP/said" <<'P' || { cat "$TEST_TMP/said"; die "JSON"; }
import json, sys
d = json.load(open(sys.argv[1]))
r, = d["denied"]
assert (r["reason"], r["budget"], r["window"], r["used"], r["limit"], r["rule"]) == ("deny-budget", "small", "3/1h", 3, 3, "everyone"), r
assert 3500 < r["frees-at"] - d["now"] <= 3601 and d["contact"] == "records office, ext. 12", d
P

note "a listing that is larger than what is left; no rule; a window of hours: to whom, and when"
for u in t3 t4; do as $u true; done
refuse "Permission denied" as t3 cat "$MNT/in/7.jpg"
denied t3 "$MNT/in/7.jpg" && die "no finding"
says "no rule permits it to you, in that program and at that time"
"$LAPSE" explain --denied --as lapse-t3 "$MNT" >"$TEST_TMP/said" && die "no finding"
says "no rule permits it to the user, in that program and at that time"
refuse "Disk quota exceeded" as t4 ls "$MNT/many"
denied t4 "$MNT" && die "no finding"
says "You were refused the listing of directory"
says "window 5/1h"
says "not by itself: one listing is more than the budget"

note "a rule; and each hears of his own only"
refuse "Permission denied" as t2 cat "$MNT/in/7.jpg"
denied t2 "$MNT/in/7.jpg" && die "no finding"
says "rule t2 denies it"
nothing t2 "$MNT/in/4.jpg"
nothing t1 "$MNT/in/7.jpg"
refuse "may ask what another user was refused" as t1 "$LAPSE" explain --denied --as lapse-t2 "$MNT"
"$LAPSE" explain --denied --as lapse-t2 "$MNT" >"$TEST_TMP/said" && die "root: no finding"
says "lapse-t2 was refused file"
refuse "Only root" as t1 "$LAPSE" explain "$MNT/in/1.jpg"
refuse "Only root" as t1 "$LAPSE" status "$MNT"
refuse "Only root" as t1 "$LAPSE" guard open --reason x "$MNT"

note "what he cannot look up any more is answered like what is not there"
refuse "Disk quota exceeded" as t1 cat "$MNT/in/deep/er.jpg"
denied t1 "$MNT/in/deep/er.jpg" && die "no finding"
chmod 700 "$MNT/in/deep"
python3 - "$MNT" "$(id -u lapse-t1)" <<'P' || die "asked past the command"
import os, socket, sys
sys.path.insert(0, os.environ["LAPSE_SOURCE"] + "/tests/mount")
sys.dont_write_bytecode = True
import stats
path = stats.socket_of(sys.argv[1])
def ask(line):
    pid, (r, w) = None, os.pipe()
    pid = os.fork()
    if not pid:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(*[int(sys.argv[2])] * 3)
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        s.sendall(line.encode() + b"\n")
        got = s.makefile("rb")
        while True:
            l = got.readline()
            os.write(w, l)
            if not l or l.startswith((b"ok", b"error")):
                os._exit(0)
    os.close(w)
    os.waitpid(pid, 0)
    return os.fdopen(r).read()
def rows(text):
    return [l.split("\t")[0] for l in text.splitlines()]
there, gone = ask("lapse 1 denied\tpath=in/deep/er.jpg"), ask("lapse 1 denied\tpath=in/deep/none.jpg")
assert rows(there) == rows(gone) == ["now", "ok"], (there, gone)
assert rows(ask("lapse 1 denied\tpath=in/4.jpg")) == ["now", "refusal", "ok"]
for bad in ("../in/4.jpg", "/in/4.jpg", "", ".", "in", "in/4.jpg/x", "in/deep/../4.jpg", "in/deep//er.jpg"):
    assert "refusal" not in rows(ask("lapse 1 denied\tpath=" + bad)), bad
assert rows(ask("lapse 1 denied\tuid=0")) == ["error"]
assert rows(ask("lapse 1 denied\tuid=0\tpath=in/4.jpg")) == ["error"]
P

note "after a restart the log knows the rule and the budget"
kill_daemon
mount_archive
denied t1 "$MNT" && die "no finding"
says "You were refused file"
says "budget small is used up"
umount_archive

note "an ordinary user cannot keep root from being heard"
mount_archive
python3 - "$MNT" "$(id -u lapse-t1)" <<'P' &
import os, socket, sys, time
sys.path.insert(0, os.environ["LAPSE_SOURCE"] + "/tests/mount")
sys.dont_write_bytecode = True
import stats
path = stats.socket_of(sys.argv[1])
os.setresuid(*[int(sys.argv[2])] * 3)
held = []
for i in range(40):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    held.append(s)
time.sleep(60)
P
holder=$!
at_end kill $holder
held() { [ "$(ss -xH src "*/ctl" 2>/dev/null | grep -c ESTAB)" -ge 2 ] || kill -0 $holder; }
wait_until 5 held
for i in 1 2 3; do check "root is heard" "$LAPSE" clock status "$MNT" >/dev/null; done
kill $holder
umount_archive
