"""The archive as a tree of files: opens it with a secret and an anchor, walks it, reads what can be read, and says of the rest why not."""
import os
import re
import stat
import time
from dataclasses import dataclass, field

import formats
import journal
import tombstones
from keys import KeyGone, Keyring, read_anchor
from primitives import SUITES, NotSupported, Rejected, require

OK, EXPIRED, DENIED, DESTROYED, UNREADABLE, FOREIGN, LITTER = "ok", "expired", "denied", "destroyed", "unreadable", "foreign", "litter"


def contents(path):
    with open(path, "rb") as f:
        return f.read()


@dataclass
class Entry:
    """What was found under one name. `status` is one of the above; `note` says why, or what could not be checked."""
    path: bytes
    kind: str
    stat: os.stat_result
    status: str = OK
    note: str = ""
    header: formats.Header = None
    directory: formats.Directory = None
    data: bytes = None  # content of a file, target of a symlink
    xattrs: dict = field(default_factory=dict)
    backing: bytes = b""  # of a file: where it lies in the archive

    def permissions(self):
        """Mode, uid and gid as people see them."""
        if self.directory and self.directory.view():
            return self.directory.mode, self.directory.uid, self.directory.gid
        return 0o777 if self.kind == "symlink" else stat.S_IMODE(self.stat.st_mode), self.stat.st_uid, self.stat.st_gid


