"""KEYS.md: contexts, small objects, keyring, slots, recovery key, epoch trees, anchor. In the order of the document."""
import os
from dataclasses import dataclass

from nacl.bindings import crypto_pwhash_ALG_ARGON2ID13, crypto_pwhash_alg, crypto_scalarmult
from nacl.exceptions import CryptoError, RuntimeError as SodiumError

from primitives import Fields, H, NotSupported, Rejected, require, same, u32, u64, u8, xchacha20

# ---- Contexts ------------------------------------------------------------------------------------

CONTEXTS = {  # in the order of the document, which is that of the vectors
    "lapse 1 keyring": "pair", "lapse 1 header": "pair", "lapse 1 directory": "pair", "lapse 1 catalogue": "pair",
    "lapse 1 catalogue bucket": "key", "lapse 1 log": "pair", "lapse 1 policy": "pair", "lapse 1 home": "key", "lapse 1 class": "key",
    "lapse 1 archive wrap": "key", "lapse 1 journal": "pair", "lapse 1 symlink": "pair", "lapse 1 anchor": "pair", "lapse 1 wrap": "pair",
    "lapse 1 log name": "pair", "lapse 1 block": "key", "lapse 1 content root": "key", "lapse 1 xattr name": "pair",
    "lapse 1 xattr value": "pair", "lapse 1 name": "pair", "lapse 1 directory xattr name": "pair", "lapse 1 directory xattr value": "pair",
    "lapse 1 slot": "pair", "lapse 1 access": "pair", "lapse 1 anchor notes": "pair", "lapse 1 hold": "pair", "lapse 1 once plain": "pair",
    "lapse 1 canaries": "pair",
    "lapse 1 snapshot": "pair",
}


def derive(k, size, context, bind):
    context = context.encode()
    return H(k, size, u32(len(context)) + context + u32(len(bind)) + bind)


def key(k, context, bind=b""):
    assert CONTEXTS[context] == "key"
    return derive(k, 32, context, bind)


def pair(k, context, bind=b""):
    """A MAC key and a cipher key."""
    assert CONTEXTS[context] == "pair"
    both = derive(k, 64, context, bind)
    return both[:32], both[32:]


# ---- Small objects -------------------------------------------------------------------------------

def small_tag(p, label, ad, plain):
    label = label.encode()
    return H(p[0], 32, u8(len(label)) + label + u64(len(ad)) + u64(len(plain)) + ad + plain)


def small_seal(p, label, ad, plain):
    tag = small_tag(p, label, ad, plain)
    return tag + xchacha20(p[1], tag[:24], plain)


def small_open(p, label, ad, sealed):
    require(len(sealed) >= 32, f"{label}: shorter than a tag")
    tag, plain = sealed[:32], xchacha20(p[1], sealed[:24], sealed[32:])
    require(same(small_tag(p, label, ad, plain), tag), f"{label}: does not authenticate")
    return plain


# ---- Keyring -------------------------------------------------------------------------------------

PASSPHRASE, KEY_FILE, RECOVERY_KEY = 1, 2, 3
known_features = 0  # of keyring and anchor


def is_text(data):
    return all(c >= 0x20 and c != 0x7f for c in data)


def padded_text(data, what, may_be_empty):
    text = data.rstrip(b"\0")
    require(is_text(text) and (text or may_be_empty), f"{what}: not text, then zeros")
    return text


@dataclass
class Slot:
    number: int
    kind: int
    created: int
    label: bytes
    passes: int
    memory: int
    salt: bytes
    public: bytes
    sealed_master: bytes
    ephemeral: bytes
    sealed_access: bytes


