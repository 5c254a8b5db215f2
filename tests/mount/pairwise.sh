#!/bin/bash
# timeout: 300
# Class, basis, floor, mode, move, link, extension, hold and change of policy, against each other: pairwise.py, which computes from POLICY.md what must come of each.
# attack items: 9 19 50 53
. "$(dirname "$0")/lib.sh"
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
export LAPSE_TEST_CLOCK=$TEST_TMP/clock
for change in none shorter longer floorless; do
	note "$change"
	mkdir -p "$TEST_TMP/$change"
	rm -f "${LAPSE_TEST_CLOCK:?}"
	python3 "$SRC/tests/mount/pairwise.py" "$LAPSE" "$MNT" "$LAPSE_TEST_CLOCK" --policy "$TEST_TMP/$change"
	ARC=$TEST_TMP/$change/archive
	python3 -c 'import os, struct, sys; os.write(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644), struct.pack("<qqI4x", 0, 0, 1))' "$LAPSE_TEST_CLOCK"
	archive_new "$TEST_TMP/$change/first.ini" --epoch 1min
	mount_archive
	python3 "$SRC/tests/mount/pairwise.py" "$LAPSE" "$MNT" "$LAPSE_TEST_CLOCK" "$change" "$TEST_TMP/$change" || die "$change"
	umount_archive
	rm "${TEST_TMP:?}/anchor"
done
