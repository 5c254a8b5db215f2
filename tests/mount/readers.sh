#!/bin/bash
# Very many readers at once, and readers that die in the middle.
. "$(dirname "$0")/lib.sh"
archive_new
cat >"$TEST_TMP/make.py" <<'P'
import os, sys
for i in range(50):
    with open(f"{sys.argv[1]}/{i}", "wb") as f:
        f.write(bytes([i]) * (20000 + i * 1000))
P
cat >"$TEST_TMP/many.py" <<'P'
import os, sys, threading
mnt, wrong = sys.argv[1], []
start = threading.Barrier(1000)
def read(k):
    try:
        start.wait()
        for n in range(4):
            i = (k + n * 13) % 50
            fd = os.open(f"{mnt}/{i}", os.O_RDONLY | (os.O_DIRECT if k % 2 else 0))
            with os.fdopen(fd, "rb", buffering=65536) as f:
                got = f.read() if k % 2 == 0 else None
            if got is not None and got != bytes([i]) * (20000 + i * 1000):
                wrong.append((k, i))
    except Exception as e:
        wrong.append((k, repr(e)))
threading.stack_size(256 << 10)
t = [threading.Thread(target=read, args=(k,)) for k in range(1000)]
[x.start() for x in t]
[x.join() for x in t]
assert not wrong, wrong[:5]
P
cat >"$TEST_TMP/die.py" <<'P'
import os, random, signal, subprocess, sys, time
mnt, rng = sys.argv[1], random.Random(1)
READER = "import os,sys\nwhile True:\n for i in range(50):\n  fd=os.open(f'{sys.argv[1]}/{i}',os.O_RDONLY|os.O_DIRECT); os.posix_fadvise(fd,0,0,4)\n  import mmap; b=mmap.mmap(-1,65536); os.preadv(fd,[b],0); os.close(fd)\n"
for round in range(10):
    readers = [subprocess.Popen([sys.executable, "-c", READER, mnt]) for _ in range(8)]
    time.sleep(0.2 + rng.random() * 0.3)
    for r in readers:
        r.send_signal(signal.SIGKILL)
    for r in readers:
        assert r.wait(timeout=20) == -signal.SIGKILL
P
for transport in $(transports); do
	note "$transport"
	mount_by "$transport"
	check "files" python3 "$TEST_TMP/make.py" "$MNT"
	check "1000 readers" python3 "$TEST_TMP/many.py" "$MNT"
	CHECK_TIMEOUT=120 check "readers killed" python3 "$TEST_TMP/die.py" "$MNT"
	check "1000 readers afterwards" python3 "$TEST_TMP/many.py" "$MNT"
	wait_until 10 sh -c "[ \"\$('$LAPSE' status '$MNT' --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[\"open-files\"])')\" = 0 ]"
	umount_archive
done
