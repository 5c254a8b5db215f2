#!/bin/bash
# lapse restore: files come back from a copy of the store, as they were; what lives is left alone, what has expired or was destroyed stays dead, what is damaged
# in the copy does not come in; an older generation only where it is asked for.
. "$(dirname "$0")/lib.sh"
tree() { python3 "$SRC/tests/mount/importtree.py" "$@"; }
restore() { # restore EXPECTED-STATUS options…
	local want=$1 got=0
	shift
	timeout 60 "$LAPSE" restore "$@" >"$TEST_TMP/said" 2>&1 </dev/null || got=$?
	[ $got -eq "$want" ] || { cat "$TEST_TMP/said"; die "exit status $got, not $want: restore $*"; }
}
said() { grep -qF -- "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "should have said '$1'"; }; }
printf '%s\n' '[policy]' 'version = 1' 'default-class = keep' \
	'[class brief]' 'match = brief/**' 'expire-after = 4s' \
	'[class keep]' 'match = **' 'expire-after = 75y' \
	'[rule everyone]' 'effect = permit' 'budget = none' >"$TEST_TMP/policy.ini"
archive_new "$TEST_TMP/policy.ini" --epoch 1s
mount_archive
tree make "$TEST_TMP/src" 7 120
find "$TEST_TMP/src" -type p -delete
timeout 60 "$LAPSE" import "$MNT" --from "$TEST_TMP/src" --basis now >/dev/null 2>&1
tree list "$MNT" >"$TEST_TMP/want"
mkdir "$MNT/brief" "$MNT/extra" "$MNT/extra/deep"
echo gone >"$MNT/brief/gone"
for f in hurt changed moved kept flipped forged cut empty twice linked; do head -c 100000 /dev/urandom >"$MNT/extra/deep/$f"; done
cp -r "$MNT/extra/deep/." "$TEST_TMP/deep"
umount_archive
cp -a "$ARC" "$TEST_TMP/copy"

mount_archive
echo newer >"$MNT/extra/deep/changed"
mv "$MNT/extra/deep/moved" "$MNT/extra/elsewhere"
wait_until 20 sh -c "! cat '$MNT/brief/gone' >/dev/null 2>&1"
find "$MNT" -mindepth 1 -maxdepth 1 ! -name extra -exec rm -r --one-file-system {} +
rm "${MNT:?}/extra/deep/hurt"
restore 2 "$MNT" --reason r
restore 2 "$MNT" --from "$TEST_TMP/copy"
restore 3 "$MNT" --from "$TEST_TMP/src" --reason r
said "no copy of this archive"
restore 1 "$MNT" --from "$TEST_TMP/copy" --dry-run
said "dead: brief/gone"
said "left: extra/deep/moved: the same file lives under another name"
[ "$(ls "$MNT")" = extra ] || die "a dry run brought something back"

note "one file, a directory, all"
restore 0 "$MNT" --from "$TEST_TMP/copy" --reason "lost by mistake" "$MNT/large" extra/deep/hurt
said "2 are back"
cmp "$TEST_TMP/src/large" "$MNT/large" || die "large is not as it was"
restore 1 "$MNT" --from "$TEST_TMP/copy" --reason "lost by mistake"
said "dead: brief/gone"
[ ! -e "$MNT/brief/gone" ] || die "what has expired came back"
[ "$(cat "$MNT/extra/deep/changed")" = newer ] || die "a live file was overwritten"
check_tree() {
	python3 - "$TEST_TMP/want" "$1" "$SRC/tests/mount" <<'PY'
import json, subprocess, sys
want = json.load(open(sys.argv[1]))
have = json.loads(subprocess.run([sys.executable, sys.argv[3] + "/importtree.py", "list", sys.argv[2]], stdout=subprocess.PIPE, check=True).stdout)
bad = 0
for p, e in want["entries"].items():
    g = have["entries"].get(p)
    if g and (e[0] & 0o170000) == 0o040000:  # directories that are made anew: owner and mode
        e, g = e[:3], g[:3]
    if e != g:
        print(repr(p), "was", e, "is", g)
        bad += 1
fam = [f for f in have["families"]]
if want["families"] != fam:
    print("hard links differ")
    bad += 1
sys.exit(bad != 0)
PY
}
check_tree "$MNT" || die "it is not what it was"
restore 0 "$MNT" --from "$TEST_TMP/copy" --reason "the older one" --overwrite extra/deep/changed
cmp "$TEST_TMP/deep/changed" "$MNT/extra/deep/changed" || die "the older generation was asked for"

note "after a remount, too; damage in the copy does not come in"
umount_archive
mount_archive
check_tree "$MNT" || die "it is not what it was, after a remount"
cmp "$TEST_TMP/deep/changed" "$MNT/extra/deep/changed" || die "changed, after a remount"
timeout 60 "$LAPSE" scrub "$MNT" >"$TEST_TMP/said" 2>&1 || { cat "$TEST_TMP/said"; die "scrub finds something in what came back"; }
rm "${MNT:?}/large"
python3 - "$TEST_TMP/copy" <<'PY'
import os, sys
f = max((os.path.join(d, f) for d, _, fs in os.walk(sys.argv[1]) if "/.lapse" not in d for f in fs), key=lambda p: os.lstat(p).st_size)
with open(f, "r+b") as h:
    h.seek(os.path.getsize(f) - 100)
    h.write(b"damaged")
PY
restore 1 "$MNT" --from "$TEST_TMP/copy" --reason r large
said "left: large: block"
[ ! -e "$MNT/large" ] || die "a damaged file came in"

note "over what is damaged in the archive: a block, the header, the end, all"
ino() { stat -c %i "$MNT/extra/deep/$1"; }
flipped=$(ino flipped) forged=$(ino forged) cut=$(ino cut) empty=$(ino empty) twice=$(ino twice) linked=$(ino linked)
for f in twice linked; do ln "$MNT/extra/deep/$f" "$MNT/extra/$f.too"; done
umount_archive
cp -a "$ARC" "$TEST_TMP/copy2"
backing() { find "$ARC" -path "$ARC/.lapse" -prune -o -inum "$1" -print -quit; }
scribble() { dd if=/dev/urandom of="$(backing "$1")" bs="$2" count=1 seek="$3" conv=notrunc status=none; }
scribble "$flipped" 100 300
scribble "$forged" 4096 0
scribble "$twice" 4096 0
scribble "$linked" 100 300
truncate -s 50000 "$(backing "$cut")"
truncate -s 0 "$(backing "$empty")"
expect_log 'damaged|forged|truncated|size differs|does not match|extra/deep|block'
mount_archive
for f in flipped forged cut empty; do refuse "Input/output error" cat "$MNT/extra/deep/$f"; done
restore 1 "$MNT" --from "$TEST_TMP/copy" --reason "they are damaged" extra/deep
said "have something under their names already"
for f in flipped forged cut empty; do refuse "Input/output error" cat "$MNT/extra/deep/$f"; done
restore 0 "$MNT" --from "$TEST_TMP/copy" --reason "they are damaged" --overwrite extra/deep/flipped extra/deep/forged extra/deep/cut extra/deep/empty
said "4 are back"
for f in flipped forged cut empty; do cmp "$TEST_TMP/deep/$f" "$MNT/extra/deep/$f" || die "$f is not as it was"; done

note "what the copy does not have is said"
restore 1 "$MNT" --from "$TEST_TMP/copy" --reason "they are lost" extra/deep/never-there extra/deep/cut/below
said "left: extra/deep/never-there: the copy has nothing of this name"
said "left: extra/deep/cut/below: the copy has nothing of this name"

note "over what has several names: said, and done when they are removed"
for f in twice linked; do
	refuse "Input/output error" cat "$MNT/extra/deep/$f"
	restore 1 "$MNT" --from "$TEST_TMP/copy2" --reason "it is damaged" --overwrite "extra/deep/$f"
	said "left: extra/deep/$f: what is there has several names: remove them first"
	rm "$MNT/extra/deep/$f" "$MNT/extra/$f.too"
	restore 0 "$MNT" --from "$TEST_TMP/copy2" --reason "it was damaged" --overwrite "extra/deep/$f" "extra/$f.too"
	said "2 are back"
	[ "$MNT/extra/deep/$f" -ef "$MNT/extra/$f.too" ] || die "$f: two files, not two names"
done
umount_archive
mount_archive
for f in twice linked; do cmp "$TEST_TMP/deep/$f" "$MNT/extra/$f.too" || die "$f, after a remount"; done
for f in flipped forged cut empty; do cmp "$TEST_TMP/deep/$f" "$MNT/extra/deep/$f" || die "$f, after a remount"; done
timeout 60 "$LAPSE" scrub "$MNT" >"$TEST_TMP/said" 2>&1 || { cat "$TEST_TMP/said"; die "scrub finds something in what came back over what was damaged"; }
umount_archive
