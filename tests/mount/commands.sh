#!/bin/bash
# What people see of the commands: exit statuses, messages that say what to do, tables and JSON, keys, policies, fstab's helper, unmounting.
# ci: asan
# timeout: 240
# shellcheck disable=SC2086 # $without_terminal is two words
. "$(dirname "$0")/lib.sh"
cd "$TEST_TMP" || exit
# These daemons are in the background: lib.sh does not know them.
over() {
	mountpoint -q "$MNT" && { timeout 20 "$LAPSE" umount "$MNT" >/dev/null 2>&1 || umount -l "$MNT"; }
}
at_end over

# ends STATUS TEXT COMMAND…: the command ends so, and says that.
ends() {
	local status=$1 text=$2 got=0 out
	shift 2
	out=$(LC_ALL=C limited "$@" 2>&1 </dev/null) || got=$?
	[ "$got" = "$status" ] || die "exit status $got instead of $status: $* said: $out"
	[[ $out == *"$text"* ]] || die "should have said '$text', but said '$out': $*"
}
json() { python3 -c "import json,sys; d=json.load(sys.stdin); assert $1, d"; }
without_terminal="setsid -w"

note "usage"
ends 2 "did you mean 'status'" "$LAPSE" staus
ends 2 "did you mean 'policy apply'" "$LAPSE" policy aply
ends 2 "did you mean --within" "$LAPSE" queue --witin 3d
ends 2 "did you mean CLASS" "$LAPSE" queue -o CLAS "$ARC"
ends 2 "an operand is missing" "$LAPSE" explain
ends 0 "lapse 0." "$LAPSE" --version
for c in init mount umount status queue explain "policy check" "policy apply" "policy show" "anchor status" "anchor add" "anchor drop" "anchor backup" "anchor restore" "anchor reseed" destroy "audit destroyed" "clock status" "clock confirm" "key list" "key add" "key remove" "key change"; do
	# shellcheck disable=SC2086
	ends 0 "Usage: lapse $c" "$LAPSE" $c --help
done

note "init"
head -c 32 /dev/urandom >"$KEY"
chmod 600 "$KEY"
ends 2 "how long files may be kept" $without_terminal "$LAPSE" init "$ARC" --key-file "$KEY" --no-recovery-key
ends 2 "recovery key is shown on a terminal only" $without_terminal "$LAPSE" init "$ARC" --key-file "$KEY" -e 30d
ends 2 "is no unit of the system" "$LAPSE" init "$ARC" --key-file "$KEY" -e 30d --service smbd --no-recovery-key
ends 2 "no lifetime" "$LAPSE" init "$ARC" --key-file "$KEY" -e 30m --no-recovery-key
ends 3 "head -c 32 /dev/urandom" "$LAPSE" init "$ARC" --key-file "$TEST_TMP/none" -e 30d --no-recovery-key
ends 2 "lies inside the archive" "$LAPSE" init "$ARC" --key-file "$KEY" -e 30d --no-recovery-key --anchor "$ARC/anchor"
[ ! -e "$ARC" ] || die "a refused init left something behind"
archive_new
grep -q "aegis-256\|xchacha20" init.out || die "init does not say which suite"
grep -q "$TEST_TMP/anchor" init.out || die "init does not say where the anchor is"
ends 3 "already" "$LAPSE" init "$ARC" --key-file "$KEY" -e 30d --no-recovery-key
mkdir full
touch full/plain.jpg
ends 3 "is not empty (plain.jpg)" "$LAPSE" init full --key-file "$KEY" -e 30d --no-recovery-key
[ "$(ls -A full)" = plain.jpg ] || die "a refused init left something behind"
"$LAPSE" init second --key-file "$KEY" -e 30d --recovery-key-file rk --anchor "$TEST_TMP/anchor2" --anchor "$TEST_TMP/anchor3" >/dev/null
[ "$(stat -c %a rk)" = 600 ] || die "the recovery key's file is open to others"

