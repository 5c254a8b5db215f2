#!/usr/bin/env python3
"""A second reader of archives, written from fs/FORMAT.md and fs/KEYS.md alone: what it can read, the documents say how to read.

Prints one line for each thing in the archive: a status, the path, and why. Exit status 0 if all that should be readable was and matched, and
nothing is wrong with the archive; 1 if not; 2 for usage; 3 if the archive cannot be opened at all."""
import argparse
import collections
import fnmatch
import json
import os
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import archive as A
from keys import KEY_FILE, PASSPHRASE, RECOVERY_KEY, passphrase_from, recovery_parse
from primitives import NotSupported, Rejected


def arguments():
    p = argparse.ArgumentParser(description="Reads and checks an unmounted archive.")
    p.add_argument("archive")
    secret = p.add_mutually_exclusive_group(required=True)
    secret.add_argument("--key-file", metavar="F")
    secret.add_argument("--passphrase-file", metavar="F")
    secret.add_argument("--recovery-key-file", metavar="F")
    p.add_argument("--anchor", action="append", required=True, metavar="A", help="a copy of the anchor; may be repeated")
    p.add_argument("--list", action="store_true", help="say more of each file")
    p.add_argument("--json", action="store_true")
    p.add_argument("--log", action="store_true", help="print the records of the audit log")
    p.add_argument("--journal", action="store_true", help="print the records of the journal")
    p.add_argument("--extract", metavar="DIR", help="write what can be read to a new directory")
    p.add_argument("--compare", metavar="DIR", help="compare with a plain tree")
    p.add_argument("--now", type=float, metavar="T", help="decide deadlines as of T seconds since 1970 (not before the anchor's clock)")
    p.add_argument("--ignore-deadlines", action="store_true", help="let keys alone decide what is expired")
    p.add_argument("--expect-expired", action="append", default=[], metavar="GLOB", help="it is an error if there is a key to a file that matches")
    p.add_argument("--accept-rollback", action="store_true", help="go on where anchor, log, keyring and policy are not of one state")
    return p.parse_args()


def secret_of(args):
    with open(args.key_file or args.passphrase_file or args.recovery_key_file, "rb") as f:
        data = f.read(8192)
    if args.key_file:
        if len(data) != 32:
            raise Rejected("a key file has exactly 32 bytes")
        return KEY_FILE, data
    return (PASSPHRASE, passphrase_from(data)) if args.passphrase_file else (RECOVERY_KEY, recovery_parse(data.decode()))


def matches(path, globs):
    return any(fnmatch.fnmatchcase(os.fsdecode(path), glob) for glob in globs)


