"""FORMAT.md: what each object of an archive says, and every rule by which one is refused. In the order of the document; no files are touched here."""
import re
from dataclasses import dataclass, field

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from keys import key, pair, small_open
from primitives import Fields, H, NotSupported, Rejected, b64_decode, b64_encode, i64, require, same, u32, u64, u8, xchacha20, xor

NEVER, NONE = (1 << 63) - 1, -(1 << 63)

# ---- Versions ------------------------------------------------------------------------------------


def clear_head(data, magic, suite):
    f = Fields(data[:16], magic.decode())
    require(f.take(8) == magic, f"not a {magic.decode()}")
    version, its_suite, reserved, features = f.u16(), f.u8(), f.u8(), f.u32()
    if version != 1 or features:
        raise NotSupported(f"{magic.decode()}: version {version}, features {features:#x}")
    require(its_suite == suite, f"{magic.decode()}: of suite {its_suite}, not {suite}")
    require(reserved == 0, f"{magic.decode()}: a reserved byte is not zero")
    return data[:16]


# ---- Keyed hashes --------------------------------------------------------------------------------

def home(keys, directory_id, name):
    return H(keys.home, 16, directory_id + name)


def class_fingerprint(keys, name):
    return H(keys.klass, 16, name)


def expiry_bucket(keys, number):
    return H(keys.bucket, 16, number)[:8]


# ---- Files: header -------------------------------------------------------------------------------

SLOT, HEADERS = 512, 1024
OPEN, CLOSED, COMMITTED = 1, 2, 3
REGULAR, SYMLINK = 1, 2
KIND_ARCHIVE, KIND_EPOCH, KIND_HOLD = 1, 2, 3
LINKED, TWO_HOMES, VIEW = 1, 2, 2  # flags; VIEW is the directories' second one
KNOWN_FLAGS = LINKED | TWO_HOMES | 4 | 8 | 16 | 32  # narrowed, extended, compliance, undated