note "what is not mounted, what is no archive, wrong keys"
ends 3 "no archive is mounted at" "$LAPSE" umount "$MNT"
ends 3 "lapse archive" "$LAPSE" mount /usr "$MNT" --key-file "$KEY"
ends 3 "no key file" "$LAPSE" mount "$ARC" "$MNT" --key-file nowhere
head -c 32 /dev/urandom >other
ends 3 "opens with this key" "$LAPSE" mount "$ARC" "$MNT" --key-file other
ends 3 "lapse key list" "$LAPSE" mount "$ARC" "$MNT" --key-file other
head -c 31 /dev/urandom >short
ends 3 "no key file: it has fewer than 32 bytes" "$LAPSE" mount "$ARC" "$MNT" --key-file short
ends 2 "no terminal to ask at" $without_terminal "$LAPSE" mount "$ARC" "$MNT"
ends 3 "mkdir" "$LAPSE" mount "$ARC" "$TEST_TMP/nowhere" --key-file "$KEY"
ends 0 "not mounted" "$LAPSE" status "$ARC" --key-file "$KEY"
"$LAPSE" status "$ARC" --key-file "$KEY" --json | json 'd["mountpoint"] == "" and d["attention"] == []'
"$LAPSE" anchor status second --key-file "$KEY" --json | json 'len(d["copies"]) == 2 and d["copies"][0]["state"] == "ok"'
"$LAPSE" key list second --json | json '[k["kind"] for k in d["keys"]] == ["key-file", "recovery"]'
ends 0 "expire-after = 1y" "$LAPSE" policy show "$ARC" --key-file "$KEY"

note "no /dev/fuse"
cat >nofuse.sh <<E
mount --bind /dev/null "$TEST_TMP/none" && mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9
exec timeout 30 "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
E
touch none
ends 3 "there is no /dev/fuse" unshare -m bash nofuse.sh

note "mounted, twice, seen from below"
ends 0 "" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
ends 3 "is mounted already, at $MNT" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
ends 3 "is mounted already" "$LAPSE" mount "$ARC" --key-file "$KEY"
ends 3 "already the mountpoint" "$LAPSE" mount second "$MNT" --key-file "$KEY"
mkdir "$MNT/in"
head -c 60000 /dev/urandom >"$MNT/in/a b.jpg"
ln -s "a b.jpg" "$MNT/in/link"
ends 0 "Transport" "$LAPSE" status "$MNT/in"
(cd "$MNT/in" && ends 0 "$ARC, mounted at $MNT" "$LAPSE" status)
"$LAPSE" queue "$MNT" --json | json 'd["queue"][0]["class"] == "images" and d["queue"][0]["path"] == "in/a b.jpg" and 31000000 < d["queue"][0]["in"] <= 31622400'
[ "$("$LAPSE" queue "$MNT" --raw --noheadings -o path,size)" = 'in/a\x20b.jpg 58.5K' ] || die "raw output of queue"
"$LAPSE" queue "$MNT" --by day --json | json 'd["days"][0]["files"] == 1 and d["days"][0]["size"] == 60000'
"$LAPSE" queue "$MNT" --by class --json | json 'd["classes"][0]["class"] == "images" and d["classes"][0]["overdue"] == 0'
[ -z "$("$LAPSE" queue "$MNT" --within 30d --noheadings 2>/dev/null)" ] || die "queue --within shows what expires later"
[ "$("$LAPSE" queue "$MNT" --within 2y --noheadings | wc -l)" = 1 ] || die "queue --within"
ends 3 "no class 'plates'" "$LAPSE" queue "$MNT" --class plates
ends 2 "unit is missing" "$LAPSE" queue "$MNT" --within 30
"$LAPSE" explain "$MNT/in/a b.jpg" --json | json 'd["class-now"] == "images" and d["size"] == 60000 and d["guard"] == "permit" and d["shredded"] >= d["expires"]'
ends 0 "may read it by rule everyone" "$LAPSE" explain "$MNT/in/a b.jpg"
ends 0 "may read it by rule everyone" "$LAPSE" explain --as nobody "$MNT/in/link"
ends 0 "a directory" "$LAPSE" explain "$MNT/in"
ends 3 "has expired and is gone" "$LAPSE" explain "$MNT/in/gone.jpg"
ends 3 "lies in the backing store" "$LAPSE" explain "$ARC/.lapse-dir"
ends 3 "there is no user" "$LAPSE" explain --as no-such-user "$MNT/in"

note "others may not ask"
ends 3 "Only root and the user who mounted" as t1 "$LAPSE" status "$MNT"
ends 3 "Only root and the user who mounted" as t1 "$LAPSE" umount "$MNT"

