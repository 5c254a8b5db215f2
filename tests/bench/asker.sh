#!/bin/bash
# asker.sh [ROUNDS]: what it costs the daemon to be told who asks, in CPU time for each open of a file that is in the page cache, by what the policy asks for. Rounds
# are interleaved, and the least of each counts: it is what others on the machine have disturbed least. Needs root, and LAPSE, the binary.
set -euo pipefail
: "${LAPSE:?the lapse binary}"
rounds=${1:-5}
work=$(mktemp -d)
chmod 755 "$work"
end() {
	mountpoint -q "$work/mnt" && "$LAPSE" umount "$work/mnt" || true
	rm -rf "${work:?}"
}
trap end EXIT
# Mounted with a rule on programs: a daemon whose policy had none has given up seeing them.
head='[policy]\nversion = 1\ndefault-class = images\n[class images]\nmatch = **\nexpire-after = 1y\n'
everyone='[rule everyone]\neffect = permit\nbudget = none\n'
cp /usr/bin/python3 "$work/reader"
sum=$(sha256sum "$work/reader" | cut -c1-64)
printf "$head$everyone" >"$work/nothing.ini"
printf "$head[rule s]\nservices = x.service\neffect = permit\nbudget = none\n$everyone" >"$work/service.ini"
printf "$head[rule p]\nusers = 0\nprograms = $work/reader\neffect = permit\nbudget = none\n$everyone" >"$work/program.ini"
printf "$head[programs p]\npaths = $work/reader\nsha256 = $sum\n[rule p]\nusers = 0\nprograms = p\nservices = x.service\norigin = service\neffect = permit\nbudget = none\n$everyone" \
	>"$work/all.ini"
head -c 32 /dev/urandom >"$work/key"
chmod 600 "$work/key"
mkdir "$work/mnt"
"$LAPSE" init "$work/archive-asker" --key-file "$work/key" --no-recovery-key --policy "$work/program.ini" --anchor "$work/anchor" >/dev/null 2>&1
"$LAPSE" mount "$work/archive-asker" "$work/mnt" --key-file "$work/key" --foreground 2>/dev/null &
daemon=$!
until mountpoint -q "$work/mnt"; do sleep 0.1; done
cat >"$work/reader.py" <<'P'
import os, sys, time
mnt, daemon = sys.argv[1], sys.argv[2]
N = 20000
paths = [f"{mnt}/{i}" for i in range(100)]
if sys.argv[3:] == ["make"]:
    for p in paths:
        open(p, "wb").write(b"x" * 1000)
    raise SystemExit
def cpu():
    return sum(int(open(f"/proc/{daemon}/task/{t}/schedstat").read().split()[0]) for t in os.listdir(f"/proc/{daemon}/task"))
def opens(n):
    for i in range(n):
        os.close(os.open(paths[i % 100], os.O_RDONLY))
opens(1000)
before = cpu()
opens(N)
print(f"{(cpu() - before) / N / 1000:.2f}")
P
"$work/reader" "$work/reader.py" "$work/mnt" $daemon make
for ((r = 0; r < rounds; r++)); do
	for policy in nothing service program all; do
		"$LAPSE" policy apply --reason bench "$work/$policy.ini" "$work/mnt" >/dev/null 2>&1
		echo "$policy $("$work/reader" "$work/reader.py" "$work/mnt" $daemon)"
	done
done | sort | python3 -c '
import sys
rows = {}
for line in sys.stdin:
    name, us = line.split()
    rows.setdefault(name, []).append(float(us))
base = min(rows["nothing"])
for name in ("nothing", "service", "program", "all"):
    us = min(rows[name])
    print(f"{name:8} {us:6.2f} us of CPU for each open and close, {us / base:.2f} x, {us - base:+.2f} us")'
"$LAPSE" umount "$work/mnt"
wait $daemon
