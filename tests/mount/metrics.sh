#!/bin/bash
# lapse status --metrics: the format, to the letter; every name is in the man page; the numbers are those of what was done.
. "$(dirname "$0")/lib.sh"
for u in t1 t2; do as $u true; done
cat >"$TEST_TMP/policy.ini" <<'E2'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 10y

[rule t2]
users = lapse-t2
effect = deny

[rule t1]
users = lapse-t1
effect = permit
budget = small

[rule everyone]
effect = permit
budget = none

[budget small]
files = 3/1h 10/24h
E2
expect_log 'refused: uid'
ARC=$TEST_TMP/'an "odd\name' # a label's value has to be escaped
archive_new "$TEST_TMP/policy.ini"
metrics() { "$LAPSE" status --metrics "$ARC" >"$TEST_TMP/metrics" && python3 "$SRC/tests/mount/metrics.py" "$TEST_TMP/metrics" "$SRC/packaging/man/lapse.8" >"$TEST_TMP/read"; }
# is NAME VALUE; the value by a condition of awk's on $2
value() { grep -F -- "$1 " "$TEST_TMP/read" | cut -d' ' -f2; }
is() { [ "$(value "$1")" = "$2" ] || { cat "$TEST_TMP/read"; die "$1 is '$(value "$1")', not $2"; }; }
at_least() { awk -v v="$(value "$1")" -v w="$2" 'BEGIN { exit !(v != "" && v >= w) }' || { cat "$TEST_TMP/read"; die "$1 is '$(value "$1")', not at least $2"; }; }

note "not mounted: that much, without a key"
check "metrics of one that is not mounted" metrics
is 'lapse_mounted{}' 0
[ "$(wc -l <"$TEST_TMP/read")" = 1 ] || die "more than that"

note "mounted: what was done is counted"
mount_archive
mkdir -m 755 "$MNT/in"
for i in $(seq 9); do head -c 50000 /dev/zero >"$MNT/in/$i.jpg"; done
for i in 1 2 3; do as t1 cat "$MNT/in/$i.jpg" >/dev/null; done
for i in 4 5; do refuse "Disk quota exceeded" as t1 cat "$MNT/in/$i.jpg"; done
for i in 1 2 3 4; do refuse "Permission denied" as t2 cat "$MNT/in/$i.jpg"; done
for i in $(seq 9); do cat "$MNT/in/$i.jpg" >/dev/null; done
metrics || { cat "$TEST_TMP/metrics"; die "the format"; }
catalogued() { metrics && [ "$(value 'lapse_files{}')" = 9 ]; }
wait_until 10 catalogued
is 'lapse_mounted{}' 1
is 'lapse_degraded{}' 0
is 'lapse_files_overdue{}' 0
is 'lapse_shred_lag_seconds{}' 0
is 'lapse_clock_state{state=fine}' 1
is 'lapse_clock_state{state=wall-ahead}' 0
is 'lapse_opens_total{decision=permitted}' 12
is 'lapse_opens_total{decision=denied}' 6
is 'lapse_refusals_total{reason=deny-budget,rule=t1}' 2
is 'lapse_refusals_total{reason=deny-rule,rule=t2}' 4
is "lapse_budget_used{budget=small,reader=$(id -u lapse-t1),unit=files,window=3/1h}" 3
is "lapse_budget_limit{budget=small,reader=$(id -u lapse-t1),unit=files,window=10/24h}" 10
is 'lapse_lockouts{}' 0
is 'lapse_closed{}' 0
is 'lapse_log_failed{}' 0
is 'lapse_alerts_lost_total{}' 0
is 'lapse_anchor_copies{}' 1
at_least 'lapse_alerts_total{event=refused}' 5
at_least 'lapse_log_bytes{}' 1000
at_least 'lapse_log_reserved_bytes{}' 1000000
at_least 'lapse_store_free_bytes{}' 1
at_least 'lapse_anchor_sequence{}' 1
awk -v v="$(value 'lapse_trusted_timestamp_seconds{}')" -v now="$(date +%s.%N)" 'BEGIN { exit !(v > now - 3 && v < now + 1) }' || die "not to the second: $(value 'lapse_trusted_timestamp_seconds{}')"
at_least 'lapse_written_bytes_total{}' 450000
is 'lapse_requests_total{operation=create}' 9
is 'lapse_request_seconds_count{operation=create}' 9
at_least 'lapse_request_seconds_count{operation=open}' 1
awk -v v="$(value 'lapse_request_seconds_sum{operation=create}')" 'BEGIN { exit !(v > 0 && v < 10) }' || die "seconds of creating"

note "the counts of sampled operations come out at all of them, within what each thread has not looked at yet"
threads=$(ls /proc/"$DAEMON"/task | wc -l)
python3 - "$MNT/in/1.jpg" <<'P'
import os, sys
for i in range(4000):
    os.close(os.open(sys.argv[1], os.O_RDONLY))
P
metrics || die "the format"
python3 - "$(value 'lapse_requests_total{operation=open}')" "$(value 'lapse_request_seconds_count{operation=open}')" "$threads" <<'P' || die "opens looked at"
import sys
all_, counted, threads = map(float, sys.argv[1:])
assert all_ >= 4000 and abs(all_ - counted) <= 8 * (threads + 60), (all_, counted, threads)
P

note "a closure shows"
"$LAPSE" guard close --until 1h --reason visit "$MNT" >/dev/null
metrics || die "the format"
is 'lapse_closed{}' 1
is 'lapse_alerts_total{event=closed}' 1
umount_archive
