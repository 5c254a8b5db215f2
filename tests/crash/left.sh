#!/bin/bash
# Mounts that are used when they are to end: refused, and by whom it is used is told; lazily, with files open, mapped, unlinked and a working directory inside;
# with a copy left behind in another mount namespace. Nothing is lost, nothing is read without the daemon, it ends, and the next mount is clean.
# timeout: 400
# attack items: 62
. "$(dirname "$0")/../mount/lib.sh"
expect_log 'told by a signal to end: unmounting'
archive_new
held=()
let_go() { [ ${#held[@]} = 0 ] || kill -KILL "${held[@]}" 2>/dev/null; }
at_end let_go
ended() { ! kill -0 "$DAEMON" 2>/dev/null; }
# Says "ready" once it holds the mount, and goes on when it is told a line.
cat >"$TEST_TMP/holder.py" <<'P'
import mmap, os, sys
mnt, how = sys.argv[1:3]
def step(word):
    print(word, flush=True)
    sys.stdin.readline()
def fill(fd, data):
    assert os.write(fd, data) == len(data)
if how == "file":
    fd = os.open(f"{mnt}/a", os.O_RDONLY)
elif how == "cwd":
    os.chdir(f"{mnt}/d")
elif how == "root":
    os.chroot(f"{mnt}/d")
elif how == "map":
    fd = os.open(f"{mnt}/a", os.O_RDONLY)
    m = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    os.close(fd)
elif how == "lazy":
    os.chdir(f"{mnt}/d")
    written, mapped = os.open("written", os.O_CREAT | os.O_RDWR), os.open("mapped", os.O_CREAT | os.O_RDWR)
    fill(written, b"1" * 50000)
    os.truncate(mapped, 100000)
    m = mmap.mmap(mapped, 0)
    unlinked, there = os.open("unlinked", os.O_CREAT | os.O_RDWR), os.open("../a", os.O_RDWR)
    fill(unlinked, b"u" * 70000)
    os.unlink("unlinked")
step("ready")
if how == "lazy":
    fill(written, b"2" * 50000)  # across a block
    os.fsync(written)
    fill(written, b"3" * 50000)
    m[10:60010] = b"m" * 60000
    os.pwrite(there, b"over", 40000)
    os.truncate(unlinked, 60000)
    assert os.pread(unlinked, 70000, 0) == b"u" * 60000
    with open("made", "wb") as f:  # in the working directory, which nobody else can reach any more
        f.write(b"made after")
    os.rename("made", "renamed")
    os.mkdir("e")
    with open("e/deep", "wb") as f:
        f.write(b"deep" * 9000)
    assert sorted(os.listdir(".")) == ["e", "mapped", "renamed", "written"], os.listdir(".")
    step("done")
P
hold() { # hold MNT HOW
	coproc HOLDER { exec python3 "$TEST_TMP/holder.py" "$@" 2>"$TEST_TMP/holder.err"; }
	holder=$HOLDER_PID
	exec 6<&"${HOLDER[0]}" 7>&"${HOLDER[1]}" {HOLDER[0]}<&- {HOLDER[1]}>&-
	held+=("$holder")
	says ready
}
says() { local line; read -r -t 30 line <&6 && [ "$line" = "$1" ] || die "the holder did not say $1: $(cat "$TEST_TMP/holder.err")"; }
go_on() { echo >&7; }
over() {
	go_on
	exec 7>&- 6<&-
	wait "$holder" || die "the holder ended with status $?: $(cat "$TEST_TMP/holder.err")"
}

for transport in $(transports); do
	mount_by "$transport"
	mkdir -p "$MNT/d"
	head -c 100000 /dev/urandom >"$MNT/a"
	cp "$MNT/a" "$TEST_TMP/a"
	note "$transport: in use: refused, and by whom is told"
	for how in file cwd root map; do
		hold "$MNT" $how
		status=0
		timeout 60 "$LAPSE" umount "$MNT" >"$TEST_TMP/out" 2>&1 || status=$?
		[ $status = 3 ] && grep -q 'is in use' "$TEST_TMP/out" || { cat "$TEST_TMP/out"; die "$how: exit status $status"; }
		[ $how = map ] || grep -q "pid $holder" "$TEST_TMP/out" || { cat "$TEST_TMP/out"; die "$how: it does not say who"; }
		check "served on" cmp "$TEST_TMP/a" "$MNT/a"
		over
	done
	mount -t tmpfs inner "$MNT/d"
	status=0
	timeout 60 "$LAPSE" umount "$MNT" >"$TEST_TMP/out" 2>&1 || status=$?
	[ $status = 3 ] && grep -q 'is in use' "$TEST_TMP/out" || { cat "$TEST_TMP/out"; die "with a mount inside: exit status $status"; }
	umount "$MNT/d"

	note "$transport: lazily, with files open for writing"
	hold "$MNT" lazy
	umount -l "$MNT"
	[ -z "$(ls -A "$MNT")" ] || die "it is still to be seen"
	refuse "mounted already" "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
	go_on
	says "done"
	! ended || die "the daemon left somebody behind"
	over
	daemon_gone || die "the daemon ended with status $?"
	mount_by "$transport"
	check "what was written after that" python3 - "$MNT" "$TEST_TMP/a" <<'P'
import os, sys
d, a = sys.argv[1] + "/d", open(sys.argv[2], "rb").read()
def read(path):
    return open(path, "rb").read()
assert read(f"{d}/written") == b"1" * 50000 + b"2" * 50000 + b"3" * 50000
assert read(f"{d}/mapped") == bytes(10) + b"m" * 60000 + bytes(39990)
assert read(f"{sys.argv[1]}/a") == a[:40000] + b"over" + a[40004:]
assert read(f"{d}/renamed") == b"made after" and read(f"{d}/e/deep") == b"deep" * 9000
assert sorted(os.listdir(d)) == ["e", "mapped", "renamed", "written"], os.listdir(d)
P
	"$LAPSE" status "$MNT" --json | python3 -c 'import json, sys; d = json.load(sys.stdin); assert d["damaged-files"] == 0, d' || die "damage"

	note "$transport: a copy left behind in another mount namespace"
	exec 8> >(exec unshare -m --propagation private python3 "$TEST_TMP/holder.py" "$TEST_TMP" none >"$TEST_TMP/other" 2>&1)
	other=$!
	held+=("$other")
	wait_until 20 grep -q ready "$TEST_TMP/other"
	inside() { nsenter -t "$other" -m timeout 20 "$@"; }
	check "there" inside cmp "$MNT/d/e/deep" "$MNT/d/e/deep"
	if [ -n "${LAPSE_LONG:-}" ]; then # two minutes
		CHECK_TIMEOUT=200 refuse "kill -TERM $DAEMON" "$LAPSE" umount "$MNT"
	else
		umount "$MNT"
	fi
	! mountpoint -q "$MNT" || die "still mounted"
	! ended || die "the daemon ended although it is mounted elsewhere"
	check "read and written there, by the daemon that is alive" inside sh -c "cat '$MNT/d/renamed' >/dev/null && echo more >'$MNT/d/more'"
	kill -TERM "$DAEMON"
	daemon_gone || die "the daemon ended with status $?"
	for file in d/renamed d/written d/more; do refuse "not connected" inside cat "$MNT/$file"; done
	refuse "not connected" inside ls "$MNT"
	mount_by "$transport"
	[ "$(cat "$MNT/d/more")" = more ] || die "what was written in the other namespace"
	refuse "not connected" inside cat "$MNT/d/more" # an old copy stays what it is
	echo >&8
	exec 8>&-
	wait "$other" || die "the other namespace: $(cat "$TEST_TMP/other")"
	rm -r "${MNT:?}/d" "${MNT:?}/a"
	umount_archive
done
