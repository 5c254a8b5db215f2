#!/usr/bin/env python3
"""forge.py ARCHIVE KEY_FILE ANCHOR: objects that are authentic and wrong, as only a holder of the keys could make them. "Every rule holds for authentic
objects too" (FORMAT.md), and no unit of lapse can write them.

For each name in HEADERS the header of the file headers/NAME is sealed anew, in both slots, with one change; for each in DIRECTORIES the .lapse-dir of
directories/NAME. `forge.py` alone prints the names."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import archive as A
import formats
from keys import KEY_FILE, small_open, small_seal
from primitives import i64, u32, u64

HEADERS = {  # offset in the outer layer, bytes put there
    "state-0": (0, b"\0"), "state-4": (0, b"\4"), "state-open-with-a-size": (0, b"\1"), "type-3": (1, b"\3"), "type-symlink": (1, b"\2"),
    "basis-0": (2, b"\0"), "kind-0": (3, b"\0"), "kind-4": (3, b"\4"), "kind-archive-with-a-tree": (3, b"\1"), "kind-archive": (3, b"\1", 136, bytes(8)),
    "kind-hold-without-a-hold": (3, b"\3", 136, bytes(8)), "flag-64": (4, u32(64)), "another-id": (16, b"\7" * 16),
    "open-that-commits": (0, b"\1", 112, i64(5), 144, bytes(40)), "a-hold-twice": (120, u32(1) * 2), "a-hold-behind-a-gap": (120, u32(0) + u32(1)), "tree-0": (136, u32(0)),
    "another-epoch": (140, u32(1 << 31)), "another-size": (144, u64(50001)), "a-huge-size": (144, u64((1 << 62) + 1)), "another-root": (152, b"\1" * 32),
    "another-home": (184, b"\1" * 16), "a-second-home": (200, b"\1" * 16), "another-wrapped-key": (216, b"\1" * 64), "reserved": (280, b"\1"),
    "the-last-byte": (463, b"\1"),
}
DIRECTORIES = {
    "no-id": (0, bytes(16)), "flag-4": (40, u32(4)), "mode-without-view": (44, u32(0o700)), "uid-without-view": (48, u32(1)),
    "another-home": (56, b"\1" * 16), "a-second-home": (72, b"\1" * 16), "kind-epoch": (88, u32(2)), "a-tree": (92, u32(1)), "an-epoch": (96, u32(1)),
    "reserved": (100, b"\1"), "another-wrapped-key": (104, b"\1" * 64), "the-last-byte": (463, b"\1"),
}


def changed(plain, change):
    plain = bytearray(plain)
    for at, value in zip(change[::2], change[1::2]):
        plain[at:at + len(value)] = value
    return bytes(plain)


class Forger:
    def __init__(self, root, key_file, anchor):
        self.archive = A.Archive(root, KEY_FILE, A.contents(key_file), [anchor])
        self.keys = self.archive.keys

    def record(self, directory):
        return formats.open_directory(A.contents(os.path.join(directory, b".lapse-dir")), self.keys)

    def backing(self, *names):
        """Where a path lies in the store."""
        path = self.archive.root
        for name in names:
            path = os.path.join(path, formats.seal_name(self.record(path).name_key, name.encode())[0])
        return path

    def reseal(self, pair, label, sealed, change):
        ad = self.keys.uuid + sealed[:16]
        return sealed[:16] + small_seal(pair, label, ad, changed(small_open(pair, label, ad, sealed[16:]), change))

    def header(self, name, change):
        path = self.backing("headers", name)
        times = os.stat(path)
        with open(path, "r+b") as f:
            both = f.read(formats.HEADERS)
            newest = formats.choose_header(both, self.keys, self.archive.suite)
            slot = next(s for s in (both[:512], both[512:]) if any(s) and self.opened(s) == newest)
            forged = self.reseal(self.keys.header, "header", slot, (8, u64(newest.generation + 1)) + change)
            f.seek(0)
            f.write(forged * 2)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def opened(self, slot):
        return formats.open_header_slot(slot, self.keys, self.archive.suite)

    def directory(self, name, change):
        path = os.path.join(self.backing("directories", name), b".lapse-dir")
        forged = self.reseal(self.keys.directory, "directory", A.contents(path), change)
        with open(path, "r+b") as f:
            f.write(forged)


def main():
    if len(sys.argv) != 4:
        print("\n".join([f"headers/{name}" for name in HEADERS] + [f"directories/{name}" for name in DIRECTORIES]))
        return
    forger = Forger(*sys.argv[1:])
    for name, change in HEADERS.items():
        forger.header(name, change)
    for name, change in DIRECTORIES.items():
        forger.directory(name, change)


if __name__ == "__main__":
    main()
