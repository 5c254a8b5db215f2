#!/bin/bash
# The documents suffice: a second reader, written from FORMAT.md and KEYS.md alone, reads what lapse wrote, notices damage, and has no key to what has expired.
# timeout: 240
. "$(dirname "$0")/lib.sh"
PYTHON=/usr/bin/python3 # the distribution's, whose PyNaCl the reader uses
export PYTHONDONTWRITEBYTECODE=1
READER=$SRC/tests/reader/reader.py

# reads WHAT STATUS options…: runs the reader; output in $TEST_TMP/read, problems in $TEST_TMP/problems.
reads() {
	local what=$1 want=$2 status=0
	shift 2
	timeout 120 "$PYTHON" "$READER" "$@" >"$TEST_TMP/read" 2>"$TEST_TMP/problems" || status=$?
	tail -n 1 "$TEST_TMP/problems"
	[ $status -eq "$want" ] || { head -n 20 "$TEST_TMP/problems"; die "$what: the reader ended with status $status, not $want"; }
}

says() { grep -aqE -- "$1" "$TEST_TMP/read" "$TEST_TMP/problems" || { head -n 20 "$TEST_TMP/read" "$TEST_TMP/problems"; die "the reader should say '$1'"; }; }

# change TREE: what people do to a tree. Times are set, so that two trees that were changed alike are alike.
change() (
	cd "$1" || exit 1
	mkdir -p work/deep/er
	for n in 1 2 3 4 5 6 7 8; do head -c $((n * 9000)) "$TEST_TMP/noise" >work/$n.jpg; done
	mv work/1.jpg work/moved.jpg
	mv work/2.jpg work/deep/er/moved.jpg
	mv work/deep work/deeper
	ln work/3.jpg work/deeper/linked.jpg
	printf 'overwritten' | dd of=work/4.jpg bs=1 seek=32760 conv=notrunc status=none
	cat work/4.jpg >>work/5.jpg
	truncate -s 40000 work/6.jpg
	truncate -s 100000 work/7.jpg
	rm work/8.jpg
	chmod 604 work/4.jpg
	: >work/empty
	mkfifo work/fifo
	printf 'x%.0s' {1..190} >"work/$(printf 'l%.0s' {1..240})"
	ln -s "$(printf 't%.0s' {1..900})" work/link
	ln -s "$(printf 't%.0s' {1..4000})" work/long-link
	ln -P work/link work/deeper/second-link
	setfattr -n user.comment -v "said of a file" work/4.jpg
	setfattr -n user.empty work/4.jpg
	setfattr -n "user.$(printf 'n%.0s' {1..150})" -v long work/6.jpg
	setfattr -n user.comment -v "said of a directory" work/deeper
	setfattr -n trusted.origin -v "lane 3" work/5.jpg
	setcap cap_net_raw+ep work/6.jpg
	find work -depth -exec touch -h -d '2026-05-04 03:02:01.123456789' {} +
)

head -c 100000 /dev/urandom >"$TEST_TMP/noise"
python3 "$SRC/tests/mount/maketree.py" "$TEST_TMP/tree" 80 7
cp -a "$TEST_TMP/tree" "$TEST_TMP/plain"
change "$TEST_TMP/plain"

note "the vectors"
check "vectors" "$PYTHON" "$SRC/tests/reader/vectors.py"

# one_suite SUITE: a tree goes in, is changed, and is read again. Expects an archive.
one_suite() {
	mount_archive
	check "cp -a" cp -a "$TEST_TMP/tree/." "$MNT/"
	change "$MNT"
	check "diff" diff -r --no-dereference "$TEST_TMP/plain/work/deeper" "$MNT/work/deeper"
	umount_archive
}

note "AEGIS-256, a key file"
archive_new --suite aegis-256 --anchor "$TEST_TMP/anchor2"
one_suite
reads "all of it" 0 "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor" --anchor "$TEST_TMP/anchor2" --compare "$TEST_TMP/plain" --extract "$TEST_TMP/out"
check "what was extracted" diff -r --no-dereference --exclude=fifo "$TEST_TMP/plain" "$TEST_TMP/out"
reads "the log" 0 "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor2" --log
says "^sequence=2 kind=mount "
says " kind=rename "
says " kind=umount "

