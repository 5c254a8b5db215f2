"""A strict reader of the Prometheus text format 0.0.4: metrics.py FILE [MAN] checks all of it, that each name has its HELP, TYPE and a place in the man page,
and prints NAME{labels} VALUE with the labels sorted and the archive left out."""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
kinds, helps, samples, order = {}, {}, {}, []
closed, last = set(), None


def family(name):
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if name != base and kinds.get(base) == "histogram":
            return base
    return name


text = open(sys.argv[1]).read()
assert text.endswith("\n"), "the last line is not ended"
for line in text.split("\n")[:-1]:
    m = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
    if m:
        what, name, rest = m.groups()
        of = helps if what == "HELP" else kinds
        assert name not in of, f"{what} of {name} twice"
        assert name not in {family(n) for n, _ in samples}, f"{what} of {name} after its samples"
        of[name] = rest
        assert what != "TYPE" or rest in ("counter", "gauge", "histogram"), line
        continue
    m = re.fullmatch(rf"({NAME})\{{(.*)\}} (\S+)", line)
    assert m, line
    name, labels, value = m.groups()
    base = family(name)
    if base != last:
        assert base not in closed, f"{base} is not in one piece"
        closed.add(last)
        last = base
    assert base in kinds and base in helps, f"{name} has no HELP or TYPE"
    found = re.findall(LABEL, labels)
    assert ",".join(f'{k}="{v}"' for k, v in found) == labels, line
    assert len({k for k, _ in found}) == len(found) and "archive" in dict(found), line
    key = (name, tuple(sorted(kv for kv in found if kv[0] != "archive")))
    assert key not in samples, f"twice: {key}"
    samples[key] = float(value)
    if kinds[base] == "counter":
        assert samples[key] >= 0, line
    assert kinds[base] != "counter" or name.endswith("_total") or name == "lapse_anchor_sequence", name

for base in (n for n, k in kinds.items() if k == "histogram"):
    series = {}
    for (name, labels), value in samples.items():
        if family(name) == base:
            rest = tuple(kv for kv in labels if kv[0] != "le")
            series.setdefault(rest, {}).setdefault(name.removeprefix(base), []).append((dict(labels).get("le"), value))
    for rest, s in series.items():
        bounds = [float(le) for le, _ in s["_bucket"]]
        counts = [v for _, v in s["_bucket"]]
        assert bounds == sorted(bounds) and bounds[-1] == float("inf"), (rest, bounds)
        assert counts == sorted(counts) and counts[-1] == s["_count"][0][1], (rest, counts)
        assert s["_sum"][0][1] >= 0

unused = set(kinds) - {family(n) for n, _ in samples}
assert not unused and set(kinds) == set(helps), unused
if len(sys.argv) > 2:
    man = open(sys.argv[2]).read()
    missing = [n for n in kinds if not re.search(rf"^\.BR {n}\b", man, re.M)]
    assert not missing, f"not in the man page: {missing}"
for (name, labels), value in samples.items():
    print(name + "{" + ",".join(f"{k}={v}" for k, v in labels) + "}", f"{value:.16g}")
