#!/bin/bash
# Rules on programs, services and origins, by processes as they are: what is the program that the rule names, what is something else under its name, and whom a
# file server's reads are charged to.
. "$(dirname "$0")/lib.sh"
as t1 true
as t2 true
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

OURS=system.slice/system-lapse.slice/lapse-idx.service
for group in $OURS user.slice/system.slice/lapse-idx.service system.slice/lapse-idx.service.d/lapse-idx.service; do service_new $group; done
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
	refused "$BIN/other" "$MNT/in/1"
	refused cat "$MNT/in/1"

	note "$transport: a service, by its place below system.slice, and nobody who only calls himself so"
	[ "$(service $OURS cat "$MNT/in/1")" = "image 1" ] || die "the service"
	refuse "Permission denied" service user.slice/system.slice/lapse-idx.service cat "$MNT/in/1"
	refuse "Permission denied" service system.slice/lapse-idx.service.d/lapse-idx.service cat "$MNT/in/1"
	refuse "Permission denied" cat "$MNT/in/1"
	umount_archive
done
