"""What happens on the machine meanwhile: the clock goes on, and the contractor's identities try. incident_months.py KIND (see the end) with the environment of
the test; prints what came out. Login uids are real ones: a process without one sets its own, once, as pam_loginuid does."""
import os
import pwd
import struct
import subprocess
import sys

MOUNT, LOOT, HERE = os.environ["MNT"], os.environ["LOOT"], os.path.dirname(os.path.abspath(__file__))
CLOCK, STATE = os.environ["LAPSE_TEST_CLOCK"], os.environ["TEST_TMP"] + "/incident-clock"
CONTRACTOR, COLLEAGUE = "lapse-t1", "lapse-t2"
MINUTE, HOUR, DAY = 60, 3600, 86400


class Clock:
    """Seconds since the start: of the archive's clock, and how far the machine's own has been set ahead of it."""

    def __init__(self):
        self.now, self.ahead = (int(w) for w in open(STATE).read().split())

    def go(self, seconds=0, ahead=None):
        self.now += seconds
        self.ahead = self.ahead if ahead is None else ahead
        with open(CLOCK, "r+b", buffering=0) as f:
            f.write(struct.pack("<qqI4x", (self.now + self.ahead) * 10**9, self.now * 10**9, 1))
        with open(STATE, "w") as f:
            f.write(f"{self.now} {self.ahead}")


def login(name):
    """For a child, before it becomes anybody: the login uid that it and all that it starts will have."""
    def set_it():
        with open("/proc/self/loginuid", "w") as f:
            f.write(str(pwd.getpwnam(name).pw_uid))
    return set_it


class Identity:
    def __init__(self, command, logged_in_as):
        self.p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                  preexec_fn=login(logged_in_as) if logged_in_as else None)
        assert self.p.stdout.readline() == "ready\n", command

    def do(self, *words):
        self.p.stdin.write(" ".join(words) + "\n")
        return tuple(int(w) for w in self.p.stdout.readline().split())

    def end(self):
        self.p.stdin.close()
        self.p.wait()


def thief():
    return [sys.executable, "-B", os.environ["THIEF"], MOUNT, LOOT]


def as_user(uid, logged_in_as):
    return Identity(["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--", *thief()], logged_in_as)


def identities():
    """Of one login: himself, su to a colleague, sudo to root."""
    return {"as himself": as_user(pwd.getpwnam(CONTRACTOR).pw_uid, CONTRACTOR),
            "after su to a colleague": Identity(["su", "-s", "/bin/sh", COLLEAGUE, "-c", " ".join(thief())], CONTRACTOR),
            "after sudo to root": Identity(thief(), CONTRACTOR)}


def images():
    path = LOOT + "/names"
    return len(set(open(path).read().split())) if os.path.exists(path) else 0


def told(what, got, refused=None):
    print(f"   {what:58} {got:7} images" + (f", {refused} refusals" if refused is not None else ""), flush=True)


def visit(clock):
    """One evening, no time passes: everything that he can think of."""
    who = identities()
    for name, i in who.items():
        told(name, *i.do("read"))
    told("a copied viewer", *who["as himself"].do("viewer", os.environ["VIEWER"]))
    told("16 processes, each with a session of its own", *who["as himself"].do("hurry"))
    told("16 processes of root's", *who["after sudo to root"].do("hurry"))
    for i in who.values():
        i.end()


def days(clock, count, step):
    """He comes back every `step` seconds, as each of his identities in turn."""
    who, before, tries = list(identities().values()), images(), 0
    end, today = clock.now + count * DAY, images()
    most = 0
    while clock.now < end:
        for _ in range(DAY // step):
            clock.go(step)
            who[tries % len(who)].do("read")
            tries += 1
        most, today = max(most, images() - today), images()
    for i in who:
        i.end()
    told(f"a slow drip, every {step // MINUTE} minutes for {count} days", images() - before)
    told("   the most on one day", most)


def jump(clock):
    """As root he sets the machine's clock: far ahead, then by what the archive believes after an hour, then back."""
    who = identities()
    root = who["after sudo to root"]
    before = images()
    for ahead in (3 * 365 * DAY, -3 * 365 * DAY, 0):
        clock.go(ahead=ahead)
        root.do("read")
    told("the machine's clock three years ahead, and back", images() - before)
    before = images()
    clock.go(ahead=23 * HOUR)
    for _ in range(9):
        clock.go(10 * MINUTE)
        root.do("read")
    told("23 hours ahead for an hour and a half (that is believed)", images() - before)
    for i in who.values():
        i.end()


def at_once(clock):
    who = identities()
    before = images()
    for i in who.values():
        i.do("read")
        i.end()
    told("at once after it", images() - before)


def strangers(clock):
    """What no rule about readers can stop: root makes users, and starts processes for them without a login uid. One day, from a loot of their own."""
    users = [as_user(61000 + n, None) for n in range(12)]
    before = images()
    for _ in range(5):
        for u in users:
            u.do("read")
        clock.go(11 * MINUTE)
    told("12 users made by root, without a login uid, in an hour", images() - before)
    for u in users:
        u.end()


KINDS = {"visit": visit, "day": lambda c: days(c, 1, 20 * MINUTE), "month": lambda c: days(c, 28, 2 * HOUR), "thirty": lambda c: days(c, 30, 2 * HOUR),
         "jump": jump, "at-once": at_once, "strangers": strangers, "settle": lambda c: c.go(4000)}

if __name__ == "__main__":
    for kind in sys.argv[1:]:
        KINDS[kind](Clock())
