#!/usr/bin/env python3
"""keymem.py keys ARCHIVE KEY_FILE ANCHOR NAME…: every key that leads to the content of these files, and what opens the keyring, as JSON: name, then
    what key, then hexadecimal. By the second reader, from the store, the key file and a copy of the anchor.
keymem.py find PID KEYS NAME…: which of those are in the memory of the process; the 16 bytes in the middle of one will do. Exit status 0: one is there; 1: none."""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reader"))
import archive as A
import formats
import keys as K
from primitives import u8

PAGE = os.sysconf("SC_PAGE_SIZE")


def halves(name, two):
    return {f"{name}, 1 of 2": two[0], f"{name}, 2 of 2": two[1]}


def epoch_nodes(anchor, h):
    """From the node that the anchor holds down to the file's leaf: who has any of them has the file."""
    tree, leaf = anchor.trees[h.tree], h.epoch << 16 | int.from_bytes(h.file_id[:2], "big")
    node = next(n for n in tree.cover if leaf >> K.LEVELS - n.depth == n.index)
    found = {f"node {node.depth}": node.key}
    while node.depth < K.LEVELS:
        node = node.children(tree.uuid, tree.number)[leaf >> K.LEVELS - node.depth - 1 & 1]
        found[f"node {node.depth}"] = node.key
    return found


def of_file(archive, h):
    under = archive.anchor.under(h.kind, h.tree, h.epoch, h.file_id, archive.keys)
    k, bind = formats.unwrap_file_key(h, under, archive.keys), u8(archive.suite.number) + h.file_id
    names, values = formats.xattr_pairs(k, h.file_id)
    return {"file key": k, "block key": K.key(k, "lapse 1 block", bind), "content root key": K.key(k, "lapse 1 content root", bind),
            **halves("wrap", K.pair(under, "lapse 1 wrap")), **halves("xattr name", names), **halves("xattr value", values)}


def keys(where, key_file, anchor, *wanted):
    secret, K.known_features = A.contents(key_file), 1  # made with an injected clock, which changes no format
    archive, found = A.Archive(where, K.KEY_FILE, secret, [anchor], ignore_deadline=lambda path: True), {}
    found["keyring"] = {"key file": secret}
    for slot in archive.keyring.slots:
        found["keyring"] |= halves(f"slot {slot.number}", K.slot_key(secret, archive.keyring.uuid, slot))
    for entry in archive.walk():
        if os.fsdecode(entry.path) in wanted:
            found[os.fsdecode(entry.path)] = of_file(archive, entry.header)
            if entry.header.kind == formats.KIND_EPOCH:
                found[os.fsdecode(entry.path) + " epoch"] = epoch_nodes(archive.anchor, entry.header)
    assert set(wanted) <= found.keys(), set(wanted) - found.keys()
    print(json.dumps({name: {what: k.hex() for what, k in of.items()} for name, of in found.items()}))


def runs(pagemap, start, end):
    """The stretches of pages that are there at all."""
    pagemap.seek(start // PAGE * 8)
    entries = struct.unpack(f"<{(end - start) // PAGE}Q", pagemap.read((end - start) // PAGE * 8))
    there = [n for n, entry in enumerate(entries) if entry >> 62]
    while there:
        n = next((n for n in range(1, len(there)) if there[n] != there[0] + n), len(there))
        yield start + there[0] * PAGE, n * PAGE
        there = there[n:]


def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem, open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap:
        for line in maps:
            where, mode, _, _, inode, *path = line.split(maxsplit=5)
            if mode[0] != "r" or inode != "0" and mode[1] != "w" or path and path[0].startswith("[v"):
                continue
            for at, length in runs(pagemap, *(int(x, 16) for x in where.split("-"))):
                try:
                    mem.seek(at)
                    yield "".join(path).strip() or "anonymous memory", at, mem.read(length)
                except OSError:  # unmapped meanwhile
                    continue


def find(pid, file, *names):
    with open(file) as f:
        of = json.load(f)
    looked, found, middles = 0, [], [(name, what, bytes.fromhex(k)[8:24]) for name in names for what, k in of[name].items()]
    for where, at, data in memory(pid):
        looked += len(data)
        found += [f"{name}: {what}: in {where}, {at + data.index(k):x}" for name, what, k in middles if k in data]
    assert looked > 1 << 20, f"only {looked} bytes of memory"
    print("\n".join(found) or f"none of {len(middles)} keys in {looked >> 20} MiB")
    return not found


if __name__ == "__main__":
    sys.exit({"keys": keys, "find": find}[sys.argv[1]](*sys.argv[2:]))
