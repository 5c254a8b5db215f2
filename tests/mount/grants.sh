#!/bin/bash
# Break-glass: asked for, approved by a second person and never by oneself, exact to the file, in its paths, ended by the archive's clock and by hand, standing through kill -9 and
# remounts, and marked in the log.
# attack items: 54
. "$(dirname "$0")/lib.sh"
with_test_clock
clocks() { # clocks WALL_SECONDS BOOT_SECONDS: the two apart
	python3 -c 'import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(fd, struct.pack("<qqI4x", int(sys.argv[2]) * 10**9, int(sys.argv[3]) * 10**9, 1), 0)' "$LAPSE_TEST_CLOCK" "$1" "$2"
}
for u in t1 t2 t3 t4; do as $u true; done
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 10y

[rule no-secrets]
users = lapse-t1
paths = secret/**
effect = deny

[rule everyone]
effect = permit
budget = small

[budget small]
files = 5/24h

[break-glass]
approve = second-person
max-time = 4h
max-files = 100
ticket = yes
E
sed '/break-glass/,$d' "$TEST_TMP/policy.ini" >"$TEST_TMP/alone.ini"
sed 's/^max-time/approvers = lapse-t2\n&/' "$TEST_TMP/policy.ini" >"$TEST_TMP/named.ini"
expect_log '[cC]lock|wall|behind|ahead|refused: uid|break-glass: grant'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir -m 755 "$MNT/in" "$MNT/out" "$MNT/secret" "$MNT/in/drop" "$MNT/theirs"
for i in $(seq 20); do
	echo "in $i" >"$MNT/in/$i.jpg"
	echo "out $i" >"$MNT/out/$i.jpg"
done
echo secret >"$MNT/secret/1.jpg"
chown lapse-t1 "$MNT/in/drop" "$MNT/theirs"
as t2 true && mkdir -m 777 "$MNT/loan"
as t2 sh -c "for i in 1 2 3 4; do echo loan >$MNT/loan/\$i.jpg; done"
chown lapse-t1 "$MNT"/loan/*.jpg
clock 4000 # nobody's own any more

read_as() { as "$1" cat "$MNT/$2" >/dev/null; }
count_as() { # count_as USER FILE…: how many of them come out
	local user=$1 n=0 f
	shift
	for f; do read_as "$user" "$f" 2>/dev/null && n=$((n + 1)); done
	echo $n
}
login_as() { # login_as USER COMMAND…: as root who has logged in as that user
	local user=$1
	shift
	sh -c 'echo "$1" >/proc/self/loginuid && shift && exec "$@"' - "$(id -u "lapse-$user")" "$@"
}
login_uids
grants() { "$LAPSE" grant list "$MNT" --json | python3 -c 'import json,sys; print(*(eval(sys.argv[1], {"r": r}) for r in json.load(sys.stdin)["grants"]))' "$1"; }
newest() { grants 'r["id"]' | tr ' ' '\n' | sort -n | tail -n 1; }
request() { login_as t2 "$LAPSE" grant request --user lapse-t1 --reason "the case of the 4th" --ticket T-99 "$@" "$MNT"; }

note "not on the policy's terms"
refuse "ticket" login_as t2 "$LAPSE" grant request --user lapse-t1 --files 3 --reason why "$MNT"
refuse "100 files at most" request --files 101
refuse "100 files at most" request --files any
refuse "14400 s at most" request --files 3 --for 5h
refuse "might be the name of a file" request --files 3 --path in/1.jpg
refuse "a ticket is one line" login_as t2 "$LAPSE" grant request --user lapse-t1 --files 3 --reason why --ticket $'T\e[2J' "$MNT"
refuse "a ticket is one line" login_as t2 "$LAPSE" grant request --user lapse-t1 --files 3 --reason why --ticket $'T\x7f' "$MNT"
refuse "control character" login_as t2 "$LAPSE" grant request --user lapse-t1 --files 3 --reason why --ticket T --path $'in/\e[2J*' "$MNT"
refuse "a reason is one line" login_as t2 "$LAPSE" grant request --user lapse-t1 --files 3 --reason $'wh\ty' --ticket T "$MNT"
refuse "--reason" login_as t2 "$LAPSE" grant request --user lapse-t1 --files 3 --ticket T "$MNT"
refuse "no login uid" "$LAPSE" grant request --user lapse-t1 --files 3 --reason why --ticket T "$MNT"
refuse "there is no user" request --user nobody-such --files 3
[ -z "$(grants 1)" ] || die "none of these is there"

note "it waits, and nobody approves their own"
check "asked for" request --files 3 --for 2h --path 'in/**'
one=$(newest)
[ "$(grants 'r["state"], r["user"], r["asked"], r["files"], r["paths"]')" = "('waiting', 'lapse-t1', 'lapse-t2', 3, 'in/**')" ] || { grants r; die "list"; }
[ "$(count_as t1 out/{1..8}.jpg)" = 5 ] || die "the budget"
refuse "Disk quota exceeded" read_as t1 in/1.jpg
refuse "asked for themselves" login_as t2 "$LAPSE" grant approve "$one" --reason mine "$MNT"
refuse "asked for themselves" login_as t1 "$LAPSE" grant approve "$one" --reason "for me" "$MNT"
refuse "asked for themselves" login_as t3 setpriv --ruid lapse-t2 --euid 0 -- "$LAPSE" grant approve "$one" --reason "really me" "$MNT"
refuse "logged in as themselves" "$LAPSE" grant approve "$one" --reason seen "$MNT"
refuse "Only root" as t3 "$LAPSE" grant approve "$one" --reason "no role" "$MNT"
refuse "no grant" login_as t3 "$LAPSE" grant approve 999999 --reason x "$MNT"
refuse "Disk quota exceeded" read_as t1 in/1.jpg
umount_archive
mount_archive
refuse "asked for themselves" login_as t2 "$LAPSE" grant approve "$one" --reason "after a remount" "$MNT"
check "by a third" login_as t3 "$LAPSE" grant approve "$one" --reason seen "$MNT"
refuse "is in force" login_as t3 "$LAPSE" grant approve "$one" --reason again "$MNT"

note "so many files more, in its paths, and no further"
check "explain" grep -q "grant $one lets it be read" <("$LAPSE" explain --as lapse-t1 "$MNT/in/1.jpg")
[ "$(count_as t1 in/{1..6}.jpg)" = 3 ] || die "three more"
[ "$(count_as t1 in/{1..6}.jpg)" = 3 ] || die "the same three again"
refuse "Disk quota exceeded" read_as t1 out/9.jpg
refuse "Permission denied" read_as t1 secret/1.jpg
[ "$(count_as t2 out/{1..8}.jpg)" = 5 ] || die "another reader's budget is as it was"
[ "$(grants 'r["used"], r["approved"]')" = "(3, 'lapse-t3')" ] || { grants r; die "used"; }

note "nothing is brought under its paths"
check "asked for" request --files 50 --for 2h --path 'in/**'
two=$(newest)
refuse "Permission denied" as t1 mv "$MNT/loan/1.jpg" "$MNT/in/drop/1.jpg"
check "approved" login_as t3 "$LAPSE" grant approve "$two" --reason seen "$MNT"
refuse "Permission denied" as t1 python3 -c "import os; os.rename('$MNT/loan/2.jpg', '$MNT/in/drop/2.jpg')"
refuse "Permission denied" as t1 python3 -c "import os; os.link('$MNT/loan/3.jpg', '$MNT/in/drop/3.jpg')"
refuse "Disk quota exceeded" read_as t1 loan/4.jpg

note "kill -9 and a clean remount: the same grants, the same count"
kill_daemon
mount_archive
[ "$(grants 'r["id"], r["used"]')" = "($one, 3) ($two, 0)" ] || { grants r; die "after kill -9"; }
[ "$(count_as t1 in/{1..10}.jpg)" = 10 ] || die "ten in all"
umount_archive
mount_archive
kill_daemon
mount_archive
[ "$(grants 'r["id"], r["used"], r["asked"], r["approved"], r["ticket"], r["reason"]')" = "($one, 3, 'lapse-t2', 'lapse-t3', 'T-99', 'the case of the 4th') ($two, 7, 'lapse-t2', 'lapse-t3', 'T-99', 'the case of the 4th')" ] ||
	{ grants r; die "after three mounts"; }

note "revoked: the handle that is open reads on, nothing more is opened; what the budget holds is read as ever"
python3 - "$(id -u lapse-t1)" "$MNT/in/11.jpg" "$LAPSE" "$two" "$MNT" <<'P' || die "a handle that is open"
import os, subprocess, sys
uid, path, lapse, grant, mnt = sys.argv[1:]
def become():
    os.setresuid(int(uid), int(uid), int(uid))
reader = subprocess.Popen(["sh", "-c", 'exec 3<"$1" && read -r x && cat <&3', "-", path], preexec_fn=become, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
while len([f for f in os.listdir(f"/proc/{reader.pid}/fd") if os.path.realpath(f"/proc/{reader.pid}/fd/{f}") == os.path.realpath(path)]) == 0:
    assert reader.poll() is None, "it could not be opened"
subprocess.run([lapse, "grant", "revoke", grant, "--reason", "done", mnt], check=True, timeout=60, stdout=subprocess.DEVNULL)
assert reader.communicate(b"\n", timeout=60)[0] == b"in 11\n"
P
refuse "Disk quota exceeded" read_as t1 in/12.jpg
refuse "Disk quota exceeded" read_as t1 in/7.jpg
[ "$(count_as t1 in/{1..3}.jpg out/{1..5}.jpg)" = 8 ] || die "the first grant stands"
refuse "no grant" "$LAPSE" grant revoke "$two" --reason again "$MNT"
kill_daemon
mount_archive
refuse "Disk quota exceeded" read_as t1 in/7.jpg

note "its end is by the archive's clock: one that leaps neither ends nor prolongs it, nor does a restart"
clocks $((4000 + 90000)) 5000
check "the wall clock is ahead" read_as t1 in/1.jpg
clocks 5000 5000
check "and back" read_as t1 in/1.jpg
clock $((4000 + 7100))
check "before its end" read_as t1 in/1.jpg
clock $((4000 + 7300))
refuse "Disk quota exceeded" read_as t1 in/1.jpg
[ -z "$(grants 1)" ] || { grants r; die "ended"; }
kill_daemon
mount_archive
refuse "Disk quota exceeded" read_as t1 in/1.jpg
umount_archive
mount_archive
refuse "Disk quota exceeded" read_as t1 in/1.jpg
refuse "no grant" login_as t3 "$LAPSE" grant approve "$one" --reason "once more" "$MNT"

note "a request that nobody approves lapses within a day"
check "asked for" request --files 3
three=$(newest)
clock $((4000 + 7300 + 86500))
refuse "no grant" login_as t3 "$LAPSE" grant approve "$three" --reason late "$MNT"

note "a change of the policy: named approvers; without [break-glass] it is in force at once, and stays so"
check "named" "$LAPSE" policy apply "$TEST_TMP/named.ini" --reason approvers "$MNT" >/dev/null
check "asked for" login_as t3 "$LAPSE" grant request --user lapse-t1 --files 3 --reason why --ticket T "$MNT"
refuse "none of them" login_as t4 "$LAPSE" grant approve "$(newest)" --reason x "$MNT"
check "by the one named" login_as t2 "$LAPSE" grant approve "$(newest)" --reason x "$MNT"
check "alone" "$LAPSE" policy apply "$TEST_TMP/alone.ini" --reason alone "$MNT" >/dev/null
[ "$(count_as t1 in/{1..20}.jpg)" = 8 ] || die "it stands"
check "at once" "$LAPSE" grant request --user lapse-t1 --files any --for 1d --reason "at night" "$MNT"
[ "$(count_as t1 in/{1..20}.jpg)" = 20 ] || die "any number"
"$LAPSE" guard status --user lapse-t1 --json "$MNT" | python3 -c '
import json, sys
rows = [r for r in json.load(sys.stdin)["guard"] if r["budget"] == "grant " + sys.argv[1]]
assert [(r["unit"], r.get("used"), r.get("limit")) for r in rows] == [("files", None, None), ("bytes", None, None)], rows' "$(newest)" || die "guard status: what is not counted"

note "a lockout and a closure stand"
check "close" "$LAPSE" guard close --until 1h --reason visit "$MNT"
refuse "Permission denied" read_as t1 in/1.jpg
check "open" "$LAPSE" guard open --reason gone "$MNT"
check "again" read_as t1 in/1.jpg

note "the log says under which grant what was read"
"$LAPSE" audit tail --kind open -n 1000 "$MNT" --json >"$TEST_TMP/tail"
grep -q "grant $one" "$TEST_TMP/tail" || die "audit tail: no mark"
"$LAPSE" audit read --user lapse-t1 --json "$MNT" >"$TEST_TMP/read"
"$LAPSE" audit exposure --user lapse-t1 --json "$MNT" >"$TEST_TMP/exposure"
"$LAPSE" audit exposure --user lapse-t1 "$MNT" >"$TEST_TMP/exposure.txt"
python3 - "$TEST_TMP/read" "$TEST_TMP/exposure" "$one" "$two" "$three" <<'P' || { cat "$TEST_TMP/read" "$TEST_TMP/exposure.txt"; die "audit read, audit exposure"; }
import json, sys
one, two, three = map(int, sys.argv[3:])
read, exposure = (json.load(open(p)) for p in sys.argv[1:3])
under = [f["grant"] for f in read["files"]]
assert under.count(None) == 5, under
approvals = {g["number"]: g for g in exposure["approvals"]}
assert [approvals[i]["files"] for i in (one, two, three)] == [3, 8, 0], approvals
assert approvals[one]["state"] == "ended" and approvals[two]["state"] == "revoked" and approvals[three]["state"] == "ended"
assert approvals[one]["reason"] == "the case of the 4th" and approvals[one]["ticket"] == "T-99"
P
grep -q "Grant $one for lapse-t1 (uid .*), asked for by lapse-t2 (uid .*), approved by lapse-t3" "$TEST_TMP/exposure.txt" || { cat "$TEST_TMP/exposure.txt"; die "audit exposure"; }
"$LAPSE" audit tail --kind grant --decision deny -n 100 "$MNT" --json >"$TEST_TMP/denied"
[ "$(grep -c '"approve: ' "$TEST_TMP/denied")" = 6 ] || { cat "$TEST_TMP/denied"; die "refused approvals are on the record"; }
umount_archive