class Keyring:
    def __init__(self, image):
        self.image, f = image, Fields(image, "keyring")
        require(f.take(8) == b"LAPSEKEY", "keyring: not a keyring")
        version = f.u16()
        head_reserved, self.features, needs = f.take(2), f.u32(), f.take(32)
        self.needs = padded_text(needs, "keyring: needs", False).decode(errors="replace")
        require(needs[31] == 0, "keyring: needs: no zero at its end")
        if version != 1 or self.features & ~known_features:
            raise NotSupported(f"keyring: version {version}, features {self.features:#x}: this archive needs lapse {self.needs}")
        require(not any(head_reserved), "keyring: a reserved byte is not zero")
        length, self.suite, count = f.u32(), f.u16(), f.u16()
        require(self.suite in (1, 2), "keyring: suite")
        require(1 <= count <= 16, "keyring: number of slots")
        require(length == len(image) == 168 + 336 * count, "keyring: length")
        self.block_size, self.epoch_length = f.u32(), f.u32()
        require(self.block_size in [1 << n for n in range(12, 21)], "keyring: block size")
        require(1 <= self.epoch_length <= 86400, "keyring: length of an epoch")
        self.uuid, self.created, self.generation = f.take(16), f.i64(), f.u64()
        require(self.created >= 0 and self.generation >= 1, "keyring: created-at or generation")
        self.first_seal_key, self.next_slot = f.take(32), f.u32()
        f.reserved(4)
        self.slots = []
        for _ in range(count):
            self.slots.append(self.parse_slot(f, self.slots[-1].number if self.slots else 0))
        require(self.next_slot > self.slots[-1].number, "keyring: number of the next slot")
        self.seal = f.rest()

    @staticmethod
    def parse_slot(f, above):
        number, kind = f.u32(), f.u16()
        require(number > above, "keyring: numbers of the slots do not rise")
        require(1 <= kind <= 3, "keyring: kind of a slot")
        f.reserved(2)
        created, label, passes = f.i64(), padded_text(f.take(64), "keyring: label", True), f.u32()
        f.reserved(4)
        memory, salt = f.u64(), f.take(16)
        require(created >= 0, "keyring: created-at of a slot")
        require(kind == PASSPHRASE or not (passes or memory or any(salt)), "keyring: Argon2id parameters in a slot without passphrase")
        return Slot(number, kind, created, label, passes, memory, salt, f.take(32), f.take(96), f.take(32), f.take(64))

    def digest(self):
        return H(b"", 32, self.image)

    def unlock(self, kind, secret):
        """The keys of the archive, by the first slot of that kind that the secret opens."""
        for slot in self.slots:
            if slot.kind != kind:
                continue
            slot_secret = argon2id(slot, secret) if kind == PASSPHRASE else secret
            if slot_secret is None:
                continue
            p = slot_key(slot_secret, self.uuid, slot)
            try:
                opened = small_open(p, "slot master", self.uuid + u32(slot.number) + u8(slot.kind) + slot.public, slot.sealed_master)
            except Rejected:
                continue
            access = self.open_access(slot, opened[32:])
            keys = Keys(opened[:32], access, self.uuid)
            small_open(keys.keyring, "keyring", self.image[:-32], self.seal)
            return keys
        raise Rejected("no slot of the keyring opens with this secret")

    def open_access(self, slot, x25519_secret):
        bind = slot.ephemeral + slot.public + self.uuid + u32(slot.number)
        return small_open(pair(x25519(x25519_secret, slot.ephemeral), "lapse 1 access", bind), "slot access", b"", slot.sealed_access)


def slot_key(slot_secret, uuid, slot):
    return pair(slot_secret, "lapse 1 slot", uuid + u32(slot.number) + u8(slot.kind))


