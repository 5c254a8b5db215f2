#!/bin/bash
# Nothing that was synced is lost: the daemon is killed, the blocks in place are put back to what they were before, or torn, and the second reader
# and the mount find in the journal what people wrote.
. "$(dirname "$0")/lib.sh"
PYTHON=/usr/bin/python3 # the distribution's, whose PyNaCl the reader uses
export PYTHONDONTWRITEBYTECODE=1
READER=$SRC/tests/reader/reader.py
STEP=$((4096 + 40)) # a block of 4 KiB of XChaCha20-Poly1305 in its backing file
HERE=$TEST_TMP/plain # what people wrote

reads() { # reads STATUS options…: the reader on the archive; output in $TEST_TMP/read, problems in $TEST_TMP/problems
	local want=$1 status=0
	shift
	timeout 60 "$PYTHON" "$READER" "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor" "$@" >"$TEST_TMP/read" 2>"$TEST_TMP/problems" || status=$?
	[ $status -eq "$want" ] || { cat "$TEST_TMP/read" "$TEST_TMP/problems"; die "the reader ended with status $status, not $want"; }
}
says() { grep -aqE -- "$1" "$TEST_TMP/read" "$TEST_TMP/problems" || { cat "$TEST_TMP/read" "$TEST_TMP/problems"; die "the reader should say '$1'"; }; }
laps() { find "$ARC/.lapse/journal" -type f; }
no_laps() { [ -z "$(laps)" ] || die "$1: $(laps | wc -l) laps are left"; }
copy() { dd "if=$1" "of=$2" bs=64K iflag=skip_bytes,count_bytes,fullblock "skip=$3" "count=$4" oflag=seek_bytes "seek=$5" conv=notrunc,fsync status=none; }
flip() { "$PYTHON" -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1)[0]; f.seek(-1, 1); f.write(bytes([b ^ 1]))' "$@"; }

# of FILE KEY: what `reader --list` said of it after the daemon was killed. records FILE KIND KEY: of its records, in order.
of() { sed -nE "s/^ok $1[: ].*[( ]$2=([^ )]*).*/\1/p" "$TEST_TMP/list"; }
records() { sed -nE "/ kind=$2 file-id=$(of "$1" file-id) /s/^.* $3=([0-9]+)( .*)?$/\1/p" "$TEST_TMP/list"; }

# put TREE FILE NOISE OFFSET BYTES: writes and syncs. The same noise for the same number.
put() { copy "$TEST_TMP/noise" "$1/$2" $(($3 * 7000)) "$5" "$4"; }
cut() { truncate -s "$3" "$1/$2" && sync "$1/$2"; }
change() { # change TREE: each file was synced before, and is synced after its change
	put "$1" over 3 5000 3000
	put "$1" open 4 0 9000
	put "$1" append 5 5000 300
	put "$1" grow 6 5000 9000
	cut "$1" cut 9000
	cut "$1" cut-between 8192
	cut "$1" cut-and-grown 6000
	put "$1" cut-and-grown 7 6000 9000
	put "$1" twice 8 100 100
	[ "$1" = "$MNT" ] || cp "$1/twice" "$TEST_TMP/once"
	put "$1" twice 9 200 100
}

FILES="over open append grow cut cut-between cut-and-grown twice same"
head -c 200000 /dev/urandom >"$TEST_TMP/noise"
mkdir "$HERE"
for f in $FILES; do
	size=20000
	case $f in append | grow) size=5000 ;; esac
	put "$HERE" "$f" 1 0 $size
done

note "what is written once leaves no lap"
expect_log 'journal: [0-9]+ laps were there though the last session ended well'
archive_new --suite xchacha20-poly1305 --block-size 4K
mount_archive
for f in $FILES; do dd if="$HERE/$f" of="$MNT/$f" bs=4000 conv=fsync status=none; done
no_laps "new files"
cp -a "$ARC" "$TEST_TMP/before"
cp -a "$HERE" "$TEST_TMP/plain-before"

note "changes that are synced; the daemon is killed"
change "$HERE"
exec 5<>"$MNT/open" 6<>"$MNT/twice" 8<>"$MNT/grow"
change "$MNT"
exec 7<>"$MNT/new"
head -c 6000 "$TEST_TMP/noise" | tee "$HERE/new" >"$MNT/new"
sync "$MNT/new"
kill_daemon
exec 5>&- 6>&- 7>&- 8>&-
[ "$(laps | wc -l)" = 1 ] || die "there should be one lap: $(laps)"
cp -a "$ARC" "$TEST_TMP/killed"
cp "$TEST_TMP/anchor" "$TEST_TMP/anchor.killed"
reads 0 --list --journal
cp "$TEST_TMP/read" "$TEST_TMP/list"

