#!/bin/bash
# The protocol of sweep, hold, rewrap, policy change, advance and crash (retention.pml), every state of it by spin: prints how many, and what holds in
# all of them. Each seeded fault must be found. With LAPSE_LONG=1 more at once: three files, two crashes, everything together.
# timeout: 3600
# attack items: 46 52
set -eu
model=$LAPSE_SOURCE/tests/model/retention.pml
work=${TEST_TMP:?}
bad=0

# build DIRECTORY COMPILER-FLAGS -- MODEL-FLAGS
build() {
	local dir=$work/$1 flags=()
	shift
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	mkdir -p "$dir"
	(cd "$dir" && spin "$@" -a "$model" >spin.log && gcc -w "${flags[@]}" -o pan pan.c) || {
		cat "$dir/spin.log"
		exit 1
	}
}

# number FILE PATTERN: what stands before it in pan's report
number() { sed -n "s/^ *\([0-9.e+]*\) $2.*/\1/p" "$1" | head -n 1; }

holds_everywhere() { # NAME WHAT COMPILER-FLAGS -- MODEL-FLAGS
	local name=$1 what=$2 log=$work/$1.log
	shift 2
	build "$name" "$@"
	(cd "$work/$name" && timeout 1800 ./pan -m200000 $([ "$1" != -DNP ] || echo -l)) >"$log" 2>&1 || true
	if ! grep -q 'errors: 0$' "$log" || grep -q 'max search depth too small\|out of memory' "$log"; then
		grep -E 'assertion violated|error|invalid' "$log" | head -n 5
		(cd "$work/$name" && ./pan -r 2>/dev/null | tail -n 60) || true
		echo "FAILED: $what"
		bad=1
		return
	fi
	echo "$what: $(number "$log" "states, stored") states, $(number "$log" "transitions") transitions"
}

found() { # NUMBER WHAT MODEL-FLAGS
	local fault=$1 what=$2 log=$work/fault$1.log
	shift 2
	build "fault$fault" -DSAFETY -O0 -- -DFAULT="$fault" "$@"
	(cd "$work/fault$fault" && timeout 600 ./pan -m200000) >"$log" 2>&1 || true
	if grep -q 'assertion violated' "$log" && [ -s "$work/fault$fault/retention.pml.trail" ]; then
		echo "found: $what: $(number "$log" "states, stored") states, $(wc -l <"$work/fault$fault/retention.pml.trail") steps to it"
	else
		echo "FAILED: nobody notices: $what"
		bad=1
	fi
}

cat <<'EOT'
Checked in every state, for whatever a crash would leave of headers and anchor:
  - what is listed alive, or held, has a key that the anchor can derive, and is not unlinked
  - nobody reads a file at or after its deadline, and everybody may before it
  - the anchor passes no epoch that wraps what must live on: alive, extended, held
and while a hold is on its way to its files, what it does not match is shredded;
and at every end: it is reached (there is no way to go round for ever), all that was begun is done, no barrier and no key of a released hold is
left, and of what has expired no copy of a header that was ever on disk opens.
EOT
holds_everywhere ends "one hold, one crash, comes to an end" -DNP -O0 -- -DPARTS=0
holds_everywhere two "two holds, one crash" -DSAFETY -O1 -- -DPARTS=1
holds_everywhere policy "a hold and a policy change, one crash" -DSAFETY -O1 -- -DPARTS=2
holds_everywhere make "a hold, a file made and one deleted, one crash" -DSAFETY -O1 -- -DPARTS=12
holds_everywhere stalled "a hold that is on its way for ever: all else is shredded at its end, one crash" -DSAFETY -O1 -- -DPARTS=0 -DSTALLED
found 1 "the anchor advances before rewraps are durable" -DPARTS=0
found 2 "rewraps after the advance: a hold without a barrier" -DPARTS=0
found 3 "a replay that skips an intent" -DPARTS=0
found 4 "a hold's key is destroyed before rewraps are durable" -DPARTS=1
found 5 "a hold that does not wait for files being made" -DPARTS=4
found 6 "a sweeper that goes by header and clock alone" -DPARTS=0
found 7 "a barrier lifted before what it covers is durable" -DPARTS=0
found 8 "a policy moves a key below a lifted barrier" -DPARTS=2
found 11 "whether a hold bars an earlier end is asked before the act that holds wait for" -DPARTS=2
found 9 "the pass of one hold lifts the barrier of another" -DPARTS=1
found 10 "a barrier that is not lifted while a hold is placed" -DPARTS=0 -DSTALLED

if [ "${LAPSE_LONG:-}" ]; then
	big=(-DSAFETY -DCOLLAPSE -O2)
	holds_everywhere two2 "two holds, two crashes" "${big[@]}" -- -DPARTS=1 -DCRASHES=2
	holds_everywhere policy2 "a hold and a policy change, two crashes" "${big[@]}" -- -DPARTS=2 -DCRASHES=2
	holds_everywhere two_make "two holds, a file made, one crash" "${big[@]}" -- -DPARTS=5
	holds_everywhere policy_make "a hold, a policy change, a file made, one crash" "${big[@]}" -- -DPARTS=6
	holds_everywhere three "three files, a hold, a policy change, one crash" "${big[@]}" -- -DPARTS=2 -DFILES=3
	holds_everywhere two_policy "two holds and a policy change, one crash" "${big[@]}" -- -DPARTS=3
	holds_everywhere ends2 "two holds, one crash, comes to an end" -DNP -DCOLLAPSE -O2 -- -DPARTS=1
	holds_everywhere ends3 "a hold and a policy change, one crash, comes to an end" -DNP -DCOLLAPSE -O2 -- -DPARTS=2
fi
exit $bad
