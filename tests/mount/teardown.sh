#!/bin/bash
# Every way a mount can end while programs are at work: the daemon goes, nothing hangs, what was closed after an fsync is whole.
# attack items: 62
. "$(dirname "$0")/lib.sh"
archive_new
expect_log 'told by a signal to end: unmounting'
expect_log 'detached the mount that a dead daemon had left'
expect_log 'was aborted by somebody .*; mount it again'
expect_log 'fuse: (reading|writing) device: ' # libfuse, of a connection that is aborted

# Files appear under their final names only after close: what has its name is whole.
cat >"$TEST_TMP/load.py" <<'P'
import errno, hashlib, os, sys, threading
mnt, tag = sys.argv[1:3]
GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV, errno.EIO, errno.ENOENT, errno.EBADF, errno.EXDEV, errno.ECANCELED)
def work(k):
    data = os.urandom(200000)
    i = 0
    try:
        while True:
            part = data[: (i * 7919 + k) % 200000]
            p = f"{mnt}/{tag}-{k}-{i}"
            with open(p + ".part", "wb") as f:
                f.write(part)
                f.flush()
                os.fsync(f.fileno())
            os.rename(p + ".part", f"{p}-{hashlib.sha256(part).hexdigest()}")
            os.listdir(mnt)
            if i % 2:
                with open(f"{p}-{hashlib.sha256(part).hexdigest()}", "rb") as f:
                    assert f.read() == part
            i += 1
            if i == 3:
                print(k, flush=True)
    except OSError as e:
        if e.errno not in GONE:
            raise
for k in range(6):
    threading.Thread(target=work, args=(k,)).start()
P
cat >"$TEST_TMP/whole.py" <<'P'
import hashlib, os, sys
n = 0
for name in os.listdir(sys.argv[1]):
    if name.endswith(".part"):
        continue
    with open(os.path.join(sys.argv[1], name), "rb") as f:
        assert hashlib.sha256(f.read()).hexdigest() == name.rsplit("-", 1)[1], name
    n += 1
assert n >= 18, f"only {n} files"
print(f"-- {n} files whole")
P
connection() { stat -c %d "$1" | python3 -c 'import os; print(os.minor(int(input())))'; }
control=$TEST_TMP/control
mkdir "$control"
mount -t fusectl none "$control"
exec 9<"$control" # reached through this, so that nothing stays mounted
umount -l "$control"

for transport in $(transports); do
	for how in umount lapse-umount lazy term abort; do
		note "$transport, $how"
		mount_by "$transport"
		: >"$TEST_TMP/working"
		python3 "$TEST_TMP/load.py" "$MNT" "$transport-$how" >"$TEST_TMP/working" 2>"$TEST_TMP/load.err" &
		load=$!
		wait_until 30 sh -c "[ \$(wc -l <'$TEST_TMP/working') -ge 6 ]"
		case $how in
		umount)
			kill -KILL $load
			wait $load 2>/dev/null || true
			check "umount" umount "$MNT"
			;;
		lapse-umount)
			refuse "is in use" "$LAPSE" umount "$MNT"
			kill -KILL $load
			wait $load 2>/dev/null || true
			check "lapse umount" "$LAPSE" umount "$MNT"
			;;
		lazy)
			check "umount -l" umount -l "$MNT"
			sleep 0.3 # it goes on serving those who are in
			kill -KILL $load 2>/dev/null || true
			;;
		term) kill -TERM "$DAEMON" ;;
		abort) echo 1 >"/proc/self/fd/9/$(connection "$MNT")/abort" ;;
		esac
		status=0
		daemon_gone || status=$?
		[ "$status" -eq "$([ $how = abort ] && echo 3 || echo 0)" ] || die "the daemon ended with status $status"
		! mountpoint -q "$MNT" || umount -l "$MNT"
		kill -KILL $load 2>/dev/null || true
		wait $load 2>/dev/null || true
		rm -rf "${MNT:?}"/* # what landed in the directory below
		[ ! -s "$TEST_TMP/load.err" ] || { cat "$TEST_TMP/load.err"; die "a program met what it should not"; }
		mount_by "$transport"
		check "whole" python3 "$TEST_TMP/whole.py" "$MNT"
		rm -f "$MNT"/*
		umount_archive
	done
done

note "lazily, with a file open: its holder reads on until it lets go, and then the daemon goes"
mount_by device
head -c 100000 /dev/urandom >"$MNT/held"
cp "$MNT/held" "$TEST_TMP/held"
exec 8<"$MNT/held"
check "umount -l" umount -l "$MNT"
kill -0 "$DAEMON" || die "the daemon left a reader behind"
check "still readable" sh -c "cmp - '$TEST_TMP/held' <&8"
exec 8<&-
daemon_gone || die "the daemon ended with status $?"

note "kill -9: the next mount clears what is left, without being told"
mount_by device
head -c 1000 /dev/urandom >"$MNT/after"
sync "$MNT/after"
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
mount_archive
check "there" test -s "$MNT/after"
umount_archive

note "where it was mounted from can be unmounted"
mkdir "$TEST_TMP/here"
mount -t tmpfs none "$TEST_TMP/here"
cd "$TEST_TMP/here"
mount_archive
cd "$TEST_TMP"
check "umount" umount "$TEST_TMP/here"
umount_archive

note "a mount of another lies upon ours: it is not unmounted in our stead"
mount_archive
mount -t tmpfs other "$MNT"
kill -TERM "$DAEMON"
daemon_gone || die "the daemon ended with status $?"
[ "$(findmnt -n -o SOURCE --target "$MNT" | tail -n 1)" = other ] || die "another's mount was unmounted"
umount "$MNT"
! mountpoint -q "$MNT" || umount -l "$MNT"
