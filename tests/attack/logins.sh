#!/bin/bash
# Real ways in: a login by sshd, a job of cron's and of atd's, and from there su -, sudo, setsid, nohup. What must happen: one person is one
# principal with one budget, whichever way he comes, and a rule with an origin is about those who came that way.
# Of the login manager there is a stand-in where the others have pam_systemd, which writes what logind writes of a session. Logind itself, systemd-run and timers: attack/systemd.
# attack items: 28
# timeout: 240
. "$(dirname "$0")/../mount/lib.sh"
users t1 t2 t3 t4 t5
login_uids
rules <<'E'
[rule by-cron]
users = lapse-t3
origin = cron
effect = permit
budget = three

[rule by-ssh]
users = lapse-t4
origin = ssh
effect = permit
budget = three

[rule no-other-way]
users = lapse-t3 lapse-t4
effect = deny

[rule everyone]
effect = permit
budget = three

[budget three]
files = 3/10min
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
images 9

# ---- the daemons, with spools, process numbers and PAM of their own ----------------------------------------------------------------------------

OUT=$TEST_TMP/out
mkdir -m 1777 "$OUT"
mkdir -p /run/systemd/sessions
cat >"$TEST_TMP/standin" <<'E'
#!/bin/sh
# what pam_systemd has logind write
id=$(cat /proc/self/sessionid)
[ "$PAM_TYPE" = open_session ] && [ "$id" != 4294967295 ] || exit 0
printf 'UID=%s\nAUDIT=%s\nSERVICE=%s\nREMOTE=%s\nCLASS=user\n' "$(id -u "$PAM_USER")" "$id" "$PAM_SERVICE" "$([ -z "$PAM_RHOST" ]; echo $?)" >"/run/systemd/sessions/$id"
echo "/run/systemd/sessions/$id" >>"${0%/*}/sessions"
E
cat >"$TEST_TMP/world" <<'E'
#!/bin/sh
set -eu
cp -a /etc/pam.d pam.d
for service in sshd cron atd; do echo "session optional pam_exec.so quiet $TEST_TMP/standin" >>pam.d/$service; done
mount --bind pam.d /etc/pam.d
cp -a /etc/sudoers.d sudoers.d
echo 'lapse-t1 ALL=(ALL) NOPASSWD: ALL' >sudoers.d/lapse-logins
chmod 440 sudoers.d/lapse-logins
mount --bind sudoers.d /etc/sudoers.d
mount -t tmpfs none /var/spool/cron
install -d -m 1730 -g crontab /var/spool/cron/crontabs
install -d -m 1770 -o daemon -g daemon /var/spool/cron/atjobs /var/spool/cron/atspool
install -m 600 -o daemon -g daemon /dev/null /var/spool/cron/atjobs/.SEQ
mkdir -p run/sshd run/systemd/sessions
mount --bind /run/systemd/sessions run/systemd/sessions
mount --rbind run /run
: >ready
exec sleep infinity
E
chmod 755 "$TEST_TMP/standin" "$TEST_TMP/world"
daemons=()
# They have a mount namespace of their own, in which the archive would stay mounted.
end() {
	local pid
	for pid in "${daemons[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	daemons=()
}
forget_sessions() { while read -r file; do rm -f "${file:?}"; done <"$TEST_TMP/sessions"; }
: >"$TEST_TMP/sessions"
at_end forget_sessions
mkdir "$TEST_TMP/w"
(cd "$TEST_TMP/w" && exec unshare --mount --propagation slave "$TEST_TMP/world") & world=$!
daemons=("$world")
at_end end
wait_until 10 test -e "$TEST_TMP/w/ready"
inside() { timeout 60 nsenter -t $world --mount -- "$@"; }
begin() { # begin COMMAND…: one of the daemons
	nsenter -t $world --mount -- "$@" >>"$TEST_TMP/daemons.log" 2>&1 &
	daemons+=("$!")
}

ssh-keygen -q -t ed25519 -N '' -f "$TEST_TMP/host"
ssh-keygen -q -t ed25519 -N '' -f "$TEST_TMP/person"
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$TEST_TMP/sshd.conf" <<E
Port $PORT
ListenAddress 127.0.0.1
HostKey $TEST_TMP/host
AuthorizedKeysFile $TEST_TMP/person.pub
StrictModes no
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
E
begin "$(command -v sshd)" -D -e -f "$TEST_TMP/sshd.conf"
begin "$(command -v atd)" -f
by_ssh() { # by_ssh USER COMMAND
	timeout 60 ssh -F none -i "$TEST_TMP/person" -p "$PORT" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes \
		"lapse-$1@127.0.0.1" "$2" </dev/null 2>/dev/null
}
by_at() { # by_at USER COMMAND
	local out
	out=$(mktemp -u "$OUT/at.XXXX")
	echo "($2) >$out 2>/dev/null; : >$out.done" | inside setpriv --reuid "lapse-$1" --regid "$(id -g "lapse-$1")" --init-groups -- at -M now 2>/dev/null
	wait_until 60 test -e "$out.done"
	cat "$out"
}
reads() { [ "$("${@:3}" "cat $MNT/in/$2")" = "image $2" ] || die "$1: it does not read file $2"; }
refused() { [ -z "$("${@:3}" "cat $MNT/in/$2")" ] || die "$1: it reads file $2"; }
answers() { [ "$(by_ssh t1 'cat /proc/self/loginuid')" = "$(id -u lapse-t1)" ]; }
wait_until 60 answers

