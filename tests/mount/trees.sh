#!/bin/bash
# Trees of 5,000 files by cp -a and by rsync -a, the same through a remount; also under the default policy, whose budgets a writer must not feel.
# timeout: 300
. "$(dirname "$0")/lib.sh"
python3 "$SRC/tests/mount/maketree.py" "$TEST_TMP/tree" 5000 1
python3 "$SRC/tests/mount/listing.py" "$TEST_TMP/tree" >"$TEST_TMP/want"

copies() {
	CHECK_TIMEOUT=120 check "cp -a" cp -a "$TEST_TMP/tree" "$MNT/cp"
	CHECK_TIMEOUT=120 check "rsync -aH" rsync -aH "$TEST_TMP/tree/" "$MNT/rsync/"
	umount_archive
	mount_archive
	for copy in cp rsync; do
		CHECK_TIMEOUT=120 check "diff -r $copy" diff -r --no-dereference "$TEST_TMP/tree" "$MNT/$copy"
	done
	# cp -a keeps hard links; so does rsync -H.
	for copy in cp rsync; do
		python3 "$SRC/tests/mount/listing.py" "$MNT/$copy" >"$TEST_TMP/got"
		cmp "$TEST_TMP/want" "$TEST_TMP/got" || { diff "$TEST_TMP/want" "$TEST_TMP/got" | head -n 10; die "$copy: attributes differ"; }
	done
	CHECK_TIMEOUT=120 check "rm -rf" rm -rf "$MNT/cp" "$MNT/rsync"
	[ -z "$(ls -A "$MNT")" ] || die "not empty after rm -rf"
	[ "$(find "$ARC" -mindepth 1 -path "$ARC/.lapse" -prune -o -print | wc -l)" -eq 1 ] || die "something is left in the store: $(ls -A "$ARC")"
}

archive_new
mount_archive
copies
umount_archive
rm -rf "$ARC" "$TEST_TMP/anchor"

note "the default policy"
mkdir -p "$MNT"
"$LAPSE" init "$ARC" --key-file "$KEY" --no-recovery-key --expire-after 30d --anchor "$TEST_TMP/anchor" >/dev/null
mount_archive
copies
umount_archive
