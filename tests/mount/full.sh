#!/bin/bash
# A full disk: the program gets ENOSPC, nothing that was there is harmed, reads go on or are refused with a reason, and after room is made all goes on.
# attack items: 56
. "$(dirname "$0")/lib.sh"
mkdir "$TEST_TMP/small"
mount -t tmpfs -o size=24m none "$TEST_TMP/small"
let_go() { umount -l "$TEST_TMP/small" 2>/dev/null; }
at_end let_go
ARC=$TEST_TMP/small/archive
expect_log 'space|ENOSPC|full'
archive_new
mount_archive
head -c 3000000 /dev/urandom >"$TEST_TMP/image"
cp "$TEST_TMP/image" "$MNT/first.jpg"
status=0
for i in $(seq 20); do cp "$TEST_TMP/image" "$MNT/$i.jpg" 2>"$TEST_TMP/err" || { status=1; break; }; done
[ $status = 1 ] || die "24 MiB held more than they can"
grep -q 'No space left' "$TEST_TMP/err" || { cat "$TEST_TMP/err"; die "not told as ENOSPC"; }
note "what is whole stays whole"
cmp "$TEST_TMP/image" "$MNT/first.jpg" || die "the first file"
check "a deletion makes room" rm "$MNT/1.jpg" "$MNT/$i.jpg"
again() { cp "$TEST_TMP/image" "$MNT/again.jpg" 2>/dev/null; }
wait_until 10 again # what was deleted may still be open: the kernel tells of a close later
cmp "$TEST_TMP/image" "$MNT/again.jpg" || die "the file written after room was made"
umount_archive
mount_archive
cmp "$TEST_TMP/image" "$MNT/first.jpg" || die "after a remount"
cmp "$TEST_TMP/image" "$MNT/again.jpg" || die "after a remount"

note "not one more inode: what an import cannot make is told, and it is served on"
mkdir "$TEST_TMP/from"
mkfifo "$TEST_TMP/from/fifo"
ln -s target "$TEST_TMP/from/link"
mkdir "$TEST_TMP/from/sub"
echo image >"$TEST_TMP/from/sub/below.jpg"
mount -o "remount,nr_inodes=$(($(df --output=iused "$TEST_TMP/small" | tail -n 1) + 1))" "$TEST_TMP/small"
timeout 60 "$LAPSE" import "$MNT" --from "$TEST_TMP/from" --basis now >"$TEST_TMP/said" 2>&1 && die "it was imported"
for left in link sub sub/below.jpg; do grep -q "left: $left: no space is left" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "$left: not told"; }; done
cmp "$TEST_TMP/image" "$MNT/first.jpg" || die "while no inode is left"
mount -o remount,nr_inodes=100000 "$TEST_TMP/small"
check "with inodes again" "$LAPSE" import "$MNT" --from "$TEST_TMP/from" --basis now >"$TEST_TMP/said" 2>&1
[ -p "$MNT/fifo" ] && [ "$(readlink "$MNT/link") $(cat "$MNT/sub/below.jpg")" = "target image" ] || die "what was imported"

note "not a byte is left: reads and new files are refused, what an administrator does is done and on the record, from the reserve"
expect_log 'the log uses its reserve|could not be written|cannot be written|audit'
{ cat "$TEST_TMP/open.ini"; printf '\n[audit]\nreserve = 1M\n'; } >"$TEST_TMP/reserve.ini"
check "policy apply" "$LAPSE" policy apply "$TEST_TMP/reserve.ini" "$MNT" >/dev/null
reserve=$ARC/.lapse/audit/reserve
wait_until 10 sh -c "[ \"\$(stat -c %s '$reserve')\" = 1048576 ]"
fill() {
	dd if=/dev/zero of="$TEST_TMP/small/filler" bs=64k oflag=append conv=notrunc 2>/dev/null || true
	dd if=/dev/zero of="$TEST_TMP/small/filler" bs=1 count=4096 oflag=append conv=notrunc 2>/dev/null || true
}
fill
refused_read() { ! timeout 10 cat "$MNT/first.jpg" >/dev/null 2>"$TEST_TMP/err"; }
wait_until 30 refused_read # the log's last page had room for some
grep -qE 'Input/output error|No space' "$TEST_TMP/err" || die "a read that cannot be recorded: $(cat "$TEST_TMP/err")"
check "an administrator's act" "$LAPSE" guard close "$MNT" --until 1h --reason "disk full" >"$TEST_TMP/out"
[ "$(stat -c %s "$reserve")" -lt 1048576 ] || die "the reserve was not needed"
fill
check "another" "$LAPSE" guard open "$MNT" --reason "disk full" >"$TEST_TMP/out"
refused_read || die "a read took what of the reserve is the log's now"
grep -qE 'Input/output error|No space' "$TEST_TMP/err" || die "a read that the reserve is not for: $(cat "$TEST_TMP/err")"
chmod 755 "$TEST_TMP"
as t1 "$LAPSE" explain --denied "$MNT" >"$TEST_TMP/said" && die "explain --denied finds nothing"
grep -q "Nobody reads at the moment (Input/output error): .* cannot be written (No space left on device)" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "explain --denied does not say why nobody reads"; }
"$LAPSE" status "$MNT" >"$TEST_TMP/said" && die "status finds nothing"
grep -q 'the audit log has 960K of the 1M in reserve' "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "status does not tell of the reserve"; }

