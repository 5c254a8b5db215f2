#!/bin/bash
# Whoever can write the backing store: swaps, moves, truncates, zeroes, flips, puts old blocks and headers back. Never wrong bytes, always EIO and a line that
# names directory, block and reason.
# attack items: 47
. "$(dirname "$0")/../mount/lib.sh"
archive_new
mount_archive
mkdir "$MNT/a" "$MNT/b"
python3 - "$MNT" "$TEST_TMP" <<'P'
import os, sys
for d in "ab":
    for i in range(12):
        data = os.urandom(100000)
        open(f"{sys.argv[1]}/{d}/{i}.jpg", "wb").write(data)
        open(f"{sys.argv[2]}/{d}{i}", "wb").write(data)
P
# Which backing file is which: by inode number, which the mount shows.
backing() { find "$ARC" -inum "$(stat -c %i "$1")" -not -path "$ARC/.lapse/*" | head -n 1; }
declare -A B
for d in a b; do for i in $(seq 0 11); do B[$d$i]=$(backing "$MNT/$d/$i.jpg"); done; done
cp "${B[a9]}" "$TEST_TMP/old9"
python3 -c "
import os,sys
with open(sys.argv[1],'r+b') as f: f.seek(40000); f.write(b'x'*10); f.seek(99990); f.write(b'y'*10)
" "$MNT/a/9.jpg"
umount_archive

expect_log 'damaged|forged|not at home|does not authenticate|truncated|content root|torn|ends before|another|being written'
swap() { mv "$1" "$TEST_TMP/x"; mv "$2" "$1"; mv "$TEST_TMP/x" "$2"; }
swap "${B[a0]}" "${B[a1]}"                                         # two files of a directory
swap "${B[a2]}" "${B[b2]}"                                         # of two directories
cp "${B[a3]}" "${B[b3]}"                                           # a copy over another
truncate -s -32832 "${B[a4]}"                                      # a whole block off the end
truncate -s -100 "${B[a5]}"
truncate -s 0 "${B[a6]}"
python3 - "${B[a7]}" "${B[a8]}" "${B[a10]}" "${B[a11]}" <<'P'
import sys
block = 32768 + 64
with open(sys.argv[1], "r+b") as f:  # zero a block
    f.seek(1024 + block); f.write(bytes(block))
with open(sys.argv[2], "r+b") as f:  # two blocks change places
    f.seek(1024); a = f.read(block); b = f.read(block)
    f.seek(1024); f.write(b + a)
with open(sys.argv[3], "r+b") as f:  # one bit
    f.seek(1024 + 2 * block + 777); c = f.read(1); f.seek(-1, 1); f.write(bytes([c[0] ^ 4]))
with open(sys.argv[4], "r+b") as f:  # both headers
    f.write(bytes(1024))
P
python3 - "$TEST_TMP/old9" "${B[a9]}" <<'P'
import sys
# One block of an earlier version of the same file: it authenticates by itself, the content root says no.
block = 32768 + 64
old, new = open(sys.argv[1], "rb").read(), open(sys.argv[2], "r+b")
new.seek(1024 + block); new.write(old[1024 + block:1024 + 2 * block])
P
mv "${B[b4]}" "$(dirname "${B[a4]}")/$(basename "${B[b4]}")"       # moved to another directory
truncate -s +32832 "${B[b5]}"                                      # longer
printf 'plain text' >"$ARC/foreign.jpg"

mount_archive
for f in a/0 a/1 a/2 b/2 b/3 a/4 a/5 a/6 a/7 a/8 a/9 a/10 a/11 b/5; do
	refuse "Input/output error" cat "$MNT/$f.jpg"
	out=$(timeout 20 dd if="$MNT/$f.jpg" bs=4096 status=none 2>/dev/null | cmp - "$TEST_TMP/${f/\//}" 2>&1 || true)
	case $out in "" | *EOF*) ;; *) die "$f: wrong bytes came out: $out" ;; esac
done
for f in a/3 b/0 b/1 b/6; do check "untouched $f" cmp "$TEST_TMP/${f/\//}" "$MNT/$f.jpg"; done
[ ! -e "$MNT/foreign.jpg" ] || die "a foreign plaintext file is shown"
[ ! -e "$MNT/b/4.jpg" ] || die "a file that was moved away is still shown"
wait_until 20 sh -c "'$LAPSE' status '$MNT' --json | python3 -c 'import json,sys; sys.exit(json.load(sys.stdin)[\"foreign-files\"] < 1)'"
# Lines are rate-limited; one that was not said comes at the next try.
says() { cat "$MNT/$1.jpg" >/dev/null 2>&1; grep -q "$2" "$DAEMON_LOG"; }
wait_until 20 says a/9 'content root'
wait_until 20 says a/0 'not at home'
! grep -q '\.jpg' "$DAEMON_LOG" || die "a plaintext name in the daemon's log"
note "a damaged file may be deleted by its owner"
check "rm" rm "$MNT/a/7.jpg" "$MNT/a/11.jpg"
umount_archive
