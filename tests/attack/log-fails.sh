#!/bin/bash
# attack items: 56
# What is safe when something fails: the log cannot be written while the rest of the disk can (chattr +i on its segment). Reads and
# deletions are refused, new files come in and expire, their records wait in memory in order, up to a limit; then all of them are in the log, with a record of the gap.
# timeout: 200
. "$(dirname "$0")/../mount/lib.sh"
with_test_clock
expect_log 'audit|alert|freshness|anchor'
DISK=${TEST_TMP:?}/disk
finish_disk() {
	local s=$?
	chattr -R -i "${ARC:?}/.lapse/audit" 2>/dev/null || true
	[ $s -eq 0 ] || { umount -l "$MNT"; umount -l "${DISK:?}"; } 2>/dev/null
	(exit $s)
	finish
}
trap finish_disk EXIT
truncate -s 256M "${TEST_TMP:?}/disk.img"
mkfs.ext4 -q -F "$TEST_TMP/disk.img"
mkdir "$DISK"
mount -o loop "$TEST_TMP/disk.img" "$DISK"
ARC=$DISK/log-archive

cat >"$TEST_TMP/policy.ini" <<'P'
[policy]
version = 1
default-class = keep

[class short]
match = short/**
expire-after = 100s

[class keep]
match = **
expire-after = 1y

[rule everyone]
effect = permit
budget = none
P
archive_new "$TEST_TMP/policy.ini" --epoch 1s
mount_archive
mkdir "$MNT/short"
mkdir "$MNT/empty" "$MNT/other"
ln -s first.jpg "$MNT/link"
ln -s other.jpg "$MNT/link.2"
mkfifo "$MNT/fifo"
echo first >"$MNT/first.jpg"
for i in 1 2 3; do echo $i >"$MNT/short/$i.jpg"; done
sync -f "$MNT"
seg=$(ls "$ARC/.lapse/audit/"*.seg | tail -n 1)
status() { "$LAPSE" status "$MNT" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
records() { "$LAPSE" audit tail "$MNT" -n 100000 --json | python3 -c '
import json, sys
print(sum(r["kind"] == sys.argv[1] and sys.argv[2] in (r["text"] or "") for r in json.load(sys.stdin)["records"]))' "$1" "${2:-}"; }
creates=$(records create) expires=$(records expire) size=$(stat -c %s "$seg")

note "the log cannot be written"
chattr +i "$seg"
refuse 'Input/output error' cat "$MNT/first.jpg"
refuse 'Input/output error' rm "$MNT/first.jpg"
[ -e "$MNT/first.jpg" ] || die "deleted all the same"
echo over >"$MNT/over.new"
refuse 'Input/output error' mv "$MNT/over.new" "$MNT/first.jpg"
note "nor is anything else deleted that has a name: symlinks, fifos, directories; by a removal or by what takes their place"
refuse 'Input/output error' rm "$MNT/link"
refuse 'Input/output error' rm "$MNT/fifo"
refuse 'Input/output error' rmdir "$MNT/empty"
refuse 'Input/output error' mv -T "$MNT/link.2" "$MNT/link"
refuse 'Input/output error' mv -T "$MNT/other" "$MNT/empty"
refuse 'Input/output error' mv -T "$MNT/over.new" "$MNT/link"
[ "$(readlink "$MNT/link")" = first.jpg ] && [ -p "$MNT/fifo" ] && [ -d "$MNT/empty" ] && [ -d "$MNT/other" ] || die "deleted all the same"
mkdir "$MNT/new" # what comes in may
mv "$MNT/new" "$MNT/renamed"
ln -s x "$MNT/in-link"
refuse 'Input/output error' ls "$MNT"
check "an officer's act is refused, and told" sh -c "! timeout 20 '$LAPSE' guard close '$MNT' --until 1h --reason x 2>/dev/null"

note "ingest goes on, its records wait"
for i in $(seq 40); do echo "$i" >"$MNT/in-$i.jpg" || die "ingest stopped at $i"; done
mv "$MNT/in-1.jpg" "$MNT/in-one.jpg"
wait_until 10 sh -c "[ \"\$('$LAPSE' status '$MNT' --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"log-waiting\"])')\" -ge 80 ]"
[ "$(stat -c %s "$seg")" = "$size" ] || die "the log grew all the same"
note "what expires goes"
clock 200
gone() { [ -z "$(ls -A "$ARC"/*/ 2>/dev/null | grep -v '^\.lapse-dir$\|:$\|^$')" ]; }
wait_until 30 gone

