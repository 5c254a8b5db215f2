#!/usr/bin/env python3
"""listing.py DIR: what cp -a and rsync -a must keep, one line per entry, sorted: type, mode, owner, links, size, mtime, target, path."""
import os, stat, sys

root = os.fsencode(sys.argv[1])
lines = []
for path, dirs, files in os.walk(root):
    for name in [b""] + sorted(dirs + files):
        p = os.path.join(path, name) if name else path
        if name and name in dirs and not os.path.islink(p):
            continue
        s = os.lstat(p)
        isdir = stat.S_ISDIR(s.st_mode)
        target = os.readlink(p) if stat.S_ISLNK(s.st_mode) else b""
        top = p == root
        lines.append((os.path.relpath(p, root), stat.filemode(s.st_mode), s.st_uid, s.st_gid, 0 if isdir else s.st_nlink,
                      0 if isdir else s.st_size, 0 if top else s.st_mtime_ns, target))
for l in sorted(lines):
    print(*map(repr, l))