def backing_length(size, block_size, suite):
    return HEADERS + size + -(-size // block_size) * suite.overhead


def plain_size(length, block_size, suite):
    """What a backing file of that length holds."""
    q, r = divmod(length - HEADERS, block_size + suite.overhead)
    require(r == 0 or r > suite.overhead, "length: no file has it")
    size = q * block_size + (r - suite.overhead if r else 0)
    require(size <= 1 << 62, "length: too large")
    return size


@dataclass
class Header:
    state: int
    type: int
    basis: int
    kind: int
    flags: int
    generation: int
    file_id: bytes
    directory_id: bytes
    class_fingerprint: bytes
    created: int
    basis_at: int
    modified: int
    retain_until: int
    expires_at: int
    settles_at: int
    commits_at: int
    holds: list
    tree: int
    epoch: int
    size: int
    content_root: bytes
    homes: list
    wrapped: bytes

    def linked(self):
        return bool(self.flags & LINKED)


def parse_homes(first, second, two):
    require(two or not any(second), "a second home without the flag")
    return [first, second] if two else [first]


def parse_header(plain):
    f = Fields(plain, "header")
    state, kind_of_file, basis, kind, flags = f.u8(), f.u8(), f.u8(), f.u8(), f.u32()
    require(1 <= state <= 3 and 1 <= kind_of_file <= 2 and 1 <= basis <= 3 and 1 <= kind <= 3, "header: state, type, basis or key kind")
    require(flags & ~KNOWN_FLAGS == 0, "header: unknown flags")
    h = Header(state, kind_of_file, basis, kind, flags, f.u64(), f.take(16), f.take(16), f.take(16), f.i64(), f.i64(), f.i64(), f.i64(), f.i64(),
               f.i64(), f.i64(), [f.u32() for _ in range(4)], f.u32(), f.u32(), f.u64(), f.take(32), [], b"")
    h.homes = parse_homes(f.take(16), f.take(16), flags & TWO_HOMES)
    h.wrapped = f.take(64)
    f.reserved(184)
    f.end()
    require(state != OPEN or h.commits_at == 0, "header: commits-at in an open file")
    used = [n for n in h.holds if n]
    require(h.holds == used + [0] * (4 - len(used)) and len(set(used)) == len(used), "header: holds")
    h.holds = used
    require({KIND_ARCHIVE: h.tree == h.epoch == 0, KIND_EPOCH: h.tree != 0, KIND_HOLD: h.tree == 0 and h.epoch in used}[kind],
            "header: tree and epoch do not fit the key kind")
    require(h.size <= (4095 if kind_of_file == SYMLINK else 1 << 62), "header: size")
    require(state != OPEN or h.size == 0 and not any(h.content_root), "header: size or content root of an open file")
    return h


def open_header_slot(slot, keys, suite):
    require(any(slot), "header: never written")
    head = clear_head(slot, b"LAPSEFIL", suite.number)
    return parse_header(small_open(keys.header, "header", keys.uuid + head, slot[16:]))


def choose_header(data, keys, suite):
    """Which slot counts, of the first 1024 bytes of a backing file."""
    require(len(data) >= HEADERS, "shorter than its header")
    slots, valid, errors = [data[:SLOT], data[SLOT:HEADERS]], [], []
    for slot in slots:
        try:
            valid.append(open_header_slot(slot, keys, suite))
        except (Rejected, NotSupported) as e:
            errors.append(e)
    if not valid:
        raise next((e for e in errors if isinstance(e, NotSupported)), Rejected("; ".join(dict.fromkeys(map(str, errors)))))
    if len(valid) == 2:
        require(valid[0].file_id == valid[1].file_id, "header: two slots of two files")
        require(valid[0].generation != valid[1].generation or slots[0] == slots[1], "header: two slots of the same generation")
    return max(valid, key=lambda h: h.generation)


def unwrap_file_key(h, under, keys):
    ad = keys.uuid + h.file_id + u8(h.kind) + u32(h.tree) + u32(h.epoch)
    return small_open(pair(under, "lapse 1 wrap"), "file key", ad, h.wrapped)


# ---- Files: blocks -------------------------------------------------------------------------------

class Content:
    """The blocks of a file, once its key is known."""

    def __init__(self, file_key, suite, file_id, block_size):
        self.suite, self.file_id, self.block_size = suite, file_id, block_size
        self.block_key = key(file_key, "lapse 1 block", u8(suite.number) + file_id)
        self.root_key = key(file_key, "lapse 1 content root", u8(suite.number) + file_id)

    def leaf(self, i, block):
        return H(self.root_key, 32, u64(i) + block[:self.suite.nonce] + block[-self.suite.tag:])

    def open_block(self, i, block):
        try:
            return self.suite.open(self.block_key, block[:self.suite.nonce], self.file_id + u64(i), block[self.suite.nonce:])
        except Rejected as e:
            raise Rejected(f"block {i}: {e}") from None

    def read(self, backing):
        """The plaintext, and the content root of what was read. `backing` is the file behind its headers."""
        plain, root, step = [], bytes(32), self.block_size + self.suite.overhead
        for i, at in enumerate(range(0, len(backing), step)):
            block = backing[at:at + step]
            plain.append(self.open_block(i, block))
            root = xor(root, self.leaf(i, block))
        return b"".join(plain), root


# ---- Sealed strings and names --------------------------------------------------------------------

def siv_seal(p, text):
    padded = text + bytes(-len(text) % 16)
    tag = H(p[0], 16, padded)
    return tag + xchacha20(p[1], tag + bytes(8), padded)


def siv_open(p, sealed):
    require(len(sealed) % 16 == 0 and len(sealed) >= 32, "sealed string: length")
    padded = xchacha20(p[1], sealed[:16] + bytes(8), sealed[16:])
    require(same(H(p[0], 16, padded), sealed[:16]), "sealed string: does not authenticate")
    text = padded.rstrip(b"\0")
    require(text and len(padded) - len(text) <= 15 and b"\0" not in text, "sealed string: padding")
    return text


LONG_NAME = re.compile(rb"~[A-Za-z0-9_-]{43}")
SHORT_RAW, LONG_RAW = 176, 272


def is_sealed_name(backing):
    """Whether it has the form of one; what has not is foreign, what has and does not open is REJECTed."""
    if LONG_NAME.fullmatch(backing):
        return True
    try:
        raw = b64_decode(backing)
    except Rejected:
        return False
    return len(raw) >= 32 and len(raw) % 16 == 0


def seal_name(name_key, name):
    """The backing name, and what its companion holds (None for a short one)."""
    raw = siv_seal(pair(name_key, "lapse 1 name"), name)
    return (b64_encode(raw), None) if len(name) <= 160 else (b"~" + b64_encode(H(b"", 32, raw)), raw)


def open_name(name_key, backing, companion=None):
    if companion is None:
        raw = b64_decode(backing)
        require(len(raw) <= SHORT_RAW, "name: too long for its form")
    else:
        raw = companion
        require(SHORT_RAW < len(raw) <= LONG_RAW, "name: companion of a wrong length")
        require(b"~" + b64_encode(H(b"", 32, raw)) == backing, "name: companion of another name")
    name = siv_open(pair(name_key, "lapse 1 name"), raw)
    require(len(name) <= 255 and b"/" not in name and name not in (b".", b".."), "name: not one that a file can have")
    return name


# ---- Directories ---------------------------------------------------------------------------------

@dataclass
class Directory:
    id: bytes
    parent: bytes
    generation: int
    flags: int
    mode: int
    uid: int
    gid: int
    homes: list
    name_key: bytes = field(repr=False)

    def view(self):
        return bool(self.flags & VIEW)


def open_directory(record, keys):
    require(len(record) == 512, ".lapse-dir: not 512 bytes")
    head = clear_head(record, b"LAPSEDIR", 0)
    f = Fields(small_open(keys.directory, "directory", keys.uuid + head, record[16:]), ".lapse-dir")
    id_, parent, generation, flags, mode, uid, gid = f.take(16), f.take(16), f.u64(), f.u32(), f.u32(), f.u32(), f.u32()
    require(any(id_), ".lapse-dir: no id")
    require(flags & ~3 == 0, ".lapse-dir: unknown flags")
    require(mode <= 0o7777 if flags & VIEW else mode == uid == gid == 0, ".lapse-dir: what people see")
    homes = parse_homes(f.take(16), f.take(16), flags & 1)
    kind, tree, epoch = f.u32(), f.u32(), f.u32()
    require(kind == KIND_ARCHIVE and tree == epoch == 0, ".lapse-dir: key kind, tree or epoch")
    f.reserved(4)
    wrapped = f.take(64)
    f.reserved(296)
    f.end()
    ad = keys.uuid + id_ + u8(kind) + u32(tree) + u32(epoch)
    name_key = small_open(pair(keys.archive_wrap, "lapse 1 wrap"), "name key", ad, wrapped)
    return Directory(id_, parent, generation, flags, mode, uid, gid, homes, name_key)


# ---- Symlinks and extended attributes ------------------------------------------------------------

def open_symlink(text, directory_id, name, keys):
    require(len(text) % 4 != 1 and 1 <= 3 * len(text) // 4 - 32 <= 4095, "symlink: length of the target")
    target = small_open(keys.symlink, "symlink", directory_id + name, b64_decode(text))
    require(b"\0" not in target, "symlink: a NUL in the target")
    return target


XATTR_PREFIX = b"user.lapse."


def xattr_pairs(k, id_, directory=False):
    kind = "directory xattr" if directory else "xattr"
    return pair(k, f"lapse 1 {kind} name", id_), pair(k, f"lapse 1 {kind} value", id_)


ACLS = b"system.posix_acl_access", b"system.posix_acl_default"


def open_xattr(pairs, id_, backing_name, backing_value):
    name = siv_open(pairs[0], b64_decode(backing_name.removeprefix(XATTR_PREFIX)))
    require(len(name) <= 160 and (name.startswith((b"user.", b"trusted.", b"security.")) or name in ACLS), "xattr: name")
    return name, small_open(pairs[1], "xattr", id_ + name, backing_value)


# ---- Audit log -----------------------------------------------------------------------------------

SEGMENT_HEAD = 128
KINDS = ("open list create close commit rename unlink expire destroy hold policy key clock guard mount umount unused prune write-open anchor grant "
         "canary forged link admin dated raised").split()
DECISIONS = ("none", "permit", "deny", "alert")
UNUSED = 1 + KINDS.index("unused")
FLAGS = 0x7 | 0xf00 | 0x7000 | 0x8000
NUMBER, BYTES, TEXT = "number", "bytes", "text"
TAGS = {  # tag: name, form, lengths
    1: ("executable-device", NUMBER, 8, 8), 2: ("executable-inode", NUMBER, 8, 8), 3: ("executable-sha256", BYTES, 32, 32), 4: ("unit", TEXT, 1, 127),
    5: ("file-id", BYTES, 16, 16), 6: ("directory-id", BYTES, 16, 16), 7: ("class", BYTES, 16, 16), 8: ("generation", NUMBER, 8, 8),
    9: ("expires-at", NUMBER, 8, 8), 10: ("bytes", NUMBER, 8, 8), 11: ("rule", TEXT, 1, 63), 12: ("budget", TEXT, 1, 63),
    13: ("detail", TEXT, 1, 511), 14: ("name-tree", NUMBER, 4, 4), 15: ("name-epoch", NUMBER, 4, 4), 16: ("sealed-name", BYTES, 1, 320),
    22: ("place", BYTES, 16, 16),
}


@dataclass
class Segment:
    log_id: bytes
    first: int
    head: bytes


def open_segment_head(data, keys):
    clear_head(data, b"LAPSELOG", 0)
    f = Fields(data[:SEGMENT_HEAD], "segment")
    f.take(16)
    require(f.take(16) == keys.uuid, "segment: of another archive")
    segment = Segment(f.take(16), f.u64(), f.take(32))
    f.reserved(8)
    require(segment.first >= 1 and (segment.first != 1 or not any(segment.head)), "segment: first sequence or chain head")
    small_open(keys.log, "segment", data[:96], f.take(32))
    return segment


def open_frame(frame, log_id, sequence, head, keys):
    """The bytes of the record, and the chain head behind it. `frame` begins with its length."""
    return small_open(keys.log, "audit", log_id + u64(sequence) + head, frame[4:]), H(b"", 32, head + frame)


def parse_record(plain, sequence):
    f = Fields(plain, f"record {sequence}")
    kind, decision = f.u8(), f.u8()
    f.reserved(2)
    flags = f.u32()
    require(1 <= kind <= 27 and kind != UNUSED and decision <= 3 and not flags & ~FLAGS, f"{f.what}: kind, decision or flags")
    r = {"sequence": sequence, "kind": KINDS[kind - 1], "decision": DECISIONS[decision], "flags": flags, "trusted-ns": f.i64(), "wall-ns": f.i64(),
         "error": f.i32(), "line": f.u32(), "policy": f.u64()}
    require(-4095 <= r["error"] <= 0, f"{f.what}: error")
    for who in ("uid", "login-uid", "real-uid", "gid", "pid", "session"):
        r[who] = f.u32()
    tags = parse_tags(f, r)
    require(16 in tags or not tags & {14, 15}, f"{f.what}: tree or epoch without a sealed name")
    return r


def parse_tags(f, r):
    tags, last = set(), 0
    while f.at < len(f.data):
        tag, length = f.u16(), f.u16()
        require(tag in TAGS and tag > last, f"{f.what}: tag {tag}")
        name, form, shortest, longest = TAGS[tag]
        value = f.take(length)
        require(shortest <= length <= longest and any(value), f"{f.what}: field {name}")
        require(form != TEXT or b"\0" not in value, f"{f.what}: field {name}")
        r[name] = int.from_bytes(value, "little", signed=tag == 9) if form == NUMBER else value
        tags.add(tag)
        last = tag
    return tags


def log_name_key_place(r):
    """Key kind, tree and epoch under which the name in a record was sealed."""
    if "name-tree" in r:
        return KIND_EPOCH, r["name-tree"], r.get("name-epoch", 0)
    return (KIND_HOLD, 0, r["name-epoch"]) if "name-epoch" in r else (KIND_ARCHIVE, 0, 0)


def open_log_name(r, under):
    name = small_open(pair(under, "lapse 1 log name"), "log name", r.get("file-id", r.get("directory-id", b"")), r["sealed-name"])
    require(b"\0" not in name, "log name: a NUL")
    return name


@dataclass
class Seal:
    after: int
    anchor: int
    first: int
    last: int
    head: bytes
    trusted_ns: int
    next_key: bytes
    signature: bytes
    signed: bytes


SEALS_HEAD, SEAL_BYTES = 80, 168


def open_seals_head(data, uuid, log_id):
    """The first public key, as the file says it."""
    clear_head(data, b"LAPSESEA", 0)
    f = Fields(data[:SEALS_HEAD], "seals")
    f.take(16)
    require(f.take(16) == uuid and f.take(16) == log_id, "seals: of another archive or log")
    return f.take(32)


def parse_seal(data):
    f = Fields(data, "seal")
    s = Seal(f.u64(), f.u64(), f.u64(), f.u64(), f.take(32), f.i64(), f.take(32), f.take(64), data[:104])
    require(s.anchor > s.after and s.first >= 1 and s.last >= s.first - 1 and s.last < 2**64 - 1 and s.trusted_ns >= 0, "seal: what it says cannot be")
    return s


def seal_message(s, uuid, log_id):
    return b"lapse 1 audit seal" + uuid + log_id + s.signed


def check_seal(s, uuid, log_id, previous, public_key):
    """`previous` is the seal before this one, or None."""
    what = f"seal of anchor write {s.anchor}"
    require(s.after == (previous.anchor if previous else 0), f"{what}: does not follow the one before")
    require(s.first <= (previous.last if previous else 0) + 1, f"{what}: leaves records out")
    try:
        VerifyKey(public_key).verify(seal_message(s, uuid, log_id), s.signature)
    except BadSignatureError:
        raise Rejected(f"{what}: signature") from None


# ---- Sealed policy -------------------------------------------------------------------------------

@dataclass
class Policy:
    generation: int
    applied: int
    text: bytes
    digest: bytes


def open_policy(data, keys):
    head = clear_head(data, b"LAPSEPOL", 0)
    f = Fields(small_open(keys.policy, "policy", keys.uuid + head, data[16:]), "policy")
    generation, applied, length = f.u64(), f.i64(), f.u32()
    f.reserved(12)
    require(length <= 1 << 20, "policy: length")
    policy = Policy(generation, applied, f.take(length), H(b"", 32, data))
    f.end()
    return policy


@dataclass
class Hold:
    number: int
    state: int
    name: bytes
    reason: bytes
    readers: list
    globs: list
    ids: list


def open_hold(data, keys):
    head = clear_head(data, b"LAPSEHLD", 0)
    f = Fields(small_open(keys.hold, "hold", keys.uuid + head, data[16:]), "hold")
    number, state = f.u32(), f.u8()
    f.reserved(3)
    f.i64(), f.i64(), f.i64()
    name, reason, release = (f.take(f.u16()) for _ in range(3))
    require(number and 1 <= state <= 3 and 1 <= len(name) <= 64 and len(reason) <= 200 and len(release) <= 200, "hold: number, state or texts")
    count = f.u16()
    require(count <= 64, "hold: readers")
    readers = [f.u32() for _ in range(count)]
    length = f.u32()
    require(length <= 16384, "hold: globs")
    globs = f.take(length)
    require(not globs or globs.endswith(b"\n") and b"\n\n" not in globs and globs[0] != 10 and 0 not in globs, "hold: globs")
    count = f.u32()
    require(count <= 131072, "hold: ids")
    ids = [f.take(16) for _ in range(count)]
    require(all(a < b for a, b in zip(ids, ids[1:])), "hold: order of ids")
    f.end()
    return Hold(number, state, name, reason, readers, globs.split(b"\n")[:-1], ids)
