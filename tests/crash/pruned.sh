#!/bin/bash
# kill -9 at each step of a drop of the log's oldest segments, instead of each call that writes, fsyncs, renames or unlinks a file of the log or of the anchor: the log is
# proven at once, also by the public key alone; all segments are there as long as there is no tombstone; the next mount finishes what was begun and leaves nothing half.
# Then the same with an unmount in place of the kill. A sample of the steps; all of them with --long.
# timeout: 300
# attack items: 46
. "$(dirname "$0")/../mount/lib.sh"
with_test_clock
HOUR=3600
cat >"$TEST_TMP/policy.ini" <<'P'
[policy]
version = 1
default-class = images
undo = 1min

[class images]
match = **
expire-after = 1y

[budget some]
files = 1000/1h

[rule everyone]
effect = permit
budget = some

[break-glass]
max-time = 1h

[audit]
retain-for = 2h
P
expect_log 'audit: records 1 to [0-9]+ were dropped after 2h'
expect_log 'the snapshot of the counters cannot be used \(it is of another history of the log\)' # the one that there is names what is gone
log=$ARC/.lapse/audit trace=$TEST_TMP/trace
at_least() { [ "$(find "$log" -name '*.seg' | wc -l)" -ge "$1" ]; }
first_gone() { [ ! -e "$log/0000000000000001.seg" ]; }
one_left() { first_gone && [ ! -e "$log/$second.seg" ]; }
ended() { ! kill -0 "$DAEMON" 2>/dev/null; }
verified() { # verified WHEN: by who has the keys, and by who has the public key; what was dropped
	timeout 60 "$LAPSE" audit verify "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor" --json >"$TEST_TMP/said" 2>&1 || die "$1: $(cat "$TEST_TMP/said")"
	timeout 60 "$LAPSE" audit verify --public-key "$public" --retain-for 2h "$log" >"$TEST_TMP/said.public" 2>&1 || die "$1: the public key: $(cat "$TEST_TMP/said.public")"
	pruned=$(python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
assert d["flaws"] == 0 and d["unchecked"] == 0, d
print(d["pruned"])' "$TEST_TMP/said") || die "$1: $(cat "$TEST_TMP/said")"
}
begin() { # begin KILL_AT [WAIT-MS]: the archive as it was, mounted by one that drops at once
	rm -r "${ARC:?}"
	cp -a "$TEST_TMP/then/archive" "$ARC"
	cp -a "$TEST_TMP/then/anchor" "$TEST_TMP/anchor"
	rm -f "${trace:?}"
	clock $then
	env LD_PRELOAD="$LAPSE_BUILD/crash/kill_at.so" LAPSE_KILL_FROM=next LAPSE_KILL_AT="$1" ${2:+LAPSE_KILL_WAIT=$2} LAPSE_KILL_TRACE="$trace" \
		"$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" --foreground >>"$DAEMON_LOG" 2>&1 &
	DAEMON=$!
	wait_until 20 mountpoint -q "$MNT"
	clock $((then + 700))
}
whole() { # whole WHEN: after a mount
	check "$1: a file" grep -qx one "$MNT/one"
	wait_until 30 one_left
	check "$1: an unmount" umount_archive
	verified "$1"
	[ "$pruned" = "$dropped" ] || die "$1: dropped to $pruned, not to $dropped"
	! find "$log" "$(dirname "$TEST_TMP/anchor")" -maxdepth 1 \( -name '*.tmp' -o -name '*.part' \) | grep . || die "$1: litter"
	[ "$(find "$log" -name '*.idx' ! -newer "$TEST_TMP/then/archive" | wc -l)" = 0 ] || die "$1: an index of what is gone"
}

archive_new "$TEST_TMP/policy.ini" --epoch 1h
public=$(sed -n 's/^  Log key *//p' "$TEST_TMP/init.out")
mount_archive
echo one >"$MNT/one"
clock $((HOUR + 120))
wait_until 20 at_least 2
echo two >"$MNT/two"
clock $((2 * HOUR + 240))
wait_until 20 at_least 3
umount_archive
second=$(basename "$(find "$log" -name '*.seg' | sort | sed -n 2p)" .seg) third=$(basename "$(find "$log" -name '*.seg' | sort | sed -n 3p)" .seg)
dropped=$((16#$third - 1)) then=$((5 * HOUR + 240))
mkdir "$TEST_TMP/then"
cp -a "$ARC" "$TEST_TMP/then/archive"
cp -a "$TEST_TMP/anchor" "$TEST_TMP/then/anchor"

note "the steps"
begin 0
done_with() { [ "$(tail -n +"$(grep -n "^unlinkat $second.seg" "$trace" | cut -d: -f1)" "$trace" | grep -c '^fsync audit')" -ge 1 ]; }
wait_until 30 one_left
wait_until 10 done_with
cp "$trace" "$TEST_TMP/steps"
whole "undisturbed"
from=$(grep -n '^openat next' "$TEST_TMP/steps" | head -n 1 | cut -d: -f1)
upto=$(grep -n '^fsync audit' "$TEST_TMP/steps" | tail -n 1 | cut -d: -f1)
from=$((from - 7))
for step in 'pwrite anchor' 'fdatasync anchor' 'pwrite seals' 'write pruned' 'fsync pruned' 'renameat2 pruned' 'unlinkat 0000000000000001.idx' 'unlinkat 0000000000000001.seg' \
	"unlinkat $second.seg"; do
	sed -n "$from,${upto}p" "$TEST_TMP/steps" | grep -q "^$step" || die "there is no step '$step': $(cat "$TEST_TMP/steps")"
done
number() { grep -n "^$1" "$TEST_TMP/steps" | tail -n "${2:-1}" | head -n 1 | cut -d: -f1; }
if [ -n "${LAPSE_LONG:-}" ]; then
	mapfile -t steps < <(seq "$from" $((upto + 1)))
else
	steps=("$(number 'fdatasync next')" "$(number 'fdatasync anchor')" "$(number 'renameat2 pruned')" "$(number 'unlinkat 0000000000000001.seg')" "$upto")
fi

note "killed at each"
for n in "${steps[@]}"; do
	begin "$n"
	wait_until 30 ended
	kill_daemon
	[ "$(wc -l <"$trace")" = "$n" ] || die "not killed at $n: $(cat "$trace")"
	step="$n: $(tail -n 1 "$trace")"
	echo "$step"
	verified "$step"
	[ -e "$log/$third.seg" ] || die "$step: what is not due is gone"
	if [ "$pruned" = 0 ]; then
		[ -e "$log/0000000000000001.seg" ] && [ -e "$log/$second.seg" ] || die "$step: without a tombstone, and gone"
	fi
	clock $((then + 701))
	mount_archive
	[ "$pruned" = 0 ] || one_left || die "$step: after a mount what was dropped is still there"
	clock $((then + 1400))
	whole "$step"
done

note "unmounted at some"
for n in "$(number 'openat next')" "$(number 'fdatasync next')" "$(number 'fdatasync anchor')" "$(number 'fsync pruned')" "$(number 'unlinkat 0000000000000001.idx')"; do
	[ -n "${LAPSE_LONG:-}" ] || [ "$n" = "$(number 'fsync pruned')" ] || continue
	begin "$n" 700
	at_step() { [ "$(wc -l <"$trace")" -ge "$n" ]; }
	wait_until 30 at_step
	umount_archive
	verified "unmounted at $n"
	[ -e "$log/$third.seg" ] || die "unmounted at $n: what is not due is gone"
	[ "$pruned" = 0 ] || one_left || die "unmounted at $n: half"
	clock $((then + 701))
	mount_archive
	clock $((then + 1400))
	whole "unmounted at $n"
done
