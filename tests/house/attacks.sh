#!/bin/bash
# The table of attacks (tests/attack/README.md): every item has a script that exists and bears its number, or a reason; and every number in a script is an item of the table
# that names that script.
set -u
exec python3 - "$LAPSE_SOURCE/tests" <<'P'
import os
import re
import sys

tests, wrong, table = sys.argv[1], [], {}
with open(f"{tests}/attack/README.md") as f:
    for line in f:
        row = [c.strip() for c in line.strip().strip("|").split(" | ")] if line.startswith("| ") else []
        if not row or not row[0].isdigit():
            continue
        number, scripts = int(row[0]), re.findall(r"`([a-z]+/[\w.-]+)`", row[3])
        remark = row[4] if len(row) > 4 else ""
        if number in table:
            wrong.append(f"item {number} is there twice")
        table[number] = scripts
        if not scripts and not remark.strip("| "):
            wrong.append(f"item {number} has neither a script nor a reason")
if sorted(table) != list(range(1, 64)):
    wrong.append(f"items 1 to 63 are not all there: {sorted(set(range(1, 64)) - set(table))}")

borne = {}
for folder in ("attack", "mount", "crash", "model"):
    for name in os.listdir(f"{tests}/{folder}"):
        if not name.endswith(".sh"):
            continue
        with open(f"{tests}/{folder}/{name}") as f:
            text = f.read()
        numbers = set()
        for listed in re.findall(r"^# attack items: ([\d, ]+)$", text, flags=re.M):
            numbers |= {int(n) for n in re.findall(r"\d+", listed)}
        for listed in re.findall(r'^\s*note "(\d{1,2}(?:, \d{1,2})*):', text, flags=re.M):
            numbers |= {int(n) for n in listed.split(", ")}
        borne[f"{folder}/{name[:-3]}"] = numbers
for number, scripts in table.items():
    for script in scripts:
        if script not in borne:
            wrong.append(f"item {number}: there is no tests/{script}.sh")
        elif number not in borne[script]:
            wrong.append(f"item {number}: tests/{script}.sh does not bear this number")
for script, numbers in borne.items():
    for number in sorted(numbers):
        if script not in table.get(number, []):
            wrong.append(f"tests/{script}.sh bears the number {number}, and the table does not name it there")
print("\n".join(wrong))
sys.exit(bool(wrong))
P
