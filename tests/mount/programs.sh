#!/bin/bash
# Rules on programs, services and origins, by processes as they are: what is the program that the rule names, what is something else under its name, and whom a
# file server's reads are charged to.
. "$(dirname "$0")/lib.sh"
users t1 t2
login_uids
T1=$(id -u lapse-t1)
BIN=$TEST_TMP/sbin
mkdir -m 755 "$BIN"
cp /bin/cat "$BIN/viewer"
cp /bin/head "$BIN/lister"
cp /bin/tac "$BIN/other"
SUM=$(sha256sum "$BIN/lister" | cut -c1-64)
cat >"$TEST_TMP/policy.ini" <<E
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[programs viewers]
paths = $BIN/viewer

[programs listers]
paths = $BIN/lister
sha256 = $SUM

[rule viewers]
users = lapse-t1
programs = viewers listers
effect = permit
budget = none

[rule service]
services = lapse-idx.service
users = root
effect = permit
budget = none

[rule console]
users = lapse-t2
origin = console
effect = permit
budget = none
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"

reads() { [ "$(as t1 "$@" 2>/dev/null)" = "image 1" ] || die "should have been read: $*"; }
refused() { refuse "Permission denied" as t1 "$@"; }
# The newest record of an open says this of the program.
said() {
	timeout 20 "$LAPSE" audit export --reason test "$MNT" 2>/dev/null | python3 -c '
import json, sys
last = [r for r in map(json.loads, filter(str.strip, sys.stdin)) if r.get("kind") == "open"][-1]
assert last.get("exe-state") == sys.argv[1], last' "$1" || die "the record does not say $1"
}

explains() {
	local want=$1
	shift
	timeout 20 "$LAPSE" explain --json "$@" "$MNT/in/1" | python3 -c '
import json, sys
def guard(x):
    if isinstance(x, dict):
        return x.get("guard") or next(filter(None, map(guard, x.values())), None)
    return next(filter(None, map(guard, x)), None) if isinstance(x, list) else None
got = guard(json.load(sys.stdin))
assert got == sys.argv[1], got' "$want" || die "explain $*: not $want"
}
OURS=system.slice/system-lapse.slice/lapse-idx.service
for group in $OURS user.slice/system.slice/lapse-idx.service system.slice/lapse-idx.service.d/lapse-idx.service; do service_new $group; done
SESSIONS=/run/systemd/sessions
mkdir -p "$SESSIONS"
forget_sessions() { rm -f "$TEST_TMP"/session.* $(cat "$TEST_TMP"/sessions 2>/dev/null); }
at_end forget_sessions
# in_session UID LINES COMMAND…: in a new session of that login uid, of which the login manager has written these lines.
in_session() {
	# shellcheck disable=SC2016
	bash -c 'echo "$0" >/proc/self/loginuid
		id=$(cat /proc/self/sessionid)
		echo "$2/$id" >>"$3/sessions"
		printf "UID=%s\nAUDIT=%s\n$1" "$0" "$id" >"$2/$id"
		shift 3
		exec timeout 20 setpriv --reuid lapse-t2 --regid lapse-t2 --clear-groups -- "$@"' "$1" "$2" "$SESSIONS" "$TEST_TMP" "${@:3}"
}
T2=$(id -u lapse-t2)
for transport in $(transports); do
	note "$transport: the program itself, as its user; its digest where the rule has one"
	mount_by "$transport"
	mkdir -p "$MNT/in"
	echo "image 1" >"$MNT/in/1"
	chmod -R a+rX "$MNT"
	reads "$BIN/viewer" "$MNT/in/1"
	said valid
	reads "$BIN/lister" -n1 "$MNT/in/1"
	for i in 1 2 3; do reads "$BIN/viewer" "$MNT/in/1"; done
	refuse "Permission denied" as t2 "$BIN/viewer" "$MNT/in/1"
	explains permit --as lapse-t1 --program "$BIN/viewer"
	explains permit --as lapse-t1 --program "$BIN/lister"
	explains deny-rule --as lapse-t1 --program "$BIN/other"
	explains deny-rule --as lapse-t1
	explains permit --service lapse-idx.service
	explains deny-rule
	refused "$BIN/other" "$MNT/in/1"
	refused cat "$MNT/in/1"

	note "$transport: a service, by its place below system.slice, and nobody who only calls himself so"
	[ "$(service $OURS cat "$MNT/in/1")" = "image 1" ] || die "the service"
	refuse "Permission denied" service user.slice/system.slice/lapse-idx.service cat "$MNT/in/1"
	refuse "Permission denied" service system.slice/lapse-idx.service.d/lapse-idx.service cat "$MNT/in/1"
	refuse "Permission denied" cat "$MNT/in/1"

	note "$transport: where a session began, as the login manager has it"
	[ "$(in_session "$T2" 'SERVICE=login\nSEAT=seat0\nREMOTE=0\nCLASS=user\n' cat "$MNT/in/1")" = "image 1" ] || die "a session at the console"
	for lines in 'SERVICE=sshd\nREMOTE=1\nCLASS=user\n' 'SERVICE=login\nSEAT=seat0\nREMOTE=1\nCLASS=user\n' 'SERVICE=cron\nREMOTE=0\nCLASS=user\n' ''; do
		refuse "Permission denied" in_session "$T2" "$lines" cat "$MNT/in/1"
	done
	refuse "Permission denied" in_session 4711 'SERVICE=login\nSEAT=seat0\nREMOTE=0\nCLASS=user\n' cat "$MNT/in/1"
	forget_sessions
	refuse "Permission denied" as t2 cat "$MNT/in/1"
	umount_archive
