#!/usr/bin/env python3
"""Checks tests/vectors/keys.txt and format.txt: vectors.py [DIRECTORY]. Exit status 0 if every line of both was looked at and is right."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import formats
import journal as J
import keys as K
from primitives import SUITES, NotSupported, Rejected, b64_encode, i64, u32, u64, u8


class Vectors:
    """The lines of one file; remembers which were used, so that none is left out unseen."""

    def __init__(self, path):
        with open(path) as f:
            self.lines = {name: bytes.fromhex(value) for name, _, value in (line.strip().partition(" ") for line in f) if name and name[0] != "#"}
        self.path, self.unused, self.bad = path, set(self.lines), 0

    def __getitem__(self, name):
        self.unused.discard(name)
        return self.lines[name]

    def text(self, name):
        return self[name].decode()

    def is_(self, name, value):
        if self[name] != value:
            print(f"{self.path}: {name} should be {self[name].hex()[:64]}, and is {value.hex()[:64]}")
            self.bad += 1

    def finish(self):
        for name in sorted(self.unused):
            print(f"{self.path}: {name} was not looked at")
        print(f"{os.path.basename(self.path)}: {len(self.lines)} vectors, {self.bad} wrong, {len(self.unused)} not looked at")
        return self.bad == 0 and not self.unused and self.lines

# ---- keys.txt ------------------------------------------------------------------------------------

def split_pair(both):
    return both[:32], both[32:]


def joined(p):
    return p[0] + p[1]


def check_derivation(v):
    for n, context in enumerate(K.CONTEXTS):
        v.is_(f"kdf.{n}.key", K.derive(v["kdf.key"], 32, context, v["kdf.bind"]))
        v.is_(f"kdf.{n}.pair", K.derive(v["kdf.key"], 64, context, v["kdf.bind"]))
    p, label = split_pair(v["small.key"]), v.text("small.label")
    v.is_("small.sealed", K.small_seal(p, label, v["small.ad"], v["small.plain"]))
    v.is_("small.plain", K.small_open(p, label, v["small.ad"], v["small.sealed"]))
    v.is_("small.empty", K.small_seal(p, label, b"", b""))


def check_archive_keys(v):
    keys = K.Keys(v["master"], v["access"], v["uuid"])
    for name in ("keyring", "header", "directory", "catalogue", "log", "policy", "journal", "symlink", "hold"):
        v.is_(f"master.{name}", joined(getattr(keys, name)))
    for name, value in (("catalogue_bucket", keys.bucket), ("home", keys.home), ("class", keys.klass), ("archive_wrap", keys.archive_wrap)):
        v.is_(f"master.{name}", value)
    v.is_("anchor.key", joined(keys.anchor))
    v.is_("home", formats.home(keys, v["home.directory"], v["home.name"]))
    v.is_("class", formats.class_fingerprint(keys, v["class.name"]))
    v.is_("bucket", formats.expiry_bucket(keys, v["bucket.number"]))
    return keys


def cover(node, uuid, tree, alive):
    """The smallest set of nodes below which lie exactly the leaves that are alive; alive(first, end) says "all", "none" or "some"."""
    what = alive(node.first_leaf(), node.end())
    if what == "some":
        return [n for child in node.children(uuid, tree) for n in cover(child, uuid, tree, alive)]
    return [node] if what == "all" else []


def alive_from(start, punctured=-1):
    def alive(first, end):
        if end <= start or first == punctured and end == first + 1:
            return "none"
        return "some" if first < start or first <= punctured < end else "all"
    return alive


def packed(nodes):
    return b"".join(u8(n.depth) + u64(n.index) + n.key for n in nodes)


def check_tree(v):
    uuid, number, root = v["uuid"], int.from_bytes(v["tree.number"], "little"), K.Node(0, 0, v["tree.root"])
    whole = K.Tree(uuid, number, 0, [root])
    for name in list(v.lines):
        kind, *numbers = name.split(".")[1:] if name.startswith("tree.") else [""]
        numbers = [int(n) for n in numbers]
        if kind == "leaf":
            v.is_(name, whole.leaf(numbers[0], numbers[1].to_bytes(2, "big")))
        elif kind == "node":
            v.is_(name, whole.node(32, numbers[0]))
        elif kind == "cover":
            start = numbers[0] << 16
            v.is_(name, packed(cover(root, uuid, number, alive_from(start))))
        elif kind == "punctured":
            v.is_(name, packed(cover(root, uuid, number, alive_from(start, numbers[0] << 16 | numbers[1]))))


def check_keyring(v, keys):
    keyring = K.Keyring(v["keyring.image"])
    v.is_("keyring.digest", keyring.digest())
    r = K.recovery_parse(v.text("recovery.text"))
    v.is_("slot.5.secret", r)
    bits = int.from_bytes(r + K.recovery_check(r), "big")
    digits = "".join(K.DIGITS[bits >> 5 * (55 - n) & 31] for n in range(56))
    v.is_("recovery.text", "-".join(digits[n:n + 4] for n in range(0, 56, 4)).encode())
    for slot in keyring.slots:
        name = f"slot.{slot.number}"
        secret = v[f"{name}.secret"]
        p = K.slot_key(K.argon2id(slot, secret) if slot.kind == K.PASSPHRASE else secret, keyring.uuid, slot)
        v.is_(f"{name}.key", joined(p))
        opened = K.small_open(p, "slot master", keyring.uuid + u32(slot.number) + u8(slot.kind) + slot.public, slot.sealed_master)
        v.is_("master", opened[:32])
        v.is_(f"{name}.x25519_secret", opened[32:])
        v.is_("access", keyring.open_access(slot, opened[32:]))
        v.is_("anchor.key", joined(keyring.unlock(slot.kind, secret).anchor))
    image = v["anchor.image"]
    anchor = K.Anchor(image + bytes(100), keys)
    v.is_("anchor.image", image[:80] + K.small_seal(keys.anchor, "anchor", image[:80], anchor.body))


# ---- format.txt ----------------------------------------------------------------------------------

def check_file(v, keys):
    h = formats.parse_header(v["header.plain"])
    head = v["header.slot"][:16]
    v.is_("header.slot", head + K.small_seal(keys.header, "header", keys.uuid + head, v["header.plain"]))
    v.is_("header.wrapped", h.wrapped)
    v.is_("header.file_key", formats.unwrap_file_key(h, v["header.leaf_key"], keys))
    for suite in SUITES.values():
        name = f"file.{suite.name}"
        image = v[name]
        h = formats.choose_header(image[:1024], keys, suite)
        content = formats.Content(v["header.file_key"], suite, h.file_id, 4096)
        v.is_(f"{name}.block_key", content.block_key)
        v.is_(f"{name}.root_key", content.root_key)
        step = 4096 + suite.overhead
        for i in range(2):
            v.is_(f"{name}.leaf{i}", content.leaf(i, image[1024 + i * step:][:step]))
        plain, root = content.read(image[1024:])
        v.is_("file.plain", plain)
        if root != h.content_root or h.size != len(plain) or formats.plain_size(len(image), 4096, suite) != h.size:
            print(f"{name}: content root or size")
            v.bad += 1


def check_directory(v, keys):
    record, plain = v["dir.record"], v["dir.plain"]
    v.is_("dir.record", record[:16] + K.small_seal(keys.directory, "directory", keys.uuid + record[:16], plain))
    v.is_("dir.name_key", formats.open_directory(record, keys).name_key)


def check_names(v, keys):
    # The names' own pair is given; the name key behind it is that of the directory above.
    name_key = v["dir.name_key"]
    v.is_("name.siv_key", joined(K.pair(name_key, "lapse 1 name")))
    for form in ("short", "sixteen", "long"):
        backing, companion = formats.seal_name(name_key, v[f"name.{form}.plain"])
        v.is_(f"name.{form}.backing", backing)
        v.is_(f"name.{form}.plain", formats.open_name(name_key, backing, companion))
    v.is_("name.long.companion", backing + b".n")
    v.is_("name.long.companion_content", companion)
    place = v["symlink.dir_id"], v["symlink.name"]
    v.is_("symlink.target", formats.open_symlink(v["symlink.sealed"], *place, keys))
    v.is_("symlink.sealed", b64_encode(K.small_seal(keys.symlink, "symlink", place[0] + place[1], v["symlink.target"])))


def check_xattrs(v):
    file_id, dir_id = formats.parse_header(v["header.plain"]).file_id, v["symlink.dir_id"]
    for kind, k, id_ in (("file", v["header.file_key"], file_id), ("dir", v["dir.name_key"], dir_id)):
        pairs, backing = formats.xattr_pairs(k, id_, kind == "dir"), v[f"xattr.{kind}.backing_name"]
        v.is_(f"xattr.{kind}.backing_name", formats.XATTR_PREFIX + b64_encode(formats.siv_seal(pairs[0], v["xattr.name"])))
        name, value = formats.open_xattr(pairs, id_, backing, v[f"xattr.{kind}.backing_value"])
        v.is_("xattr.name", name)
        v.is_("xattr.value", value)


def check_log(v, keys):
    segment = formats.open_segment_head(v["audit.segment_head"], keys)
    frames, at, sequence, head, records = v["audit.frames"], 0, segment.first, segment.head, []
    while at < len(frames):
        end = at + 4 + int.from_bytes(frames[at:at + 4], "little")
        plain, head = formats.open_frame(frames[at:end], segment.log_id, sequence, head, keys)
        r = formats.parse_record(plain, sequence)
        records.append(r)
        at, sequence = end, sequence + 1
    v.is_("audit.chain_head", head)
    public, seal = formats.open_seals_head(v["audit.seal.head"], keys.uuid, segment.log_id), formats.parse_seal(v["audit.seal.seal"])
    v.is_("audit.seal.public_key", public)
    v.is_("audit.chain_head", seal.head)
    v.is_("audit.seal.message", formats.seal_message(seal, keys.uuid, segment.log_id))
    formats.check_seal(seal, keys.uuid, segment.log_id, None, public)
    h = formats.parse_header(v["header.plain"])
    opened = formats.open_log_name({"file-id": h.file_id, "sealed-name": v["audit.name.sealed"]}, v["header.leaf_key"])
    v.is_("audit.name.plain", opened)
    if [r["kind"] for r in records] != ["open", "umount"] or records[0]["detail"] != b"500/10min":
        print("audit.frames: not the records that the document lists")
        v.bad += 1


def check_hashes(v, keys):
    v.is_("home", formats.home(keys, v["symlink.dir_id"], v["name.short.plain"]))
    v.is_("class_fingerprint", formats.class_fingerprint(keys, b"plates"))
    v.is_("catalogue_bucket", formats.expiry_bucket(keys, i64(28333333)))


def journal_record(kind, length, generation, file_id, value, behind=bytes(24), reserved=bytes(3)):
    return u8(kind) + reserved + u32(length) + u64(generation) + file_id + u64(value) + behind


def check_journal(v, keys):
    suite, h = SUITES[1], formats.parse_header(v["header.plain"])
    lap, head = J.open_lap_head(v["journal.lap"], keys), v["journal.lap"]
    v.is_("journal.lap", head[:96] + K.small_seal(keys.journal, "journal lap", head[:96], b""))
    at, kinds, block = 128, [], 96 + 4096 + suite.overhead
    for name, behind in (("block", block), ("size", 96), ("done", 96)):
        plain = J.open_record(v[f"journal.{name}"], lap, at, keys)
        r = J.parse_record(plain)
        kinds.append((r.kind, r.length, r.generation, r.file_id))
        v.is_(f"journal.{name}", K.small_seal(keys.journal, "journal", lap.id + u64(at),
                                              journal_record(r.kind, r.length, r.generation, r.file_id, r.value)))
        at += behind
    if kinds != [(J.BLOCK, 4096, 7, h.file_id), (J.SIZE, 0, 7, h.file_id), (J.DONE, 0, 7, h.file_id)]:
        print("journal.*: not the records that the document lists")
        v.bad += 1
    check_lap(v, keys, suite, lap)
    check_record_rules(v, h.file_id)


def check_lap(v, keys, suite, lap):
    """The vectors as one lap, whole, cut off at each end of a part and one byte before, and with a bit of each record turned over."""
    image = v["journal.lap"] + v["journal.block"] + bytes(4096 + suite.overhead) + v["journal.size"] + v["journal.done"]
    ends = [128, 128 + 96 + 4096 + suite.overhead, len(image) - 96, len(image)]
    for n, end in enumerate(ends):
        cases = [("cut off behind it", image[:end], n), ("with zeros behind it", image[:end] + bytes(200), n)]
        if n:
            start = ends[n - 1]
            cases += [("cut off in it", image[:cut], n - 1) for cut in (end - 1, start + 95, start + 96 - (n > 1), start + 1)]
            cases += [("a bit of it", image[:at] + u8(image[at] ^ 4) + image[at + 1:], n - 1) for at in (start, start + 31, start + 32, start + 95)]
        for what, data, left in cases:
            records, wrong = J.read_lap(lap, data, keys, suite)
            if len(records) != left or wrong:
                print(f"a lap, part {n}, {what}: {len(records)} records, not {left}; {wrong}")
                v.bad += 1


def check_record_rules(v, file_id):
    """What is authentic and breaks a rule; and what just does not."""
    bad = {
        "kind 0": journal_record(0, 0, 7, file_id, 0), "kind 4": journal_record(4, 0, 7, file_id, 0),
        "reserved bytes at 1": journal_record(J.DONE, 0, 7, file_id, 0, reserved=b"\0\0\1"),
        "an empty block": journal_record(J.BLOCK, 0, 7, file_id, 0), "a huge block": journal_record(J.BLOCK, (1 << 20) + 1, 7, file_id, 0),
        "a huge index": journal_record(J.BLOCK, 1, 7, file_id, 1 << 62), "a size below its block": journal_record(J.SIZE, 2, 7, file_id, 1),
        "a huge size": journal_record(J.SIZE, 0, 7, file_id, (1 << 62) + 1), "done with a block": journal_record(J.DONE, 1, 7, file_id, 0),
        "done with a value": journal_record(J.DONE, 0, 7, file_id, 1),
        "reserved bytes at 40": journal_record(J.DONE, 0, 7, file_id, 0, b"\1" + bytes(23)),
        "reserved bytes at 63": journal_record(J.DONE, 0, 7, file_id, 0, bytes(23) + b"\1"),
        "63 bytes": journal_record(J.DONE, 0, 7, file_id, 0)[:63], "65 bytes": journal_record(J.DONE, 0, 7, file_id, 0) + b"\0",
    }
    for what, plain in bad.items():
        try:
            J.parse_record(plain)
        except Rejected:
            continue
        print(f"a record of the journal: {what}: accepted")
        v.bad += 1
    for good in ((J.BLOCK, 1 << 20, (1 << 62) - 1), (J.BLOCK, 1, 0), (J.SIZE, 0, 1 << 62), (J.DONE, 0, 0)):
        J.parse_record(journal_record(good[0], good[1], 0, file_id, good[2]))


def check_damage(v, keys):
    """One bit of each sealed object turned over, at its first byte, its last one, and some between; each cut off in several places."""
    h = formats.parse_header(v["header.plain"])
    pairs = formats.xattr_pairs(v["header.file_key"], h.file_id)
    suite, frame = SUITES[1], v["audit.frames"][:4 + int.from_bytes(v["audit.frames"][:4], "little")]
    content, block = formats.Content(v["header.file_key"], suite, h.file_id, 4096), v["file.aegis256"][1024:1024 + 4096 + suite.overhead]
    segment, lap = formats.open_segment_head(v["audit.segment_head"], keys), J.open_lap_head(v["journal.lap"], keys)
    openers = {
        "header.slot": (v["header.slot"], lambda x: formats.open_header_slot(x, keys, suite)),
        "dir.record": (v["dir.record"], lambda x: formats.open_directory(x, keys)),
        "name.short.backing": (v["name.short.backing"], lambda x: formats.open_name(v["dir.name_key"], x)),
        "name.long.companion_content": (v["name.long.companion_content"], lambda x: formats.open_name(v["dir.name_key"], v["name.long.backing"], x)),
        "symlink.sealed": (v["symlink.sealed"], lambda x: formats.open_symlink(x, v["symlink.dir_id"], v["symlink.name"], keys)),
        "xattr.file.backing_value": (v["xattr.file.backing_value"],
                                     lambda x: formats.open_xattr(pairs, h.file_id, v["xattr.file.backing_name"], x)),
        "audit.segment_head": (v["audit.segment_head"], lambda x: formats.open_segment_head(x, keys)),
        "audit.frames": (frame[4:], lambda x: formats.open_frame(frame[:4] + x, segment.log_id, 1, bytes(32), keys)),
        "policy.file": (v["policy.file"], lambda x: formats.open_policy(x, keys)),
        "hold.file": (v["hold.file"], lambda x: formats.open_hold(x, keys)),
        "journal.lap": (v["journal.lap"], lambda x: J.open_lap_head(x, keys)),
        "journal.block": (v["journal.block"], lambda x: J.open_record(x, lap, 128, keys)),
        "block": (block, lambda x: content.open_block(0, x)),
    }
    for name, (data, opener) in openers.items():
        opener(data)
        for at in {0, 17, len(data) // 2, len(data) - 1}:
            try:
                opener(data[:at] + u8(data[at] ^ 2) + data[at + 1:])
            except (Rejected, NotSupported):
                continue
            print(f"{name}: opens with byte {at} changed")
            v.bad += 1
        for length in {0, 15, 16, 31, len(data) // 2, len(data) - 1}:
            try:
                opener(data[:length])
            except (Rejected, NotSupported):
                continue
            print(f"{name}: opens when cut off behind {length} bytes")
            v.bad += 1


def check_format(v):
    keys = K.Keys(v["master"], bytes(32), v["uuid"])
    for name in ("header", "directory", "symlink", "log", "policy", "journal", "hold"):
        v.is_(f"key.{name}", joined(getattr(keys, name)))
    v.is_("key.archive_wrap", keys.archive_wrap)
    check_file(v, keys)
    check_directory(v, keys)
    check_names(v, keys)
    check_xattrs(v)
    check_log(v, keys)
    check_journal(v, keys)
    check_hashes(v, keys)
    check_damage(v, keys)
    hold = formats.open_hold(v["hold.file"], keys)
    assert (hold.number, hold.state, hold.name, hold.readers, len(hold.globs), len(hold.ids)) == (3, 2, b"case-17", [1000, 1002], 2, 2), hold
    policy = formats.open_policy(v["policy.file"], keys)
    v.is_("policy.text", policy.text)
    v.is_("policy.digest", policy.digest)


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors")
    v = Vectors(os.path.join(where, "keys.txt"))
    check_derivation(v)
    keys = check_archive_keys(v)
    check_tree(v)
    check_keyring(v, keys)
    good = v.finish()
    v = Vectors(os.path.join(where, "format.txt"))
    check_format(v)
    return 0 if v.finish() and good else 1


if __name__ == "__main__":
    sys.exit(main())