def argon2id(slot, passphrase):
    """None where the slot asks for what no honest one does: a forged keyring must not exhaust the machine."""
    ram = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if not 2 <= slot.passes <= 64 or slot.memory % 1024 or not 64 << 20 <= slot.memory <= min(4 << 30, ram // 2):
        return None
    return crypto_pwhash_alg(32, passphrase, slot.salt, slot.passes, slot.memory, crypto_pwhash_ALG_ARGON2ID13)


def x25519(secret, public):
    try:
        shared = crypto_scalarmult(secret, public)
    except (CryptoError, SodiumError):  # libsodium refuses a result of zero
        raise Rejected("X25519: the result is zero") from None
    require(any(shared), "X25519: the result is zero")
    return shared


def passphrase_from(data):
    """The bytes that were typed, without the newline at the end."""
    passphrase = data[:-1] if data.endswith(b"\n") else data
    require(1 <= len(passphrase) <= 4096, "a passphrase has 1 to 4096 bytes")
    return passphrase


class Keys:
    """All that is derived from the master key and, for the anchor, the access secret."""

    def __init__(self, master, access, uuid):
        self.uuid = uuid
        for name in ("keyring", "header", "directory", "log", "policy", "symlink", "catalogue", "journal", "hold"):
            setattr(self, name, pair(master, f"lapse 1 {name}", uuid))
        self.home, self.klass = key(master, "lapse 1 home", uuid), key(master, "lapse 1 class", uuid)
        self.bucket, self.archive_wrap = key(master, "lapse 1 catalogue bucket", uuid), key(master, "lapse 1 archive wrap", uuid)
        self.anchor = pair(master, "lapse 1 anchor", uuid + access)


# ---- Recovery key --------------------------------------------------------------------------------

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def recovery_check(r):
    return H(b"", 32, b"lapse 1 recovery" + r)[:3]


def recovery_parse(text):
    text = text.upper().translate(str.maketrans("OIL", "011", "- \t\r\n"))
    require(len(text) == 56 and all(c in DIGITS for c in text), "recovery key: not 56 digits")
    bits = 0
    for c in text:
        bits = bits << 5 | DIGITS.index(c)
    both = bits.to_bytes(35, "big")
    require(both[32:] == recovery_check(both[:32]), "recovery key: mistyped")
    return both[:32]


# ---- Epoch trees ---------------------------------------------------------------------------------

LEVELS, EPOCH_LEVELS = 48, 32


class KeyGone(Exception):
    """No key that is left leads there. `expired`: because its epoch has passed; else it was destroyed."""

    def __init__(self, expired, why):
        super().__init__(why)
        self.expired = expired


@dataclass
class Node:
    depth: int
    index: int
    key: bytes

    def first_leaf(self):
        return self.index << LEVELS - self.depth

    def end(self):
        return self.index + 1 << LEVELS - self.depth

    def children(self, uuid, tree):
        both = H(self.key, 64, b"lapse 1 tree" + uuid + u32(tree) + u8(self.depth) + u64(self.index))
        return Node(self.depth + 1, 2 * self.index, both[:32]), Node(self.depth + 1, 2 * self.index + 1, both[32:])


@dataclass
class Tree:
    uuid: bytes
    number: int
    next: int
    cover: list

    def node(self, depth, index):
        """The key of a node at or below one of the cover."""
        for node in self.cover:
            if node.depth <= depth and index >> depth - node.depth == node.index:
                while node.depth < depth:
                    node = node.children(self.uuid, self.number)[index >> depth - node.depth - 1 & 1]
                return node.key
        raise KeyGone(index >> depth - EPOCH_LEVELS < self.next, "key cannot be derived")

    def leaf(self, epoch, file_id):
        return self.node(LEVELS, epoch << 16 | int.from_bytes(file_id[:2], "big"))


# ---- Anchor --------------------------------------------------------------------------------------

ANCHOR_SLOT = 1 << 20


@dataclass
class Hold:
    number: int
    since: int
    key: bytes
    name: bytes


class Anchor:
    def __init__(self, image, keys):
        f = Fields(image, "anchor")
        require(f.take(8) == b"LAPSEANC", "anchor: not an anchor")
        version, head_reserved, features = f.u16(), f.take(2), f.u32()
        if version != 1 or features & ~known_features:
            raise NotSupported(f"anchor: version {version}, features {features:#x}")
        require(not any(head_reserved), "anchor: a reserved byte is not zero")
        require(f.take(16) == keys.uuid, "anchor: of another archive")
        self.sequence, length = f.u64(), f.u32()
        require(self.sequence >= 1 and 112 <= length <= min(ANCHOR_SLOT, len(image)), "anchor: sequence or length")
        f.reserved(4)
        if any(f.take(32)):
            raise NotSupported("anchor: a share of its key is kept elsewhere")
        self.image = image[:length]
        self.body = small_open(keys.anchor, "anchor", image[:80], image[80:length])
        self.parse_body(Fields(self.body, "anchor"), keys.uuid)

    def parse_body(self, f, uuid):
        self.trusted_ns, self.epoch_length, self.current_tree, self.next_hold = f.i64(), f.u32(), f.u32(), f.u32()
        trees, holds, barriers, seal = f.u16(), f.u16(), f.u16(), f.u16()
        f.reserved(4)
        if seal > 1:
            raise NotSupported(f"anchor: form {seal} of its seal")
        require(self.trusted_ns >= 0 and 1 <= self.epoch_length <= 86400, "anchor: trusted time or length of an epoch")
        require(1 <= trees <= 64 and holds <= 256 and barriers <= 64, "anchor: number of trees, holds or barriers")
        self.log_id, self.log_sequence, self.log_head = f.take(16), f.u64(), f.take(32)
        self.seal_seed, self.seal_key = f.take(32), f.take(32)
        self.keyring_generation, self.keyring_digest = f.u64(), f.take(32)
        self.policy_generation, self.policy_digest = f.u64(), f.take(32)
        self.trees, self.holds, self.barriers = {}, {}, []
        for _ in range(trees):
            tree = self.parse_tree(f, uuid)
            require(tree.number > max(self.trees, default=0), "anchor: numbers of the trees do not rise")
            self.trees[tree.number] = tree
        require(self.current_tree in self.trees, "anchor: the current tree is not there")
        for _ in range(holds):
            hold = Hold(f.u32(), f.i64(), f.take(32), f.take(f.u16()))
            require(hold.number > max(self.holds, default=0), "anchor: numbers of the holds do not rise")
            require(len(hold.name) <= 64 and is_text(hold.name), "anchor: name of a hold")
            self.holds[hold.number] = hold
        require(self.next_hold > max(self.holds, default=0), "anchor: number of the next hold")
        for _ in range(barriers):
            barrier = (f.u32(), f.u32(), f.u8(), f.i64())
            require(barrier[0] in self.trees, "anchor: a barrier of no tree")
            self.barriers.append(barrier)
        self.log_sealed, self.seal = (f.u64(), f.take(168)) if seal else (0, None)
        f.end()

    @staticmethod
    def parse_tree(f, uuid):
        tree = Tree(uuid, f.u32(), f.u32(), [])
        count, end = f.u32(), tree.next << 16
        require(count <= 16384, "anchor: number of nodes")
        for _ in range(count):
            node = Node(f.u8(), f.u64(), f.take(32))
            require(node.depth <= LEVELS and node.index < 1 << node.depth, "anchor: a node that no tree has")
            require(node.first_leaf() >= end, "anchor: a node out of order, or of a past epoch")
            end = node.end()
            tree.cover.append(node)
        return tree

    def under(self, kind, tree, epoch, file_id, keys):
        """What a key was wrapped under: by key kind 1 archive, 2 epoch, 3 hold."""
        if kind == 1:
            return keys.archive_wrap
        if kind == 3:
            if epoch not in self.holds:
                raise KeyGone(False, f"the key of hold {epoch} is destroyed")
            return self.holds[epoch].key
        if tree not in self.trees:
            raise KeyGone(False, f"tree {tree} is gone")
        return self.trees[tree].leaf(epoch, file_id)


def read_anchor(paths, keys):
    """The valid image of the highest sequence, of both slots of every copy; and what is wrong with the others."""
    best, findings = None, []
    for path in paths:
        with open(path, "rb") as f:
            copy = f.read()
        if len(copy) != 2 * ANCHOR_SLOT:
            findings.append(f"{path}: has {len(copy)} bytes, not 2 MiB")
        for n in range(2):
            try:
                anchor = Anchor(copy[n * ANCHOR_SLOT:(n + 1) * ANCHOR_SLOT], keys)
            except (Rejected, NotSupported) as e:
                findings.append(f"{path}, slot {n}: {e}")
                continue
            if best and best.sequence == anchor.sequence and best.image != anchor.image:
                findings.append(f"{path}, slot {n}: another state under the same sequence")
            if not best or anchor.sequence > best.sequence:
                best = anchor
    require(best, "; ".join(findings) or "no anchor was named")
    return best, findings
