#!/bin/bash
# Keys in the daemon's memory: of a file's content only while it is open, of a date that has passed none, and of what opened the keyring none after the mount.
# The clock is injected, so that nothing expires before it was looked for.
# attack items: 45
. "$(dirname "$0")/../mount/lib.sh"
LAPSE=${LAPSE_TESTCLOCK:?the lapse built with LAPSE_TEST_CLOCK (tests/run builds it)}
export LAPSE_TEST_CLOCK=$TEST_TMP/clock
clock() { # clock SECONDS: so much later, by the wall and since boot
	python3 - "$LAPSE_TEST_CLOCK" "$1" <<'P'
import os, struct, sys
os.pwrite(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644), struct.pack("<qqI4x", int(sys.argv[2]) * 10**9, int(sys.argv[2]) * 10**9, 1), 0)
P
}
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = keep

[class brief]
match = brief/**
expire-after = 10min

[class keep]
match = **
expire-after = 2y

[rule everyone]
effect = permit
budget = none
E
expect_log 'built for tests'
now=0
clock $now
archive_new "$TEST_TMP/policy.ini" --epoch 1min

keymem() { timeout 60 /usr/bin/python3 "$SRC/tests/crash/keymem.py" "$@"; }
keys_of() { # the anchor is copied: its keys of now
	cp "$TEST_TMP/anchor" "$TEST_TMP/anchor.then"
	keymem keys "$ARC" "$KEY" "$TEST_TMP/anchor.then" "$@" >"$TEST_TMP/keys"
}
there() { keymem find "$DAEMON" "$TEST_TMP/keys" "$@" >"$TEST_TMP/found" 2>&1; }
none() { ! there "$@" && grep -q '^none of' "$TEST_TMP/found"; }
# A close is told to the daemon some time after it.
gone() {
	local end=$((SECONDS + 10))
	until none "$@"; do
		[ $SECONDS -lt $end ] || { cat "$TEST_TMP/found"; die "still in memory"; }
		sleep 0.2
	done
}
holds() { there "$@" || die "the search finds no key where there must be one: $*"; }

for transport in $(transports); do
	note "$transport: while it is open, and after its close"
	mount_by "$transport"
	mkdir -p "$MNT/brief" "$MNT/keep"
	for d in brief keep; do
		for n in 1 2 3 4; do head -c $((n * 50000)) /dev/urandom >"$MNT/$d/$n"; done
		setfattr -n user.comment -v "said of it" "$MNT/$d/1"
	done
	files=(brief/1 brief/2 brief/3 brief/4 keep/1 keep/2)
	keys_of "${files[@]}"
	none keyring || die "$(cat "$TEST_TMP/found")"
	exec 7<"$MNT/keep/1" 8<"$MNT/brief/1"
	cat <&7 >/dev/null
	cat <&8 >/dev/null
	holds keep/1
	holds brief/1
	holds "brief/1 epoch"
	exec 7<&- 8<&-
	gone "${files[@]}"

	note "$transport: after each thing that is done to a file"
	done_to() {
		"$@"
		gone "${files[@]}"
	}
	printf over | done_to dd of="$MNT/keep/2" bs=1 seek=70000 conv=notrunc,fsync status=none
	done_to sh -c "printf more >>'$MNT/keep/2'; truncate -s 99999 '$MNT/keep/2'; truncate -s 0 '$MNT/brief/4'"
	done_to setfattr -n user.comment -v "said of it again" "$MNT/keep/1"
	done_to getfattr --only-values -n user.comment "$MNT/keep/1" "$MNT/brief/1" >/dev/null
	done_to ln "$MNT/keep/1" "$MNT/keep/linked"
	done_to mv "$MNT/keep/2" "$MNT/keep/renamed"
	done_to "$LAPSE" explain "$MNT/brief/2" >/dev/null
	done_to rm "$MNT/keep/renamed" "$MNT/keep/linked"

	note "$transport: after its date, also where it was open, mapped or unlinked then"
	exec 7<"$MNT/brief/1" 8<>"$MNT/brief/2" 9<>"$MNT/brief/3"
	head -c 1000 <&7 >/dev/null
	printf x >&8
	rm "$MNT/brief/3"
	holds brief/1 brief/3
	now=$((now + 700))
	clock $now
	wait_until 30 test ! -e "$MNT/brief/1"
	for n in 1 2 3 4; do gone "brief/$n epoch"; done
	refuse "Key has expired" cat <&7
	gone brief/1 brief/2 brief/3 brief/4
	exec 7<&- 8<&- 9<&-
	rm -r "${MNT:?}"/*
	umount_archive
done
