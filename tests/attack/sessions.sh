#!/bin/bash
# New sessions and new uids for one person: su, runuser, sudo, newgrp, at, containers with subordinate uids, jobs without a terminal. What must happen: whoever has logged in pays,
# whatever he becomes; without a login uid every uid pays, and everybody together.
. "$(dirname "$0")/../mount/lib.sh"
users t1 t2 t3 t4
login_uids
rules <<'E'
[rule archive]
groups = lapse-vault
effect = permit
budget = wide

[rule everyone]
effect = permit
budget = three

[budget three]
files = 3/10min

[budget wide]
files = 500/10min

[budget all]
per = everyone
files = 150/24h
E
getent group lapse-vault >/dev/null || groupadd --system lapse-vault
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
images 9
umount_archive
mount_archive
came() { # came FIRST LAST COMMAND…: how many of these files come out of `COMMAND FILE`
	local n=0 i first=$1 last=$2
	shift 2
	for i in $(seq "$first" "$last"); do [ "$(timeout 20 "$@" "$MNT/in/$i" 2>/dev/null </dev/null)" != "image $i" ] || n=$((n + 1)); done
	echo $n
}
cat >"$TEST_TMP/logged-in" <<'E'
#!/bin/sh
# logged-in LOGIN COMMAND…: as somebody who has logged in as LOGIN, and is root now
echo "$1" >/proc/self/loginuid && shift && exec "$@"
E
cat >"$TEST_TMP/subordinate" <<'E'
#!/usr/bin/python3
# subordinate UID OUTER COMMAND…: as UID, in a user namespace where it has been given uid OUTER beside its own, as newuidmap does, and has become that
import ctypes, os, sys
uid, outer = int(sys.argv[1]), int(sys.argv[2])
(ready, made), (go, mapped) = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    ctypes.CDLL(None).unshare(0x10000000)
    os.write(made, b"x")
    os.read(go, 1)
    os.setresuid(1, 1, 1)
    os.close(made)
    os.execvp(sys.argv[3], sys.argv[3:])
os.read(ready, 1)
with open(f"/proc/{pid}/uid_map", "w") as f:
    f.write(f"0 {uid} 1\n1 {outer} 1\n")
