#!/usr/bin/env python3
"""durable.py work KIND DIR LEDGER SEED: changes things in DIR and says in LEDGER, outside of the filesystem, what has been synced, until an error ends it.
durable.py check KIND DIR LEDGER: what LEDGER says is there, and nothing but it and the change that was under way; the ledger goes on from there.

KIND: save (write beside, fsync, rename, fsync of the directory), overwrite (write, append, cut, extend, write through a mapping; then fsync or O_DSYNC),
append (records at the end of logs; fdatasync), wal and delete (SQLite transactions, by mode of journal)."""
import hashlib
import mmap
import os
import random
import sqlite3
import sys

DOCUMENTS, LOGS, LARGEST = 5, 3, 400_000


def noise(*seed):
    rnd = random.Random(repr(seed))
    return rnd.randbytes(rnd.choice([0, 1, 1000, 32768, 40000, 150000]))


class Ledger:
    """Lines, each whole because it is one write."""

    def __init__(self, path):
        self.path, self.fd = path, os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND)
        with open(path) as f:
            self.lines = [line.split() for line in f]

    def add(self, *words):
        os.write(self.fd, (" ".join(map(str, words)) + "\n").encode())


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def contents(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None


# ---- save by rename ------------------------------------------------------------------------------

def document(k, version):
    return f"{k} {version}\n".encode() + noise("document", k, version)


def last_saved(ledger):
    return {int(k): int(version) for k, version in ledger.lines}


def work_save(where, ledger, rnd):
    saved = last_saved(ledger)
    while True:
        k = rnd.randrange(DOCUMENTS)
        saved[k] = saved.get(k, 0) + 1
        path = f"{where}/document-{k}"
        with open(path + ".new", "wb") as f:
            f.write(document(k, saved[k]))
            f.flush()
            os.fsync(f.fileno())
        os.rename(path + ".new", path)
        sync(where)
        ledger.add(k, saved[k])


def check_save(where, ledger):
    saved = last_saved(ledger)
    for k in range(DOCUMENTS):
        data = contents(f"{where}/document-{k}")
        versions = [v for v in (saved.get(k, 0), saved.get(k, 0) + 1) if data == (document(k, v) if v else None)]
        assert versions, f"document {k}: neither version {saved.get(k, 0)} nor the next one, but {data and data[:12]}, {data and len(data)} bytes"
        if versions[0] != saved.get(k, 0):
            ledger.add(k, versions[0])
    return sum(saved.values())


# ---- changes in place ----------------------------------------------------------------------------

def change(state, seed):
    """One to three steps, each (what, at, bytes), and the states that they lead through."""
    rnd, steps, states = random.Random(repr(("change", seed))), [], [bytes(state)]
    for _ in range(rnd.choice([1, 1, 2, 3])):
        old, what = states[-1], rnd.choice(["write", "write", "append", "cut", "extend", "map"])
        at, data = rnd.randrange(len(old) + 1), rnd.randbytes(rnd.choice([1, 500, 4096, 33000, 70000]))
        if what == "append" or len(old) < 1000:
            what, at = "write", len(old)
        if what in ("write", "map"):
            data = data[:len(old) - at] if what == "map" else data[:LARGEST - at]
            new = old[:at] + data + old[at + len(data):]
        elif what == "cut":
            new = old[:at]
        else:
            new = old + bytes(min(at, LARGEST - len(old)))
        steps.append((what, at, data, len(new)))
        states.append(new)
    return steps, states


def apply(fd, steps):
    for what, at, data, size in steps:
        if what == "write":
            while data:
                n = os.pwrite(fd, data, at)
                data, at = data[n:], at + n
        elif what == "map" and data:
            with mmap.mmap(fd, 0) as m:
                m[at:at + len(data)] = data
                m.flush()
        elif what in ("cut", "extend"):
            os.truncate(fd, size)


def work_overwrite(where, ledger, rnd):
    state, n = contents(f"{ledger.path}.state") or b"", int(ledger.lines[-1][0]) if ledger.lines else 0
    how = {False: os.open(f"{where}/changed", os.O_CREAT | os.O_RDWR), True: os.open(f"{where}/changed", os.O_RDWR | os.O_DSYNC)}
    sync(where)
    while True:
        steps, states = change(state, n + 1)
        by_itself = rnd.random() < 0.3 and all(what == "write" for what, *_ in steps)
        apply(how[by_itself], steps)
        if not by_itself:
            os.fsync(how[False])
        n, state = n + 1, states[-1]
        ledger.add(n)


def check_overwrite(where, ledger):
    base, data = contents(f"{ledger.path}.state") or b"", contents(f"{where}/changed")
    begun = int((contents(f"{ledger.path}.state.n") or b"0"))
    n = int(ledger.lines[-1][0]) if ledger.lines else 0
    for i in range(begun, n):
        base = change(base, i + 1)[1][-1]
    if data is None:
        assert not n, "the file is gone"
        return n
    states = change(base, n + 1)[1]
    sizes = [len(s) for s in states]
    assert min(sizes) <= len(data) <= max(sizes), f"change {n}: {len(data)} bytes, not {sizes}"
    if data not in states:
        longest = [s.ljust(len(data), b"\0") for s in states]
        for at in range(0, len(data), 512):
            piece = data[at:at + 512]
            if not any(piece == s[at:at + 512] for s in longest):
                bad = next((at + j for j in range(len(piece)) if all(piece[j] != s[at + j] for s in longest)), None)
                assert bad is None, f"change {n}: byte {bad} of {len(data)} is of no state; sizes {sizes}"
    with open(f"{ledger.path}.state", "wb") as f:
        f.write(data)
    with open(f"{ledger.path}.state.n", "w") as f:
        f.write(str(n))
    return n


# ---- logs ----------------------------------------------------------------------------------------

def record(k, i):
    return hashlib.sha256(repr((k, i)).encode()).digest() * (1 + (i * 7919 + k) % 700)


def work_append(where, ledger, rnd):
    counts = last_saved(ledger)
    while True:
        k = rnd.randrange(LOGS)
        i = counts.get(k, 0)
        fd = os.open(f"{where}/log-{k}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        if not i:
            sync(where)
        data = record(k, i)
        while data:
            data = data[os.write(fd, data):]
        os.fdatasync(fd)
        counts[k] = i + 1
        ledger.add(k, i + 1)
        os.close(fd)


def check_append(where, ledger):
    counts = last_saved(ledger)
    for k in range(LOGS):
        i, data = counts.get(k, 0), contents(f"{where}/log-{k}") or b""
        sure = b"".join(record(k, n) for n in range(i))
        assert data[:len(sure)] == sure, f"log {k}: not the {i} records that were synced; {len(data)} of {len(sure)} bytes"
        more = data[len(sure):]
        assert record(k, i).startswith(more), f"log {k}: {len(more)} bytes behind record {i} that nobody wrote"
        if more:
            os.truncate(f"{where}/log-{k}", len(sure))
    return sum(counts.values())


# ---- SQLite --------------------------------------------------------------------------------------

def connect(where, mode):
    c = sqlite3.connect(f"{where}/{mode}.db", isolation_level=None)
    c.execute(f"PRAGMA journal_mode={mode}")
    c.execute("PRAGMA synchronous=EXTRA")  # in mode DELETE a transaction is done when its journal is gone, also after a power cut
    c.execute("PRAGMA wal_autocheckpoint=30")
    c.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v BLOB)")
    c.execute("CREATE TABLE IF NOT EXISTS total(n INT)")
    return c


def work_sqlite(mode, where, ledger):
    c = connect(where, mode)
    n = c.execute("SELECT count(*) FROM t").fetchone()[0]
    while True:
        c.execute("BEGIN IMMEDIATE")
        c.execute("INSERT INTO t VALUES (?, ?)", (n + 1, noise("row", n + 1)[:9000]))
        c.execute("UPDATE t SET v = v || 'x' WHERE id = ?", (1 + n // 2,))
        c.execute("DELETE FROM total")
        c.execute("INSERT INTO total VALUES (?)", (n + 1,))
        c.execute("COMMIT")
        n += 1
        ledger.add(n)


def check_sqlite(mode, where, ledger):
    n = int(ledger.lines[-1][0]) if ledger.lines else 0
    if not n and not os.path.exists(f"{where}/{mode}.db"):
        return 0
    c = connect(where, mode)
    assert c.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows, highest = c.execute("SELECT count(*), coalesce(max(id), 0) FROM t").fetchone()
    total = (c.execute("SELECT n FROM total").fetchone() or (0,))[0]
    assert rows == highest == total and rows in (n, n + 1), f"{mode}: {rows} rows up to {highest}, a total of {total}, and {n} were committed"
    if rows != n:
        ledger.add(rows)
    return n


WORK = {"save": work_save, "overwrite": work_overwrite, "append": work_append,
        "wal": lambda where, ledger, rnd: work_sqlite("wal", where, ledger), "delete": lambda where, ledger, rnd: work_sqlite("delete", where, ledger)}
CHECK = {"save": check_save, "overwrite": check_overwrite, "append": check_append,
         "wal": lambda where, ledger: check_sqlite("wal", where, ledger), "delete": lambda where, ledger: check_sqlite("delete", where, ledger)}

if __name__ == "__main__":
    verb, kind, where, ledger = sys.argv[1], sys.argv[2], sys.argv[3], Ledger(sys.argv[4])
    if verb == "work":
        try:
            WORK[kind](where, ledger, random.Random(int(sys.argv[5])))
        except (OSError, sqlite3.Error) as e:
            print(f"{kind}: {e}")
    else:
        print(f"{CHECK[kind](where, ledger)} {kind}", end=", ")
