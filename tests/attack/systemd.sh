#!/bin/bash
# A real systemd with a real login manager: process 1 of a machine made of namespaces, with control groups, a bus, logind and an sshd of its own. The packaged unit mounts the
# archive there, with the key encrypted to the machine. What must happen: a rule on a service is about the unit that this machine's systemd runs in its system.slice, and about
# nothing that only calls itself so: not in a user's manager, below another unit, in a container, or seen from outside of this machine. One person has one budget, whichever
# unit, timer or session he comes by, and an origin is what logind wrote.
# attack items: 28 41 54
# timeout: 240
. "$(dirname "$0")/../mount/lib.sh"
users t1 t2 t3 t4 t5
login_uids
rules <<'E'
[rule service]
services = lapse-svc.service
effect = permit
budget = none

[rule by-ssh]
users = lapse-t3
origin = ssh
effect = permit
budget = three

[rule by-service]
users = lapse-t4
origin = service
effect = permit
budget = three

[rule one]
users = lapse-t1
effect = permit
budget = three

[rule locked]
users = lapse-t5
effect = permit
budget = one

[budget three]
files = 3/10min

[budget one]
files = 1/10min
on-exceed = lockout

[break-glass]
approve = second-person
E
expect_log 'refused: uid'
expect_log 'detached the mount that a dead daemon had left'
expect_log 'told by a signal to end'
expect_log 'nonsense|1 error; nothing was changed'
# Two archives by the same policy: one is the machine's, the other is mounted outside of it, before it starts, and seen from there as well.
INNER=$TEST_TMP/inner INSTANCE=$(systemd-escape -p "$TEST_TMP/inner")
archive_new "$TEST_TMP/policy.ini"
mount_archive
images 9
check "init" "$LAPSE" init "$INNER" --key-file "$KEY" --no-recovery-key --policy "$TEST_TMP/policy.ini" --anchor "$TEST_TMP/anchor.inner" >/dev/null 2>&1

# ---- the machine ---------------------------------------------------------------------------------------------------------------------------------

UNITS=$TEST_TMP/units OUT=$TEST_TMP/out
mkdir -p "$UNITS/lapse@.service.d" "$UNITS/user@.service.d" "$UNITS/user" "$TEST_TMP/none" "$TEST_TMP/conf${INNER%/*}"
mkdir -m 1777 "$OUT"
: >"$TEST_TMP/console"
for unit in system/{dbus.socket,dbus.service,systemd-logind.service,user@.service,user-runtime-dir@.service,user.slice} user/{exit.target,systemd-exit.service}; do
	file=$(ls "/usr/lib/systemd/$unit" "/lib/systemd/$unit" 2>/dev/null | head -n 1)
	[ -n "$file" ] || die "systemd, dbus and libpam-systemd have to be installed: there is no $unit"
	cp "$file" "$UNITS/${unit#system/}"
done
for unit in sysinit basic shutdown sockets default; do printf '[Unit]\nDescription=%s\n' $unit | tee "$UNITS/$unit.target" >"$UNITS/user/$unit.target"; done
printf '[Service]\nEnvironment=SYSTEMD_UNIT_PATH=%s\n' "$UNITS/user" >"$UNITS/user@.service.d/test.conf"
printf 'Wants=dbus.socket systemd-logind.service sshd.service\n' >>"$UNITS/default.target"
sed "s|^Exec\(.*\)=lapse|Exec\1=$LAPSE|; s|/etc/lapse%f|$TEST_TMP/conf%f|" "$SRC/packaging/systemd/lapse@.service" >"$UNITS/lapse@.service"
printf '[Service]\nEnvironment=XDG_STATE_HOME=%s\nStandardError=append:%s\n' "$XDG_STATE_HOME" "$DAEMON_LOG" >"$UNITS/lapse@.service.d/test.conf"
printf '[Service]\nExecStart=%s -D -e -f %s/sshd.conf\nRuntimeDirectory=sshd\nStandardError=append:%s/sshd.log\n' \
	"$(command -v sshd)" "$TEST_TMP" "$TEST_TMP" >"$UNITS/sshd.service"
