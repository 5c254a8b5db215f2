#!/usr/bin/env python3
"""typed.py SECONDS ANSWER COMMAND...: runs the command on a terminal, types ANSWER once it asks ("... to go on: "), prints what was on the screen, and exits with its status.
124: it did not ask, or did not end, in time."""
import os
import pty
import select
import sys
import time


def main():
    until = time.monotonic() + float(sys.argv[1])
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[3], sys.argv[3:])
    screen, asked = b"", False
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            more = os.read(terminal, 4096)
        except OSError:  # it has closed its side
            more = b""
        if not more:
            break
        screen += more
        if not asked and b"to go on: " in screen:
            asked = True
            os.write(terminal, sys.argv[2].encode() + b"\n")
    else:
        os.kill(pid, 9)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    sys.stdout.write(screen.decode(errors="replace"))
    sys.exit(124 if not asked or status < 0 else status)


main()
