"""The filesystems that are compared: how each is made, mounted and unmounted."""
import glob
import os
import shutil
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
URING = "/sys/module/fuse/parameters/enable_uring"
PASSWORD = b"correct horse battery staple\n"


def sh(*command, **more):
    done = subprocess.run(command, stdin=more.pop("stdin", subprocess.DEVNULL) if "input" not in more else None,
                          capture_output=True, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip() or done.returncode}")
    return done.stdout.decode()


def set_uring(on):
    if os.path.exists(URING):
        with open(URING, "w") as f:
            f.write("Y" if on else "N")


def is_mounted(at):
    """A bind mount is on the device of what it lies on: os.path.ismount does not see it."""
    with open("/proc/self/mountinfo") as f:
        return any(line.split()[4] == at for line in f)


class System:
    """One of them, with a store and a mountpoint of its own below `place`."""

    uring = False
    why = ""  # what it is, for the legend

    def __init__(self, name, place, tools):
        self.name, self.tools = name, tools
        self.store = os.path.join(place, f"{name}.store")
        self.at = os.path.join(place, f"{name}.mnt")
        self.pid = None

    def make(self):
        os.makedirs(self.store)
        os.chmod(self.store, 0o755)

    def start(self):
        raise NotImplementedError

    def stop(self):
        sh("umount", self.at)

    def mount(self):
        os.makedirs(self.at, exist_ok=True)
        if self.uring is not None:  # else as the machine has it
            set_uring(self.uring)
        begin = time.monotonic()
        self.start()
        while not is_mounted(self.at):
            if time.monotonic() - begin > 30:
                raise SystemExit(f"{self.name} is not mounted after 30 s")
            time.sleep(0.002)
        self.mount_seconds = time.monotonic() - begin
        self.pid = self.find_daemon()

    def umount(self):
        self.stop()
        while self.pid and os.path.exists(f"/proc/{self.pid}"):
            time.sleep(0.005)
        self.pid = None

    def find_daemon(self):
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            pid = int(path.split("/")[2])
            if self.at.encode() in words and pid != os.getpid() and not self.is_helper(pid):
                return pid
        return None

    @staticmethod
    def is_helper(pid):
        with open(f"/proc/{pid}/comm") as f:
            return f.read().startswith("lapse-")

    def processor_us(self):
        """Processor time of the daemon so far."""
        total = 0
        for path in glob.glob(f"/proc/{self.pid}/task/*/schedstat") if self.pid else ():
            try:
                with open(path) as f:
                    total += int(f.read().split()[0])
            except OSError:
                pass
        return total / 1000

    def memory_kib(self, field="VmRSS"):
        with open(f"/proc/{self.pid}/status") as f:
            return next(int(l.split()[1]) for l in f if l.startswith(field + ":"))

    def remove(self):
        for path in [self.store] + glob.glob(self.store + ".*"):
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)


class Plain(System):
    why = "the directory itself"

    def start(self):
        sh("mount", "--bind", self.store, self.at)


class Floor(System):
    why = "libfuse's passthrough_ll, which encrypts nothing, over io_uring"
    uring = True

    def start(self):
        options = f"source={self.store},cache=auto,xattr,allow_other" + (",io_uring" if self.uring else "")
        sh(self.tools["passthrough_ll"], "-o", options, self.at)


class FloorDevice(Floor):
    why = "the same over /dev/fuse"
    uring = False


class Gocryptfs(System):
    why = "gocryptfs of the distribution"

    def make(self):
        super().make()
        sh("gocryptfs", "-init", "-q", "-scryptn", "10", self.store, input=PASSWORD)

    def start(self):
        sh("gocryptfs", "-q", "-allow_other", self.store, self.at, input=PASSWORD)


class Lapse(System):
    why = "lapse over io_uring, with names, guard, budget and log"
    uring = True

    def make(self):
        key = self.store + ".key"
        with open(key, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(os.urandom(32))
        sh(self.tools["lapse"], "init", self.store, "--key-file", key, "--no-recovery-key", "--policy", os.path.join(HERE, "policy.ini"),
           "--anchor", self.store + ".anchor")

    def start(self):
        how = () if self.uring else ("--transport", "device")
        sh(self.tools["lapse"], "mount", self.store, self.at, "--key-file", self.store + ".key", *how)

    def stop(self):
        sh(self.tools["lapse"], "umount", self.at)


class LapseDevice(Lapse):
    why = "lapse over /dev/fuse"
    uring = False


KINDS = {"plain": Plain, "floor": Floor, "floor-device": FloorDevice, "gocryptfs": Gocryptfs, "lapse": Lapse, "lapse-device": LapseDevice}


def available(tools):
    """Names of those that this machine has, and a sentence on each that it has not."""
    names, missing = [], []
    for name, kind in KINDS.items():
        if kind.uring and not os.path.exists(URING):
            missing.append(f"{name}: this kernel has no FUSE over io_uring")
        elif issubclass(kind, Floor) and not os.path.exists(tools["passthrough_ll"]):
            missing.append(f"{name}: packaging/backports --examples builds it")
        elif kind is Gocryptfs and not shutil.which("gocryptfs"):
            missing.append("gocryptfs: apt-get install gocryptfs")
        else:
            names.append(name)
    return names, missing