ssh-keygen -q -t ed25519 -N '' -f "$TEST_TMP/host"
ssh-keygen -q -t ed25519 -N '' -f "$TEST_TMP/person"
cat >"$TEST_TMP/sshd.conf" <<E
Port 22
ListenAddress 127.0.0.1
HostKey $TEST_TMP/host
AuthorizedKeysFile $TEST_TMP/person.pub
StrictModes no
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
E
cat >"$TEST_TMP/boot" <<'E'
#!/bin/bash
# boot: in a control group of its own. Nobody has logged in on a machine that starts.
set -eu
cd "${0%/*}"
echo $$ >"$1/cgroup.procs"
[ "$(cat /proc/self/loginuid)" = 4294967295 ] || echo 4294967295 >/proc/self/loginuid
exec unshare --pid --fork --kill-child --mount --propagation private --cgroup --uts --ipc --net ./one
E
cat >"$TEST_TMP/one" <<'E'
#!/bin/bash
# one: process 1. What it could change for the machine that it is made of is read-only, or its own.
set -eu
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib/systemd
mount --bind /etc /etc
mount -o remount,bind,ro /etc
[ ! -e /dev/console ] || mount --bind console /dev/console
mount --make-rshared / # as systemd does itself where it starts a machine
exec env -i container=other PATH="$PATH" SYSTEMD_UNIT_PATH="$PWD/units" SYSTEMD_GENERATOR_PATH="$PWD/none" SYSTEMD_LOG_TARGET=console SYSTEMD_SHOW_STATUS=0 \
	"$(ls /usr/lib/systemd/systemd /lib/systemd/systemd 2>/dev/null | head -n 1)" --system
E
chmod 755 "$TEST_TMP/boot" "$TEST_TMP/one"
machine='' group=
halt() {
	local n
	[ -z "$machine" ] || { kill -KILL "$machine" 2>/dev/null || true; wait "$machine" 2>/dev/null || true; }
	machine=
	for ((n = 0; n < 100; n++)); do
		find "${group:?}" -depth -type d -exec rmdir {} + 2>/dev/null || true
		[ -d "$group" ] || break
		sleep 0.1
	done
	! mountpoint -q "$TEST_TMP/groups" || umount "$TEST_TMP/groups"
}
# Not mounted once more where it is: that would change its options for everybody.
top=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
if [ -z "$top" ]; then
	top=$TEST_TMP/groups
	mkdir "$top"
	mount -t cgroup2 cgroup2 "$top"
fi
group=$top/lapse-machine.$$
at_end halt
mkdir "$group"
"$TEST_TMP/boot" "$group" >>"$TEST_TMP/console" 2>&1 </dev/null & machine=$!
inside() { timeout 60 nsenter -t "$one" --mount --pid --cgroup --uts --ipc --net -- "$@"; }
begun() { one=$(pgrep -P "$machine") && [ -n "$one" ] && [ "$(cat "/proc/$one/comm")" = systemd ] && inside test -S /run/systemd/private; }
wait_until 60 begun
by_ssh() { # by_ssh USER COMMAND…
	inside ssh -F none -i "$TEST_TMP/person" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes \
		"lapse-$1@127.0.0.1" "$(printf '%q ' "${@:2}")" </dev/null 2>>"$TEST_TMP/console"
}
answers() { [ "$(by_ssh t1 cat /proc/self/loginuid)" = "$(id -u lapse-t1)" ]; }
wait_until 60 answers

