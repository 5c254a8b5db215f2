#!/bin/bash
# identity = uid: behind a file server the clients are the readers, each with a budget of his own, and neither the server's own uid nor who started it pays or is asked.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/smbd.bash"
for user in t1 t2 t3; do as $user true; done
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule clients]
services = lapse-smbd.service
identity = uid
users = lapse-t1 lapse-t2
effect = permit
budget = three

[budget three]
files = 3/24h
error = access
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
service_new system.slice/lapse-smbd.service
mkdir "$MNT/share" "$MNT/share/old" "$TEST_TMP/client"
for n in $(seq 9); do head -c $((n * 30000)) /dev/urandom >"$TEST_TMP/client/$n.jpg"; done
cp "$TEST_TMP"/client/*.jpg "$MNT/share/old/"
chmod -R a+rwX "$MNT"
umount_archive # what root has made is nobody's own any more: those who read it are others
mount_archive
# shellcheck disable=SC2016
SMBD_IN=(bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$(group_top)/system.slice/lapse-smbd.service")
smbd_start one "$MNT/share" lapse-t1 two "$MNT/share" lapse-t2 three "$MNT/share" lapse-t3

# client SHARE COMMANDS: what smbclient says.
client() { (cd "$TEST_TMP/client" && timeout 60 smbclient -s "$SMB/conf" -N -p "$port" "//127.0.0.1/$1" -c "$2" </dev/null 2>&1) >"$TEST_TMP/said" || true; }
says() { grep -q -- "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "smbclient should have said: $1"; }; }
got() { cmp "$TEST_TMP/client/$1" "$TEST_TMP/client/$2" || die "$2 is not $1"; }
# How many of the old images a client gets.
gets() {
	local n got=0
	for n in $(seq "$2" "$3"); do
		rm -f "${TEST_TMP:?}/client/back"
		client "$1" "get old/$n.jpg back"
		! cmp -s "$TEST_TMP/client/$n.jpg" "$TEST_TMP/client/back" || got=$((got + 1))
	done
	echo $got
}

note "put, append, rename, list, get, delete"
client one 'put 1.jpg; put 2.jpg; ls; get 1.jpg back; rename 2.jpg two.jpg; ls; get two.jpg back2'
got 1.jpg back
got 2.jpg back2
says ' two.jpg '
head -c 90000 "$TEST_TMP/client/9.jpg" >"$TEST_TMP/client/begun"
client one 'put begun long.jpg; reput 9.jpg long.jpg; get long.jpg back; mkdir d; rename long.jpg d/long.jpg; ls d/*'
says ' long.jpg '
client one 'del d/long.jpg; rmdir d; del 1.jpg; ls'
! grep -q ' 1.jpg ' "$TEST_TMP/said" || die "1.jpg was not deleted"

note "each client has its own budget; what it put itself is free; who has no rule gets nothing"
[ "$(gets one 1 5)" = 3 ] || die "the first client gets three images, not $(gets one 1 5)"
client one 'get two.jpg back2'
got 2.jpg back2
client one 'get old/4.jpg back'
says NT_STATUS_ACCESS_DENIED
[ "$(gets two 3 7)" = 3 ] || die "the second client gets three images"
[ "$(gets three 1 3)" = 0 ] || die "a client that no rule is about"

note "outside of the service there is no such rule: not for the clients, nor for root"
refuse "Permission denied" as t1 cat "$MNT/share/old/1.jpg"
refuse "Permission denied" cat "$MNT/share/old/1.jpg"

note "a user of the file server's does not become another by it: nobody but the service has the rule"
refuse "Permission denied" setpriv --ruid lapse-t3 --euid lapse-t1 --clear-groups -- cat "$MNT/share/old/1.jpg"

note "who was charged: the clients, and nobody else; so it is after a restart"
charged() {
	timeout 20 "$LAPSE" guard status "$MNT" --json | python3 -c '
import json, pwd, sys
text = sys.stdin.read()
used = {}
def walk(x):
    if isinstance(x, dict):
        if "budget" in x and "used" in x:
            used[x.get("uid", x.get("user"))] = x["used"]
        for v in x.values():
            walk(v)
    elif isinstance(x, list):
        for v in x:
            walk(v)
walk(json.loads(text))
want = {pwd.getpwnam("lapse-t1").pw_uid: 3, pwd.getpwnam("lapse-t2").pw_uid: 3}
assert used == want, (used, want, text)' || die "others were charged"
}
charged
smbd_stop
umount_archive
mount_archive
charged
smbd_start one "$MNT/share" lapse-t1
[ "$(gets one 4 5)" = 0 ] || die "a restart refilled the first client's budget"
smbd_stop
umount_archive