def shown(data):
    """Bytes of a name for people: one line, whatever they are."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in data.decode(errors="backslashreplace"))


# ---- comparing with a plain tree -------------------------------------------------------------------

KEPT = "user.", "trusted.", "security.capability", "system.posix_acl_"


def kept_xattrs(path):
    names = os.listxattr(path, follow_symlinks=False) if not os.path.islink(path) else []
    return {os.fsencode(n): os.getxattr(path, n, follow_symlinks=False) for n in names if n.startswith(KEPT)}


def difference(entry, plain):
    """What differs between an entry and the file at a path, or None."""
    if not os.path.lexists(plain):
        return "is not in the tree to compare with"
    s, top = os.lstat(plain), entry.path == b"."
    if top:
        return None  # the mount point: its mode and times are nobody's
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}
    kind = kinds[stat.S_IFMT(s.st_mode)]
    pairs = [("type", entry.kind, kind), ("permissions", entry.permissions(), (stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid)),
             ("mtime", entry.stat.st_mtime_ns, s.st_mtime_ns)]
    if kind != "directory":
        pairs.append(("links", entry.stat.st_nlink, s.st_nlink))
    if entry.status == A.OK:
        pairs.append(("xattrs", entry.xattrs, kept_xattrs(plain)))
        if kind == "file" and entry.kind == kind:
            pairs.append(("content", entry.data, A.contents(plain)))
        elif kind == "symlink":
            pairs.append(("target", entry.data, os.readlink(plain)))
    return next((f"{what} differs: {short(a)}, not {short(b)}" for what, a, b in pairs if a != b), None)


def short(value):
    return f"{len(value)} bytes" if isinstance(value, bytes) and len(value) > 64 else repr(value)


def paths_below(top):
    for where, directories, files in os.walk(top):
        for name in directories + files:
            yield os.path.relpath(os.path.join(where, name), top)


# ---- extracting ------------------------------------------------------------------------------------

class Extraction:
    def __init__(self, top):
        self.top, self.made, self.times = os.fsencode(top), {}, []
        os.mkdir(self.top, 0o700)

    def write(self, entry):
        path, inode = os.path.join(self.top, entry.path), (entry.stat.st_dev, entry.stat.st_ino)
        if inode in self.made and entry.kind != "directory":
            os.link(self.made[inode], path, follow_symlinks=False)
            return
        if entry.kind == "directory":
            os.makedirs(path, 0o700, exist_ok=True)
        elif entry.kind == "file":
            with open(path, "xb") as f:
                f.write(entry.data)
        elif entry.kind == "symlink":
            os.symlink(entry.data, path)
        elif entry.kind == "fifo":
            os.mkfifo(path)
        else:
            return
        self.made[inode] = path
        for name, value in entry.xattrs.items():
            os.setxattr(path, name, value, follow_symlinks=False)
        self.times.append((path, entry))

    def finish(self):
        """Owners, modes and times, from the leaves up: what comes later would change them."""
        for path, entry in reversed(self.times):
            mode, uid, gid = entry.permissions()
            if os.geteuid() == 0:
                os.chown(path, uid, gid, follow_symlinks=False)
            if entry.kind != "symlink":
                os.chmod(path, mode)
            os.utime(path, ns=(entry.stat.st_atime_ns, entry.stat.st_mtime_ns), follow_symlinks=False)


# ---- printing --------------------------------------------------------------------------------------

STATES = {1: "open", 2: "closed", 3: "committed"}
KEY_KINDS = {1: "archive", 2: "epoch", 3: "hold"}


def details(entry):
    h = entry.header
    if not h:
        return {}
    return {"state": STATES[h.state], "generation": h.generation, "file-id": h.file_id.hex(), "class": h.class_fingerprint.hex(),
            "created": h.created, "retain-until": None if h.retain_until == A.formats.NONE else h.retain_until,
            "expires-at": None if h.expires_at == A.formats.NEVER else h.expires_at, "key": KEY_KINDS[h.kind], "tree": h.tree, "epoch": h.epoch,
            "holds": h.holds, "linked": h.linked(), "size": h.size, "backing": os.fsdecode(entry.backing)}


def line(entry, more):
    text = f"{entry.status} {shown(entry.path)}"
    if entry.note:
        text += f": {entry.note}"
    if more and entry.header:
        text += "  (" + " ".join(f"{k}={v}" for k, v in details(entry).items()) + ")"
    return text


def as_json(entry):
    return {"path": os.fsdecode(entry.path), "kind": entry.kind, "status": entry.status, "note": entry.note, **details(entry)}


def log_line(archive, record):
    r = {k: v.hex() if isinstance(v, bytes) and k not in ("unit", "rule", "budget", "detail") else v for k, v in record.items()}
    if "sealed-name" in record:
        try:
            name = archive.log_name(record)
        except Rejected as e:
            name = str(e).encode()
        r["sealed-name"] = "(its key is gone)" if name is None else shown(name)
    who = {"uid", "login-uid", "real-uid", "gid", "pid", "session"}
    return " ".join(f"{k}={shown(v) if isinstance(v, bytes) else v}" for k, v in r.items() if (v != 0xffffffff if k in who else v))


def journal_line(lap, r):
    return f"lap={lap:016x} at={r.at} kind={('block', 'size', 'done')[r.kind - 1]} file-id={r.file_id.hex()} generation={r.generation} value={r.value} length={r.length}"


class Report:
    """Counts, and what makes the exit status 1."""

    def __init__(self, args, archive):
        self.args, self.archive = args, archive
        self.problems, self.counts, self.entries = list(archive.findings), collections.Counter(), []
        self.expected_seen = set()
        if not args.accept_rollback:
            self.problems += archive.rollback

    def add(self, entry):
        self.counts[entry.status] += 1
        self.entries.append(as_json(entry))
        path = shown(entry.path)
        if not self.args.json:
            print(line(entry, self.args.list))
        for glob in self.args.expect_expired:
            if matches(entry.path, [glob]) and entry.kind == "file":
                self.expected_seen.add(glob)
                if entry.status not in (A.EXPIRED, A.DESTROYED):
                    self.problems.append(f"{path}: should be expired, and is {entry.status}")
        if entry.status in (A.UNREADABLE, A.LITTER) or entry.status == A.DESTROYED and not matches(entry.path, self.args.expect_expired):
            self.problems.append(f"{path}: {entry.status}: {entry.note}")

    def finish(self):
        for glob in set(self.args.expect_expired) - self.expected_seen:
            self.problems.append(f"--expect-expired {glob}: no file matches")
        if self.args.json:
            print(json.dumps({"counts": self.counts, "problems": self.problems, "rollback": self.archive.rollback, "records": len(self.archive.records),
                              "seals": len(self.archive.seals), "anchor": self.archive.anchor.sequence, "laps": self.archive.journal.laps,
                              "lap-records": len(self.archive.journal.all), "recovered": self.archive.recovered, "files": self.entries}, indent=1))
        for problem in self.problems:
            print(f"problem: {problem}", file=sys.stderr)
        print(", ".join(f"{n} {status}" for status, n in sorted(self.counts.items())) + f", {len(self.archive.records)} records,"
              f" {self.archive.journal.laps} laps with {len(self.archive.journal.all)} records, {self.archive.recovered} recovered,"
              f" {len(self.problems)} problems", file=sys.stderr)
        return 1 if self.problems else 0


def main():
    args = arguments()
    try:
        kind, secret = secret_of(args)
        archive = A.Archive(args.archive, kind, secret, args.anchor, args.now, lambda path: args.ignore_deadlines or matches(path, args.expect_expired))
    except (OSError, Rejected, NotSupported) as e:
        print(f"{args.archive}: {e}", file=sys.stderr)
        return 3
    if args.log:
        for record in archive.records:
            print(log_line(archive, record))
    if args.journal:
        for lap, record in archive.journal.all:
            print(journal_line(lap, record))
    report, seen = Report(args, archive), set()
    extraction = Extraction(args.extract) if args.extract else None
    for entry in archive.walk():
        seen.add(entry.path)
        report.add(entry)
        if args.compare and entry.status in (A.OK, A.EXPIRED, A.DENIED):
            differs = difference(entry, os.path.join(os.fsencode(args.compare), entry.path))
            if differs:
                report.problems.append(f"{shown(entry.path)}: {differs}")
        if extraction and entry.status == A.OK:
            extraction.write(entry)
    if extraction:
        extraction.finish()
    if args.compare:
        missing = set(paths_below(os.fsencode(args.compare))) - seen
        report.problems += [f"{shown(path)}: is not in the archive" for path in sorted(missing)]
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