class Archive:
    def __init__(self, root, kind, secret, anchors, now=None, ignore_deadline=lambda path: False):
        """`kind` is that of the secret's slots. A deadline that `ignore_deadline` names is not looked at: then only keys decide."""
        self.root, self.ignore_deadline = os.fsencode(root), ignore_deadline
        self.findings, self.rollback = [], []  # what is wrong with the archive; what a mount takes for a rollback
        self.open_keyring(kind, secret, anchors)
        self.suite = SUITES[self.keyring.suite]
        self.now = max(time.time() if now is None else now, self.anchor.trusted_ns / 1e9)
        self.directory_ids, self.records = set(), []
        self.check_names_of_each_other()
        self.read_log()
        self.read_journal()

    def inner(self, name):
        return os.path.join(self.root, b".lapse", name)

    def open_keyring(self, kind, secret, anchors):
        """Of keyring and keyring.new, the one that opens the anchor and that the anchor names."""
        candidates, errors = [], []
        for name in (b"keyring", b"keyring.new"):
            try:
                keyring = Keyring(contents(self.inner(name)))
                keys = keyring.unlock(kind, secret)
                candidates.append((keyring, keys, *read_anchor(anchors, keys)))
            except FileNotFoundError:
                continue
            except (Rejected, NotSupported) as e:
                errors.append(e)
        if not candidates:
            raise errors[0] if errors else Rejected("no keyring")
        named = [c for c in candidates if self.is_named(c[0].generation, c[0].digest(), c[2].keyring_generation, c[2].keyring_digest)]
        self.keyring, self.keys, self.anchor, findings = (named or candidates)[0]
        self.findings += findings
        if not named:
            self.rollback.append(f"keyring: generation {self.keyring.generation} is not the one that the anchor names")

    @staticmethod
    def is_named(generation, digest, named_generation, named_digest):
        return generation == named_generation and digest == named_digest

    # ---- anchor, keyring, policy and log name each other ----

    def check_names_of_each_other(self):
        if self.anchor.epoch_length != self.keyring.epoch_length:
            self.rollback.append("the anchor has another length of an epoch than the keyring")
        policies, errors = [], []
        for name in (b"policy", b"policy.new"):
            try:
                policies.append(formats.open_policy(contents(self.inner(name)), self.keys))
            except (OSError, Rejected, NotSupported) as e:
                if name == b"policy":
                    errors.append(f"policy: {e}")
        if any(self.is_named(p.generation, p.digest, self.anchor.policy_generation, self.anchor.policy_digest) for p in policies):
            return
        self.findings += errors
        if policies:
            self.rollback.append(f"policy: generation {policies[0].generation} is not the one that the anchor names")

    def read_log(self):
        """All segments as one chain, held against the seals; into self.records."""
        where = self.inner(b"audit")
        names = sorted(n for n in os.listdir(where) if re.fullmatch(rb"[0-9a-f]{16}\.seg", n))
        self.log_head, self.seals, self.sealed, self.dropped = bytes(32), [], {}, 0
        try:
            self.read_seals(os.path.join(where, b"seals"))
            names = self.read_tombstones(os.path.join(where, b"pruned"), names)
            for name in names:
                self.read_segment(name, contents(os.path.join(where, name)), name == names[-1])
        except (Rejected, NotSupported) as e:
            self.findings.append(f"log: {e}")
        if self.log_last() < self.anchor.log_sequence:
            self.rollback.append(f"log: ends with record {self.log_last()}, and the anchor names {self.anchor.log_sequence}")
        if self.anchor.log_sequence == 0 and any(self.anchor.log_head):
            self.findings.append("anchor: a chain head without a record")

    def read_seals(self, path):
        """Those that are signed; the head behind the last record of each into self.sealed."""
        if not os.path.exists(path):
            return
        data, public = contents(path), self.keyring.first_seal_key
        formats.open_seals_head(data, self.keys.uuid, self.anchor.log_id)
        for at in range(formats.SEALS_HEAD, len(data) - formats.SEAL_BYTES + 1, formats.SEAL_BYTES):
            seal = formats.parse_seal(data[at:at + formats.SEAL_BYTES])
            if seal.after not in {0} | {s.anchor for s in self.seals}:
                return  # seals were lost with an earlier log; whether that was accepted only a person can say
            before = next((s for s in reversed(self.seals) if s.anchor == seal.after), None)  # not the last: a rollback was accepted
            formats.check_seal(seal, self.keys.uuid, self.anchor.log_id, before, before.next_key if before else public)
            self.seals.append(seal)
            self.sealed = {last: head for last, head in self.sealed.items() if last < seal.first} | {seal.last: seal.head}

    def log_last(self):
        return self.dropped + len(self.records)

    def read_tombstones(self, path, names):
        """What is left of the segments behind those that were dropped."""
        if not os.path.exists(path):
            return names
        last = tombstones.read(contents(path), self.keys, self.anchor.log_id, self.keyring.first_seal_key, self.seals)[-1]
        self.dropped, self.log_head = last.last, last.head
        return [n for n in names if int(n[:16], 16) > last.last]

    def read_segment(self, name, data, last):
        what = f"segment {name.decode()}"
        require(len(data) >= formats.SEGMENT_HEAD, f"{what}: shorter than its head")
        segment = formats.open_segment_head(data, self.keys)
        require(segment.log_id == self.anchor.log_id, f"{what}: of another log than the anchor's")
        require(segment.first == int(name[:16], 16) == self.log_last() + 1, f"{what}: does not begin where the log goes on")
        require(segment.head == self.log_head, f"{what}: another chain head than the segment before has")
        at = formats.SEGMENT_HEAD
        while at < len(data):
            length = int.from_bytes(data[at:at + 4], "little")
            end = at + 4 + length
            try:
                require(96 <= length <= 2044 and end <= len(data), "length of its frame")
                frame = formats.open_frame(data[at:end], self.anchor.log_id, self.log_last() + 1, self.log_head, self.keys)
            except Rejected as e:
                if last and self.log_last() >= self.anchor.log_sequence:
                    return  # reserved space, or torn by a crash: here the log ends
                raise Rejected(f"{what}, record {self.log_last() + 1}: {e}") from None
            self.add_record(*frame)
            at = end

    def add_record(self, plain, head):
        sequence, self.log_head = self.log_last() + 1, head
        record = formats.parse_record(plain, sequence)
        if head != self.sealed.get(sequence, head):
            self.findings.append(f"log: record {sequence} is not the one that was sealed")
        self.records.append(record)
        if record["kind"] in ("mount", "umount", "anchor") and record.get("generation", 0) > self.anchor.sequence:
            self.rollback.append(f"anchor: write {self.anchor.sequence}, and record {sequence} of the log knows {record['generation']}")
        if sequence == self.anchor.log_sequence and self.log_head != self.anchor.log_head:
            self.rollback.append(f"log: record {sequence} is not the one that the anchor names")

    def log_name(self, record):
        """The name in a record, or None where its key is gone with the file's."""
        if record["kind"] == "raised":
            return None
        kind, tree, epoch = formats.log_name_key_place(record)
        id_ = record.get("file-id", record.get("directory-id", bytes(16)))
        try:
            return formats.open_log_name(record, self.anchor.under(kind, tree, epoch, id_, self.keys))
        except KeyGone:
            return None

    # ---- the journal: FORMAT.md, "Recovery" ----

    def read_journal(self):
        """Laps count only after a session that did not end well."""
        sessions = [r for r in self.records if r["kind"] in ("mount", "umount")]
        self.ended_well = not sessions or sessions[-1]["kind"] == "umount" and b"clean" in sessions[-1].get("detail", b"").split()
        self.journal = journal.Journal(self.inner(b"journal"), self.keys, self.suite)
        if self.ended_well and self.journal.laps:
            self.findings.append(f"journal: {self.journal.laps} laps after a session that ended well: not used")
        elif not self.ended_well:
            self.findings += self.journal.findings
        self.left_open, self.recovered = self.files_left_open(), 0

    def files_left_open(self):
        """By the log: what was opened for writing in the last session, or named again before it, and not closed."""
        left = set()
        for n, r in enumerate(self.records):
            if r["kind"] == "write-open" and not r["flags"] & 1:
                left.add(r.get("file-id"))
            elif r["kind"] == "close":
                left.discard(r.get("file-id"))
            elif r["kind"] == "mount":
                left = {again.get("file-id") for again in self.records[n - r.get("bytes", 0):n]}
        return left

    def to_recover(self, h, backing_length):
        """Whether a mount would recover the file, and the records that count for it."""
        if self.ended_well:
            return False, []
        records = self.journal.pending.get(h.file_id, [])
        fits = h.state != formats.OPEN and formats.backing_length(h.size, self.keyring.block_size, self.suite) == backing_length
        just_made = not fits and h.modified >= self.records[-1]["trusted-ns"] // 10 ** 9 - 2
        return bool(records) or h.file_id in self.left_open or just_made, records

    # ---- the tree ----

    def walk(self):
        """Every entry, a directory before what is in it; the root first, as b"." ."""
        try:
            root = self.open_directory(b".", self.root, None, b"")
        except (OSError, Rejected, NotSupported) as e:
            yield Entry(b".", "directory", os.lstat(self.root), UNREADABLE, str(e))
            return
        yield root
        yield from self.walk_directory(root, self.root)

    def open_directory(self, path, backing, parent, name):
        entry = Entry(path, "directory", os.lstat(backing))
        d = entry.directory = formats.open_directory(contents(os.path.join(backing, b".lapse-dir")), self.keys)
        if parent is None:
            require(not any(d.parent), "the root's record names a parent")
        else:
            require(formats.home(self.keys, parent.id, name) in d.homes, "not at home here")
        require(d.id not in self.directory_ids, "a second directory with this id")
        self.directory_ids.add(d.id)
        self.read_xattrs(entry, backing, d.id, d.name_key)
        return entry

    def walk_directory(self, parent, where):
        for backing in sorted(os.listdir(where)):
            entry = self.entry(parent, where, backing)
            if entry:
                yield entry
                if entry.directory:
                    yield from self.walk_directory(entry, os.path.join(where, backing))

    def entry(self, parent, where, backing):
        """The entry under a backing name; None for what is part of another one."""
        if backing == b".lapse-dir" or backing == b".lapse" and where == self.root:
            return None
        full, name = os.path.join(where, backing), None
        path, status = os.path.join(parent.path, backing), os.lstat(full)
        if formats.LONG_NAME.fullmatch(backing.removesuffix(b".n")) and backing.endswith(b".n"):
            return None if os.path.lexists(full[:-2]) else Entry(path, "companion", status, LITTER, "a companion without its entry")
        if not formats.is_sealed_name(backing):
            return Entry(path, "foreign", status, FOREIGN)
        try:
            companion = contents(full + b".n") if backing.startswith(b"~") else None
            name = formats.open_name(parent.directory.name_key, backing, companion)
            return self.open_entry(os.path.normpath(os.path.join(parent.path, name)), full, status, parent.directory, name)
        except (OSError, Rejected, NotSupported) as e:
            if name:
                return Entry(os.path.normpath(os.path.join(parent.path, name)), "unknown", status, UNREADABLE, str(e))
            return Entry(path, "unknown", status, UNREADABLE, "name: no companion" if isinstance(e, FileNotFoundError) else f"name: {e}")

    def open_entry(self, path, full, status, parent, name):
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            return self.open_directory(path, full, parent, name)
        if stat.S_ISLNK(mode):
            return Entry(path, "symlink", status, data=formats.open_symlink(os.readlink(full), parent.id, name, self.keys))
        if stat.S_ISREG(mode):
            return self.open_file(path, full, status, parent, name)
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return Entry(path, "fifo" if stat.S_ISFIFO(mode) else "socket", status)
        return Entry(path, "foreign", status, FOREIGN, "a device node")

    # ---- a file: the steps of FORMAT.md, "Reading a file" ----

    def open_file(self, path, full, status, parent, name):
        backing = contents(full)
        h = formats.choose_header(backing[:formats.HEADERS], self.keys, self.suite)
        recover, records = self.to_recover(h, len(backing))
        if not recover:
            size = formats.plain_size(len(backing), self.keyring.block_size, self.suite)
            require(h.state == formats.OPEN or h.size == size, f"its length is that of {size} bytes, and its header says {h.size}")
        require(h.linked() or formats.home(self.keys, parent.id, name) in h.homes, "not at home here")
        entry = Entry(path, "symlink" if h.type == formats.SYMLINK else "file", status, header=h, backing=os.path.relpath(full, self.root))
        overdue = self.now >= h.expires_at
        try:
            under = self.anchor.under(h.kind, h.tree, h.epoch, h.file_id, self.keys)
        except KeyGone as e:
            entry.status, entry.note = EXPIRED if overdue or e.expired else DESTROYED, str(e)
            return entry
        file_key = formats.unwrap_file_key(h, under, self.keys)
        if overdue and not self.ignore_deadline(path):
            entry.status, entry.note = DENIED, f"expired at {h.expires_at}; its key can still be derived"
            return entry
        content = formats.Content(file_key, self.suite, h.file_id, self.keyring.block_size)
        if recover:
            self.recover_content(entry, content, backing, records)
        else:
            self.read_content(entry, content, backing[formats.HEADERS:])
        self.read_xattrs(entry, full, h.file_id, file_key)
        return entry

    def recover_content(self, entry, content, backing, records):
        recovery = journal.Recovery(backing, entry.header, content, records)
        self.read_content(entry, content, bytes(recovery.body), recovery.changed)
        if recovery.done:
            self.recovered += 1
            entry.note = "; ".join(["recovered: " + ", ".join(recovery.done)] + [entry.note] * bool(entry.note))

    def read_content(self, entry, content, body, changed=False):
        h = entry.header
        data, root = content.read(body)
        if h.state == formats.OPEN:
            entry.note = "open: content root not checked"
        elif changed and root != h.content_root:
            entry.note = "content root not checked"
        else:
            require(root == h.content_root, "content root: a block is not of the version that the header names")
        if h.type == formats.SYMLINK:
            require(data and b"\0" not in data, "symlink: target")
        entry.data = data

    def read_xattrs(self, entry, full, id_, k):
        pairs = formats.xattr_pairs(k, id_, entry.kind == "directory")
        for name in map(os.fsencode, os.listxattr(full, follow_symlinks=False)):
            if name.startswith(formats.XATTR_PREFIX):
                plain, value = formats.open_xattr(pairs, id_, name, os.getxattr(full, name, follow_symlinks=False))
                entry.xattrs[plain] = value
