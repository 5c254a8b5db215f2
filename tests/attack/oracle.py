"""oracle.py UID ROUNDS PATH_A PATH_B [CALL]: as that user, asks of two paths in turn, and tells by the time it takes which one it was. Prints how often the first took longer, in
percent: 50 where nothing is told. CALL: open (the default), stat, xattr, access. Every answer has to be the same errno; it is printed, too."""
import os
import random
import sys
import time

uid, rounds, paths, call = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:5], (sys.argv[5:] or ["open"])[0]
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
CALLS = {"open": lambda p: os.close(os.open(p, os.O_RDONLY)), "stat": os.stat, "xattr": lambda p: os.getxattr(p, "user.comment"), "access": lambda p: os.access(p, os.R_OK)}


def asked(path):
    begun, said = time.perf_counter_ns(), 0
    try:
        CALLS[call](path)
    except OSError as e:
        said = e.errno
    return time.perf_counter_ns() - begun, said


rnd, longer, said = random.Random(1), 0.0, [set(), set()]
for _ in range(rounds):
    order = [0, 1]
    rnd.shuffle(order)
    took = {}
    for i in order:
        took[i], code = asked(paths[i])
        said[i].add(code)
    longer += 1 if took[0] > took[1] else 0.5 if took[0] == took[1] else 0
print(f"{100 * longer / rounds:.0f}", *("/".join(map(str, sorted(s))) for s in said))