note "the reader compares, and notices a wrong key, damage, and what was moved"
for wrong in content-of/work/4.jpg mode-of/work/5.jpg mtime-of/work/deeper xattr-of/work/6.jpg; do
	f=$TEST_TMP/plain/${wrong#*/}
	cp -a "$TEST_TMP/plain" "$TEST_TMP/same"
	case $wrong in
	content*) printf X | dd of="$f" bs=1 seek=5 conv=notrunc status=none && touch -d '2026-05-04 03:02:01.123456789' "$f" ;;
	mode*) chmod 600 "$f" ;;
	mtime*) touch "$f" ;;
	xattr*) setfattr -n user.more -v x "$f" ;;
	esac
	reads "another $wrong" 1 "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor" --compare "$TEST_TMP/plain"
	says "^problem: ${f#"$TEST_TMP/plain/"}: .* differs"
	says ", 1 problems"
	rm -rf "$TEST_TMP/plain"
	mv "$TEST_TMP/same" "$TEST_TMP/plain"
done
head -c 32 /dev/urandom >"$TEST_TMP/otherkey"
reads "another key" 3 "$ARC" --key-file "$TEST_TMP/otherkey" --anchor "$TEST_TMP/anchor"
cp -a "$ARC" "$TEST_TMP/pristine"

# damaged WHAT RE: the reader's finding; then the archive is as before.
damaged() {
	reads "$1" 1 "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor"
	says "$2"
	rm -rf "$ARC"
	cp -a "$TEST_TMP/pristine" "$ARC"
}
flip() { "$PYTHON" -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1)[0]; f.seek(-1, 1); f.write(bytes([b ^ 1]))' "$@"; }
mapfile -t two < <(find "$ARC" -path "$ARC/.lapse" -prune -o -type f -size +64k -links 1 -print | grep -v -- '~' | sort | head -n 2)
flip "${two[0]}" 2000
damaged "a bit of a block" "block 0: the tag does not match"
flip "${two[0]}" 100
flip "${two[0]}" 612
damaged "a bit of both headers" "header: does not authenticate"
truncate -s -1 "${two[0]}"
damaged "a byte less" "its length is that of"
mv "${two[0]}" "$TEST_TMP/x"
mv "${two[1]}" "${two[0]}"
mv "$TEST_TMP/x" "${two[1]}"
damaged "two files in each other's place" "not at home here"
rm "$(find "$ARC" -name '~*.n' -type f | head -n 1)"
damaged "no companion" "name: no companion"
flip "$ARC/.lapse/audit/0000000000000001.seg" 3000
damaged "a bit of the log" "problem: log: .*record .* does not authenticate"
truncate -s 3000 "$ARC/.lapse/audit/0000000000000001.seg"
damaged "a log that was cut" "problem: log: ends with record"
(printf '\x80\0\0\0torn'; head -c 4000 /dev/zero) >>"$ARC/.lapse/audit/0000000000000001.seg"
reads "a log with a torn end, behind what the anchor names" 0 "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor"
flip "$ARC/.lapse/policy" 60
damaged "a bit of the policy" "problem: policy: "
flip "$ARC/.lapse/keyring" 90
reads "a bit of the keyring" 3 "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor"
rm -rf "$ARC" "$TEST_TMP/pristine" "$TEST_TMP/out" "$TEST_TMP"/anchor*

