#!/bin/bash
# Who may do what by the control socket: groups that the policy names have its roles, root then only where it is a member; and a change that loosens the policy
# waits for another person, whatever uid either has become.
# attack items: 51
# timeout: 240
. "$(dirname "$0")/lib.sh"
users t1 t2 t3
login_uids
for g in officers approvers auditors operators; do
	getent group "lapse-$g" >/dev/null || groupadd --system "lapse-$g"
done
gpasswd -a lapse-t1 lapse-officers >/dev/null
gpasswd -a lapse-t2 lapse-approvers >/dev/null
gpasswd -a lapse-t3 lapse-auditors >/dev/null

policy() { # policy FILES EXTRA-KEYS
	cat <<E
[policy]
version = 1
default-class = images
$2

[class images]
match = **
expire-after = 30d

[rule everyone]
effect = permit
budget = small

[budget small]
files = $1/24h
E
}
roles=$'operators = root lapse-operators\nofficers = lapse-officers\napprovers = lapse-approvers\nauditors = lapse-auditors\napprove = loosen'
policy 10 "" >"$TEST_TMP/first.ini"
policy 10 "$roles" >"$TEST_TMP/roles.ini"
policy 9 "$roles" >"$TEST_TMP/stricter.ini"
policy 20 "$roles" >"$TEST_TMP/looser.ini"
policy 9 "" >"$TEST_TMP/dropped.ini"
chmod 644 "$TEST_TMP"/*.ini
archive_new "$TEST_TMP/first.ini"
mount_archive

# A user who has logged in; login_as USER COMMAND…, root_of USER: who has become root.
login_as() { local u=$1; shift; sh -c 'echo "$1" >/proc/self/loginuid && shift && exec "$@"' - "$(id -u "lapse-$u")" setpriv --reuid "lapse-$u" --regid "$(id -g "lapse-$u")" --init-groups -- timeout 60 "$@"; }
root_of() { local u=$1; shift; sh -c 'echo "$1" >/proc/self/loginuid && shift && exec "$@"' - "$(id -u "lapse-$u")" timeout 60 "$@"; }
generation() { timeout 20 "$LAPSE" policy show "$MNT" --history --json 2>/dev/null | python3 -c 'import json,sys; d=json.load(sys.stdin); print(max(r["generation"] for r in next(v for v in d.values() if isinstance(v, list))))'; }

note "until the policy names groups, root is all of them, and nobody else is anything"
refuse "Only root" login_as t1 "$LAPSE" policy show "$MNT"
refuse "Only root" login_as t3 "$LAPSE" audit tail "$MNT"
check "root applies" "$LAPSE" policy apply "$TEST_TMP/roles.ini" "$MNT" >/dev/null

note "from then on their members are, and root is what nobody was named for"
check "status by any of them" login_as t3 "$LAPSE" status "$MNT" >/dev/null
check "root's group is the operators' still" "$LAPSE" scrub "$MNT" >/dev/null
check "the auditor asks the log" login_as t3 "$LAPSE" audit tail "$MNT" >/dev/null
refuse "auditors" "$LAPSE" audit tail "$MNT"
refuse "auditors" login_as t1 "$LAPSE" audit tail "$MNT"
refuse "officers" "$LAPSE" guard close "$MNT" --until 1h --reason test
refuse "Only root" login_as t1 "$LAPSE" umount "$MNT"
refuse "officers" login_as t2 "$LAPSE" policy apply "$TEST_TMP/stricter.ini" "$MNT"
check "the officer closes" login_as t1 "$LAPSE" guard close "$MNT" --until 1h --reason test >/dev/null
check "and opens" login_as t1 "$LAPSE" guard open "$MNT" --reason test >/dev/null
check "root as a member" setpriv --groups "$(getent group lapse-officers | cut -d: -f3)" -- timeout 20 "$LAPSE" policy plan "$TEST_TMP/roles.ini" "$MNT" >/dev/null

note "who is not root has the daemon write in directories of his own only"
mkdir -m 755 "$TEST_TMP/roots"
mkdir -m 777 "$TEST_TMP/theirs"
cat >"$TEST_TMP/ask.py" <<'P'
import os, socket, sys
sys.path.insert(0, os.environ["LAPSE_SOURCE"] + "/tests/mount")
sys.dont_write_bytecode = True
import stats
dest = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)
s = socket.socket(socket.AF_UNIX)
s.connect(stats.socket_of(sys.argv[1]))
s.sendall(b"lapse 1 export\treason=test\n")
assert s.recv(100) == b"ready\n"
socket.send_fds(s, [b"dest\tfd=1\n"], [dest])
s.shutdown(socket.SHUT_WR)
sys.stdout.buffer.write(s.makefile("rb").read())
P
login_as t1 python3 "$TEST_TMP/ask.py" "$MNT" "$TEST_TMP/roots" >"$TEST_TMP/said"
grep -q 'errno=13.text=Only root may' "$TEST_TMP/said" || die "root's directory: $(cat "$TEST_TMP/said")"
export_asked() { # an officer asks; the id
	local status=0
	login_as t1 "$LAPSE" export "$MNT" "$@" >"$TEST_TMP/said" 2>&1 || status=$?
	[ $status = 1 ] || die "exit status $status: $(cat "$TEST_TMP/said")"
	grep -o 'id [0-9a-f]*' "$TEST_TMP/said" | cut -d' ' -f2
}
echo one >"$MNT/one"
note "an export waits for another person, and begins once, as it was asked for"
out=$TEST_TMP/theirs/out
id=$(export_asked "$out" --reason 'court order 7')
[ ! -e "$out" ] || die "it has begun"
login_as t2 "$LAPSE" policy pending "$MNT" | grep -q "$id.*lapse-t1.*an export of everything *no *court order 7" || die "pending"
refuse "no export waits" login_as t1 "$LAPSE" export "$MNT" "$out" --approved 0123456789abcdef
refuse "nobody has approved it" login_as t1 "$LAPSE" export "$MNT" "$out" --approved "$id"
[ ! -e "$out" ] || die "something of it is there"
refuse "approvers" login_as t1 "$LAPSE" policy approve "$id" "$MNT" --reason me
gpasswd -a lapse-t1 lapse-approvers >/dev/null
refuse "another person" login_as t1 "$LAPSE" policy approve "$id" "$MNT" --reason me
gpasswd -d lapse-t1 lapse-approvers >/dev/null
check "the other approves" login_as t2 "$LAPSE" policy approve "$id" "$MNT" --reason seen >/dev/null
login_as t2 "$LAPSE" policy pending "$MNT" | grep -q "$id.*everything *yes " || die "pending, approved"
refuse "not for images" login_as t1 "$LAPSE" export "$MNT" "$out" --approved "$id" --class images
gpasswd -a lapse-t3 lapse-officers >/dev/null
refuse "another person asked" login_as t3 "$LAPSE" export "$MNT" "$TEST_TMP/theirs/out3" --approved "$id"
gpasswd -d lapse-t3 lapse-officers >/dev/null
check "then it begins" login_as t1 "$LAPSE" export "$MNT" "$out" --approved "$id" >/dev/null
[ "$(cat "$out/files/one")" = one ] || die "what was exported"
refuse "no export waits" login_as t1 "$LAPSE" export "$MNT" "$out.2" --approved "$id"
login_as t3 "$LAPSE" audit export --reason test "$MNT" >"$TEST_TMP/log" 2>/dev/null
for text in "export waits for an approver: id $id (an export of everything): court order 7" "export approved: id $id, asked for by login uid $(id -u lapse-t1): court order 7; seen" \
	"export begins: id $id, approved by login uid $(id -u lapse-t2): court order 7" "exported: id $id, approved by login uid $(id -u lapse-t2): court order 7"; do
	grep -qF "$text" "$TEST_TMP/log" || die "not on the record: $text"
done
id=$(export_asked "$out.2" --reason again --class images)
check "turned down" login_as t2 "$LAPSE" policy approve "$id" "$MNT" --reject --reason no >/dev/null
refuse "no export waits" login_as t1 "$LAPSE" export "$MNT" "$out.2" --approved "$id" --class images
id=$(export_asked "$out.2" --reason again)
check "approved" login_as t2 "$LAPSE" policy approve "$id" "$MNT" --reason seen >/dev/null
login_as t1 mkdir "$TEST_TMP/theirs/own"
login_as t1 python3 "$TEST_TMP/ask.py" "$MNT" "$TEST_TMP/theirs/own" >"$TEST_TMP/said"
grep -q 'errno=13.text=the policy in force wants an approver' "$TEST_TMP/said" || die "not asked for: $(cat "$TEST_TMP/said")"
mkdir "$TEST_TMP/theirs/own/roots"
gpasswd -a lapse-t1 lapse-operators >/dev/null
refuse "Only root may have" login_as t1 "$LAPSE" anchor add "$MNT" "$TEST_TMP/theirs/own/roots/copy" --reason test
refuse "Only root may name" login_as t1 "$LAPSE" anchor add "$MNT" "$TEST_TMP/theirs/own/none/copy" --reason test
check "a copy in his own" login_as t1 "$LAPSE" anchor add "$MNT" "$TEST_TMP/theirs/own/copy" --reason test >/dev/null
cat >"$TEST_TMP/add.py" <<'P'
import os, socket, sys, urllib.parse
sys.path.insert(0, os.environ["LAPSE_SOURCE"] + "/tests/mount")
sys.dont_write_bytecode = True
import stats
s = socket.socket(socket.AF_UNIX)
s.connect(stats.socket_of(sys.argv[1]))
s.sendall(b"lapse 1 anchor-add\treason=test\tpath=" + sys.argv[2].encode() + b"\n")
s.shutdown(socket.SHUT_WR)
sys.stdout.buffer.write(s.makefile("rb").read())
P
login_as t1 python3 "$TEST_TMP/add.py" "$MNT" "$TEST_TMP/theirs/own/blind" >"$TEST_TMP/said"
grep -q 'errno=13.text=Only root may name a file without' "$TEST_TMP/said" || die "without showing its directory: $(cat "$TEST_TMP/said")"
gpasswd -d lapse-t1 lapse-operators >/dev/null

note "what does not loosen it is in force at once"
before=$(generation)
check "stricter" login_as t1 "$LAPSE" policy apply "$TEST_TMP/stricter.ini" "$MNT" >/dev/null
refuse "the policy has changed" login_as t1 "$LAPSE" export "$MNT" "$out.2" --approved "$id"
[ "$(generation)" = $((before + 1)) ] || die "the stricter one is not in force"

note "what does waits for an approver: another person"
status=0
login_as t1 "$LAPSE" policy apply "$TEST_TMP/looser.ini" "$MNT" --reason 'a busy week' >"$TEST_TMP/said" || status=$?
[ $status = 1 ] || die "exit status $status: $(cat "$TEST_TMP/said")"
grep -q 'waits for approval' "$TEST_TMP/said" || die "does not say that it waits: $(cat "$TEST_TMP/said")"
id=$(grep -o 'id [0-9a-f]*' "$TEST_TMP/said" | cut -d' ' -f2)
[ "$(generation)" = $((before + 1)) ] || die "it is in force already"
login_as t2 "$LAPSE" policy pending "$MNT" >"$TEST_TMP/pending"
grep -q "$id.*lapse-t1.*more may be read.*a busy week" "$TEST_TMP/pending" || die "pending: $(cat "$TEST_TMP/pending")"
login_as t2 "$LAPSE" policy pending "$MNT" --id "$id" | cmp - "$TEST_TMP/looser.ini" || die "the text that waits"
refuse "approvers" login_as t1 "$LAPSE" policy approve "$id" "$MNT" --reason me
gpasswd -a lapse-t1 lapse-approvers >/dev/null
refuse "another person" login_as t1 "$LAPSE" policy approve "$id" "$MNT" --reason me
approvers=$(getent group lapse-approvers | cut -d: -f3)
refuse "another person" root_of t1 setpriv --groups "$approvers" -- "$LAPSE" policy approve "$id" "$MNT" --reason me
refuse "another person" root_of t1 setpriv --reuid lapse-t2 --groups "$approvers" -- "$LAPSE" policy approve "$id" "$MNT" --reason me
gpasswd -d lapse-t1 lapse-approvers >/dev/null
refuse "log in as yourself" setpriv --groups "$approvers" -- "$LAPSE" policy approve "$id" "$MNT" --reason me
refuse "nothing waits" login_as t2 "$LAPSE" policy approve 0123456789abcdef "$MNT" --reason test
check "the other approves" login_as t2 "$LAPSE" policy approve "$id" "$MNT" --reason 'seen' >/dev/null
[ "$(generation)" = $((before + 2)) ] || die "approved, and not in force"
refuse "nothing waits" login_as t2 "$LAPSE" policy approve "$id" "$MNT" --reason again
login_as t3 "$LAPSE" audit export --reason test "$MNT" >"$TEST_TMP/log" 2>/dev/null
grep -q "approved and applied.*asked for by login uid $(id -u lapse-t1): a busy week; seen" "$TEST_TMP/log" || die "the record of the approval"
grep -q "policy change waits for an approver.*$id" "$TEST_TMP/log" || die "the record of the request"

note "neither undoing a stricter one nor dropping the approval goes around it; it can be turned down"
check "stricter again" login_as t1 "$LAPSE" policy apply "$TEST_TMP/stricter.ini" "$MNT" >/dev/null
status=0
login_as t1 "$LAPSE" policy undo "$MNT" --reason test >"$TEST_TMP/said" || status=$?
grep -q 'waits for approval' "$TEST_TMP/said" || die "undo: $(cat "$TEST_TMP/said")"
status=0
login_as t1 "$LAPSE" policy apply "$TEST_TMP/dropped.ini" "$MNT" --reason test >"$TEST_TMP/said" || status=$?
[ $status = 1 ] || die "dropping the approval: exit status $status"
id=$(grep -o 'id [0-9a-f]*' "$TEST_TMP/said" | cut -d' ' -f2)
check "turned down" login_as t1 "$LAPSE" policy approve "$id" "$MNT" --reject --reason 'a mistake' >/dev/null
refuse "nothing waits" login_as t2 "$LAPSE" policy approve "$id" "$MNT" --reason test
note "every kind of loosening waits, on whatever line; and what is stricter does not"
{
	policy 9 "$roles" | sed '/^expire-after/a retain-for = 1d' | sed '/^\[rule everyone\]/i [rule nights]\nusers = lapse-t3\nhours = 22:00-06:00\neffect = deny\n'
	printf 'names = 100/1h\non-exceed = lockout\n\n[budget all]\nper = everyone\nfiles = 500/24h\n\n[break-glass]\nmax-files = 10\nmax-names = 10\nmax-time = 1h\n\n[clock]\nmax-step = 1h\n\n'
	printf '[alert]\njournal = yes\n\n[audit]\nretain-for = 400d\n'
} >"$TEST_TMP/base.ini"
asked() { # asked FILE: an officer asks for it; its id, nothing if it is in force
	local status=0
	login_as t1 "$LAPSE" policy apply "$1" "$MNT" --reason test >"$TEST_TMP/said" 2>&1 || status=$?
	[ $status -le 1 ] || die "exit status $status: $(cat "$TEST_TMP/said")"
	[ $status = 0 ] || grep -q 'waits for approval' "$TEST_TMP/said" || die "$(cat "$TEST_TMP/said")"
	grep -o 'id [0-9a-f]*' "$TEST_TMP/said" | cut -d' ' -f2 || true
}
id=$(asked "$TEST_TMP/base.ini")
check "approved" login_as t2 "$LAPSE" policy approve "$id" "$MNT" --reason seen >/dev/null
before=$(generation)
while IFS='|' read -r what edit; do
	sed -E "$edit" "$TEST_TMP/base.ini" >"$TEST_TMP/edited.ini"
	! cmp -s "$TEST_TMP/base.ini" "$TEST_TMP/edited.ini" || die "$what: nothing is changed"
	id=$(asked "$TEST_TMP/edited.ini")
	[ -n "$id" ] || die "$what: in force without an approver"
	check "turned down" login_as t1 "$LAPSE" policy approve "$id" "$MNT" --reject --reason test >/dev/null
done <<'E'
a budget that is raised|s,files = 9/24h,files = 10/24h,
one that everyone shares|s,files = 500/24h,files = 501/24h,
one that is gone|/^\[budget all\]/,/^files/d
one over a shorter window|s,files = 9/24h,files = 9/12h,
more names|s,names = 100/1h,names = 101/1h,
no names|/^names/d
a budget that only alerts|s/^per = everyone/&\nmode = alert/
no lockout|/^on-exceed/d
a permit that is new|s/^\[rule nights\]/[rule new]\nusers = lapse-t3\neffect = permit\nbudget = small\n&/
a permit without a budget|s/^budget = small/budget = none/
a denial that is gone|/^\[rule nights\]/,/^effect/d
a denial that permits|s/^effect = deny/effect = permit\nbudget = small/
a denial of fewer hours|s/22:00-06:00/23:00-06:00/
a ceiling that is longer|s/expire-after = 30d/expire-after = 31d/
no ceiling|s/expire-after = 30d/expire-after = never/
a floor that is shorter|s/retain-for = 1d/retain-for = 23h/
another class|$a [class more]\nmatch = more/**\nexpire-after = 1d
one more group with a role|s/^officers = .*/& lapse-auditors/
a role that goes back to root|/^auditors/d
no approval|/^approve = /d
more at once under break-glass|s/max-files = 10/max-files = 11/
more names under break-glass|s/max-names = 10/max-names = 11/
longer under break-glass|s/max-time = 1h/max-time = 2h/
a clock that is believed more|s/max-step = 1h/max-step = 2h/
alerts that go nowhere|s/journal = yes/journal = no/
a log that is dropped sooner|s/retain-for = 400d/retain-for = 300d/
no bound of what a change may expire|s/^approve = /plan-limit = 1000\n&/
E
[ "$(generation)" = "$before" ] || die "one of them is in force"
while IFS='|' read -r what edit; do
	sed -E "$edit" "$TEST_TMP/base.ini" >"$TEST_TMP/edited.ini"
	id=$(asked "$TEST_TMP/edited.ini")
	[ -z "$id" ] || die "$what: waits for an approver: $(cat "$TEST_TMP/said")"
	mv "$TEST_TMP/edited.ini" "$TEST_TMP/base.ini"
