"""python3 posix PLAIN MOUNT [CASE]...: every case on a plain directory and on the mount, both of them empty."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness
import acls, data, directories, flags, links, locks, maps, names, opens, permissions, renames, times, xattrs  # each registers its cases
from deviations import KNOWN

os.umask(0o022)
wrong, count = harness.compare(sys.argv[1], sys.argv[2], KNOWN, sys.argv[3:])
for line in wrong:
    print(line)
print(f"{len(harness.CASES)} cases, {count} observations, {len(KNOWN)} known deviations, {len(wrong)} wrong")
sys.exit(bool(wrong))
