"""oracle.py UID CALL LIST_A LIST_B [LEAK_NS]: can that user tell by time of which list a path is? LIST: a file with one path a line, as many in both; which path is of which list, chance has
decided. CALL: open, stat, access. Prints the probability of what was seen if nothing is told, the difference in ns, and the errnos of each list. LEAK_NS is added to what the
paths of LIST_A take, to see that it would be seen.

Two files differ by some hundred ns whatever they are: by where their names lie in the kernel's tables, and their inodes in its caches. So a list is compared with a list, not a path with
a path: every path is asked of once a round, in an order that is drawn anew; of each path, one number is kept; these are ranked, and the sum of a list's ranks has the
distribution of Mann and Whitney, exactly, if no list is slower. The number is the lower quartile, and then the median, of what it took longer than the faster ones of its round did,
so that other work on the machine counts for all; the smaller of both probabilities counts twice."""
import functools
import gc
import os
import random
import statistics
import sys
import time

ROUNDS = 350
uid, call, lists = int(sys.argv[1]), sys.argv[2], [open(name).read().split("\n")[:-1] for name in sys.argv[3:5]]
leak = int(sys.argv[5]) if len(sys.argv) > 5 else 0
paths = [(path, side) for side in (0, 1) for path in lists[side]]
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
ask = {"open": lambda p: os.close(os.open(p, os.O_RDONLY)), "stat": os.stat, "access": lambda p: os.access(p, os.R_OK)}[call]
clock = time.perf_counter_ns


def asked(path):
    said, begun = 0, clock()
    try:
        ask(path)
    except OSError as e:
        said = e.errno
    return clock() - begun, said


@functools.cache
def ways(a, b, u):
    """In how many orders of a and b numbers the first are greater than the others u times."""
    return int(u == 0) if a == 0 or b == 0 else ways(a - 1, b, u - b) + ways(a, b - 1, u) if u >= 0 else 0


def chance(numbers):
    """Of a sum of ranks as far from the middle as this one, or farther."""
    order = [side for _, _, side in sorted((n, random.random(), paths[i][1]) for i, n in enumerate(numbers))]
    a, b = len(lists[0]), len(lists[1])
    u = sum(order[:i].count(1) for i, side in enumerate(order) if side == 0)
    tail = sum(ways(a, b, v) for v in range(min(u, a * b - u) + 1))
    return min(1.0, 2 * tail / sum(ways(a, b, v) for v in range(a * b + 1)))


assert len(lists[0]) == len(lists[1]) > 10, [len(l) for l in lists]
rnd, took, said = random.Random(1), [[] for _ in paths], (set(), set())
gc.disable()
for _ in range(ROUNDS):
    for i in rnd.sample(range(len(paths)), len(paths)):
        path, side = paths[i]
        ns, code = asked(path)
        took[i].append(ns + leak * (side == 0))
        said[side].add(code)
level = [statistics.quantiles(of_round, n=4)[0] for of_round in zip(*took)]
over = [[ns - level[r] for r, ns in enumerate(t)] for t in took]
low, middle = [statistics.quantiles(o, n=4)[0] for o in over], [statistics.median(o) for o in over]
half = len(lists[0])
print(f"{min(1.0, 2 * min(chance(low), chance(middle))):.2g} {statistics.mean(low[:half]) - statistics.mean(low[half:]):.0f}", *("/".join(map(str, sorted(s))) for s in said))