done <<'E'
fewer files|s,files = 9/24h,files = 8/24h,
fewer names|s,names = 100/1h,names = 90/1h 500/24h,
a denial that is new|s/^\[rule nights\]/[rule new]\nusers = lapse-t3\neffect = deny\n&/
a ceiling that is shorter|s/expire-after = 30d/expire-after = 29d/
a floor that is longer|s/retain-for = 1d/retain-for = 2d/
a log that is kept longer|s/retain-for = 400d/retain-for = 500d/
E
umount_archive

note "nor does a mount with another policy, nor who applies it to an archive that is not mounted"
expect_log 'was not applied.*approver'
mount_archive --policy "$TEST_TMP/dropped.ini"
refuse "auditors" "$LAPSE" audit tail "$MNT"
umount_archive
refuse "approver" "$LAPSE" policy apply "$TEST_TMP/looser.ini" "$ARC" --key-file "$KEY"
refuse "approver" "$LAPSE" export "$ARC" "$TEST_TMP/alone" --reason test --key-file "$KEY"

note "groups that nobody is in, or that do not exist, are warned of"
groupadd --system -f lapse-empty
policy 10 "officers = lapse-empty" >"$TEST_TMP/empty.ini"
policy 10 "officers = lapse-nosuch" >"$TEST_TMP/nosuch.ini"
"$LAPSE" policy check "$TEST_TMP/empty.ini" >"$TEST_TMP/said" 2>&1 || true
grep -q 'nobody is a member' "$TEST_TMP/said" || die "policy check: $(cat "$TEST_TMP/said")"
"$LAPSE" policy check "$TEST_TMP/nosuch.ini" >"$TEST_TMP/said" 2>&1 || true
grep -q 'root goes on having that role' "$TEST_TMP/said" || die "policy check: $(cat "$TEST_TMP/said")"
groupdel lapse-empty
