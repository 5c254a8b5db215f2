"""sweep_turns.py LAPSE MOUNT COPIES READER GROUPS FILES LIFETIME: what readers wait while files expire, and while as many are unlinked from a copy of the store, in
turns. A group of files is made every 20 seconds; those below short/ live for LIFETIME, a multiple of 20 seconds and more than GROUPS times so long; epochs are 10 s.
Each group goes at the end of its epoch, and its copy, below COPIES, ten seconds later. The log tells when that was: somebody reads all the while, and nothing
else is asked of the daemon."""
import json, os, shutil, signal, subprocess, sys, time

lapse, mount, copies, reader = sys.argv[1:5]
groups, files, life, cycle = int(sys.argv[5]), int(sys.argv[6]), int(sys.argv[7]), 20
data = os.urandom(60000)


def at(when):
    time.sleep(max(0, when - time.time()))


def make(directory, count):
    os.makedirs(directory)
    for n in range(count):
        with open(f"{directory}/{n:06}_lane07.jpg", "wb") as f:
            f.write(data[: 20000 + n * 37 % 40000])


make(f"{mount}/keep/0", 2000)
backing = f"/run/lapse/{os.path.basename(mount)}/store"
start = (int(time.time()) // cycle + 1) * cycle + 1
for g in range(groups):
    at(start + g * cycle)
    before = {d for d, _, _ in os.walk(backing)}
    make(f"{mount}/short/{g}", files)
    assert time.time() < start + g * cycle + 8, "files are made too slowly"
    (new,) = [d for d, _, names in os.walk(backing) if d not in before and len(names) >= files]
    shutil.copytree(new, f"{copies}/{g}")
    os.sync()
first = start + life - 1 + 10  # the end of the epoch of the first group
out = f"{copies}/reads.json"
at(first - 9)
r = subprocess.Popen([sys.executable, reader, f"{mount}/keep", out])
plain = []
for g in range(groups):
    at(first + g * cycle + 10)
    begin = time.time()
    subprocess.run(["find", f"{copies}/{g}", "-type", "f", "-delete"], check=True)
    plain.append((begin, time.time()))
at(first + groups * cycle)
r.send_signal(signal.SIGTERM)
r.wait()
told = subprocess.run([lapse, "audit", "export", "--reason", "a bench", "--kind", "expire", mount], stdout=subprocess.PIPE, check=True).stdout
times = sorted(float(json.loads(line)["wall-ns"]) / 1e9 for line in told.splitlines())
assert len(times) == groups * files, f"{len(times)} files expired"
swept = [(t[0], t[-1]) for t in ([x for x in times if first + g * cycle - 5 <= x < first + g * cycle + 15] for g in range(groups))]
reads = [(t, took) for t, took in json.load(open(out))]


def rate(spans):
    return files * len(spans) / sum(e - b for b, e in spans)


def inside(t, took, spans):
    return any(t > b and t - took < e for b, e in spans)


def line(name, v):
    v.sort()
    p = [v[min(len(v) - 1, int(len(v) * q))] * 1e6 for q in (0.5, 0.9, 0.99)] if v else [float("nan")] * 3
    print(f"reader-us while {name:8} p50 {p[0]:.0f} p90 {p[1]:.0f} p99 {p[2]:.0f} ({len(v)} reads)")
    return p[2]


print(f"unlink-per-second {rate(plain):.0f} sweep-per-second {rate(swept):.0f} ratio {rate(swept) / rate(plain):.2f} (target 0.7)")
during = line("sweeping", [x for t, x in reads if inside(t, x, swept)])
line("unlinking", [x for t, x in reads if inside(t, x, plain)])
rest = line("neither", [x for t, x in reads if not inside(t, x, swept) and not inside(t, x, plain)])
print(f"reader-p99-rise {during / rest - 1:.2f} (target below 0.5)")