# ---- one budget ----------------------------------------------------------------------------------------------------------------------------------

note "28: three files by ssh; from then on no fourth: in another login, by at, by su - and sudo, in sessions and jobs that outlive the login"
[ "$(by_ssh t1 "cat $MNT/in/[123]" | wc -l)" = 3 ] || die "three files by ssh"
cat >"$TEST_TMP/ways" <<'E'
#!/bin/sh
# ways DIR: in a session, becomes another in every way, and reads file 4 and file 1; of each way, what came
try() { echo "$1: $(for i in 4 1; do "$@" cat "$DIR/$i" 2>/dev/null; done)"; }
DIR=$1
try env
try sudo -n -u lapse-t2
try sudo -n -i -u lapse-t2
try sudo -n
try sudo -n setsid -w
try setsid -w
try nohup
su_() { sudo -n su - lapse-t2 -s /bin/sh -c "$*"; }
try su_
try sudo -n sudo -n -u lapse-t2 setsid -w nohup
E
chmod 755 "$TEST_TMP/ways"
by_ssh t1 "$TEST_TMP/ways $MNT/in" >"$OUT/ways"
[ "$(grep -c '^[a-z_]*: image 1$' "$OUT/ways")" = 9 ] || { cat "$OUT/ways"; die "in a session, with three files read: file 1 has to come, file 4 must not"; }
by_ssh t1 "nohup setsid sh -c 'while kill -0 '\$PPID'; do sleep 0.05; done; cat $MNT/in/4 >$OUT/left; cat $MNT/in/2 >>$OUT/left; : >$OUT/left.done' >/dev/null 2>&1 &" || die "nohup"
wait_until 60 test -e "$OUT/left.done"
[ "$(cat "$OUT/left")" = "image 2" ] || die "a job that the login left behind: $(cat "$OUT/left")"
refused "at" 4 by_at t1
reads "at" 1 by_at t1
as_root() { inside su - lapse-t1 -s /bin/sh -c "$1" 2>/dev/null; }
refused "su - by root, who has not logged in" 4 as_root
reads "su - by root, who has not logged in" 1 as_root
as_root() { inside sudo -n -u lapse-t1 -- sh -c "$1" 2>/dev/null; }
refused "sudo by root, who has not logged in" 4 as_root

note "28: cron, which begins three files for one and finds another's spent; a rule by origin is about who came that way"
job() { # job USER NAME COMMAND
	echo "@reboot ($3) >$OUT/$2 2>/dev/null; : >$OUT/$2.done" >>"$TEST_TMP/crontab.$1"
}
job t1 t1 "cat $MNT/in/4 $MNT/in/1"
job t2 t2 "cat $MNT/in/6 $MNT/in/7 $MNT/in/8"
job t3 t3 "cat $MNT/in/1"
job t4 t4 "cat $MNT/in/1"
job t5 t5 "cat /proc/self/loginuid"
for u in t1 t2 t3 t4 t5; do inside crontab -u lapse-$u "$TEST_TMP/crontab.$u"; done
begin "$(command -v cron)" -f
for u in t1 t2 t3 t4 t5; do wait_until 60 test -e "$OUT/$u.done"; done
[ "$(cat "$OUT/t5")" = "$(id -u lapse-t5)" ] || die "cron's job has the login uid $(cat "$OUT/t5")"
[ "$(cat "$OUT/t1")" = "image 1" ] || die "cron, after three by ssh: $(cat "$OUT/t1")"
[ "$(cat "$OUT/t3") $(cat "$OUT/t4")" = "image 1 " ] || die "cron, whom a rule lets in by cron, and by ssh: $(cat "$OUT/t3"), $(cat "$OUT/t4")"
reads "ssh, whom a rule lets in by ssh" 1 by_ssh t4
refused "ssh, whom a rule lets in by cron" 1 by_ssh t3
for u in t3 t4; do refused "at, whom a rule lets in otherwise" 1 by_at $u; done
as_root() { inside su - "lapse-$1" -s /bin/sh -c "$2" 2>/dev/null; }
for u in t3 t4; do refused "su -, whom a rule lets in otherwise" 1 as_root $u; done
# t2 has three from cron, and had one more from t1's sudo, which was paid for before that
[ "$(wc -l <"$OUT/t2")" = 2 ] || die "t2 had read one for t1, and has two more by cron: $(cat "$OUT/t2")"
refused "ssh, after three by cron and sudo" 9 by_ssh t2
reads "ssh, after three by cron and sudo" 6 by_ssh t2

end
umount_archive
