#!/bin/bash
# O_TMPFILE and linkat: as on ext4 over each transport; what never gets a name expires and vanishes; who made one reads it back without charge.
# attack items: 18
. "$(dirname "$0")/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = rest

[class short]
match = short/**
expire-after = 3s

[class rest]
match = **
expire-after = 1y

[rule everyone]
effect = permit
budget = one

[budget one]
files = 1/1h
E
plain_ext4
archive_new "$TEST_TMP/policy.ini" --epoch 1s
cat >"$TEST_TMP/tmpfile.py" <<'P'
import errno, mmap, os, sys, time
mnt, what = sys.argv[1:]
def unnamed(where):
    fd = os.open(f"{mnt}/{where}", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"x" * 5000)
    return fd
def name(fd, to):
    here = os.open(".", os.O_PATH)  # with a directory it is linkat, which follows
    os.link(f"/proc/self/fd/{fd}", f"{mnt}/{to}", src_dir_fd=here, follow_symlinks=True)
if what == "named":
    for i in range(3):  # more than the budget: they are one's own
        fd = unnamed(".")
        name(fd, f"own{i}")
        os.close(fd)
        assert open(f"{mnt}/own{i}", "rb").read() == b"x" * 5000
elif what == "expires":
    fd = unnamed("short")
    m = mmap.mmap(fd, 4096, prot=mmap.PROT_READ)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            os.pread(fd, 100, 0)
            time.sleep(0.05)
        except OSError as e:
            assert e.errno == errno.EKEYEXPIRED, e
            break
    else:
        sys.exit("still readable")
    try:
        name(fd, "late")
        sys.exit("got a name after its date")
    except OSError as e:
        assert e.errno == errno.EKEYEXPIRED, e
elif what == "crash":
    fd = unnamed(".")
    os.fsync(fd)
    print("ready", flush=True)
    sys.stdin.read()
P
for transport in $(transports); do
	mount_by "$transport"
	mkdir "$PLAIN/$transport" "$MNT/$transport"
	check "as on ext4, over $transport" python3 "$SRC/tests/mount/posix" "$PLAIN/$transport" "$MNT/$transport" open_tmpfile
	umount_archive
done

mount_archive
chmod 777 "$MNT"
mkdir "$MNT/short"
note "a user's own"
check "named" as t1 python3 "$TEST_TMP/tmpfile.py" "$MNT" named
[ "$(stat -c '%U %a %h' "$MNT/own0")" = "lapse-t1 600 1" ] || die "owner and mode: $(stat -c '%U %a %h' "$MNT/own0")"
note "its date comes before its name"
check "expires" python3 "$TEST_TMP/tmpfile.py" "$MNT" expires

note "a daemon that is killed leaves nothing of them"
coproc python3 "$TEST_TMP/tmpfile.py" "$MNT" crash
holder=$COPROC_PID
read -r -t 20 word <&"${COPROC[0]}" && [ "$word" = ready ] || die "no unnamed file"
before=$(find "$ARC" -type f ! -path '*/.lapse/*' | wc -l)
kill_daemon
kill "$holder"
wait "$holder" 2>/dev/null || true
mount_archive
[ "$(find "$ARC" -type f ! -path '*/.lapse/*' | wc -l)" = "$before" ] || die "files in the store after the crash"
[ -z "$(ls -A "$ARC/.lapse/staging")" ] || die "something is left in staging"
[ "$(as t1 cat "$MNT/own2" | wc -c)" = 5000 ] || die "what had a name is not there after the crash"
umount_archive
