"""The primitives of an archive: hashes, ciphers, text forms. Slow, short, and of this file alone where PyNaCl 1.5 has none: BLAKE2b is hashlib's,
XChaCha20-Poly1305, X25519, Argon2id and Ed25519 are PyNaCl's; ChaCha20 as a stream and AEGIS-256 are written out below."""
import base64
import hashlib
import hmac
import string
import struct

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
from nacl.exceptions import CryptoError


class Rejected(Exception):
    """What the documents call REJECT: forged or damaged. Nothing of the object is used."""


class NotSupported(Exception):
    """A version or a feature that this reader does not know."""


def require(condition, reason):
    if not condition:
        raise Rejected(reason)


def u8(n):
    return struct.pack("<B", n)


def u16(n):
    return struct.pack("<H", n)


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def i64(n):
    return struct.pack("<q", n)


class Fields:
    """Takes little-endian fields off a string of bytes, in order; `what` names the object in errors."""

    def __init__(self, data, what):
        self.data, self.what, self.at = data, what, 0

    def take(self, n):
        require(self.at + n <= len(self.data), f"{self.what}: ends early")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def u8(self):
        return self.number("B")

    def u16(self):
        return self.number("H")

    def u32(self):
        return self.number("I")

    def u64(self):
        return self.number("Q")

    def i32(self):
        return self.number("i")

    def i64(self):
        return self.number("q")

    def reserved(self, n):
        require(not any(self.take(n)), f"{self.what}: a reserved byte is not zero")

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        require(self.at == len(self.data), f"{self.what}: bytes behind the last field")


def H(key, size, message):
    """Keyed BLAKE2b; with an empty key, plain."""
    return hashlib.blake2b(message, digest_size=size, key=key).digest()


def same(a, b):
    return hmac.compare_digest(a, b)


def xor(a, b):
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


# ---- base64url without padding ------------------------------------------------------------------

B64 = frozenset((string.ascii_letters + string.digits + "-_").encode())


def b64_encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def b64_decode(text):
    """REJECTs other characters, a length of 1 modulo 4, and unused bits of the last character that are not zero."""
    require(all(c in B64 for c in text), "base64url: a character that is not in the alphabet")
    require(len(text) % 4 != 1, "base64url: an impossible length")
    raw = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    require(b64_encode(raw) == text, "base64url: unused bits are not zero")
    return raw


# ---- ChaCha20, HChaCha20, XChaCha20 (draft-irtf-cfrg-xchacha, with a block counter of 64 bits) -----

QUARTERS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
SIGMA = list(struct.unpack("<4I", b"expand 32-byte k"))
M32 = 0xffffffff


def chacha_rounds(words):
    """The twenty rounds, without the addition of the input."""
    s = list(words)
    for _ in range(10):
        for ia, ib, ic, id_ in QUARTERS:
            a, b, c, d = s[ia], s[ib], s[ic], s[id_]
            a = a + b & M32
            d ^= a
            d = d << 16 & M32 | d >> 16
            c = c + d & M32
            b ^= c
            b = b << 12 & M32 | b >> 20
            a = a + b & M32
            d ^= a
            d = d << 8 & M32 | d >> 24
            c = c + d & M32
            b ^= c
            b = b << 7 & M32 | b >> 25
            s[ia], s[ib], s[ic], s[id_] = a, b, c, d
    return s


def hchacha20(key, nonce16):
    s = chacha_rounds(SIGMA + list(struct.unpack("<8I4I", key + nonce16)))
    return struct.pack("<8I", *s[0:4], *s[12:16])