os.write(mapped, b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
E
chmod 755 "$TEST_TMP/logged-in" "$TEST_TMP/subordinate"
L=$TEST_TMP/logged-in S=$TEST_TMP/subordinate T2=$(id -u lapse-t2)

note "28: a person who has logged in and has read three files becomes another: by su, runuser, sudo, setpriv, newgrp, in containers, detached"
login=45000
becomes() { # becomes WHAT COMMAND…: another file does not come, and one of before does
	login=$((login + 1))
	[ "$("$L" $login setpriv --reuid $login --regid $login --clear-groups cat "$MNT"/in/[123] | wc -l)" = 3 ] || die "$1: three files"
	[ "$(came 4 4 "$L" $login "${@:2}")" = 0 ] || die "$1 made another reader"
	[ "$(came 1 1 "$L" $login "${@:2}")" = 1 ] || die "$1: it does not read what is paid for, so nothing was tried"
}
becomes "su" su -s /bin/sh lapse-t2 -c 'cat "$0"' --
becomes "su to a fresh user" setpriv --reuid 45900 --regid 45900 --clear-groups cat
becomes "su -" su -s /bin/cat lapse-t1 --
becomes "runuser" runuser -u lapse-t3 -- cat
becomes "sudo" sudo -n -u lapse-t4 cat
becomes "sg" sh -c 'sg lapse-vault -c "cat $0"'
becomes "newgrp" sh -c 'echo "cat $0" | newgrp lapse-vault'
becomes "setsid" setsid -w setpriv --reuid 45901 --clear-groups cat
becomes "nohup" nohup setpriv --reuid 45902 --clear-groups cat
becomes "a container" unshare --fork --pid --mount --uts --ipc --net --cgroup setpriv --reuid 45903 --clear-groups cat
becomes "a container of a user's" unshare -Urpmf cat
becomes "a container within a container" unshare -Ur unshare -Ur cat
becomes "a subordinate uid" "$S" 45904 45905 cat
becomes "a file whose descriptor root opens" sh -c 'cat <"$0"'

note "29: whoever has logged in and has read three files sets his login uid anew, to another's, to root's, to the number that means unset: without privileges he cannot"
cat >"$TEST_TMP/anew" <<'E'
#!/bin/sh
# anew NEXT FILE: sets the login uid, if it may, and says which it is then; and reads the file
echo "$1" 2>/dev/null >/proc/self/loginuid
cat /proc/self/loginuid >&3
exec cat "$2"
E
chmod 755 "$TEST_TMP/anew"
[ "$(came 1 3 "$L" 45950 setpriv --reuid 45951 --clear-groups cat)" = 3 ] || die "three files"
fresh=45951 # one that has read nothing, each time, so that what is refused is refused to the login uid
for next in 45970 4294967295 0 "$T2"; do
	fresh=$((fresh + 1))
	[ "$(came 4 6 "$L" 45950 setpriv --reuid $fresh --clear-groups "$TEST_TMP/anew" $next 3>"$TEST_TMP/login")" = 0 ] || die "login uid $next after 45950"
	[ "$(cat "$TEST_TMP/login")" = 459504595045950 ] || die "the kernel let somebody without privileges set his login uid anew: $(cat "$TEST_TMP/login")"
	[ "$(came 4 6 setpriv --reuid $fresh --clear-groups cat)" = 3 ] || die "uid $fresh has nothing left of its own, so nothing was tried"
done

note "29: root sets it anew, and so leaves the old one's budget behind: then the new one pays, with what it has read before, and whoever he becomes"
while read -r next left; do
	fresh=$((fresh + 1))
	[ "$(came 4 6 "$L" 45950 "$L" "$next" setpriv --reuid $fresh --clear-groups cat)" = "$left" ] || die "login uid $next after 45950: not $left files"
	[ "$(came 7 9 "$L" 45950 "$L" "$next" setpriv --reuid $fresh --clear-groups cat)" = 0 ] || die "uid $fresh does not pay"
	[ "$(came 4 6 "$L" 45950 setpriv --reuid $fresh --clear-groups cat)" = 0 ] || die "the old login uid has a new budget"
done <<<"45970 3
4294967295 3
0 3
$T2 2" # of the three of t2, su has read one
for next in 45970 "$T2"; do
	fresh=$((fresh + 1))
	[ "$(came 7 9 "$L" 45950 "$L" "$next" setpriv --reuid $fresh --clear-groups cat)" = 0 ] || die "the new login uid $next does not pay"
done
[ "$(came 4 6 setpriv --reuid 45951 --clear-groups cat)" = 0 ] || die "without a login uid"

note "28: without a login uid a subordinate uid is a reader of its own, and so is a fresh user of root's: all of them together are bounded"
[ "$(came 1 3 "$S" 45960 45961 cat)" = 3 ] && [ "$(came 4 4 "$S" 45960 45961 cat)" = 0 ] || die "a subordinate uid's own three"
for i in $(seq 10 170); do echo "image $i" >"$MNT/in/$i"; done
everybody() { "$LAPSE" guard status "$MNT" --budget all --json | python3 -c 'import json, sys; print(next(r["used"] for r in json.load(sys.stdin)["guard"]))'; }
before=$(everybody)
total=$(python3 - "$MNT/in" <<'P'
import os, sys
total = 0
for n in range(53):
    pid = os.fork()
    if pid == 0:
        os.setresuid(*[46000 + n] * 3)
        got = 0
        for i in range(3):
            try:
                os.close(os.open(f"{sys.argv[1]}/{10 + 3 * n + i}", os.O_RDONLY))
                got += 1
            except OSError:
                pass
        os._exit(got)
    total += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(total)
P
)
[ $((before + total)) = 150 ] && [ "$(everybody)" = 150 ] || die "$total files by fifty-three users, $before before, $(everybody) of everybody"
umount_archive
