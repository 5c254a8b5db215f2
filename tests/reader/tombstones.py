"""What stands in the place of segments of the log that were dropped: FORMAT.md "Tombstones"."""

from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from formats import clear_head
from keys import small_open
from primitives import Fields, Rejected, require

HEAD, BYTES, TAGGED, SIGNED = 48, 248, 152, 184
SECOND = 10**9


@dataclass
class Tombstone:
    first: int
    last: int
    segments: int
    line: int
    head: bytes
    seal: int
    sealed_ns: int
    next_key: bytes
    pruned_ns: int
    retain_seconds: int
    retain_months: int
    generation: int
    record: int
    after: int
    tag: bytes
    signature: bytes
    bytes: bytes


def parse(data):
    f = Fields(data, "tombstone")
    a = [f.u64(), f.u64(), f.u32(), f.u32(), f.take(32), f.u64(), f.i64(), f.take(32), f.i64(), f.i64(), f.u32()]
    f.reserved(4)
    t = Tombstone(*a, f.u64(), f.u64(), f.u64(), f.take(32), f.take(64), data)
    require(1 <= t.first <= t.last < t.record and 1 <= t.segments <= t.last - t.first + 1 and t.seal >= 1 and 0 <= t.sealed_ns <= t.pruned_ns and
            0 <= t.retain_seconds <= 10000 * 366 * 86400 and t.retain_months <= 120000 and (t.retain_seconds or t.retain_months), "tombstone: what it says cannot be")
    return t


def read(data, keys, log_id, first_key, seals):
    """All of them, each signed with the key of its time and at a boundary that a seal proves."""
    require(len(data) > HEAD and (len(data) - HEAD) % BYTES == 0, "tombstones: length")
    clear_head(data, b"LAPSEPRU", 0)
    require(data[16:32] == keys.uuid and data[32:48] == log_id, "tombstones: of another archive or log")
    keys_of, dropped = {0: first_key} | {s.anchor: s.next_key for s in seals}, []
    for at in range(HEAD, len(data), BYTES):
        t = parse(data[at:at + BYTES])
        require(t.first == (dropped[-1].last if dropped else 0) + 1, "tombstone: does not follow the one before")
        small_open(keys.log, "tombstone", keys.uuid + log_id + t.bytes[:TAGGED], t.tag)
        try:
            VerifyKey(keys_of.get(t.after, bytes(32))).verify(b"lapse 1 audit tombstone" + keys.uuid + log_id + t.bytes[:SIGNED], t.signature)
        except (BadSignatureError, ValueError):
            raise Rejected("tombstone: signature") from None
        seal = next((s for s in seals if s.anchor == t.seal), None)
        require(seal and seal.last >= t.last and seal.trusted_ns == t.sealed_ns and seal.next_key == t.next_key, "tombstone: not the seal at its boundary")
        if not t.retain_months:
            require(-(-t.sealed_ns // SECOND) + t.retain_seconds <= t.pruned_ns // SECOND, "tombstone: of records that were younger than it says")
        dropped.append(t)
    return dropped
