#!/bin/bash
# Many files whose date is the same second, in one epoch: until then each can be read, and from then on none, by its name or by a handle that is held; within two epochs
# the key of each is gone, however long it takes to remove them; and each is on the record once, with a key that cannot be derived. FILES: how
# many; EPOCH: seconds.
. "$(dirname "$0")/lib.sh"
with_test_clock
: "${FILES:=2000}" "${EPOCH:=10}"
cat >"$TEST_TMP/policy.ini" <<'P'
[policy]
version = 1
default-class = images

[class kept]
match = kept/**
expire-after = 1y

[class images]
match = **
expire-after = 2d

[rule everyone]
effect = permit
budget = none
P
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }
of() { timeout 300 "$LAPSE" "${@:2}" "$MNT" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
is() { [ "$(of "${@:2}")" = "$1" ]; }
at_least() { [ "$(of "${@:2}")" -ge "$1" ]; }

note "$FILES files that were made in one second"
made=$(($(date +%s) - 3600))
python3 - "$TEST_TMP/plain" "$FILES" "$made" <<'P'
import os, sys
root, count, made = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for n in range(count):
    if n % 1000 == 0:
        os.makedirs(f"{root}/{n // 1000}")
    path = f"{root}/{n // 1000}/{n}.jpg"
    with open(path, "w") as f:
        f.write(f"image {n}\n")
    os.utime(path, (made, made))
os.makedirs(f"{root}/kept")
for n in range(50):
    with open(f"{root}/kept/{n}.jpg", "w") as f:
        f.write(f"kept {n}\n")
P
archive_new "$TEST_TMP/policy.ini" --epoch ${EPOCH}s
mount_archive
start=$EPOCHREALTIME
CHECK_TIMEOUT=3000 check "import" "$LAPSE" import "$MNT" --from "$TEST_TMP/plain" --basis modified >"$TEST_TMP/imported" 2>&1
note "taken in after $(since "$start") s"
rm -rf "${TEST_TMP:?}/plain"
wait_until 120 is $((FILES + 50)) files status
deadline=$((made + 2 * 86400))
[ "$(timeout 60 "$LAPSE" explain "$MNT/0/1.jpg" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["expires"])')" = $deadline ] || die "the date of a file"

note "a plan over all of them, and the index made anew"
sed 's/= 2d/= 1h/' "$TEST_TMP/policy.ini" >"$TEST_TMP/shorter.ini"
start=$EPOCHREALTIME
CHECK_TIMEOUT=300 check "a plan" "$LAPSE" policy plan "$TEST_TMP/shorter.ini" "$MNT" >"$TEST_TMP/plan"
note "planned after $(since "$start") s"
tr -d , <"$TEST_TMP/plan" | grep -qE "^images +$FILES +$FILES +0 +0 +0 +0\$" || die "not all of them would expire: $(cat "$TEST_TMP/plan")"
umount_archive
rm -f "${ARC:?}"/.lapse/catalogue.db*
mount_archive
start=$EPOCHREALTIME
wait_until 600 is True catalogue-complete status
note "made anew after $(since "$start") s"
is $((FILES + 50)) files status || die "the index has $(of files status) files"

note "until their second, and from then on"
ahead=$((deadline - $(date +%s) - 8))
clock $ahead
cat >"$TEST_TMP/watch.py" <<'P'
import errno, os, random, sys, time
root, count, deadline, ahead = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
now = lambda: time.time() + ahead
some = random.Random(count)
path = lambda n: f"{root}/{n // 1000}/{n}.jpg"

def read(n):
    with open(path(n)) as f:
        assert f.read() == f"image {n}\n", n

held = {n: os.open(path(n), os.O_RDONLY) for n in some.sample(range(count), 200)}
for n, fd in held.items():
    assert os.pread(fd, 100, 0) == f"image {n}\n".encode(), n
assert now() < deadline, "this machine is too slow for the test"
before = after = 0
while now() < deadline + 1:
    n, began = some.randrange(count), now()
    try:
        read(n)
        assert began < deadline, f"{n}.jpg was read {began - deadline:.3f} s after its second"
        before += 1
    except OSError as e:
        assert e.errno in (errno.EKEYEXPIRED, errno.ENOENT), e
        assert now() >= deadline, f"{n}.jpg was refused {deadline - now():.3f} s before its second"
        after += 1
for n, fd in held.items():
    try:
        os.pread(fd, 100, 0)
        raise SystemExit(f"{n}.jpg is read by an old handle {now() - deadline:.3f} s after its second")
    except OSError as e:
        assert e.errno == errno.EKEYEXPIRED, e
assert before and after, (before, after)
print(f"{before} opens before and {after} after it; {len(held)} handles ended by {now() - deadline:.2f} s")
P
CHECK_TIMEOUT=60 check "the second" python3 "$TEST_TMP/watch.py" "$MNT" "$FILES" $deadline $ahead

note "their keys"
epoch=$(((deadline - 1) / EPOCH)) # DESIGN section 4
wait_until $((2 * EPOCH + 15)) at_least $((epoch + 1)) next-epoch anchor status
late=$(($(date +%s) + ahead - deadline))
note "gone ${late} s after the second of the files; $(of expired-total status) files are removed by now"
[ $late -le $((2 * EPOCH)) ] || die "that is more than two epochs"
check "what lives is read" cat "$MNT"/kept/*.jpg >"$TEST_TMP/kept"
[ "$(wc -l <"$TEST_TMP/kept")" = 50 ] || die "what lives"

note "removed, and on the record"
start=$EPOCHREALTIME
wait_until 900 is "$FILES" expired-total status
note "the last one removed $(since "$start") s later"
[ -z "$(timeout 300 find "$MNT" -name '*.jpg' -not -path '*/kept/*' -print -quit)" ] || die "some are still there"
timeout 300 "$LAPSE" audit destroyed "$MNT" --json >"$TEST_TMP/said"
python3 - "$TEST_TMP/said" "$FILES" <<'P'
import json, sys
d, count = json.load(open(sys.argv[1])), int(sys.argv[2])
assert d["expired"] == d["proven"] == count and d["unproven"] == d["begun"] == d["destroyed"] == 0, d
assert d["epochs"] == 1, d
print(f"{d['proven']} keys that cannot be derived, of {d['epochs']} epoch; the last tombstone {d['worst-lag']} s after the date")
P
umount_archive