note "what is authentic and wrong is refused by both"
archive_new
mount_archive
mkdir "$MNT/headers" "$MNT/directories"
mapfile -t forged < <("$PYTHON" "$SRC/tests/reader/forge.py")
for f in "${forged[@]}"; do
	case $f in
	headers/*) head -c 50000 "$TEST_TMP/noise" >"$MNT/$f" ;;
	*) mkdir "$MNT/$f" && echo x >"$MNT/$f/x" ;;
	esac
done
umount_archive
reads "before" 0 "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor"
check "forge" "$PYTHON" "$SRC/tests/reader/forge.py" "$ARC" "$KEY" "$TEST_TMP/anchor"
reads "forged" 1 "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor"
[ "$(grep -ac '^unreadable ' "$TEST_TMP/read")" = "${#forged[@]}" ] || { grep -a '^ok' "$TEST_TMP/read"; die "the reader accepted some of it"; }
expect_log '^lapse: damaged: '
mount_archive
for f in "${forged[@]}"; do
	[ "${f%%/*}" = headers ] || f=$f/x
	refuse "Input/output error" cat "$MNT/$f"
done
umount_archive
rm -rf "$ARC" "$TEST_TMP/anchor"

note "XChaCha20-Poly1305, small blocks, a passphrase and a recovery key"
printf 'correct horse battery staple\n' >"$TEST_TMP/passphrase"
KEY=$TEST_TMP/recovery
timeout 60 "$LAPSE" init "$ARC" --passphrase-fd 3 3<"$TEST_TMP/passphrase" --recovery-key-file "$KEY" --policy "$TEST_TMP/open.ini" --anchor "$TEST_TMP/anchor" \
	--suite xchacha20-poly1305 --block-size 4K >"$TEST_TMP/init.out" 2>&1 || { cat "$TEST_TMP/init.out"; die "lapse init"; }
one_suite
reads "by passphrase" 0 "$ARC" --passphrase-file "$TEST_TMP/passphrase" --anchor "$TEST_TMP/anchor" --compare "$TEST_TMP/plain"
reads "by recovery key" 0 "$ARC" --recovery-key-file "$KEY" --anchor "$TEST_TMP/anchor" --compare "$TEST_TMP/plain"
rm -rf "$ARC" "$TEST_TMP/anchor"

note "expiry: a copy of the store, with the anchor of then and the anchor of now"
KEY=$TEST_TMP/key
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class short]
match = short/**
expire-after = 8s

[class keep]
match = **
expire-after = 1d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 2s
mount_archive
mkdir "$MNT/short" "$MNT/keep" "$TEST_TMP/went-in"
for n in 1 2 3 4 5; do
	for class in short keep; do head -c $((n * 20000)) "$TEST_TMP/noise" >"$MNT/$class/$n.jpg"; done
done
setfattr -n user.comment -v "dies too" "$MNT/short/1.jpg"
cp -a "$MNT/." "$TEST_TMP/went-in/"
cp "$TEST_TMP/anchor" "$TEST_TMP/anchor-of-then"
cp -a "$ARC" "$TEST_TMP/copy"
[ "$(find "$MNT/short" -type f | wc -l)" = 5 ] || die "expired before the copy was made"
wait_until 30 sh -c "[ -z \"\$(ls -A '$MNT/short')\" ]"
umount_archive
anchor_of_now=(--key-file "$KEY" --anchor "$TEST_TMP/anchor")
anchor_of_then=(--key-file "$KEY" --anchor "$TEST_TMP/anchor-of-then")
reads "the store of now" 0 "$ARC" "${anchor_of_now[@]}"
[ "$(grep -ac '^ok keep/' "$TEST_TMP/read")" = 5 ] || die "not all of keep/ was read"
! grep -aq 'short/' "$TEST_TMP/read" || die "short/ is not empty"
reads "the copy, anchor of now" 1 "$TEST_TMP/copy" "${anchor_of_now[@]}"
says "problem: log: ends with record"
reads "the copy, anchor of now, and no clock in the way" 0 "$TEST_TMP/copy" "${anchor_of_now[@]}" --accept-rollback --ignore-deadlines --expect-expired 'short/*' \
	--compare "$TEST_TMP/went-in"
[ "$(grep -ac '^ok keep/' "$TEST_TMP/read")" = 5 ] || die "not all of keep/ was read from the copy"
[ "$(grep -acE '^expired short/[1-5].jpg: key cannot be derived$' "$TEST_TMP/read")" = 5 ] || die "not all of short/ is dark"
reads "the copy, anchor of then" 0 "$TEST_TMP/copy" "${anchor_of_then[@]}" --ignore-deadlines --compare "$TEST_TMP/went-in"
[ "$(grep -acE '^ok (short|keep)/' "$TEST_TMP/read")" = 10 ] || die "the anchor of then should have opened all of it"
reads "the same, by the clock" 0 "$TEST_TMP/copy" "${anchor_of_then[@]}"
[ "$(grep -acE '^denied short/' "$TEST_TMP/read")" = 5 ] || die "a reader denies what has expired by the clock"
reads "the same must fail the expectation" 1 "$TEST_TMP/copy" "${anchor_of_then[@]}" --expect-expired 'short/*'
says "problem: short/1.jpg: should be expired, and is ok"