done

note "a program that was upgraded: status and policy check --live name its rule, and guard trust says what belongs into the policy"
mount_archive
"$LAPSE" status "$MNT" >"$TEST_TMP/out" || { cat "$TEST_TMP/out"; die "nothing needs attention"; }
check "the programs as they are" "$LAPSE" policy check --live "$TEST_TMP/policy.ini" >/dev/null
cp "$BIN/lister" "$BIN/lister.new"
printf x >>"$BIN/lister.new"
mv "$BIN/lister.new" "$BIN/lister"
refused "$BIN/lister" -n1 "$MNT/in/1"
finding() {
	local status=0
	"$@" >"$TEST_TMP/out" 2>&1 || status=$?
	[ $status = 1 ] || { cat "$TEST_TMP/out"; die "exit status $status: $*"; }
	grep -q "\[rule viewers\] does not match $BIN/lister: it is none of those" "$TEST_TMP/out" || { cat "$TEST_TMP/out"; die "the rule is not named: $*"; }
	! grep -q "does not match $BIN/viewer" "$TEST_TMP/out" || die "a rule that does match is named"
}
finding "$LAPSE" status "$MNT"
finding "$LAPSE" policy check --live "$TEST_TMP/policy.ini"
"$LAPSE" guard trust "$BIN/lister" "$MNT" >"$TEST_TMP/fragment"
NEW=$(sha256sum "$BIN/lister" | cut -c1-64)
printf '[programs listers]\npaths = %s\nsha256 = %s %s\n' "$BIN/lister" "$NEW" "$SUM" >"$TEST_TMP/want"
diff "$TEST_TMP/want" "$TEST_TMP/fragment" || die "the fragment"
python3 - "$TEST_TMP/policy.ini" "$TEST_TMP/fragment" <<'P'
import re, sys
text = open(sys.argv[1]).read()
new = re.sub(r"\[programs listers\][^\[]*", lambda m: open(sys.argv[2]).read() + "\n", text)
assert new != text
open(sys.argv[1], "w").write(new)
P
check "the new digest" "$LAPSE" policy apply --reason upgrade "$TEST_TMP/policy.ini" "$MNT" >/dev/null
reads "$BIN/lister" -n1 "$MNT/in/1"
check "the programs as they are now" "$LAPSE" policy check --live "$TEST_TMP/policy.ini" >/dev/null
rm "${BIN:?}/viewer"
{ "$LAPSE" policy check --live "$TEST_TMP/policy.ini" 2>&1 || true; } | grep -q "does not match $BIN/viewer: there is no such file" || die "a program that is gone"
"$LAPSE" guard trust "$BIN/other" "$MNT" | grep -q '^; a rule has to name it: programs = other$' || die "a program that no rule names"
refuse "absolute path" "$LAPSE" guard trust bin/other "$MNT"
printf '#!/bin/sh\n' >"$BIN/script"
"$LAPSE" guard trust "$BIN/script" "$MNT" 2>&1 >/dev/null | grep -q "is a script: what runs is its interpreter" || die "a script is printed as if it could be believed"
umount_archive

note "lapse init --service: what reads automatically reads without limit"
check "init" "$LAPSE" init "$TEST_TMP/second" --key-file "$KEY" --no-recovery-key --anchor "$TEST_TMP/anchor2" --expire-after 30d --service lapse-idx.service >/dev/null 2>&1
"$LAPSE" policy show --key-file "$KEY" "$TEST_TMP/second" | grep -A3 '^\[rule service\]' | grep -q '^services = lapse-idx.service$' || die "the rule is missing"
refuse "is no unit of the system" "$LAPSE" init "$TEST_TMP/third" --key-file "$KEY" --no-recovery-key --anchor "$TEST_TMP/anchor3" --expire-after 30d --service 'x y'