def xchacha20(key, nonce, message):
    """libsodium's crypto_stream_xchacha20_xor: block counter from 0."""
    subkey = struct.unpack("<8I", hchacha20(key, nonce[:16]))
    tail = struct.unpack("<2I", nonce[16:])
    stream = bytearray()
    for counter in range(-(-len(message) // 64)):
        start = SIGMA + [*subkey, counter & M32, counter >> 32, *tail]
        stream += struct.pack("<16I", *(a + b & M32 for a, b in zip(chacha_rounds(start), start)))
    return xor(message, bytes(stream[:len(message)]))


# ---- AEGIS-256 with a tag of 256 bits (draft-irtf-cfrg-aegis-aead) --------------------------------

def aes_sbox():
    """The multiplicative inverse in GF(2^8), then the affine map. 3 generates the field; 0xf6 is its inverse."""
    box, p, q = [0] * 256, 1, 1
    rotl = lambda x, n: (x << n | x >> 8 - n) & 0xff
    while True:
        p = (p ^ p << 1 ^ (0x1b if p & 0x80 else 0)) & 0xff
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xff
        if q & 0x80:
            q ^= 0x09
        box[p] = q ^ rotl(q, 1) ^ rotl(q, 2) ^ rotl(q, 3) ^ rotl(q, 4) ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    return box


def aes_tables():
    """One table for each of the 16 bytes of a block: what that byte adds to the block (as one little-endian number) after SubBytes, ShiftRows and
    MixColumns. Byte 4c + r is row r of column c; ShiftRows takes it to column c - r; MixColumns spreads it over that column."""
    box, tables = aes_sbox(), []
    for position in range(16):
        column, row = position // 4, position % 4
        table = []
        for s in box:
            double = (s << 1 ^ (0x1b if s & 0x80 else 0)) & 0xff
            mixed = [double, s, s, double ^ s]
            block = bytearray(16)
            for i in range(4):
                block[(column - row) % 4 * 4 + i] = mixed[(i - row) % 4]
            table.append(int.from_bytes(block, "little"))
        tables.append(table)
    return tables


T0, T1, T2, T3, T4, T5, T6, T7, T8, T9, T10, T11, T12, T13, T14, T15 = aes_tables()


def aes_round(block):
    """An AES round without the round key, on a block as a little-endian number."""
    b = block.to_bytes(16, "little")
    return (T0[b[0]] ^ T1[b[1]] ^ T2[b[2]] ^ T3[b[3]] ^ T4[b[4]] ^ T5[b[5]] ^ T6[b[6]] ^ T7[b[7]] ^ T8[b[8]] ^ T9[b[9]] ^ T10[b[10]]
            ^ T11[b[11]] ^ T12[b[12]] ^ T13[b[13]] ^ T14[b[14]] ^ T15[b[15]])


AEGIS_C0 = int.from_bytes(bytes.fromhex("000101020305080d1522375990e97962"), "little")
AEGIS_C1 = int.from_bytes(bytes.fromhex("db3d18556dc22ff12011314273b528dd"), "little")


class Aegis256:
    """State of six AES blocks, each a little-endian number."""

    def __init__(self, key, nonce):
        k0, k1, n0, n1 = (int.from_bytes(x, "little") for x in (key[:16], key[16:], nonce[:16], nonce[16:]))
        self.s = (k0 ^ n0, k1 ^ n1, AEGIS_C1, AEGIS_C0, k0 ^ AEGIS_C0, k1 ^ AEGIS_C1)
        for _ in range(4):
            for m in (k0, k1, k0 ^ n0, k1 ^ n1):
                self.update(m)

    def update(self, m):
        a, b, c, d, e, f = self.s
        self.s = (aes_round(f) ^ a ^ m, aes_round(a) ^ b, aes_round(b) ^ c, aes_round(c) ^ d, aes_round(d) ^ e, aes_round(e) ^ f)

    def stream(self):
        _, b, c, d, e, f = self.s
        return b ^ e ^ f ^ c & d

    def absorb(self, data):
        for at in range(0, len(data), 16):
            self.update(int.from_bytes(data[at:at + 16], "little"))

    def crypt(self, data, sealing):
        out = bytearray()
        for at in range(0, len(data), 16):
            part = data[at:at + 16]
            other = xor(part, self.stream().to_bytes(16, "little")[:len(part)])
            out += other
            self.update(int.from_bytes(part if sealing else other, "little"))
        return bytes(out)

    def tag(self, ad_size, message_size):
        t = self.s[3] ^ int.from_bytes(u64(ad_size * 8) + u64(message_size * 8), "little")
        for _ in range(7):
            self.update(t)
        a, b, c, d, e, f = self.s
        return (a ^ b ^ c).to_bytes(16, "little") + (d ^ e ^ f).to_bytes(16, "little")


def aegis256_seal(key, nonce, ad, message):
    state = Aegis256(key, nonce)
    state.absorb(ad)
    return state.crypt(message, True) + state.tag(len(ad), len(message))


def aegis256_open(key, nonce, ad, sealed):
    state = Aegis256(key, nonce)
    state.absorb(ad)
    message = state.crypt(sealed[:-32], False)
    require(same(state.tag(len(ad), len(message)), sealed[-32:]), "the tag does not match")
    return message


def xchacha20poly1305_open(key, nonce, ad, sealed):
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, ad, nonce, key)
    except CryptoError:
        raise Rejected("the tag does not match") from None


class Suite:
    def __init__(self, number, name, nonce, tag, opener):
        self.number, self.name, self.nonce, self.tag, self.open = number, name, nonce, tag, opener
        self.overhead = nonce + tag


SUITES = {1: Suite(1, "aegis256", 32, 32, aegis256_open), 2: Suite(2, "xchacha20poly1305", 24, 16, xchacha20poly1305_open)}
