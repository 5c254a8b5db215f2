"""The contractor. He may log in, he is patient, and he has what people have who do such things: su, sudo, copies of programs, many processes. He knows nothing of
the policy: he reads what he has not yet got until he is refused a few times in a row, and comes back later.

incident_thief.py MOUNT LOOT     for every line on standard input he tries once and prints how many images he got and how many times he was refused.

LOOT is a directory: `names` has one line for each image, by whoever of his identities got it. An image counts when its bytes are those of that image."""
import os
import subprocess
import sys

GIVES_UP = 12  # refusals in a row
HURRY = 16  # processes, when he tries many


def is_it(name, data):
    number = os.path.basename(name)[:-4]
    return b" image " + number.encode() + b" " in data and data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")


class Thief:
    def __init__(self, mount, loot):
        self.mount, self.loot, self.seen, self.left = mount, os.path.join(loot, "names"), 0, []
        self.lists, self.listed = os.path.join(loot, "lists"), set()
        os.makedirs(self.lists, mode=0o777, exist_ok=True)

    def look_around(self):
        """Lists what none of his identities has listed yet, as far as he is let; what was listed once is in a file."""
        for lane in [""] + sorted(open(self.list_of("")).read().split() if os.path.exists(self.list_of("")) else []):
            if not os.path.exists(self.list_of(lane)):
                try:
                    names = os.listdir(os.path.join(self.mount, lane))
                except OSError:
                    return
                with open(self.list_of(lane) + f".{os.getpid()}", "w") as f:
                    f.write("\n".join(sorted(names)))
                os.rename(f.name, self.list_of(lane))
                if not lane:
                    return self.look_around()
            if lane not in self.listed and lane:
                self.listed.add(lane)
                self.left += [lane + "/" + n for n in open(self.list_of(lane)).read().split()]

    def list_of(self, lane):
        return os.path.join(self.lists, lane or "lanes")

    def catch_up(self):
        """What his other identities have got meanwhile is not wanted any more."""
        if len(self.left) < 2000:
            self.look_around()
            self.seen = 0
        if not os.path.exists(self.loot):
            return
        with open(self.loot) as f:
            f.seek(self.seen)
            new = set(f.read().split())
            self.seen = f.tell()
        if new:
            self.left = [n for n in self.left if n not in new]

    def keep(self, names):
        with open(self.loot, "a") as f:
            f.write("".join(n + "\n" for n in names))

    def attempt(self, name, viewer):
        path = os.path.join(self.mount, name)
        if viewer:
            data = subprocess.run([viewer, path], capture_output=True).stdout
        else:
            with open(path, "rb") as f:
                data = f.read()
        return is_it(name, data)

    def burst(self, part=0, parts=1, viewer=None, most=None):
        got, refused, row = [], 0, 0
        self.catch_up()
        for name in self.left[part::parts]:
            if row == GIVES_UP or (most and len(got) + refused == most):
                break
            try:
                fine = self.attempt(name, viewer)
            except OSError:
                fine = False
            if fine:
                got.append(name)
                row = 0
            else:
                refused, row = refused + 1, row + 1
        self.keep(got)
        return len(got), refused

    def hurry(self):
        """Many processes at once, each with a share of the images."""
        ends = []
        for part in range(HURRY):
            r, w = os.pipe()
            if not os.fork():
                os.setsid()
                os.write(w, b"%d %d" % self.burst(part, HURRY))
                os._exit(0)
            os.close(w)
            ends.append(r)
        results = [tuple(map(int, os.read(r, 64).split())) for r in ends]
        for r in ends:
            os.close(r)
            os.wait()
        return sum(g for g, _ in results), sum(n for _, n in results)


def main():
    os.umask(0)
    thief = Thief(*sys.argv[1:])
    print("ready", flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "read":
            print(*thief.burst(), flush=True)
        elif word == "hurry":
            print(*thief.hurry(), flush=True)
        elif word == "viewer":
            print(*thief.burst(viewer=rest[0], most=40), flush=True)


main()
