"""oracle_lists.py MNT TMP: makes the files that oracle.sh asks of, and lists of them in TMP, one path a line. The names are drawn, and chance decides what each of them is."""
import os
import random
import sys

EACH = 20
mnt, tmp = sys.argv[1:]
rnd = random.Random(31)


def names(last="0123456789"):
    return [str(n) for n in rnd.sample([n for n in range(10**5, 10**6) if str(n)[-1] in last], EACH)]


def make(sizes):
    """In an order that is drawn, too."""
    for path in rnd.sample(sorted(sizes), len(sizes)):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(b"x" * sizes[path])


def listed(name, paths):
    with open(f"{tmp}/{name}", "w") as f:
        f.writelines(path + "\n" for path in paths)
    return paths


sizes = {}
for d in "private", "strict", "closed":
    drawn = [f"{mnt}/{d}/{n}.jpg" for n in names() + names()]
    rnd.shuffle(drawn)
    sizes |= dict.fromkeys(listed(f"{d}.there", drawn[:EACH]), 2)
    listed(f"{d}.none", drawn[EACH:])
sizes |= dict.fromkeys(listed("closed.large", [f"{mnt}/closed/{n}.jpg" for n in names()]), 1000000)
sizes |= dict.fromkeys(listed("made", [f"{mnt}/in/{n}.jpg" for n in names()]), 2)
renamed = listed("renamed", [f"{mnt}/in/{n}.jpg" for n in names()])
sizes |= {path + ".part": 2 for path in renamed}
even, odd = names("02468"), names("13579")  # the policy has them of different classes
sizes |= dict.fromkeys(listed("faces", [f"{mnt}/of/{n}/one.jpg" for n in even]), 2)
sizes |= dict.fromkeys(listed("images", [f"{mnt}/of/{n}/one.jpg" for n in odd]), 2)
sizes |= dict.fromkeys(listed("images.large", [f"{mnt}/of/{n}/two.jpg" for n in odd]), 1000000)
make(sizes)
for path in renamed:  # that is one more header, in the other slot
    os.rename(path + ".part", path)
