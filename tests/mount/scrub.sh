#!/bin/bash
# lapse scrub: every kind of damage is found, by path and cause, in an archive that is mounted, in one that is not, and in a copy; and nothing else is,
# while it is being written to as well.
# attack items: 47
. "$(dirname "$0")/lib.sh"
tree() { python3 "$SRC/tests/mount/importtree.py" "$@"; }
expect_log '^damaged: '
expect_log 'damaged'
archive_new
tree make "$TEST_TMP/src" 5 150
mount_archive
scrub() { # scrub EXPECTED-STATUS options…
	local want=$1 got=0
	shift
	timeout 60 "$LAPSE" scrub "$@" >"$TEST_TMP/said" 2>&1 </dev/null || got=$?
	[ $got -eq "$want" ] || { cat "$TEST_TMP/said"; die "exit status $got, not $want: scrub $*"; }
}
said() { grep -qF -- "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "should have said '$1'"; }; }
timeout 60 "$LAPSE" import "$MNT" --from "$TEST_TMP/src" --basis now >/dev/null 2>&1
for i in $(seq 1 9); do head -c $((i * 30000)) /dev/urandom >"$MNT/victim$i"; done
ln -s target "$MNT/victim-link"
mkdir "$MNT/victim-dir" "$MNT/other-dir"
echo x >"$MNT/victim-dir/x"
scrub 0 "$MNT"
said " 0 findings"

note "while it is written to"
python3 -c '
import os, sys
root, stop = sys.argv[1:]
i = 0
while not os.path.exists(stop):
    i += 1
    with open(f"{root}/w{i % 20}", "r+b" if i > 20 else "wb") as f:
        f.seek(i % 5 * 10000)
        f.write(os.urandom(70000))
    if i % 7 == 0:
        os.rename(f"{root}/w{i % 20}", f"{root}/other-dir/w{i % 20}")
        os.rename(f"{root}/other-dir/w{i % 20}", f"{root}/w{i % 20}")
' "$MNT" "$TEST_TMP/stop" &
writer=$!
wait_until 10 test -e "$MNT/w19"
for _ in 1 2 3; do scrub 0 "$MNT"; done
touch "$TEST_TMP/stop"
wait $writer
n=1600000000 # by which they are found in the store
for f in "$MNT"/victim* "$MNT/other-dir"; do touch -h -d "@$((n += 1))" "$f"; done
umount_archive

note "damage"
cp -a "$ARC" "$TEST_TMP/copy"
mount_archive
python3 - "$ARC" "$MNT" "$TEST_TMP/copy" "$TEST_TMP/names" <<'PY'
import os, sys
arc, mnt, copy, names = sys.argv[1:]
backing = {os.lstat(os.path.join(copy, f)).st_mtime_ns: f for f in os.listdir(copy)}
with open(names, "w") as out:
    for f in sorted(os.listdir(mnt)):
        if f.startswith("victim") or f == "other-dir":
            print(f, backing[os.lstat(os.path.join(mnt, f)).st_mtime_ns], file=out)
PY
umount_archive
hurt() { # hurt STORE
	local store=$1 name
	b() { name=$(awk -v n="$1" '$1 == n { print $2 }' "$TEST_TMP/names"); [ -n "$name" ] && [ -e "$store/$name" ] || [ -L "$store/$name" ] || die "no $1"; echo "$store/$name"; }
	python3 - "$(b victim1)" "$(b victim2)" "$(b victim3)" "$(b victim4)" "$(b victim5)" <<'PY'
import os, sys
def flip(path, at):
    fd = os.open(path, os.O_RDWR)
    byte = os.pread(fd, 1, at)
    os.pwrite(fd, bytes([byte[0] ^ 1]), at)
one, two, three, four, five = sys.argv[1:]
flip(one, 1024 + 500)
flip(two, 20), flip(two, 532)
os.truncate(three, os.path.getsize(three) - 1)
os.truncate(four, 0)
fd = os.open(five, os.O_RDWR)  # two blocks change places
step = 32768 + 64
a, b = os.pread(fd, step, 1024), os.pread(fd, step, 1024 + step)
os.pwrite(fd, b + a, 1024)
PY
	local six seven
	six=$(b victim6) seven=$(b victim7)
	mv "$six" "$store/x"
	mv "$seven" "$six"
	mv "$store/x" "$seven"
	mv "$(b victim8)" "$(b other-dir)/"
	ln -sfn changed "$(b victim-link)"
	: >"$(b victim-dir)/.lapse-dir"
	echo plain >"$store/foreign"
}
hurt "$TEST_TMP/copy"
every() {
	said "victim1: block 0: does not authenticate"
	said "victim2: header forged"
	said "victim3: size differs"
	said "victim4: empty"
	said "victim5: block 0"
	said "victim6: not at home"
	said "victim7: not at home"
	said "victim-link: its target does not open"
	said "victim-dir: its record"
	said "its name does not open here"
	said "1 are foreign"
}
scrub 0 "$ARC" --key-file "$KEY"
scrub 1 "$ARC" --key-file "$KEY" --store "$TEST_TMP/copy"
every
said " 10 findings"
mount_archive
scrub 1 "$MNT" --store "$TEST_TMP/copy"
every
scrub 3 "$MNT" --store "$TEST_TMP/src"
scrub 0 "$MNT"
umount_archive
hurt "$ARC"
rm "${ARC:?}/$(awk '$1 == "victim9" { print $2 }' "$TEST_TMP/names")"
scrub 1 "$ARC" --key-file "$KEY"
every
mount_archive
scrub 1 "$MNT"
every
said "victim9: missing"
umount_archive

note "an earlier version of a whole file, put back"
archive=$TEST_TMP/older
mkdir "$archive"
ARC=$archive/archive MNT=$archive/mnt
rm "${TEST_TMP:?}/anchor"
archive_new
mount_archive
echo first >"$MNT/older.txt"
echo same >"$MNT/same.txt"
umount_archive
cp -a "$ARC" "$archive/then"
mount_archive
echo second >>"$MNT/older.txt"
umount_archive
python3 - "$archive/then" "$ARC" <<'P'
import os, shutil, sys
then, now = sys.argv[1:3]
put = [n for n in os.listdir(now) if not n.startswith(".lapse") and open(f"{then}/{n}", "rb").read() != open(f"{now}/{n}", "rb").read()]
assert len(put) == 1, put
shutil.copy2(f"{then}/{put[0]}", f"{now}/{put[0]}")
P
scrub 1 "$ARC" --key-file "$KEY"
said "older.txt: older than it was"
said " 1 finding"
mount_archive
scrub 1 "$MNT"
said "older.txt: older than it was"
umount_archive
