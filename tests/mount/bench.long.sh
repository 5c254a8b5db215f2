#!/bin/bash
# timeout: 600
# The benchmark runs, measures everything it says it does, and leaves nothing behind. Its figures are nobody's business here.
. "$(dirname "$0")/lib.sh"
place=$TEST_TMP/place svg=$TEST_TMP/chart.svg
mkdir "$place"
chmod 755 "$place"
CHECK_TIMEOUT=500 check "tests/bench/run" "$SRC/tests/bench/run" --lapse "$LAPSE" --systems plain,lapse,lapse-device --base plain --rounds 1 --files 60 --large 8 \
	--reader nobody --extras slow,names,memory --names 500 --place "$place" --svg "$svg" >"$TEST_TMP/out"
for phase in write walk 'first 4 KiB' read 'read again' 'four readers' delete '4 KiB pieces' 'cp -a' '16 KiB pieces' 'large write' 'large read' 'random 4 KiB'; do
	[ "$(grep -cE "^$phase(, [^ ]+)? +[0-9]" "$TEST_TMP/out")" = 2 ] || die "$phase is not in both tables"
done
for line in 'lapse, 5 ms a read below: one reader' 'plain, 500 names: ls -f' 'lapse-device, daemon: '; do
	grep -qF "$line" "$TEST_TMP/out" || die "'$line' is not told"
done
check "the chart is XML" python3 -c 'import sys, xml.etree.ElementTree as t; assert len(t.parse(sys.argv[1]).getroot()) > 40' "$svg"
[ -z "$(ls -A "$place")" ] || die "left behind: $(ls "$place")"
refuse "no phase" "$SRC/tests/bench/run" --lapse "$LAPSE" --systems plain --phases nonsense --place "$place"

note "what the guard costs"
status=0
timeout 120 "$SRC/tests/bench/guard-cost" --lapse "$LAPSE" --rounds 2 --seconds 0.2 --files 60 --place "$place" >"$TEST_TMP/cost" || status=$?
[ $status -le 1 ] && [ "$(grep -cE "opens/s +[0-9.]+ us of processor time" "$TEST_TMP/cost")" = 4 ] && grep -qE "^the guard costs .* us an open" "$TEST_TMP/cost" ||
	{ cat "$TEST_TMP/cost"; die "guard-cost: exit status $status"; }
