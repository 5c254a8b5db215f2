"""stats.py MOUNTPOINT [NAME]: the session's counters, asked over the control socket (PROTOCOL.md, verb stats)."""
import glob
import os
import socket
import sys


def fields(line):
    return dict(f.split("=", 1) for f in line.split("\t")[1:])


def socket_of(mountpoint):
    for info in glob.glob("/run/lapse/*/info"):
        try:
            told = fields(open(info).read().rstrip("\n"))
        except OSError:
            continue
        if told["mountpoint"] == os.path.abspath(mountpoint):
            return os.path.join(os.path.dirname(info), "ctl")
    sys.exit(f"no daemon serves {mountpoint}")


def counters(mountpoint):
    values = {}
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(socket_of(mountpoint))
        s.sendall(b"lapse 1 stats\n")
        for line in s.makefile("r"):
            line = line.rstrip("\n")
            if line.startswith("stat\t"):
                f = fields(line)
                values[f["name"]] = int(f["value"])
            elif line == "ok":
                break
            else:
                sys.exit(line)
    return values


if __name__ == "__main__":
    values = counters(sys.argv[1])
    if len(sys.argv) > 2:
        print(values[sys.argv[2]])
    else:
        for name, value in values.items():
            print(name, value)
