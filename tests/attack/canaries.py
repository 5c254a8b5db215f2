"""canaries.py fill MNT DIRECTORIES SECONDS SEED | judge MNT STORE DECOYS.json [MOST_AUC]

fill: cameras write images into directories, at times that come by chance, each in its own way of naming, sizes and tables, some slowly, some with the times of what they copied. Exit status 75: the machine was so busy that they came when it let them.
judge: with listings, stat, the store and even every content, tries to tell the decoys from the images, by each of its clues and by a classifier that has learnt from half of the
directories: none may do better than chance."""
import collections, datetime, heapq, json, math, os, random, re, struct, subprocess, sys, time

WARM = 8  # until decoys come: what is there with this file is deleted again, as if it had expired
TAIL = 2.0  # seconds that the cameras go on, of which all is deleted again: a decoy comes later where the machine is busy
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


# ---- cameras ------------------------------------------------------------------------------------------------------------------------


def exif(make, rnd):
    when = (datetime.datetime(2026, 11, 1) + datetime.timedelta(seconds=rnd.randrange(86400 * 20))).strftime("%Y:%m:%d %H:%M:%S").encode() + b"\0"
    make = make.encode() + b"\0"
    body = b"II*\0" + struct.pack("<IH", 8, 2) + struct.pack("<HHII", 0x10F, 2, len(make), 38) + struct.pack("<HHII", 0x132, 2, 20, 38 + len(make) + len(make) % 2) + b"\0\0\0\0"
    body += make + b"\0" * (len(make) % 2) + when
    return b"\xff\xe1" + struct.pack(">H", len(body) + 8) + b"Exif\0\0" + body