note "users' acts leave the administrator his part, and what is deleted makes room; nothing is renamed or linked that could not be recorded, nor is anything deleted"
unlinks() { "$LAPSE" audit tail "$MNT" -n 1000000 --kind unlink --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["records"]))'; }
was=$(unlinks)
python3 - "$MNT" "$TEST_TMP/small/filler" >"$TEST_TMP/done" <<'P'
import errno, os, sys
filler = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
def until_full(what, act):
    for n in range(20000):
        try:
            act(n)
        except OSError as e:
            assert e.errno == errno.ENOSPC, (what, n, e)
            return n
        try:
            while os.write(filler, bytes(4096)):
                pass
        except OSError:
            pass
    sys.exit(f"{what}: no limit")
names = [f"{sys.argv[1]}/first.jpg", f"{sys.argv[1]}/moved.jpg"]
moved = until_full("rename", lambda n: os.rename(names[n % 2], names[1 - n % 2]))
os.stat(names[moved % 2])
try:
    os.link(names[moved % 2], f"{sys.argv[1]}/linked.jpg")
    sys.exit("linked")
except OSError as e:
    assert e.errno == errno.ENOSPC, e
made = []
def make_and_delete(n): # a symlink takes and gives back nothing that is worth mentioning
    name = f"{sys.argv[1]}/link"
    if not os.path.lexists(name):
        os.symlink("x", name)
    os.unlink(name)
gone = until_full("unlink", make_and_delete)
assert os.path.lexists(f"{sys.argv[1]}/link")
assert moved > 1000 and gone > 500, (moved, gone)
print(names[moved % 2], gone, moved)
P
read -r first gone _ <"$TEST_TMP/done"
[ "$first" = "$MNT/first.jpg" ] || mv_back=1
check "an administrator's act" "$LAPSE" guard close "$MNT" --until 1h --reason "disk full still" >"$TEST_TMP/out"
rm "${TEST_TMP:?}/small/filler"
"$LAPSE" audit tail "$MNT" -n 3 --kind guard --json >"$TEST_TMP/said"
grep -q 'disk full still' "$TEST_TMP/said" || die "the act is not on the record: $(cat "$TEST_TMP/said")"
[ "$(unlinks)" = $((was + gone)) ] || die "$(unlinks) deletions are on the record, not $was and $gone"
[ -z "${mv_back:-}" ] || check "mv" mv "$first" "$MNT/first.jpg"
check "open again" "$LAPSE" guard open "$MNT" --reason "room again" >"$TEST_TMP/out"
cmp "$TEST_TMP/image" "$MNT/first.jpg" || die "after room was made"
check "the log is whole" "$LAPSE" audit verify "$MNT" >"$TEST_TMP/said"
umount_archive
umount "$TEST_TMP/small"

note "a machine that starts with a full disk, also with small blocks: it is mounted, with what the reserve gives, and what is deleted makes room"
DISK=
disk_goes() { [ -z "$DISK" ] || umount -l "$DISK" 2>/dev/null; }
at_end disk_goes
for block in 1024 4096; do
	[ -z "$DISK" ] || umount "$DISK"
	DISK=$TEST_TMP/disk.$block
	mkdir "$DISK"
	truncate -s 48M "$DISK.img"
	mkfs.ext4 -q -F -m 0 -b "$block" "$DISK.img"
	mount -o loop "$DISK.img" "$DISK"
	ARC=$DISK/full-$block
	rm "$TEST_TMP/anchor"
	archive_new
	mount_archive
	for i in 1 2 3; do cp "$TEST_TMP/image" "$MNT/$i.jpg"; done
	umount_archive
	for size in 64k 4k; do dd if=/dev/zero of="$DISK/filler" bs=$size oflag=append conv=notrunc 2>/dev/null || true; done
	mount_archive
	refused_read || die "a read while the reserve is used"
	[ "$(stat -c %s "$ARC/.lapse/audit/reserve")" -lt 4194304 ] || die "the reserve was not needed"
	check "a deletion" rm "$MNT/2.jpg"
	rm "$DISK/filler"
	wait_until 10 cmp "$TEST_TMP/image" "$MNT/3.jpg"
	[ "$(stat -c %s "$ARC/.lapse/audit/reserve")" = 4194304 ] || die "the reserve is not whole again"
	[ "$(unlinks)" = 1 ] || die "the deletion is not on the record"
	umount_archive
done
