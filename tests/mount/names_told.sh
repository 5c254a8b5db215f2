#!/bin/bash
# Names with newlines, control characters, what turns text around, what is no UTF-8, numbers and quotation marks, in what lapse audit prints: every format gives each name back as it is, no two
# are one, and nothing in them acts on a terminal or makes a line of its own.
. "$(dirname "$0")/lib.sh"
users t1
rules <<'P'
[rule everyone]
effect = permit
budget = none
P
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir -m 755 "$MNT/in"
cat >"$TEST_TMP/told.py" <<'P'
import csv, io, json, os, re, subprocess, sys
lapse, mnt = sys.argv[1:]
names = [b"a\nb", b"c\td", b'e"f', b"g,h", b"i;j'k", b"\x1b[31mred", b"\xff\xfe", b"\\xff\\xfe", b"ok\xc3\xa9", b"\xe2\x80\xae rtl", b"\xc2\x9b31m", b"=cmd()", b"back\\slash", b"trail ", b" lead",
    b"\\x41", b"A", b"cr\rx", b"\x7f", b"%41", b"0815", b"815", b"true", b"null", b"\xed\xa0\x80", b"\\n", b"<U+202E> rtl"]
for n in names:
    open(os.path.join(mnt.encode(), b"in", n), "w").write("x")
    os.chmod(os.path.join(mnt.encode(), b"in", n), 0o644)
pid = os.fork()
if not pid:
    os.setresuid(*[int(os.environ["READER"])] * 3)
    for n in names:
        open(os.path.join(mnt.encode(), b"in", n)).read()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
def audit(*a):
    p = subprocess.run([lapse, "audit", *a], capture_output=True, timeout=60)
    assert p.returncode == 0, (a, p)
    for text in (p.stdout, p.stderr):
        shown = text.decode() # all of it is UTF-8
        bad = re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", shown)
        assert not bad, (a, shown[max(0, bad.start() - 60):bad.end() + 20])
    return p.stdout.decode()
def bytes_of(told):
    return re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), told.encode())
want = sorted(b"in/" + n for n in names)
rows = json.loads(audit("read", "--user", os.environ["READER"], mnt, "--json"))["files"]
assert sorted(bytes_of(r["path"]) for r in rows) == want, rows
rows = list(csv.DictReader(io.StringIO(audit("read", "--user", os.environ["READER"], mnt, "--csv"), newline="")))
assert sorted(bytes_of(r["path"]) for r in rows) == want, rows
rows = json.loads(audit("exposure", "--user", os.environ["READER"], mnt, "--list", "--json"))["images"]
assert sorted(bytes_of(r["path"]) for r in rows) == want, rows
for a in (["read", "--user", os.environ["READER"], mnt], ["read", "--user", os.environ["READER"], mnt, "--raw"]):
    lines = audit(*a).splitlines()
    assert len(lines) == len(names) + 1 or (len(lines) == len(names) + 2 and not lines[-1]), (a, len(lines))
text = audit("exposure", "--user", os.environ["READER"], mnt, "--list")
assert sorted(bytes_of(l.split("  ")[-1]) if "trail" not in l and " lead" not in l else b"" for l in text.splitlines() if "  in/" in l)
for n in names:
    for form in ([], ["--json"], ["--csv"]):
        said = audit("who", os.path.join(mnt.encode(), b"in", n), *form)
        assert os.environ["READER"] in said or "lapse-t1" in said, (n, said)
log = [json.loads(l) for l in audit("export", "--reason", "these names", mnt).splitlines()]
names_there = [r["name"] for r in log if "name" in r]
assert all(isinstance(n, str) for n in names_there), names_there
P
READER=$(id -u lapse-t1) check "all of them" python3 "$TEST_TMP/told.py" "$LAPSE" "$MNT"

note "what is text is text, though it looks like a number"
check "grant" "$LAPSE" grant request --user lapse-t1 --files 5 --for 1h --reason 2026 --ticket 4711 "$MNT" >/dev/null
"$LAPSE" audit exposure --user lapse-t1 --json "$MNT" >"$TEST_TMP/said"
python3 - "$TEST_TMP/said" <<'P' || { cat "$TEST_TMP/said"; die "a number"; }
import json, sys
g, = json.load(open(sys.argv[1]))["approvals"]
assert (g["reason"], g["ticket"]) == ("2026", "4711"), g
P
umount_archive
