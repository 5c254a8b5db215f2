#!/bin/bash
# Budgets in names: listings and lookups are counted, a listing over budget fails and never comes out short; who makes files is not charged for looking whether they
# are there; nothing is refilled by kill -9; `names = strict` has every lookup asked for.
# attack items: 30
. "$(dirname "$0")/lib.sh"
for u in t1 t2 t3 t4; do as $u true; done
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class plates]
match = strict/**
names = strict
expire-after = 1y

[class images]
match = **
expire-after = 1y

[rule root]
users = root
effect = permit
budget = none

[rule everyone]
effect = permit
budget = reader

[budget reader]
names = 1000/1h
E
expect_log 'refused: uid|over budget'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/many" "$MNT/few" "$MNT/strict" "$MNT/in"
python3 - "$MNT" <<'P'
import os, sys
for i in range(400): open(f"{sys.argv[1]}/many/{i}.jpg", "w").close()
for i in range(10): open(f"{sys.argv[1]}/few/{i}.jpg", "w").close()
open(f"{sys.argv[1]}/strict/a.jpg", "w").close()
P
used() { "$LAPSE" guard status "$MNT" --user "lapse-$1" --json | python3 -c '
import json, sys
print(next((r["used"] for r in json.load(sys.stdin)["guard"] if r["unit"] == "names"), 0))'; }
names() { as "$1" ls "$MNT/$2"; }
# refused_on_record USER: the listings and lookups that were refused, as the record has them
refused_on_record() { "$LAPSE" audit export --reason test "$MNT" 2>/dev/null | python3 -c '
import json, sys
print(sum(r["kind"] == "list" and r["decision"] == "deny" and r["errno"] == 122 and r["uid"] == int(sys.argv[1]) for r in map(json.loads, sys.stdin)))' "$(id -u "lapse-$1")"; }

note "a listing costs what it shows, each time"
[ "$(names t1 many | wc -l)" = 400 ] || die "names of many"
first=$(used t1)
[ "$first" -ge 400 ] && [ "$first" -le 402 ] || die "$first used by the first listing"
names t1 many >/dev/null
[ "$(used t1)" = $((first + 400)) ] || die "$(used t1) used after the second"
note "over budget it fails as a whole"
refuse "Disk quota exceeded" names t1 many
[ -z "$(names t1 many 2>/dev/null)" ] || die "a part of it was shown"
[ "$(refused_on_record t1)" = 2 ] || die "$(refused_on_record t1) refused listings on the record, not 2"
[ "$(names t1 few | wc -l)" = 10 ] || die "what fits is shown"
[ "$(used t2)" = 0 ] || die "another has used some"

note "an open directory is no way around: rewinding and seeking show no more than was charged"
python3 - "$MNT/many" "$(id -u lapse-t2)" <<'P'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
os.setresuid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
def entries(fd):
    buf, names = ctypes.create_string_buffer(32768), 0
    while True:
        n = libc.syscall(217, fd, buf, 32768)
        if n < 0: return names, ctypes.get_errno()
        if n == 0: return names, 0
        at = 0
        while at < n:
            size = int.from_bytes(buf.raw[at + 16:at + 18], "little")
            name = buf.raw[at + 19:at + size].split(b"\0")[0]
            names += name not in (b".", b"..")
            at += size
fd, shown = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY), 0
for n in range(20):
    os.lseek(fd, 0 if n % 2 else 1, os.SEEK_SET)
    shown += entries(fd)[0]
assert 400 <= shown <= 1000, shown
P
[ "$(used t2)" -le 1000 ] || die "$(used t2)"

note "kill -9 refills nothing"
before=$(used t1)
kill_daemon
mount_archive
after=$(used t1)
[ "$after" -ge "$before" ] && [ "$after" -le $((before + 256)) ] || die "$before were used, and $after after kill -9"

note "guessing is counted, whether there is such a file or not"
echo x >"$MNT/strict/a.jpg"
chown lapse-t4 "$MNT/in"
as t3 python3 - "$MNT/many" <<'P'
import errno, os, sys
codes = []
for i in range(1500):
    try: os.stat(f"{sys.argv[1]}/guess-{i}")
    except OSError as e: codes.append(e.errno)
assert codes.count(errno.ENOENT) in range(990, 1001) and codes.count(errno.EDQUOT) == 1500 - codes.count(errno.ENOENT), (codes.count(2), len(codes))
P
[ "$(refused_on_record t3)" -ge 1 ] || die "no refused guess is on the record"
note "who makes files is not charged for looking whether they are there"
as t4 python3 - "$MNT/in" <<'P'
import os, sys
for i in range(3000):
    with open(f"{sys.argv[1]}/.{i}.part", "w") as f: f.write("x")
    os.rename(f"{sys.argv[1]}/.{i}.part", f"{sys.argv[1]}/{i}.jpg")
P
[ "$(used t4)" -le 20 ] || die "$(used t4) used by making 3000 files"

note "but for one that takes the place of another"
chmod 777 "$MNT/strict"
asked=$(used t4)
as t4 python3 - "$MNT/strict" <<'P'
import os, sys
open(f"{sys.argv[1]}/old.jpg", "x").close()
for i in range(20):
    with open(f"{sys.argv[1]}/.{i}.part", "x") as f: f.write("x")
    os.rename(f"{sys.argv[1]}/.{i}.part", f"{sys.argv[1]}/old.jpg")
P
[ "$(used t4)" -ge $((asked + 40)) ] || die "$asked, then $(used t4): by one lookup of each of the names"

note "strict: every lookup is asked for"
asked=$(used t4)
for i in 1 2 3 4 5; do as t4 test -e "$MNT/strict/a.jpg"; as t4 test ! -e "$MNT/strict/none.jpg"; done
[ "$(used t4)" -ge $((asked + 10)) ] || die "$asked, then $(used t4)"
check "and listed with attributes" as t4 ls -l "$MNT/strict"
umount_archive
