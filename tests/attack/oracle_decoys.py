"""oracle_decoys.py LAPSE MNT TMP: has images come into MNT/lane, which gets decoys, until there are enough of these; writes the lists `decoys` and `neighbours` of oracle.sh into TMP."""
import json
import os
import random
import subprocess
import sys
import time

EACH = 20
lapse, mnt, tmp = sys.argv[1:]
rnd = random.Random(60)


def comes():
    noise = bytes(min(255, 60 + y + rnd.randrange(40)) for y in range(48) for _ in range(64 * 3))
    jpeg = subprocess.run(["cjpeg", "-quality", "70"], input=b"P6 64 48 255\n" + noise, stdout=subprocess.PIPE, check=True).stdout
    letters = "".join(rnd.choice("ABCDEFGH") for _ in range(4))
    with open(f"{mnt}/lane/{letters[:2]}{rnd.randrange(1000):03}{letters[2:]}.jpg", "wb") as f:
        f.write(jpeg)
    time.sleep(rnd.expovariate(100))


def decoys():
    said = subprocess.run([lapse, "canary", "list", "--files", "--json", mnt], stdout=subprocess.PIPE, check=True, timeout=60).stdout
    return {f"{mnt}/{c['path']}" for c in json.loads(said)["canaries"]}


found = set()
end = time.monotonic() + 60
while len(found) < EACH:
    assert time.monotonic() < end, f"{len(found)} decoys within a minute"
    for _ in range(10):
        comes()
    found = decoys()
images = {f"{mnt}/lane/{name}" for name in os.listdir(f"{mnt}/lane")} - found
for name, paths in ("decoys", found), ("neighbours", images):
    with open(f"{tmp}/{name}", "w") as f:
        f.writelines(path + "\n" for path in rnd.sample(sorted(paths), EACH))
