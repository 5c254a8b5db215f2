"""windows.py model|drip MNT CLOCK UID [SEED STEPS [STATE]]: one reader and the clock. The policy: 5 files in 10 min, 12 in 1 h, 20 in 24 h, 45 in 30 d.

model: it opens files, time goes by, and each open is permitted or refused exactly as a list of all that was permitted says. Now and then the wall clock is hours, days or
years ahead for a while, which changes nothing. STATE: a file that has the list; it goes on from there, and leaves it there.
drip: it tries one new file every five minutes, for 31 days."""
import errno
import json
import os
import random
import struct
import sys
import time

mnt, clock, uid = sys.argv[2], os.open(sys.argv[3], os.O_RDWR), int(sys.argv[4])
MINUTE, HOUR, DAY = 60, 3600, 86400
WINDOWS = ((5, 10 * MINUTE), (12, HOUR), (20, DAY), (45, 30 * DAY))
now = start = struct.unpack("<q", os.pread(clock, 8, 0))[0] // 10**9


began = time.monotonic_ns()


def set_clocks(wall):
    """What is injected is added to the machine's clocks, which go on: without what has gone by since the beginning, in all runs of one reader."""
    gone = time.monotonic_ns() - began
    os.seteuid(0)
    os.pwrite(clock, struct.pack("<qqI4x", int(wall * 10**9) - gone, int(now * 10**9) - gone, 1), 0)
    os.seteuid(uid)


def later(seconds):
    global now
    now += seconds
    set_clocks(now)


def tried(name):
    try:
        os.close(os.open(f"{mnt}/in/{name}", os.O_RDONLY))
    except OSError as e:
        assert e.errno == errno.EDQUOT, e
        return False
    return True


def permitted(name, last):
    """A file that a window holds may be read again; another only if the window is not full. Half open: what was read W ago has left."""
    held = [{f for f, at in last.items() if at > now - width} for _, width in WINDOWS]
    return all(name in h or len(h) < limit for h, (limit, _) in zip(held, WINDOWS))


def to_an_edge(last):
    """Seconds until something leaves a window."""
    return min((at + width - now for at in last.values() for _, width in WINDOWS if at + width > now), default=1)


def model(seed, steps, state=None):
    rnd, last, count = random.Random(seed), {}, [0, 0]
    if state and os.path.exists(state):
        global began, now
        began, now, last = json.load(open(state))
        last = {int(f): at for f, at in last.items()}
        later((time.monotonic_ns() - began) // 10**9 + 2)
    for step in range(steps):
        way, wait = rnd.random(), 0
        if way < 0.35:
            wait = to_an_edge(last) + rnd.choice((-1, 0.5, 0.5, 1))
        elif way < 0.55:
            wait = rnd.randrange(1, 2 * MINUTE)
        elif way < 0.6:
            wait = rnd.randrange(1, 2 * DAY)
        while wait > 0 and any(now + wait - at == width for at in last.values() for _, width in WINDOWS):
            wait += 0.5 # an open takes its time: half a second beside an edge is as near as one gets to it
        if wait > 0:
            later(wait)
        steps_aside = rnd.random() < 0.1
        if steps_aside:
            set_clocks(now + rnd.choice((HOUR, 2 * DAY, 31 * DAY, 3 * 365 * DAY)))
        known = list(last)[-60:]
        for _ in range(rnd.choice((1, 1, 2, 7))):
            name = rnd.choice(known) if known and rnd.random() < 0.4 else rnd.randrange(400)
            want = permitted(name, last)
            assert tried(name) == want, f"step {step}, {now - start} s: file {name} was {'refused' if want else 'permitted'}: {sorted((now - at, f) for f, at in last.items())[:50]}"
            if want:
                last[name] = now
            count[want] += 1
        if steps_aside:
            set_clocks(now)
    if state:
        os.seteuid(0)
        json.dump((began, now, last), open(state, "w"))
    print(f"{count[1]} permitted, {count[0]} refused, {(now - start) / DAY:.0f} days")
    assert min(count) > steps / 10 and now - start > steps * DAY / 25, "this has shown nothing"


def drip():
    got = []
    while now < start + 31 * DAY:
        later(5 * MINUTE)
        if tried(len(got)):
            got.append(now)
    for limit, width in WINDOWS:
        most = max(sum(at - width < t <= at for t in got) for at in got)
        assert most <= limit, f"{most} in {width} s"
    month = sum(t < got[0] + 30 * DAY for t in got)
    print(f"{month} files in the first 30 days, {len(got)} in 31")
    assert month == 45, f"{month} in the first month"


os.seteuid(uid)
if sys.argv[1] == "model":
    model(int(sys.argv[5]), int(sys.argv[6]), *sys.argv[7:])
else:
    drip()
