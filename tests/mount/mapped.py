#!/usr/bin/env python3
"""mapped.py FILE READY: maps the file, touches it, says so in READY, and reads on until a page of it cannot be had any more (SIGBUS ends the reader, a child) or 20
seconds have gone. 0: it stopped."""
import mmap
import os
import signal
import sys
import time

path, ready = sys.argv[1:]
child = os.fork()
if child == 0:
    fd = os.open(path, os.O_RDONLY)
    m = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    m[0]
    with open(ready, "w") as f:
        f.write("mapped\n")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        m[0]
        time.sleep(0.01)
    os._exit(1)
_, status = os.waitpid(child, 0)
sys.exit(not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS))
