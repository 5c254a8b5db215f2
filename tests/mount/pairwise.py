#!/usr/bin/env python3
"""pairwise.py LAPSE MNT CLOCK CHANGE DIR: files of every class with every basis, moved, linked, kept by hand and held, under a change of policy: combinations that
cover all triples of these, and for each what POLICY.md "Retention" says, computed here by a second implementation of it, held against what the archive does. CHANGE
is the change of policy; DIR gets the policies. Prints how many combinations and triples it tried."""
import errno
import itertools
import json
import os
import struct
import subprocess
import sys

lapse, mnt, clock_file, change, work = sys.argv[1:]
MIN, HOUR = 60, 3600
NEVER, NONE = 2**63 - 1, -2**63
FACTORS = {
    "floor": ["none", "governance", "compliance"],
    "basis": ["created", "modified"],
    "move": ["stay", "stricter", "laxer", "with its directory"],
    "extension": ["no", "yes"],
    "hold": ["no", "yes"],
    "link": ["no", "yes"],
}
wrong = []


def clock(seconds):
    fd = os.open(clock_file, os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, struct.pack("<qqI4x", seconds * 10**9, seconds * 10**9, 1), 0)
    os.close(fd)


def run(*args, ok=True):
    p = subprocess.run([lapse, *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if ok and p.returncode:
        sys.exit(f"lapse {' '.join(args)}: {p.returncode}: {p.stderr}")
    return p


def explain(path):
    return json.loads(run("explain", path, "--json").stdout)


# ---- the second implementation ----

def classes(changed):
    """name: (basis, floor, ceiling, mode)"""
    c = {"short": ("created", None, 90 * MIN, None), "lax": ("created", None, 10 * HOUR, None), "rest": ("created", None, 20 * HOUR, None)}
    for floor in FACTORS["floor"]:
        for basis in FACTORS["basis"]:
            length = HOUR if floor != "none" else None
            ceiling = 4 * HOUR
            if changed and change == "shorter":
                ceiling = 100 * MIN
            if changed and change == "longer":
                ceiling = 8 * HOUR
            if changed and change == "floorless":
                length = None
            c[f"{floor}-{basis}"] = (basis, length, ceiling, floor if length else None)
    return c


def policy(path, changed):
    with open(path, "w") as f:
        f.write("[policy]\nversion = 1\ndefault-class = rest\nsettle = 10s\nundo = 1min\n")
        for name, (basis, floor, ceiling, mode) in classes(changed).items():
            f.write(f"\n[class {name}]\nmatch = {name}/**\nbasis = {basis}\nexpire-after = {ceiling}s\n")
            f.write("retain-bounds = 1h..3h\n" if "-" in name else "")
            f.write(f"retain-for = {floor}s\ncommit-after = close\nmode = {mode}\n" if floor else "")
        f.write("\n[rule all]\neffect = permit\nbudget = none\n")


class Life:
    def __init__(self, name, created, modified):
        self.created, self.modified, self.name = created, modified, name
        self.narrowed = self.extended = self.compliance = self.committed = self.held = False
        self.begin(classes(False)[name])

    def at(self, c):
        return self.modified if c[0] == "modified" else self.created

    def begin(self, c):
        self.retain = self.at(c) + c[1] if c[1] else NONE
        self.expires = self.at(c) + c[2]

    def narrow(self, c):
        self.retain = max(self.retain, self.at(c) + c[1] if c[1] else NONE)
        self.expires = min(self.expires, self.at(c) + c[2])

    def review(self, table, here):
        old = self.retain
        was = self.expires
        if not self.narrowed and self.name == here:
            self.begin(table[here])
        else:
            if self.narrowed:
                self.narrow(table[self.name])
            else:
                self.begin(table[self.name])
            self.narrow(table[here])
            self.narrowed = True
            if self.expires < was and here != self.name:
                self.name = here
        if self.compliance or self.extended:
            self.retain = max(self.retain, old)
        self.expires = max(self.expires, self.retain)

    def fixed(self, now):
        return self.held or (self.committed and self.retain > now)


# ---- combinations that have every triple ----

def covering():
    names = list(FACTORS)
    every = [dict(zip(names, v)) for v in itertools.product(*FACTORS.values())]

    def triples(c):
        return {tuple((n, c[n]) for n in t) for t in itertools.combinations(names, 3)}
    left = set().union(*(triples(c) for c in every))
    total, chosen = len(left), []
    while left:
        best = max(every, key=lambda c: len(triples(c) & left))
        chosen.append(best)
        left -= triples(best)
    return chosen, total


def attempt(what, do, want, combo):
    try:
        do()
        got = 0
    except OSError as e:
        got = e.errno
    if got != want:
        wrong.append(f"{combo}: {what}: {errno.errorcode.get(got, 'done')}, not {errno.errorcode.get(want, 'done')}")


def same(what, got, want, combo):
    if got != want:
        wrong.append(f"{combo}: {what} is {got}, not {want} ({got - want:+d} s)")


def write(path):
    with open(path, "r+b") as f:
        f.write(b"w")


def main():
    combos, triples = covering()
    files = []
    for i, c in enumerate(combos):
        name = f"{c['floor']}-{c['basis']}"
        d = f"{mnt}/{name}/d{i}"
        os.makedirs(d)
        with open(f"{d}/f", "w") as f:
            f.write("image")
        x = explain(f"{d}/f")
        life = Life(name, x["created"], x["modified"])
        life.committed = c["floor"] != "none"
        life.compliance = c["floor"] == "compliance"
        files.append((c, life, [f"{d}/f"], i))
    start = files[0][1].created
    clock(20)
    for c, life, path, i in files:
        now = start + 20
        if c["link"] == "yes":
            attempt("link", lambda: os.link(path[0], path[0] + "-2"), errno.EPERM if life.fixed(now) else 0, c)
        if c["extension"] == "yes":
            until = life.created + 2 * HOUR
            run("retain", path[0], "--until", subprocess.run(["date", "-d", f"@{until}", "+%Y-%m-%d %H:%M:%S"], capture_output=True, text=True).stdout.strip(), "--reason", "pairwise")
            life.retain, life.extended, life.committed = max(life.retain, until), True, True
            life.expires = max(life.expires, life.retain)
        here = life.name
        if c["move"] != "stay":
            here = "short" if c["move"] == "stricter" else "lax" if c["move"] == "laxer" else "short"
            old, new = path[0], f"{mnt}/{here}/{i}"
            if c["move"] == "with its directory":
                os.makedirs(f"{mnt}/{here}", exist_ok=True)
                os.rename(os.path.dirname(old), new)
                path[0] = new + "/f"
                life.review(classes(False), here)
            else:
                os.makedirs(f"{mnt}/{here}", exist_ok=True)
                attempt("move", lambda: os.rename(old, new), errno.EPERM if life.fixed(now) else 0, c)
                if life.fixed(now):
                    here = life.name
                else:
                    path[0] = new
                    life.review(classes(False), here)
        life.here = here
    held = [p[0] for c, life, p, i in files if c["hold"] == "yes"]
    with open(f"{work}/held", "w") as f:
        f.writelines(p + "\n" for p in held)
    run("hold", "add", "case", mnt, "--list", f"{work}/held", "--reason", "pairwise", "--review", "180d")
    for c, life, path, i in files:
        life.held = c["hold"] == "yes"

    policy(f"{work}/changed.ini", True)
    clock(40 * MIN)
    if change != "none":
        plan = run("policy", "plan", f"{work}/changed.ini", mnt).stdout
        ids = [line.split()[1].rstrip(",") for line in plan.splitlines() if line.startswith("Plan ")]
        run("policy", "apply", f"{work}/changed.ini", mnt, "--plan", ids[0])
        for c, life, path, i in files:
            life.review(classes(True), life.here)
    now = start + 40 * MIN
    for c, life, path, i in files:
        x = explain(path[0])
        same("expires", x["expires"], life.expires, c)
        same("retain-until", NONE if x["retain-until"] is None else x["retain-until"], life.retain, c)
        attempt("read", lambda: open(path[0]).close(), 0, c)
        attempt("write", lambda: write(path[0]), errno.EPERM if life.held or life.committed else 0, c)
        if not (life.held or life.committed) and classes(change != "none")[life.name][0] == "modified" and not life.narrowed:
            life.modified = explain(path[0])["modified"]
            life.begin(classes(change != "none")[life.name])
        attempt("chmod", lambda: os.chmod(path[0], 0o640), errno.EPERM if life.fixed(now) else 0, c)

    clock(110 * MIN)
    now = start + 110 * MIN
    for c, life, path, i in files:
        try:
            open(path[0]).close()
            got = True
        except OSError as e:
            got = False
            if e.errno not in (errno.EKEYEXPIRED, errno.ENOENT):
                wrong.append(f"{c}: at 110 min: {errno.errorcode[e.errno]}")
        if abs(now - life.expires) > 2 and got != (now < life.expires):
            wrong.append(f"{c}: at 110 min {'readable' if got else 'not readable'}, but it expires {life.expires - now:+d} s from then")
        if got:
            attempt("unlink", lambda: os.unlink(path[0]), errno.EPERM if life.fixed(now) else 0, c)
    print(f"{change}: {len(combos)} combinations, {triples} triples")
    for w in wrong[:20]:
        print(w, file=sys.stderr)
    sys.exit(bool(wrong))


if change == "--policy":
    change = "none"
    policy(f"{work}/first.ini", False)
else:
    main()