# What comes of a command in a unit of the machine's, and in one of a user's own manager, which never ends: properties come first, then --.
# What has ended may keep its name for a moment.
no_unit() { [ "$("${@:1:$#-1}" show --property LoadState --value "${!#}")" = not-found ]; } # no_unit SYSTEMCTL… UNIT
name_free() { # name_free SYSTEMCTL… -- property…
	local words=("$@") command=() word
	while [ "$1" != -- ]; do command+=("$1"); shift; done
	for word in "${words[@]}"; do
		case $word in --unit=*) wait_until 30 no_unit "${command[@]}" "${word#--unit=}.service" ;; esac
	done
}
unit() {
	name_free inside systemctl -- "$@"
	inside systemd-run --quiet --pipe --wait --collect "$@" 2>>"$TEST_TMP/console" </dev/null
}
own_unit() { # own_unit USER property… -- COMMAND…
	local user=lapse-$1 id me
	shift
	id=$(id -u "$user")
	me=(inside setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups env XDG_RUNTIME_DIR="/run/user/$id")
	: >"$OUT/own"
	chmod 666 "$OUT/own"
	inside systemctl start "user@$id"
	name_free "${me[@]}" systemctl --user -- "$@"
	"${me[@]}" systemd-run --user --quiet --collect --service-type=oneshot -p StandardOutput="append:$OUT/own" "$@" 2>>"$TEST_TMP/console" || true
	cat "$OUT/own"
}
by_timer() { # by_timer USER SAYS FILE UNIT: what the unit says that a timer begins
	name_free inside systemctl -- "--unit=$4"
	check "a timer" inside systemd-run --quiet --on-active=0 --timer-property=AccuracySec=1ms --unit="$4" --uid="lapse-$1" -p "StandardOutput=truncate:$OUT/timer" \
		-p "StandardError=append:$OUT/timer" cat "$INNER/in/$3"
	wait_until 30 grep -qs "$2" "$OUT/timer"
	wait_until 30 no_unit inside systemctl "$4.timer"
}
# shown IMAGE WAY…: what that way makes of `cat`
shown() { "${@:2}" sh -c 'cat "$0" 2>&1' "${IN:-$INNER/in}/$1" || true; }
reads() { [ "$(shown "${@:2}")" = "image $2" ] || die "$1: it does not read file $2: $(shown "${@:2}")"; }
refused() { [[ $(shown "${@:2}") == *"$REFUSED" ]] || die "$1: file $2 is not refused ($REFUSED): $(shown "${@:2}")"; }
spent() { REFUSED="Disk quota exceeded" refused "$@"; }
REFUSED="Permission denied"

note "the packaged unit, with its key encrypted to the machine and its options; it comes back when the daemon is killed, and reloads a policy that is one"
check "a place for the key" inside mkdir -m 700 /run/credstore.encrypted
check "systemd-creds" inside systemd-creds encrypt --with-key=host --name=lapse.key "$KEY" "/run/credstore.encrypted/lapse-$INSTANCE.key" 2>>"$TEST_TMP/console"
echo "LAPSE_OPTIONS=--policy=$TEST_TMP/options.ini" >"$TEST_TMP/conf$INNER.conf"
sed '/^default-class/a contact = by the options' "$TEST_TMP/policy.ini" >"$TEST_TMP/options.ini"
check "systemctl start" inside systemctl start "lapse@$INSTANCE"
mounted() { [ "$(inside systemctl is-active "lapse@$INSTANCE")" = active ] && inside mountpoint -q "$INNER"; }
mounted || die "the unit is not active, or mounts nothing"
! mountpoint -q "$INNER" || die "the mount is seen outside of the machine"
check "images" inside cp -r "$MNT/in" "$INNER/in"
main_pid() { inside systemctl show --property MainPID --value "lapse@$INSTANCE"; }
was=$(main_pid)
check "kill" inside kill -KILL "$was"
back() { [ "$(main_pid)" != "$was" ] && mounted; }
wait_until 60 back
inside "$LAPSE" policy show "$INNER" | grep -qx 'contact = by the options' || die "the options in its file are not the daemon's"
sed '/^default-class/a contact = the desk' "$TEST_TMP/policy.ini" >"$TEST_TMP/conf$INNER.ini"
check "systemctl reload" inside systemctl reload "lapse@$INSTANCE"
inside "$LAPSE" policy show "$INNER" | grep -qx 'contact = the desk' || die "what was reloaded is not in force"
echo nonsense >>"$TEST_TMP/conf$INNER.ini"
! inside systemctl reload "lapse@$INSTANCE" 2>>"$TEST_TMP/console" || die "it reloads what is no policy"
mounted || die "after that it is not active, or mounts nothing"

note "41: a rule on a service is about the unit of the machine's systemd, in whichever slice of system.slice, by hand or by a timer"
reads "the service" 1 unit --unit=lapse-svc --uid=lapse-t2 --
reads "the service in a slice" 2 unit --unit=lapse-svc --uid=lapse-t2 --slice=system-some.slice --
by_timer t2 "^image 3$" 3 lapse-svc
refused "another unit" 1 unit --unit=lapse-other --uid=lapse-t2 --
refused "a scope of that name" 1 unit -- systemd-run --quiet --scope --unit=lapse-svc --uid=lapse-t2
IN=$MNT/in reads "the archive that is mounted outside" 1 unit --uid=lapse-t1 --
IN=$MNT/in refused "the machine's service, as the world outside sees it" 1 unit --unit=lapse-svc --uid=lapse-t2 --

note "41: what only calls itself so: in a user's own manager, below another unit, in containers that see themselves in system.slice"
# attempt WAY SEEN COMMAND…: what the process is told of its own control group ends so, and it reads nothing
attempt() {
	local seen
	seen=$("${@:3}" grep ^0:: /proc/self/cgroup || true)
	[[ $seen == *$2 ]] || die "$1: the attack is not what it should be: $seen"
	refused "$1" 1 "${@:3}"
}
cat >"$TEST_TMP/below" <<'E'
#!/bin/sh
# below COMMAND…: runs it in system.slice/lapse-svc.service below the control group that it is in, which is its own
at=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir -p "$at/system.slice/lapse-svc.service" || exit 1
[ -z "$BOX" ] || exec unshare --user --cgroup sh -c 'echo $$ >"$0/system.slice/lapse-svc.service/cgroup.procs" && exec "$@"' "$at" "$@"
echo $$ >"$at/system.slice/lapse-svc.service/cgroup.procs" && exec "$@"
E
chmod 755 "$TEST_TMP/below"
below=(-p Delegate=yes -p Environment=BOX= -- "$TEST_TMP/below") box=(-p Delegate=yes -p Environment=BOX=yes -- "$TEST_TMP/below")
attempt "a user's own" @*/app.slice/lapse-svc.service own_unit t2 --unit=lapse-svc --
attempt "a user's own, in a system.slice of his" /system.slice/lapse-svc.service own_unit t2 --unit=lapse-svc --slice=system.slice --
attempt "below another unit" /system.slice/box.service/system.slice/lapse-svc.service unit --unit=box --uid=lapse-t2 "${below[@]}"
attempt "below a user's own unit" /app.slice/box.service/system.slice/lapse-svc.service own_unit t2 --unit=box "${below[@]}"
attempt "in a container" 0::/system.slice/lapse-svc.service unit --unit=box --uid=lapse-t2 "${box[@]}"
attempt "in a user's own container" 0::/system.slice/lapse-svc.service own_unit t2 --unit=box "${box[@]}"

note "41: into the service while it runs: by its control group, by asking systemd, by beginning it again"
check "the service" inside systemd-run --quiet --unit=lapse-svc -p Type=exec -p Delegate=yes sleep infinity
group_of=/sys/fs/cgroup/system.slice/lapse-svc.service
[ "$(inside wc -l <"/proc/$one/root$group_of/cgroup.procs")" = 1 ] || die "the service does not run in $group_of"
may_not() { # may_not SAYING COMMAND: t2 in a session
	local said
	said=$(by_ssh t2 sh -c "exec 2>&1; $2" || true)
	[[ $said =~ $1 ]] || die "should have been refused ($1): $2: $said"
}
may_not "Permission denied" "echo \$\$ >$group_of/cgroup.procs"
may_not "Access denied" "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager AttachProcessesToUnit ssau lapse-svc.service '' 1 \$\$"
may_not "Access denied|authentication" "systemd-run --no-ask-password --unit=lapse-svc2 true"
[ "$(inside wc -l <"/proc/$one/root$group_of/cgroup.procs")" = 1 ] || die "somebody has come into the service"
check "stop" inside systemctl stop lapse-svc

note "28: one person, one budget: a file by ssh, one by a unit, one by a unit of his own; and then no fourth by any of these, a timer, a scope, or a unit with a login"
reads "ssh" 1 by_ssh t1
reads "systemd-run --uid" 2 unit --uid=lapse-t1 --
reads "systemd-run --user" 3 own_unit t1 --
by_timer t1 "Disk quota exceeded" 4 job
login=(--uid=lapse-t1 -p PAMName=login --)
[ "$(unit "${login[@]}" cat /proc/self/loginuid)" = "$(id -u lapse-t1)" ] || die "a unit with a login has no login uid"
for way in "by_ssh t1" "unit --uid=lapse-t1 --" "own_unit t1 --" "own_unit t1 --slice=system.slice --" "unit ${login[*]}" "unit -- systemd-run --quiet --scope --uid=lapse-t1"; do
	# shellcheck disable=SC2086
	{ spent "$way" 4 $way; reads "$way" 1 $way; }
done
unit --unit=lapse-svc --uid=lapse-t1 -- cat "$INNER/in/4" | grep -qx "image 4" || die "the service, whom another rule permits"

note "28: an origin is what logind wrote: ssh, and nothing else that one begins from there"
reads "ssh, whom a rule lets in by ssh" 1 by_ssh t3
refused "a unit, whom a rule lets in by ssh" 1 unit --uid=lapse-t3 --
refused "a unit of his own, whom a rule lets in by ssh" 1 own_unit t3 --
reads "a unit, whom a rule lets in as a service" 1 unit --uid=lapse-t4 --
refused "ssh, whom a rule lets in as a service" 1 by_ssh t4
refused "a unit of his own, whom a rule lets in as a service" 1 own_unit t4 --
refused "a unit with a login, whom a rule lets in as a service" 1 unit --uid=lapse-t4 -p PAMName=login --

note "54: who is locked out, and becomes root, does not let himself in by a unit, a scope or a login of root's, which have no login uid of a person; another does"
reads "ssh, whom a budget locks out" 1 by_ssh t5
refused "the second file" 2 by_ssh t5
refused "locked out" 1 by_ssh t5
let_in=("$LAPSE" guard unlock --user lapse-t5 --reason "let me in" "$INNER")
may_not_unlock() { # may_not_unlock SAYING WAY…
	local said
	! said=$("${@:2}" sh -c 'exec "$@" 2>&1' - "${let_in[@]}") || die "should have been refused: ${*:2}: $said"
	[[ $said == *"$1"* ]] || die "should have said '$1', but said '$said': ${*:2}"
	refused "still locked out" 1 by_ssh t5
}
logged_in() { inside sh -c 'echo "$1" >/proc/self/loginuid && shift && exec "$@"' - "$@"; }
may_not_unlock "nobody ends a lockout of their own" logged_in "$(id -u lapse-t5)"
may_not_unlock "who asks has no login uid, or root's" unit --
may_not_unlock "who asks has no login uid, or root's" unit -- systemd-run --quiet --scope
may_not_unlock "who asks has no login uid, or root's" unit -p PAMName=login --
check "another" logged_in "$(id -u lapse-t4)" "$LAPSE" guard unlock --user lapse-t5 --reason "talked to him" "$INNER" >/dev/null
reads "let in by another" 1 by_ssh t5

check "systemctl stop" inside systemctl stop "lapse@$INSTANCE"
! inside mountpoint -q "$INNER" || die "the unit has stopped, and the archive is still mounted"
halt
umount_archive