note "policies"
sed 's/1y/1s/' open.ini >second.ini
sed 's/effect/efect/; s/expire-after/expire-afer/' open.ini >bad.ini
ends 1 "bad.ini:7: unknown key 'expire-afer' in [class images]; did you mean 'expire-after'" "$LAPSE" policy check bad.ini
ends 3 "bad.ini:10: " "$LAPSE" policy apply bad.ini "$MNT"
ends 0 "expire-after 1s" "$LAPSE" policy check second.ini
sleep 1.1 # the file is older than the new lifetime
ends 1 "Nothing was changed. To do it: the same command with --plan" "$LAPSE" policy apply second.ini "$MNT"
check "a policy refused changes nothing" cat "$MNT/in/a b.jpg" >/dev/null
sed 's/1y/2y/' open.ini >longer.ini
ends 0 "in force" "$LAPSE" policy apply longer.ini "$MNT"
"$LAPSE" policy show "$MNT" | cmp - longer.ini || die "policy show is not what was applied"
chmod o+w longer.ini
ends 3 "can be written by everyone" "$LAPSE" policy apply longer.ini "$MNT"
chmod o-w longer.ini

note "in use"
(cd "$MNT/in" && exec sleep 60) &
sleeper=$!
wait_until 10 bash -c "[ \"\$(readlink /proc/$sleeper/cwd)\" = '$MNT/in' ]"
ends 3 "sleep (pid $sleeper)" "$LAPSE" umount "$MNT"
kill "$sleeper"
wait "$sleeper" 2>/dev/null || true
ends 0 "" "$LAPSE" umount "$MNT"

note "at mount: a policy that expires nothing is applied, others are not"
ends 0 "" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" --policy open.ini
"$LAPSE" policy show "$MNT" | cmp - open.ini || die "mount --policy did not apply"
"$LAPSE" umount "$MNT"
ends 0 "Mounting with the sealed one. To change that: lapse policy plan second.ini" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" --policy second.ini
check "not applied" cat "$MNT/in/a b.jpg" >/dev/null
"$LAPSE" umount "$MNT"
ends 0 "bad.ini:7: " "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" --policy bad.ini
"$LAPSE" policy show "$MNT" | cmp - open.ini || die "a broken policy replaced the sealed one"

note "keys, mounted and not"
echo "a passphrase" >pw
ends 0 "Added key 2" "$LAPSE" key add "$MNT" --key-file "$KEY" --new-passphrase-fd 5 --label boss 5<pw
head -c 32 /dev/urandom >new
ends 3 "does not open" "$LAPSE" key add "$MNT" --key-file other --new-key-file new
"$LAPSE" umount "$MNT"
ends 0 "Added key 3" "$LAPSE" key add "$ARC" --passphrase-fd 5 --new-key-file other 5<pw
ends 3 "keys of this kind" "$LAPSE" key change "$ARC" --key-file "$KEY" --new-key-file other
ends 0 "Key 4 takes the place of key 3" "$LAPSE" key change "$ARC" 3 --key-file "$KEY" --new-key-file other
ends 0 "Removed key 2" $without_terminal "$LAPSE" key remove "$ARC" 2 --key-file "$KEY"
ends 3 "opens with this key" "$LAPSE" mount "$ARC" "$MNT" --passphrase-fd 5 5<pw
"$LAPSE" key list "$ARC" --json | json '[k["number"] for k in d["keys"]] == [1, 4]'
ends 0 "Removed key 1" "$LAPSE" key remove --yes "$ARC" 1 --key-file "$KEY"
ends 3 "last" "$LAPSE" key remove --yes "$ARC" 4 --key-file other
ends 3 "opens with this key" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
cp other "$KEY"
ends 0 "" "$LAPSE" mount second "$MNT" --key-file rk
[ -d /run/lapse/second ] || die "no runtime directory named after the archive"
"$LAPSE" umount "$MNT"
[ ! -e /run/lapse/second ] || die "the runtime directory is still there"

