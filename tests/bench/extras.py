"""What is measured once: a store that makes its readers wait, a directory of very many names, memory and mounting."""
import os
import statistics
import subprocess
import time

import systems
from systems import sh

SLOW_MS, READERS = 5, 32


def timed(*command):
    """Wall time of a program; what it prints is thrown away."""
    start = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


def slow(b):
    """Readers of a store below which every read takes 5 ms."""
    lines = []
    for name in b.systems:
        below, where = os.path.join(b.place, "below"), os.path.join(b.place, "slow")
        os.makedirs(below)
        os.makedirs(where)
        systems.set_uring(False)
        sh(b.tools["slowfs"], below, where, str(SLOW_MS))
        s = systems.KINDS[name](name, where, b.tools)
        s.at = os.path.join(b.place, name + ".mnt")
        rates = {}
        try:
            s.make()
            s.mount()
            os.makedirs(os.path.join(s.at, "images"))
            sh(b.tools["workload"], "write", os.path.join(s.at, "images"), "-n", "320", "-k", "60")
            s.umount()
            for readers in (1, READERS):
                files = 10 * readers
                with open("/proc/sys/vm/drop_caches", "w") as f:
                    f.write("3")
                s.mount()
                # The names are looked up by a walk before: it is the reads that count.
                out = sh(b.tools["workload"], "read", os.path.join(s.at, "images"), "-n", str(files), "-k", "60", "-t", str(readers))
                rates[readers] = files / float(out.split()[0])
                s.umount()
        finally:
            sh("umount", where)
            s.store = os.path.join(below, os.path.basename(s.store))
            s.remove()
            os.rmdir(where)
            os.rmdir(below) if not os.listdir(below) else None
        lines.append(f"{name}, {SLOW_MS} ms a read below: one reader {rates[1]:.0f} files/s, {READERS} readers {rates[READERS]:.0f} "
                     f"({rates[READERS] / rates[1]:.1f} ×)")
    return lines


def names(b):
    """ls -f and find in one directory of very many files, beside the same on the store; mounting, and the daemon's memory."""
    count, lines = b.o.names, []
    for name in b.systems:
        s = systems.KINDS[name](name, b.place, b.tools)
        s.make()
        s.mount()
        folder = os.path.join(s.at, "many")
        os.makedirs(folder)
        sh(b.tools["workload"], "names", folder, "-n", str(count))
        bare = next(e.path for e in os.scandir(s.store) if e.is_dir() and not e.name.startswith(".lapse"))
        took = {"ls -f": [], "find": [], "bare ls -f": [], "bare find": []}
        for _ in range(3):
            s.umount()
            took["bare ls -f"].append(timed("ls", "-f", bare))
            took["bare find"].append(timed("find", bare))
            s.mount()
            took["ls -f"].append(timed("ls", "-f", folder))
            took["find"].append(timed("find", folder))
        start = time.monotonic()
        os.stat(folder)
        first = s.mount_seconds + time.monotonic() - start
        parts = [f"{what} {statistics.median(took[what]) * 1000:.0f} ms ({statistics.median(took[what]) / statistics.median(took['bare ' + what]):.2f} × bare)"
                 for what in ("ls -f", "find")]
        memory = f", daemon at most {s.memory_kib('VmHWM') / 1024:.0f} MiB" if s.pid else ""
        lines.append(f"{name}, {count} names: {', '.join(parts)}, mounted and looked at in {first * 1000:.0f} ms{memory}")
        s.umount()
        s.remove()
    return lines


def memory(b):
    """The daemon's memory with many inodes known, and when the kernel has forgotten them."""
    lines = []
    for name in b.systems:
        s = systems.KINDS[name](name, b.place, b.tools)
        s.make()
        s.mount()
        if not s.pid:
            s.umount()
            s.remove()
            continue
        folder = os.path.join(s.at, "images")
        os.makedirs(folder)
        at_rest = s.memory_kib()
        sh(b.tools["workload"], "write", folder, "-n", str(b.o.files * 4), "-k", "1", "-f", "40")
        sh(b.tools["workload"], "read", folder, "-n", str(b.o.files * 4), "-k", "1", "-f", "40")
        known = s.memory_kib()
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
        time.sleep(1)
        lines.append(f"{name}, daemon: {at_rest} KiB at rest, {known} KiB with {b.o.files * 4} files known, {s.memory_kib()} KiB when they are forgotten")
        s.umount()
        s.remove()
    return lines


EXTRAS = {"slow": slow, "names": names, "memory": memory}