# The directory of that session stays: with another number the archive is that of no session that is known, as after a power cut.
mv "$ARC" "$TEST_TMP/first"
killed() { # the store as it was then, with its anchor
	rm -rf "${ARC:?}" "${TEST_TMP:?}/out"
	cp -a "$TEST_TMP/killed" "$ARC"
	cp "$TEST_TMP/anchor.killed" "$TEST_TMP/anchor"
	LAP=$(laps)
}
old_block() { # old_block FILE BLOCK: in place lies what was there before the change, with zeros behind
	local at=$((1024 + $2 * STEP)) f
	f=$(of "$1" backing)
	{ [ "$1" = cut-and-grown ] || copy /dev/zero "$ARC/$f" 0 $STEP $at; } && copy "$TEST_TMP/before/$f" "$ARC/$f" $at $STEP $at
	[ "$1" != append ] || truncate -r "$TEST_TMP/before/$f" "$ARC/$f"
}
not_in_place() { # none of the blocks that were written to the journal first
	local f b
	for f in over open append grow cut-and-grown twice; do
		for b in $(records "$f" block value); do old_block "$f" "$b"; done
	done
}
all_old() { # the files of before the changes, with the log and the journal of now
	find "$ARC" -mindepth 1 -maxdepth 1 ! -name .lapse -exec rm {} +
	find "$TEST_TMP/before" -mindepth 1 -maxdepth 1 ! -name .lapse -exec cp -a -t "$ARC" {} +
}
both_read() { # both_read WHAT [DIRECTORY [FILES]]: the reader and the mount find that there, and the mount leaves no laps
	local f
	reads 0 --extract "$TEST_TMP/out"
	for f in ${3:-.}; do check "$1: the reader" diff -r "${2:-$HERE}/$f" "$TEST_TMP/out/$f"; done
	mount_archive
	for f in ${3:-.}; do check "$1: the mount" diff -r "${2:-$HERE}/$f" "$MNT/$f"; done
	cp "$TEST_TMP/read" "$TEST_TMP/read-before"
	umount_archive
	no_laps "$1"
	reads 0
	says ", 0 laps with 0 records, 0 recovered, 0 problems"
	mv "$TEST_TMP/read-before" "$TEST_TMP/read"
}

note "as it was when the daemon was killed"
killed
both_read "as killed"

note "nothing is in place, and what is there is torn"
killed
not_in_place
for f in over twice; do flip "$ARC/$(of "$f" backing)" $((1024 + $(records "$f" block value | head -n 1) * STEP + 500)); done
both_read "torn in place"
for f in over open append grow twice; do says "^ok $f: recovered: [1-9] blocks from the journal, measured: "; done
says "^ok same$"

note "the file was closed, and of its block only the middle did not reach the disk: nonce and tag are those that the content root knows"
killed
[ "$(of over state)" = closed ] || die "its header should be closed"
at=$((1024 + $(records over block value) * STEP))
copy "$LAP" "$ARC/$(of over backing)" $(($(records over block at) + 96)) $STEP $at
flip "$ARC/$(of over backing)" $((at + 2000))
both_read "torn in the middle"
says "^ok over: recovered: 1 blocks from the journal, measured: 20000 bytes"

note "the last record of a block is torn: the one before it counts"
killed
not_in_place
flip "$LAP" $(($(records twice block at | tail -n 1) + 96 + 2000))
cp -a "$HERE" "$TEST_TMP/plain-once"
cp "$TEST_TMP/once" "$TEST_TMP/plain-once/twice"
both_read "torn in the journal" "$TEST_TMP/plain-once"
says "^ok twice: recovered: 1 blocks from the journal, 1 torn there, measured: "

note "the crash comes between a cut's records and the cut"
killed
all_old
truncate -s "$(records cut "done" at)" "$LAP"
both_read "a cut" "$HERE" "over open append cut"
says "^ok cut: recovered: 1 blocks from the journal, 1 cuts, measured: 9000 bytes"

note "what was appended was not synced: the blocks behind are there, the longer block is not"
killed
cp "$ARC/$(of grow backing)" "$TEST_TMP/grow"
all_old
cp "$TEST_TMP/grow" "$ARC/$(of grow backing)"
old_block grow 1
truncate -s 128 "$LAP"
both_read "an append that was not synced" "$TEST_TMP/plain-before"
says "^ok grow: recovered: measured: 5000 bytes, [0-9]+ bytes of the backing file left out"

note "laps of a session that ended well are not used"
cp -a "$TEST_TMP/killed/.lapse/journal/." "$ARC/.lapse/journal/"
reads 1
says "problem: journal: 1 laps after a session that ended well: not used"
says ", 0 recovered, 1 problems"
mount_archive
check "the mount uses none either" diff -r "$TEST_TMP/plain-before" "$MNT"
umount_archive