note "the log works again: all of it is there, in order, and the gap is told"
chattr -i "$seg"
wait_until 20 sh -c "[ \"\$('$LAPSE' status '$MNT' --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"log-waiting\"])')\" = 0 ]"
[ "$(cat "$MNT/first.jpg")" = first ] || die "a read after it"
[ "$(records create)" -eq $((creates + 41)) ] || die "$(records create) creates, not $((creates + 41))"
[ "$(records expire)" -eq $((expires + 3)) ] || die "$(records expire) expiries, not $((expires + 3))"
[ "$(records admin 'the log could not be written: Operation not permitted')" = 1 ] || die "the gap is not told"
check "rm" rm "$MNT/first.jpg" "$MNT/link" "$MNT/fifo"
check "rmdir" rmdir "$MNT/empty" "$MNT/other"
check "the log is whole" "$LAPSE" audit verify "$MNT" >"$TEST_TMP/said"
for i in $(seq 2 40); do [ "$(cat "$MNT/in-$i.jpg")" = "$i" ] || die "in-$i"; done

note "up to a limit, then ENOSPC, and nothing is half done; nor is anything deleted or moved without its record, and the anchor and everything else go on"
for i in 4 5 6; do echo $i >"$MNT/short/$i.jpg"; done
sync -f "$MNT"
expires=$(records expire) renames=$(records rename)
seg=$(ls "$ARC/.lapse/audit/"*.seg | tail -n 1)
chattr +i "$seg"
python3 - "$MNT" "$TEST_TMP/renamed" <<'P'
import errno, os, sys
for i in range(200000):
    try:
        os.close(os.open(f"{sys.argv[1]}/many-{i}", os.O_CREAT | os.O_WRONLY, 0o644))
    except OSError as e:
        assert e.errno == errno.ENOSPC, e
        assert 2000 < i, i
        assert not os.path.exists(f"{sys.argv[1]}/many-{i}")
        print("files until it was full:", i)
        break
else:
    sys.exit("no limit")
def fill(name, act):
    n = 0
    while n < 100000:
        try:
            act(n)
        except OSError as e:
            assert e.errno == errno.ENOSPC, e
            return n
        n += 1
    sys.exit(f"{name}: no limit")
at = f"{sys.argv[1]}/many-0"
n = fill("rename", lambda n: os.rename(f"{at}{'.' * (n % 2)}", f"{at}{'.' * (1 - n % 2)}"))
assert os.path.exists(f"{at}{'.' * (n % 2)}") and not os.path.exists(f"{at}{'.' * (1 - n % 2)}")
try:
    os.link(f"{sys.argv[1]}/many-1", f"{sys.argv[1]}/linked")
    sys.exit("linked")
except OSError as e:
    assert e.errno == errno.ENOSPC, e
open(sys.argv[2], "w").write(str(n))
print("and renames:", n)
P
backings() { find "$ARC" -path "$ARC/.lapse" -prune -o -type f ! -name .lapse-dir -print | wc -l; }
files=$(backings)
sequence() { "$LAPSE" anchor status "$MNT" --json | python3 -c 'import json, sys; d = json.load(sys.stdin); print(d["sequence"])'; }
was=$(sequence)
clock 400
advanced() { [ "$(sequence)" -gt $((was + 1)) ]; }
wait_until 20 advanced
short_is_dark() { ! timeout 10 cat "$MNT/short/4.jpg" >/dev/null 2>&1; }
short_is_dark || die "read"
timeout 20 "$LAPSE" status "$MNT" >"$TEST_TMP/said" || [ $? -eq 1 ] || die "the daemon does not answer"
[ "$(backings)" = "$files" ] || die "$(backings) files, not $files: some were unlinked, and there was no room for the record of it"
chattr -i "$seg"
wait_until 20 sh -c "echo x >'$MNT/after.jpg'"
clock 420 # those that could not be put on the record come again after a while
expired() { [ "$(records expire)" -eq $((expires + 3)) ]; }
wait_until 30 expired
[ "$(records rename)" -eq $((renames + $(cat "$TEST_TMP/renamed"))) ] || die "$(records rename) renames on the record, not $renames and $(cat "$TEST_TMP/renamed")"
umount_archive
mount_archive
[ "$(cat "$MNT/after.jpg")" = x ] || die "after it"
check "the log is whole" "$LAPSE" audit verify "$MNT" >"$TEST_TMP/said"

note "killed while records wait: the log ends before them, what was not fsynced is recovered or refused, and the next mount goes on"
seg=$(ls "$ARC/.lapse/audit/"*.seg | tail -n 1)
chattr +i "$seg"
echo lost >"$MNT/lost.jpg"
kill_daemon
chattr -i "$seg"
expect_log 'recovered|damaged|being written'
mount_archive
[ "$(cat "$MNT/after.jpg")" = x ] || die "after the kill"
check "the log is whole" "$LAPSE" audit verify "$MNT" >"$TEST_TMP/said"
umount_archive
umount "$DISK"
