"""queue_reader.py DIRECTORY RESULT: opens, reads and closes files below DIRECTORY at random until it is terminated; then writes when each was and how long it took.
Pages are dropped before, so that every read is one of the daemon's."""
import json, os, random, signal, sys, time

files = [os.path.join(d, f) for d, _, names in os.walk(sys.argv[1]) for f in names]
reads, stop = [], False


def end(*_):
    global stop
    stop = True


signal.signal(signal.SIGTERM, end)
random.seed(1)
while not stop:
    path = random.choice(files)
    begin = time.perf_counter()
    fd = os.open(path, os.O_RDONLY)
    while os.read(fd, 1 << 20):
        pass
    took = time.perf_counter() - begin
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    reads.append((time.time(), took))
    time.sleep(0.002)
with open(sys.argv[2], "w") as out:
    json.dump(reads, out)