note "the key as a credential, and the terminal"
mkdir cred
cp "$KEY" cred/lapse.key
ends 0 "" env CREDENTIALS_DIRECTORY="$TEST_TMP/cred" "$LAPSE" mount "$ARC" "$MNT"
"$LAPSE" umount "$MNT"
cat >terminal.py <<'P'
import os, pty, select, sys, time
# asks.py COMMAND… : answers each question on a terminal with the lines in $ANSWERS; fails if an answer is echoed
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
answers, said, since, end = os.environ["ANSWERS"].split("|"), b"", 0, time.monotonic() + 50
while time.monotonic() < end:
    if select.select([fd], [], [], 1)[0]:
        try:
            got = os.read(fd, 4096)
        except OSError:
            break
        if not got:
            break
        said += got
        if answers and said[since:].endswith((b": ", b"? ")):
            since = len(said)
            os.write(fd, answers.pop(0).encode() + b"\n")
print(said.decode())
secret = os.environ.get("SECRET")
if secret and secret in said.decode():
    sys.exit("the passphrase was echoed")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
P
ends 0 "write this key down" env ANSWERS='30d|horse battery|horse battery' SECRET=horse python3 terminal.py "$LAPSE" init third --anchor "$TEST_TMP/anchor4"
ends 3 "differ" env ANSWERS='horse battery|horse buttery' SECRET=horse python3 terminal.py "$LAPSE" init fourth -e 30d --anchor "$TEST_TMP/anchor5"
[ ! -e fourth ] || die "made in spite of differing passphrases"
ends 0 "" env ANSWERS='horse battery' SECRET=horse python3 terminal.py "$LAPSE" mount third "$MNT"
mountpoint -q "$MNT" || die "not mounted by the passphrase typed"
"$LAPSE" umount "$MNT"

note "mount(8)'s helper"
ln -s "$LAPSE" mount.lapse
ends 1 "option 'ro' is not supported" ./mount.lapse "$ARC" "$MNT" -o ro,key-file="$KEY"
ends 1 "unknown option 'key-fil=x'; did you mean 'key-file'" ./mount.lapse "$ARC" "$MNT" -o key-fil=x
ends 1 "Usage" ./mount.lapse "$ARC"
ends 32 "opens with this key" ./mount.lapse "$ARC" "$MNT" -o key-file=new
ends 0 "" ./mount.lapse "$ARC" "$MNT" -f -o key-file="$KEY"
mountpoint -q "$MNT" && die "-f mounted"
ends 0 "" ./mount.lapse "$ARC" "$MNT" -n -t lapse -o rw,noexec,nofail,_netdev,x-systemd.automount,key-file="$KEY"
findmnt -no OPTIONS "$MNT" | grep -q noexec || die "not mounted noexec"
ends 32 "mounted already" ./mount.lapse "$ARC" "$MNT" -o key-file="$KEY"

note "a daemon that died"
pid=$("$LAPSE" status "$MNT" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')
kill -KILL "$pid"
# Until its last descriptors are closed it is neither here nor gone; who has nobody that waits for it stays as a zombie.
gone() { [[ $(ps -o state= -p "$pid") =~ ^Z?$ ]] && [[ $(ls "$MNT" 2>&1) == *"Transport endpoint is not connected"* ]]; }
wait_until 10 gone
ends 3 "has died" "$LAPSE" status "$MNT"
ends 0 "" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
check "mounted again over what was left" ls "$MNT/in/a b.jpg" >/dev/null
"$LAPSE" umount "$MNT"

note "a service manager"
cat >notify.py <<'P'
import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("notify")
s.settimeout(30)
lapse, archive, mountpoint, key = sys.argv[1:]
p = subprocess.Popen([lapse, "mount", "--foreground", archive, mountpoint, "--key-file", key],
                     env={**os.environ, "NOTIFY_SOCKET": os.getcwd() + "/notify"})
assert s.recv(100) == b"READY=1"
assert os.path.ismount(mountpoint)
subprocess.run([lapse, "umount", mountpoint], check=True, timeout=60)
assert s.recv(100) == b"STOPPING=1"
assert p.wait(30) == 0
P
check "sd_notify" python3 notify.py "$LAPSE" "$ARC" "$MNT" "$KEY"

note "a full disk"
mkdir small
mount -t tmpfs -o size=1m none small
head -c 1m /dev/zero >small/filler || true
ends 3 "space" "$LAPSE" init small/archive --key-file "$KEY" -e 30d --no-recovery-key --anchor "$TEST_TMP/anchor6"
[ ! -e small/archive ] || die "a failed init left something behind"
umount small
