#!/usr/bin/env python3
"""What a thief does with what he took. TRUTH is a JSON file that only the test has.

thief.py truth TRUTH ARCHIVE KEY_FILE ANCHOR NAME…   adds every key that leads to the content of these files as they lie there now
thief.py dump PID FILE                               the memory of a process
thief.py search TRUTH PLAIN LOOT…                    looks for those keys, for content of the files in PLAIN, for their names, and in the catalogue for their
                                                     rows, in the bytes of all that he took. (Names are not looked for in memory: while it runs the daemon has them)
thief.py open PLAIN NOW KEY_FILE ANCHOR COPY…        opens copies of the store: with their own keyring and with today's, by the anchor's word and by every key
                                                     that can be had on every header there is
Exit status 0: he found something (it is told); 1: nothing."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "reader"), os.path.join(HERE, "..", "crash")]
import archive as A
import formats
import keymem
import keys as K
from primitives import NotSupported, Rejected

WINDOW, STEP = 24, 4096  # of content: so many bytes, of each so many
CHUNK = 64 << 20


def truth(out, where, key_file, anchor, *names):
    K.known_features = 1
    archive, known = A.Archive(where, K.KEY_FILE, A.contents(key_file), [anchor], ignore_deadline=lambda path: True), {}
    if os.path.exists(out):
        with open(out) as f:
            known = json.load(f)
    for entry in archive.walk():
        name, h = os.fsdecode(entry.path), entry.header
        if name not in names:
            continue
        secrets = keymem.of_file(archive, h)
        secrets |= keymem.epoch_nodes(archive.anchor, h) if h.kind == formats.KIND_EPOCH else {"hold key": archive.anchor.under(h.kind, h.tree, h.epoch, h.file_id, archive.keys)}
        known[f"{name}: row"] = formats.home(archive.keys, h.directory_id, os.fsencode(os.path.basename(name))).hex()
        known |= {f"{name} by {anchor}: {what}": key.hex() for what, key in secrets.items()}
        names = [n for n in names if n != name]
    assert not names, names
    with open(out, "w") as f:
        json.dump(known, f)


def dump(pid, out):
    with open(out, "wb") as f:
        for _, _, data in keymem.memory(pid):
            f.write(data)


# ---- bytes -----------------------------------------------------------------------------------------

def files_in(places):
    for place in places:
        for where, _, names in os.walk(place) if os.path.isdir(place) else [(os.path.dirname(place), [], [os.path.basename(place)])]:
            yield from (path for name in names if os.path.isfile(path := os.path.join(where, name)) and not os.path.islink(path))


def pieces(path, overlap):
    """What there is of a file, however sparse, in pieces that overlap."""
    with open(path, "rb") as f:
        end, at = os.fstat(f.fileno()).st_size, 0
        while at < end:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
                hole = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            except OSError:
                return
            while at < hole:
                f.seek(at)
                data = f.read(min(CHUNK + overlap, hole - at))
                yield at, data
                at += min(CHUNK, len(data))


def needles(truth_file, plain):
    with open(truth_file) as f:
        wanted = {what: bytes.fromhex(key)[-24:][:16] for what, key in json.load(f).items()}
    for path in files_in([plain]):
        data, name = A.contents(path), os.path.basename(path)
        wanted |= {f"content of {name} at {at}": data[at:at + WINDOW] for at in range(0, len(data) - WINDOW, STEP)}
        wanted[f"name {name}"] = os.fsencode(name)
    return wanted


def sought(what, path):
    if what.endswith(": row"):  # older backups have it, and the name under which the file lay there
        return "/now/.lapse/catalogue.db" in path
    return not what.startswith("name ") or not os.path.basename(path).startswith("memory")


def search(truth_file, plain, *loot):
    wanted, looked, found = needles(truth_file, plain), 0, []
    for path in files_in(loot):
        for at, data in pieces(path, 64):
            looked += len(data)
            found += [f"{what}: in {path} at {at + data.index(needle)}" for what, needle in wanted.items() if needle in data and sought(what, path)]
    assert looked > 1 << 20 and len(wanted) > 40, f"{looked} bytes, {len(wanted)} needles"
    print("\n".join(found) or f"none of {len(wanted)} keys, pieces of content and names in {looked >> 20} MiB")
    return not found


# ---- keys ------------------------------------------------------------------------------------------

def read_all(archive, known, what):
    """Names of the files whose content was read: by the rules, but for deadlines."""
    return [f"{os.fsdecode(e.path)}: opens by {what}" for e in archive.walk() if e.kind == "file" and e.status == A.OK and e.data and e.data in known]


def headers(copy):
    """Every slot of every file, whichever counts."""
    for path in files_in([copy]):
        if "/.lapse" in path:
            continue
        data = A.contents(path)
        yield from ((path, data[at:at + formats.SLOT], data) for at in (0, formats.SLOT) if data[:8] == b"LAPSEFIL")


def every_key(archive):
    """What the anchor and the keyring give, each as if it were a leaf or a hold's."""
    for tree in archive.anchor.trees.values():
        yield from (node.key for node in tree.cover)
    yield from (hold.key for hold in archive.anchor.holds.values())
    yield archive.keys.archive_wrap


def force(archive, copy, known):
    found = []
    for path, slot, data in headers(copy):
        try:
            h = formats.open_header_slot(slot, archive.keys, archive.suite)
        except (Rejected, NotSupported):
            continue
        under = list(every_key(archive))
        try:
            under.append(archive.anchor.under(h.kind, h.tree, h.epoch, h.file_id, archive.keys))
        except K.KeyGone:
            pass
        for key in under:
            try:
                file_key = formats.unwrap_file_key(h, key, archive.keys)
            except Rejected:
                continue
            content, _ = formats.Content(file_key, archive.suite, h.file_id, archive.keyring.block_size).read(data[formats.HEADERS:])
            found += [f"{path}: forced open"] if bytes(content) in known else []
    return found


def opened_archive(where, key_file, anchor):
    try:
        return A.Archive(where, K.KEY_FILE, A.contents(key_file), [anchor], ignore_deadline=lambda path: True)
    except (OSError, Rejected, NotSupported) as e:
        print(f"{where}: {e}")
        return None


def open_copies(plain, now, key_file, anchor, *copies):
    K.known_features = 1
    known, found, tried = {A.contents(p) for p in files_in([plain])}, [], 0
    for copy in copies:
        own, todays = opened_archive(copy, key_file, anchor), opened_archive(now, key_file, anchor)
        if todays:
            todays.root = os.fsencode(copy)
        for archive, what in ((own, "its own keyring"), (todays, "today's keyring")):
            if archive:
                found += [f"{copy}: {line}" for line in read_all(archive, known, what)] + force(archive, copy, known)
                tried += sum(1 for _ in headers(copy))
    assert tried, "no header was tried"
    print("\n".join(found) or f"nothing opens: {tried} headers of {len(copies)} copies tried")
    return not found


if __name__ == "__main__":
    sys.exit({"truth": truth, "dump": dump, "search": search, "open": open_copies}[sys.argv[1]](*sys.argv[2:]))
