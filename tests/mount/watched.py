#!/usr/bin/env python3
"""watched.py COLUMNSxROWS COMMAND...: runs the command, which watches something, on such a terminal until it has drawn the screen twice. 0: what it drew each time fits, and
has a heading and a row."""
import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
import unicodedata

HOME = "\x1b[H\x1b[J"


def width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def main():
    columns, rows = map(int, sys.argv[1].split("x"))
    ready, go = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        os.read(ready, 1)
        os.execvp(sys.argv[2], sys.argv[2:])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.write(go, b"1")
    screen, until = b"", time.monotonic() + 20
    while screen.count(HOME.encode()) < 3 and time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                screen += os.read(terminal, 65536)
            except OSError:  # it has closed its side
                break
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    drawn = screen.decode().replace("\r\n", "\n").split(HOME)[1:3]
    if len(drawn) < 2:
        sys.exit(f"it drew {len(drawn)} times: {screen!r}")
    for text in drawn:
        lines = text.rstrip("\n").split("\n")
        wide = [line for line in lines if width(line) > columns]
        if wide or len(lines) >= rows or len(lines) < 4:
            sys.exit(f"{len(lines)} lines on {rows}; too wide: {wide}")


main()
