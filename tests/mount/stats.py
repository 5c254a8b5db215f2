"""stats.py MOUNTPOINT [NAME]: the session's counters, asked over the control socket (PROTOCOL.md, verb stats)."""
import glob
import os
import socket
import sys


def fields(line):
    return dict(f.split("=", 1) for f in line.split("\t")[1:])


mountpoint = os.path.abspath(sys.argv[1])
for info in glob.glob("/run/lapse/*/info"):
    try:
        told = fields(open(info).read().rstrip("\n"))
    except OSError:
        continue
    if told["mountpoint"] == mountpoint:
        break
else:
    sys.exit(f"no daemon serves {mountpoint}")
s = socket.socket(socket.AF_UNIX)
s.connect(os.path.join(os.path.dirname(info), "ctl"))
s.sendall(b"lapse 1 stats\n")
values = {}
for line in s.makefile("r"):
    line = line.rstrip("\n")
    if line.startswith("stat\t"):
        f = fields(line)
        values[f["name"]] = int(f["value"])
    elif line == "ok":
        break
    else:
        sys.exit(line)
if len(sys.argv) > 2:
    print(values[sys.argv[2]])
else:
    for name, value in values.items():
        print(name, value)
