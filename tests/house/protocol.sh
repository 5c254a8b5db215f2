#!/bin/bash
# fs/PROTOCOL.md says of every verb of fs/ctl/verbs.c what the code does: which roles may ask, whether it only looks, needs a payload, is a stream; of no other verb; and of
# nothing twice.
set -u
exec python3 - "$LAPSE_SOURCE/fs" <<'P'
import re
import sys

with open(f"{sys.argv[1]}/ctl/verbs.c") as f:
    code = f.read()
with open(f"{sys.argv[1]}/PROTOCOL.md") as f:
    lines = f.read().splitlines()
wrong, roles, flags = [], {}, {}
WORDS = {"ANYONE": "anyone", "ANY_ROLE": "any role", "OPERATOR": "operator", "OFFICER": "officer", "AUDITOR": "auditor", "APPROVER": "approver"}
MARKS = {"OBSERVES": "O", "PAYLOAD": "P", "STREAMS": "S"}
for name, who, what in re.findall(r'^\t\{"([a-z-]+)", ([A-Z_ |]+), ([A-Z_ |0]+), verb_\w+\},$', code, flags=re.M):
    roles[name] = {WORDS[w] for w in who.split(" | ")}
    flags[name] = {MARKS[w] for w in what.split(" | ") if w != "0"}
if len(roles) != code.count(", verb_") or not roles:
    wrong.append(f"{len(roles)} verbs are understood of {code.count(', verb_')}")

said_roles, said_flags = {}, {}
for line in lines:
    cells = [c.strip() for c in line.strip()[1:-1].split("|")] if line.startswith("| ") else []
    if len(cells) == 2 and cells[0] in [*WORDS.values(), "several"]:
        # `a`, `b` (role, role): of the verb or verbs before the parenthesis
        for names, within in re.findall(r"((?:`[a-z-]+`(?: and |, )?)+)(?: ?\(([^)]*)\))?", cells[1]):
            for name in re.findall(r"`([a-z-]+)`", names):
                more = {w for w in WORDS.values() if re.search(rf"\b{w}\b", within)}
                said_roles.setdefault(name, set()).update(more if cells[0] == "several" else {cells[0], *(more if name == names.split("`")[-2] else ())})
    elif len(cells) == 3 and cells[0].startswith("`"):
        for name in re.findall(r"`([a-z-]+)`", cells[0]):
            if name in said_flags:
                wrong.append(f"{name} has two rows")
            said_flags[name] = set(re.findall(r"\b([OPS])\b", cells[0]))
for name in sorted({*roles, *said_roles, *(n for n in said_flags if n in roles)}):
    for what, code_says, doc_says in (("roles", roles, said_roles), ("marks", flags, said_flags)):
        if code_says.get(name) != doc_says.get(name):
            wrong.append(f"{name}: {what}: fs/ctl/verbs.c says {code_says.get(name)}, fs/PROTOCOL.md {doc_says.get(name)}")

# What a row holds is said in one place of a section.
section, seen = "", {}
for n, line in enumerate(lines, 1):
    if line.startswith(("#", "**")):
        section, seen = line, {}
    opening = re.match(r"((?:`[a-z-]+`(?:, )?)+): ", line)
    for name in re.findall(r"`([a-z-]+)`", opening[1]) if opening else []:
        if name in seen:
            wrong.append(f"fs/PROTOCOL.md:{n}: the row {name} is described in line {seen[name]}, too")
        seen[name] = n
for n, (a, b) in enumerate(zip(lines, lines[2:]), 3):
    if len(a) > 40 and a[:60] == b[:60] and not a.startswith("|"):
        wrong.append(f"fs/PROTOCOL.md:{n}: begins as line {n - 2} does")
print("\n".join(wrong))
sys.exit(bool(wrong))
P
