#!/usr/bin/env python3
"""sides.py BEGAN DIR DIR: whether two trees are the same to a program: types, modes, owners, sizes, contents, targets, which names are one file,
extended attributes and ACLs. Times of modification are the same, or both of now, that is: since BEGAN (seconds since 1970)."""
import hashlib, os, stat, sys, time

BEGAN = int(sys.argv[1]) - 2


def xattrs(path):
    values = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
    if "user.DOSATTRIB" in values:  # Samba's: ends with the time of creation
        values["user.DOSATTRIB"] = values["user.DOSATTRIB"][:-8]
    return values


def look(top):
    found, first = {}, {}
    for where, directories, files in os.walk(os.fsencode(top)):
        for name in [b"."] + directories + files:
            if name == b"." and where != os.fsencode(top):
                continue
            path = os.path.normpath(os.path.join(where, name))
            s, rel = os.lstat(path), os.path.relpath(path, os.fsencode(top))
            about = {"mode": stat.filemode(s.st_mode), "owner": (s.st_uid, s.st_gid), "xattrs": xattrs(path)}
            if not stat.S_ISDIR(s.st_mode):
                about |= {"links": s.st_nlink, "size": s.st_size}
            if stat.S_ISREG(s.st_mode):
                about["content"] = hashlib.sha256(open(path, "rb").read()).hexdigest()
            elif stat.S_ISLNK(s.st_mode):
                about["target"] = os.readlink(path)
            found[rel] = about, s
            first.setdefault(s.st_ino, []).append(rel)
    for rel, (about, s) in found.items():
        about["names of it"] = sorted(first[s.st_ino]) if s.st_nlink > 1 and not stat.S_ISDIR(s.st_mode) else []
    return found


below, mount = look(sys.argv[2]), look(sys.argv[3])
wrong = [f"{rel!r}: only {'on the mount' if rel in mount else 'below'}" for rel in sorted(below.keys() ^ mount.keys())]
for rel in sorted(below.keys() & mount.keys()):
    (a, s), (b, t) = below[rel], mount[rel]
    wrong += [f"{rel!r}: {k}: {a.get(k)!r} below, {b.get(k)!r} on the mount" for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
    if s.st_mtime_ns != t.st_mtime_ns and not all(BEGAN <= x.st_mtime <= time.time() + 1 for x in (s, t)):
        wrong.append(f"{rel!r}: mtime {s.st_mtime_ns} below, {t.st_mtime_ns} on the mount")
for line in wrong[:15]:
    print(line)
sys.exit(len(wrong) > 0 or len(below) < 2)