class Camera:
    def __init__(self, n, rnd):
        self.n, self.rnd, self.style, self.way = n, rnd, n % 4, ("", "copied", "", "slow", "", "uploaded", "")[n % 7]
        self.width, self.height, self.quality = rnd.choice([(64, 48), (48, 48), (80, 40)]) + (rnd.choice([50, 60, 75, 85]),)
        self.noise, self.spread, self.make = rnd.uniform(20, 60), rnd.uniform(0.1, 0.5), f"Lane{n}"

    def plate(self):
        r = self.rnd
        return r.choice(LETTERS) + r.choice(LETTERS) + f"{r.randrange(1000):03}" + r.choice(LETTERS) + r.choice(LETTERS)

    def name(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        return [lambda: f"{now:%Y%m%d-%H%M%S}_{self.plate()}.jpg", lambda: f"{self.plate()}_{self.rnd.randrange(1 << 24):06x}.jpg",
                lambda: f"cam{self.n}-{now:%Y%m%d%H%M%S}-{self.plate()}.jpg", lambda: f"{self.rnd.randrange(1 << 64):016x}.jpg"][self.style]()

    def image(self):
        noise, w, h, r = self.noise * math.exp(self.rnd.gauss(0, self.spread)), self.width, self.height, self.rnd
        base, slope = r.randrange(40, 200), r.uniform(-1, 1)
        rows = bytearray()
        for y in range(h):
            level = base + slope * y - noise / 2
            rows += r.randbytes(3 * w).translate(bytes(min(255, max(0, int(level + noise * b / 255))) for b in range(256)))
        jpeg = subprocess.run(["cjpeg", "-quality", str(self.quality)], input=b"P6 %d %d 255\n" % (w, h) + bytes(rows), stdout=subprocess.PIPE, check=True).stdout
        return jpeg[:20] + exif(self.make, r) + jpeg[20:]


def close(camera, f):
    """As programs do that copy with the times of what they copied, with finer or coarser ones."""
    f.close()
    if camera.way == "copied":
        t = time.time_ns() - int(camera.rnd.lognormvariate(11, 1) * 1e9)
        os.utime(f.name, ns=(t + int(camera.rnd.expovariate(1 / 3600) * 1e9), t))
    elif camera.way == "uploaded":
        t = time.time_ns() // 10**9 - int(camera.rnd.expovariate(1 / 600)) - 1
        os.utime(f.name, (t, t))


def fill(mnt, directories, seconds, seed):
    rnd = random.Random(seed)
    cameras = [Camera(n, random.Random(rnd.random())) for n in range(directories)]
    mean = seconds / (WARM + 28)
    expected = (seconds + TAIL) / mean
    stock = [[c.image() for _ in range(int(expected + 4 * math.sqrt(expected)))] for c in cameras]
    queue = [(c.rnd.expovariate(1 / mean), n, None) for n, c in enumerate(cameras)]
    heapq.heapify(queue)
    begun, made, late, early, kept = time.monotonic(), collections.Counter(), [], {}, None
    while queue:
        at, n, slow = heapq.heappop(queue)
        if at > seconds and kept is None:
            kept = [set(os.listdir(f"{mnt}/{k}")) for k in range(directories)]
        if at > seconds + TAIL:
            break
        time.sleep(max(0, begun + at - time.monotonic()))
        if kept is None:
            late.append(time.monotonic() - begun - at)
        if slow:
            slow[0].write(slow[1])
            close(cameras[n], slow[0])
            continue
        image, path = stock[n].pop(), f"{mnt}/{n}/{cameras[n].name()}"
        f = open(path, "wb", 0)
        if cameras[n].way == "slow":
            f.write(image[: len(image) // 2])
            heapq.heappush(queue, (at + cameras[n].rnd.lognormvariate(-0.7, 0.5), n, (f, image[len(image) // 2 :])))
        else:
            f.write(image)
            close(cameras[n], f)
        made[n] += 1
        if made[n] == WARM:
            early[n] = set(os.listdir(f"{mnt}/{n}"))
        if stock[n]:
            heapq.heappush(queue, (at + cameras[n].rnd.expovariate(1 / mean), n, None))
    if sorted(late)[len(late) * 99 // 100] > mean / 4:
        sys.exit(75)
    for n in range(directories):
        for name in os.listdir(f"{mnt}/{n}"):
            if name not in kept[n] or name in early.get(n, kept[n]):
                os.unlink(f"{mnt}/{n}/{name}")


# ---- the thief ------------------------------------------------------------------------------------------------------------------------


def birth(paths):
    out = {}
    for i in range(0, len(paths), 500):
        said = subprocess.run(["stat", "-c", "%.W %n"] + paths[i : i + 500], stdout=subprocess.PIPE, check=True, text=True).stdout
        for line in said.splitlines():
            born, path = line.split(" ", 1)
            out[path] = float(born)
    return out


def entropy(data):
    counts = collections.Counter(data)
    return -sum(c / len(data) * math.log2(c / len(data)) for c in counts.values())


def content(path):
    with open(path, "rb") as f:
        data = f.read()
    scan = data.find(b"\xff\xda")
    segments = data.count(b"\xff\xe1", 0, scan) + data.count(b"\xff\xdb", 0, scan) * 10 + data.count(b"\xff\xc4", 0, scan) * 100
    return {"content: head": scan, "content: segments": segments, "content: entropy": entropy(data[scan:]), "content: ff": data.count(b"\xff", scan) / len(data)}


def numbers(name):
    word, out = "", []
    for ch in name + "_":
        if ch.isdigit():
            word += ch
        elif word:
            out.append(int(word))
            word = ""
    return out


def name_time(name, mtime):
    """How much later than the time in its name it was written, in the seconds that names have; 0: none is in it."""
    digits = re.search(r"(20\d{6})-?(\d{6})", name)
    return int(mtime) - int(datetime.datetime.strptime(digits[1] + digits[2] + "+0000", "%Y%m%d%H%M%S%z").timestamp()) if digits else 0


def gaps(values):
    """How far each is from the one before and after it, in their order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    before, after = [0.0] * len(values), [0.0] * len(values)
    for a, b in zip(order, order[1:]):
        before[b] = after[a] = float(values[b] - values[a])
    return before, after


def rank(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    out = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for i in order[at : end + 1]:
            out[i] = (at + end) / 2
        at = end + 1
    return out


def clues(mnt, directory, by_ino, born):
    """Of each file: a dict of numbers. The order of a listing is one of them."""
    names = os.listdir(f"{mnt}/{directory}")
    files = []
    for at, name in enumerate(names):
        path = f"{mnt}/{directory}/{name}"
        st = os.stat(path)
        stored = by_ino[st.st_ino]
        sst = os.stat(stored)
        f = {"listing": at, "size": st.st_size, "blocks": sst.st_blocks, "mtime - ctime": st.st_mtime - st.st_ctime, "ctime - birth": sst.st_ctime - born[stored],
             "mtime - birth": sst.st_mtime - born[stored], "mtime - atime": (sst.st_mtime_ns - sst.st_atime_ns) / 1e9, "atime": sst.st_atime_ns, "mtime tick": sst.st_mtime_ns % 4000000,
             "mtime ns": st.st_mtime_ns % 1000, "mtime ms": st.st_mtime_ns % 10**6, "mtime s": st.st_mtime_ns % 10**9, "mtime 2 s": st.st_mtime_ns // 10**9 % 2,
             "store - size": sst.st_size - st.st_size, "store mode": sst.st_mode, "uid": sst.st_uid,
             "xattrs": len(os.listxattr(path)) + len(os.listxattr(stored)) * 10, "links": sst.st_nlink, "name length": len(name), "store name": len(os.path.basename(stored)),
             "digits": sum(c.isdigit() for c in name), "ino": sst.st_ino, "birth": born[stored], "atime - birth": sst.st_atime - born[stored]}
        f.update(content(path))
        f["name's time"] = name_time(name, st.st_mtime)
        files.append(f)
    mtimes = [os.stat(f"{mnt}/{directory}/{n}").st_mtime_ns for n in names]
    size = [f["size"] for f in files]
    middle = sorted(size)[len(size) // 2]
    columns = {"size": size, "mtime": mtimes, **{k: [f[k] for f in files] for k in ("birth", "ino", "mtime tick", "mtime - birth")}}
    for key, values in list(columns.items()):
        before, after = gaps(values)
        for f, b, a in zip(files, before, after):
            f[f"{key}: gap before"], f[f"{key}: gap after"], f[f"{key}: least gap"] = b, a, min(b, a)
    words = [numbers(n) for n in names]
    for k in range(max(map(len, words))):
        before, after = gaps([w[k] if k < len(w) else 0 for w in words])
        for f, b, a in zip(files, before, after):
            f[f"name {k}: gap"] = min(b, a)
    orders = {k: rank([f[k] for f in files]) for k in ("ino", "birth")}
    orders["mtime"] = rank(mtimes)
    orders["name"] = rank(names)
    for i, f in enumerate(files):
        f["size outlier"] = abs(f["size"] - middle)
        f["mtime against birth"] = abs(orders["mtime"][i] - orders["birth"][i])
        f["ino against birth"] = abs(orders["ino"][i] - orders["birth"][i])
        f["listing against mtime"] = abs(i - orders["mtime"][i]) if orders["mtime"][0] < orders["mtime"][-1] else abs(len(files) - 1 - i - orders["mtime"][i])
        f["name against birth"] = abs(orders["name"][i] - orders["birth"][i])
        f["size by the one before"] = f["size"] - size[max(range(len(files)), key=lambda j: (orders["birth"][j] < orders["birth"][i], orders["birth"][j]))]
    return names, files


class Sum:
    """Of a clue over all directories: how well it ranks decoys above images."""

    def __init__(self):
        self.u = self.mean = self.variance = self.pairs = self.hits = self.chance = self.chance_variance = 0.0

    def add(self, values, decoy):
        n1, n = sum(decoy), len(decoy)
        n0 = n - n1
        if not n1 or not n0:
            return
        r = rank(values)
        ties = collections.Counter(values).values()
        self.u += sum(x for x, d in zip(r, decoy) if d) - n1 * (n1 - 1) / 2
        self.mean += n1 * n0 / 2
        self.variance += n1 * n0 / 12 * (n + 1 - sum(t**3 - t for t in ties) / (n * (n - 1)))
        self.pairs += n1 * n0

    def auc(self):
        return self.u / self.pairs

    def z(self):
        return (self.u - self.mean) / math.sqrt(self.variance) if self.variance > 0 else 0.0


def learn(rows, keys, rounds=200):
    """Logistic regression by gradient descent over (features, is decoy)."""
    w, bias = [0.0] * len(keys), 0.0
    for _ in range(rounds):
        g, gb = [0.0] * len(keys), 0.0
        for x, d in rows:
            s = bias + sum(a * b for a, b in zip(w, x))
            e = 1 / (1 + math.exp(-max(-30, min(30, s)))) - d
            gb += e
            for k, v in enumerate(x):
                g[k] += e * v
        bias -= 0.5 * gb / len(rows)
        w = [a - 0.5 * (b / len(rows) + 0.001 * a) for a, b in zip(w, g)]
    return w, bias


def standard(values):
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
    return [max(-4, min(4, (v - mean) / spread)) if spread else 0.0 for v in values]


def judge(mnt, store, decoys, most_auc):
    with open(decoys) as f:
        known = {c["path"] for c in json.load(f)["canaries"] if c["path"]}
    stored = [os.path.join(d, n) for d, _, names in os.walk(store) for n in names if not d.startswith(f"{store}/.lapse")]
    by_ino, born = {os.stat(p).st_ino: p for p in stored}, birth(stored)
    directories = sorted(os.listdir(mnt), key=int)
    sums, tables, found = collections.defaultdict(Sum), [], 0
    for d in directories:
        names, files = clues(mnt, d, by_ino, born)
        decoy = [f"{d}/{n}" in known for n in names]
        found += sum(decoy)
        keys = sorted(files[0])
        columns = {k: [f.get(k, 0.0) for f in files] for k in keys}
        for k, values in columns.items():
            sums[k].add(values, decoy)
        tables.append((d, {k: standard(v) for k, v in columns.items()}, decoy))
    keys = sorted(set.intersection(*(set(t[1]) for t in tables)))
    keys = [k for k in keys if not k.startswith("content")]
    half = len(tables) // 2
    rows = [([t[1][k][i] for k in keys], d) for t in tables[:half] for i, d in enumerate(t[2])]
    w, bias = learn(rows, keys)
    for _, columns, decoy in tables[half:]:
        sums["all of them, learnt"].add([bias + sum(a * columns[k][i] for a, k in zip(w, keys)) for i in range(len(decoy))], decoy)
    files = sum(len(t[2]) for t in tables)
    print(f"{found} decoys among {files} files of {len(tables)} directories")
    assert found >= len(tables), "too few decoys to say anything"
    bad = []
    for k, s in sorted(((k, s) for k, s in sums.items() if s.pairs), key=lambda e: -abs(e[1].z())):  # a clue of directories without decoys has none
        told = abs(s.z()) > 4 and abs(s.auc() - 0.5) > most_auc
        print(f"  {'FOUND ' if told else ''}{k}: a decoy ranks above an image in {100 * s.auc():.1f} %, {s.z():+.1f} standard deviations from chance")
        bad += [k] if told and not k.startswith("content") else []
    assert not bad, f"decoys are told by {bad}"


if sys.argv[1] == "fill":
    fill(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
else:
    judge(sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]) if len(sys.argv) > 5 else 0.0)
