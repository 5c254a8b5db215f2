"""FORMAT.md, "Journal": laps and their records, and what recovery makes of a file. Nothing is written: a file is recovered in memory."""
import os
import re
from dataclasses import dataclass

import formats
from formats import HEADERS, OPEN, clear_head
from keys import small_open
from primitives import Fields, NotSupported, Rejected, require, u64

LAP_HEAD, RECORD = 128, 96
BLOCK, SIZE, DONE = 1, 2, 3
LAP_NAME = re.compile(rb"[0-7][0-9a-f]{15}")  # below 2^63


# ---- Laps and records ----------------------------------------------------------------------------

@dataclass
class Lap:
    id: bytes
    number: int


def open_lap_head(data, keys):
    head = clear_head(data, b"LAPSEJNL", 0)
    f = Fields(data[:LAP_HEAD], "lap")
    f.take(len(head))
    require(f.take(16) == keys.uuid, "lap: of another archive")
    lap = Lap(f.take(16), f.u64())
    f.reserved(40)
    small_open(keys.journal, "journal lap", data[:96], f.take(32))
    return lap


@dataclass
class Record:
    kind: int
    length: int  # of the block's plaintext
    generation: int
    file_id: bytes
    value: int  # index of a block, or size of the plaintext
    block: bytes = b""
    at: int = 0  # where it lies in its lap


def open_record(sealed, lap, at, keys):
    return small_open(keys.journal, "journal", lap.id + u64(at), sealed)


def parse_record(plain):
    f = Fields(plain, "record")
    kind = f.u8()
    f.reserved(3)
    r = Record(kind, f.u32(), f.u64(), f.take(16), f.u64())
    f.reserved(24)
    f.end()
    require(BLOCK <= kind <= DONE, "record: kind")
    require(1 <= r.length <= 1 << 20 if kind == BLOCK else r.length < 1 << 20 and r.length <= r.value if kind == SIZE else r.length == 0,
            "record: length of the block")
    require(r.value < 1 << 62 if kind == BLOCK else r.value <= (1 << 62 if kind == SIZE else 0), "record: index or size")
    return r


def read_lap(lap, data, keys, suite):
    """The records of a lap, up to the first that does not open or is cut off; and what is wrong with one that opens, or None."""
    records, at = [], LAP_HEAD
    while at < len(data):
        try:
            plain = open_record(data[at:at + RECORD], lap, at, keys)
        except Rejected:
            break
        try:
            r = parse_record(plain)
        except Rejected as e:
            return records, f"at {at}: {e}"
        r.at, at = at, at + RECORD
        if r.length:
            end = at + r.length + suite.overhead
            if end > len(data):
                break
            r.block, at = data[at:end], end
        records.append(r)
    return records, None


class Journal:
    """What lies in .lapse/journal: `pending` has, by file id, the records that count; `all` has every one, with the number of its lap; `laps` is how many have a
    head that is valid."""

    def __init__(self, where, keys, suite):
        self.laps, self.all, self.pending, self.findings = 0, [], {}, []
        for name in self.names(where):
            with open(os.path.join(where, name), "rb") as f:
                data = f.read()
            try:
                lap = open_lap_head(data, keys)
                require(lap.number == int(name, 16), "lap: another number than its name")
            except NotSupported as e:
                self.findings.append(f"journal: lap {name.decode()}: {e}")
                continue
            except Rejected:
                continue  # its head was torn: it holds nothing
            self.laps += 1
            records, wrong = read_lap(lap, data, keys, suite)
            if wrong:
                self.findings.append(f"journal: lap {name.decode()}, {wrong}")
            for r in records:
                self.add(lap.number, r)

    @staticmethod
    def names(where):
        try:
            return sorted(name for name in os.listdir(where) if LAP_NAME.fullmatch(name) and os.path.isfile(os.path.join(where, name)))
        except FileNotFoundError:
            return []

    def add(self, lap, r):
        self.all.append((lap, r))
        if r.kind == DONE:
            self.pending.pop(r.file_id, None)
        else:
            self.pending.setdefault(r.file_id, []).append(r)


# ---- Recovery ------------------------------------------------------------------------------------

class Recovery:
    """A file as a recovery leaves it: `backing` with its headers, which are not sealed anew here. `done` says in words what was made of it."""

    def __init__(self, backing, header, content, records):
        self.body, self.header, self.content = bytearray(backing[HEADERS:]), header, content
        self.step = content.block_size + content.suite.overhead
        self.done, self.void = [], bool(records) and header.generation > records[-1].generation and self.fits()
        if self.void:
            self.done.append(f"{len(records)} records of the journal are void")
        elif records:
            self.apply(records)
        self.changed = not self.void and (bool(records) or not self.fits())
        if self.changed:
            self.measure()

    def fits(self):
        """Whether the header is not open, and what lies in place has its size and content root."""
        if self.header.state == OPEN:
            return False
        try:
            plain, root = self.content.read(bytes(self.body))
        except Rejected:
            return False
        return len(plain) == self.header.size and root == self.header.content_root

    def apply(self, records):
        applied = torn = cut = 0
        for r in records:
            index = r.value if r.kind == BLOCK else r.value // self.content.block_size
            at = index * self.step
            fits = r.length <= self.content.block_size and at <= len(self.body) and (r.kind == BLOCK or r.length in (0, r.value % self.content.block_size))
            if r.length and not (fits and self.opens(index, r.block)):
                torn += 1
                continue
            if r.kind == SIZE:
                end = r.value + -(-r.value // self.content.block_size) * self.content.suite.overhead
                cut += len(self.body) > end
                del self.body[end:]
            if r.length:
                applied += 1
                self.body[at:at + len(r.block)] = r.block
        self.done.append(f"{applied} blocks from the journal" + (f", {torn} torn there" if torn else "") + (f", {cut} cuts" if cut else ""))

    def opens(self, i, block):
        try:
            self.content.open_block(i, bytes(block))
        except Rejected:
            return False
        return True

    def shorter(self, i, block):
        """The length at which a block opens that has zeros behind it, or None. A tag that ends with zeros looks shorter than it is."""
        end = len(block.rstrip(b"\0"))
        lengths = range(max(end, self.content.suite.overhead + 1), min(end + self.content.suite.tag + 1, len(block)))
        return next((n for n in lengths if self.opens(i, block[:n])), None)

    def measure(self):
        """Cuts what lies behind the last block that opens, or behind a short one in the middle, which is then the last."""
        length, end = len(self.body), 0
        for i, at in enumerate(range(0, length, self.step)):
            block = self.body[at:at + self.step]
            if self.opens(i, block):
                end = at + len(block)
                continue
            short = self.shorter(i, block) if at + self.step <= length else None
            if short:
                end = at + short
                break
        del self.body[end:]
        size = formats.plain_size(HEADERS + end, self.content.block_size, self.content.suite)
        self.done.append(f"measured: {size} bytes" + (f", {length - end} bytes of the backing file left out" if length > end else ""))
