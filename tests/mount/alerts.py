"""Stands in for journald and for syslog: what comes through each socket, one JSON object a line, into a file.

alerts.py SOCKET FILE"""
import json
import os
import socket
import sys

path, out = sys.argv[1:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(path)
os.chmod(path, 0o666)
with open(out, "a") as f:
    while True:
        text = s.recv(65536).decode()
        if not path.endswith("journal/socket"):
            f.write(json.dumps({"text": text}) + "\n")
        else:
            f.write(json.dumps(dict(line.split("=", 1) for line in text.split("\n") if "=" in line)) + "\n")
        f.flush()
