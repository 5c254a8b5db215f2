#!/bin/bash
# Decoys: they come with a camera's files, are pictures that decode, lock out who opens one as a budget would, and are told of to nobody who looks at the mount; the list stands through
# kill -9 and is made again from the log.
# attack items: 60
. "$(dirname "$0")/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule indexer]
users = root
effect = permit
budget = none
canaries = exempt

[rule everyone]
effect = permit
budget = reader

[budget reader]
files = 500/10min

[canary quiet]
paths = quiet/**
on-open = alert
E
cat >"$TEST_TMP/camera.py" <<'E'
import os, random, subprocess, sys, time
r = random.Random(5)
for i in range(int(sys.argv[2])):
    noise = bytes(min(255, 60 + y + r.randrange(40)) for y in range(48) for _ in range(64 * 3))
    jpeg = subprocess.run(["cjpeg", "-quality", "70"], input=b"P6 64 48 255\n" + noise, stdout=subprocess.PIPE, check=True).stdout
    name = "".join(r.choice("ABCDEFGH") for _ in range(2)) + f"{r.randrange(1000):03}" + "".join(r.choice("ABCDEFGH") for _ in range(2))
    with open(f"{sys.argv[1]}/{name}.jpg", "wb") as f:
        f.write(jpeg)
    if len(sys.argv) > 3:  # a copy, with the time of what was copied
        os.utime(f.name, ns=(0, time.time_ns() - r.choice([1, 3600]) * 86_400 * 10**9 - r.randrange(10**9)))
    time.sleep(r.expovariate(50))
E
for u in t1 t2 t3; do as $u true; done
expect_log 'canary: uid|refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
umount_archive
cp "$ARC/.lapse/canaries" "$TEST_TMP/none-yet"
mount_archive
mkdir -m 755 "$MNT/lane" "$MNT/quiet" "$MNT/counted" "$MNT/none" "$MNT/copied" "$MNT/deep"
chmod 777 "$MNT/lane" "$MNT/quiet"

refuse "--reason" "$LAPSE" canary plant "$MNT/lane"
refuse "a series has" "$LAPSE" canary plant --series "A B" --reason x "$MNT/lane"
check "plates" "$LAPSE" canary plant --per 2 --series "QX##QX" --reason "after the incident" "$MNT/lane"
check "more" "$LAPSE" canary plant --per 1 --reason "after the incident" "$MNT/quiet" "$MNT/counted" "$MNT/copied" "$MNT/deep"
mkdir -p "$MNT/deep/2026/11"

note "files come into such a directory as into any other, but for what their inodes and the last 20 ms of their times tell"
chgrp "$(id -g lapse-t3)" "$MNT/quiet"
chmod 2777 "$MNT/quiet"
as t1 python3 - "$MNT/quiet" "$ARC" <<'P' || die "another than elsewhere"
import os, stat, subprocess, sys, time
d, store = sys.argv[1:]
def new(name, mode):
    fd = os.open(f"{d}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    os.write(fd, b"x")
    os.close(fd)
    return os.stat(f"{d}/{name}")
os.umask(0)
for n in range(200):
    before = time.time_ns()
    st = new(f"{n}", 0o640)
    time.sleep(0.002)
    assert before - 25_000_000 < st.st_mtime_ns <= time.time_ns(), (n, before - st.st_mtime_ns)
    assert (st.st_uid, st.st_gid, st.st_mode & 0o7777, st.st_nlink, st.st_size) == (os.getuid(), os.stat(d).st_gid, 0o640, 1, 1), st
try:
    new("0", 0o600)
    assert False, "twice"
except FileExistsError:
    pass
given = time.time_ns() - 1_000_000_001
with open(f"{d}/given", "wb") as f:
    f.write(b"x")
    f.flush()
    os.utime(f.fileno(), ns=(given, given))
assert os.stat(f"{d}/given").st_mtime_ns == given
P
timed() { python3 -c 'import os,sys; sys.exit(len({os.stat(f"{sys.argv[1]}/{n}").st_mtime_ns % 4000000 // 100000 for n in range(200)}) < 30)' "$MNT/quiet"; }
wait_until 5 timed # once all have been closed
python3 - "$MNT/quiet" "$ARC" <<'P' || die "births tell of it"
import os, subprocess, sys
d, store = sys.argv[1:]
by_ino = {os.stat(f"{p}/{n}").st_ino: f"{p}/{n}" for p, _, names in os.walk(store) for n in names}
paths = [by_ino[os.stat(f"{d}/{n}").st_ino] for n in range(200)]
born = [float(x) for x in subprocess.run(["stat", "-c", "%.W", *paths], stdout=subprocess.PIPE, check=True, text=True).stdout.split()]
if not any(born):
    sys.exit(0)  # no birth is kept here
assert len(set(born)) < 60, sorted(set(born))  # they come by the hundred, not each when its file did
P
rm "$MNT"/quiet/*
chmod 777 "$MNT/quiet"
chmod g-s "$MNT/quiet"
python3 "$TEST_TMP/camera.py" "$MNT/copied" 60 old
python3 "$TEST_TMP/camera.py" "$MNT/deep/2026/11" 30
as t2 python3 "$TEST_TMP/camera.py" "$MNT/lane" 60
as t2 python3 "$TEST_TMP/camera.py" "$MNT/quiet" 30
cp "$(ls "$MNT"/lane/*.jpg | head -n 1)" "$TEST_TMP/one.jpg"
for i in $(seq 12); do cp "$TEST_TMP/one.jpg" "$MNT/counted/IMG_00$((10 + i)).jpg"; sleep 0.0$((i % 4)); done
decoys() { "$LAPSE" canary list --files --json "$MNT" | python3 -c 'import json,sys; print(*(c["path"] for c in json.load(sys.stdin)["canaries"] if (c["path"] or "").startswith(sys.argv[1])))' "$1"; }
some() { [ -n "$(decoys "$1")" ]; }
wait_until 20 some lane/
wait_until 20 some quiet/
wait_until 20 some copied/
wait_until 20 some deep/2026/11/
[ -z "$(decoys counted/)" ] || die "among numbers that rise"
kill_daemon
mount_archive # nothing comes in any more
mapfile -t lane < <(decoys lane/ | tr ' ' '\n')
note "${#lane[@]} decoys among $(ls "$MNT/lane" | wc -l) files: ${lane[0]}"
[[ ${lane[0]} =~ ^lane/QX[0-9][0-9]QX\.jpg$ ]] || die "of the series: ${lane[0]}"
for f in "${lane[@]}"; do
	check "$f decodes" djpeg "$MNT/$f" >/dev/null
	[ "$(stat -c '%U %a' "$MNT/$f")" = "$(stat -c '%U %a' "$(ls -d "$MNT"/lane/[A-H]*.jpg | head -n 1)")" ] || die "owner and mode of $f"
done
for f in $(decoys copied/); do
	days=$((($(date +%s) - $(stat -c %Y "$MNT/$f")) / 86400))
	[ "$days" -ge 0 ] && [ "$days" -le 3600 ] || die "$f is $days days old, among files of 1 and of 3,600"
	[ "$(stat -c %y "$MNT/$f" | cut -c21-29)" != 000000000 ] || die "$f has whole seconds, unlike its neighbours"
	[ "$(stat -c %X "$MNT/$f")" = 0 ] || die "$f was accessed, its neighbours never"
done

note "an export leaves them where they are, and out of its manifest"
check "export" "$LAPSE" export "$MNT" "$TEST_TMP/exported" --reason test >/dev/null
[ "$(cat "$TEST_TMP/exported/manifest" | grep -c 'path=lane/')" = $(($(ls "$MNT/lane" | wc -l) - ${#lane[@]})) ] || die "not the images alone"
for f in "${lane[@]}"; do [ ! -e "$TEST_TMP/exported/files/$f" ] || die "$f came out"; done

tells() { sed "s#${TEST_TMP:?}##g" | grep -qi canar; }

note "who opens one is locked out; what explain, status and the mount say tells nothing"
"$LAPSE" explain --as lapse-t1 "$MNT/${lane[0]}" | tells && die "explain"
"$LAPSE" status "$MNT" | tells && die "status"
image=$(ls -d "$MNT"/lane/[A-H]*.jpg | head -n 1)
check "an image" as t1 cat "$image" >/dev/null
refuse "Permission denied" as t1 cat "$MNT/${lane[0]}"
wait_until 5 grep -q "alert: a decoy was opened; who did is locked out" "$DAEMON_LOG"
refuse "Permission denied" as t1 cat "$image"
told() { as t1 "$LAPSE" explain --denied "$@" >"$TEST_TMP/said" && die "nothing was refused"; true; }
for f in "${lane[0]}" "${image#"$MNT/"}"; do
	told "$MNT/$f"
	grep -q "you are locked out$" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "what he is told"; }
	told --json "$MNT/$f"
	tells <"$TEST_TMP/said" && die "he is told that it was a decoy"
	grep -Eq '"(line|budget|window|used|limit)"' "$TEST_TMP/said" && die "what only a budget's lockout has"
done
check "another reads on" as t3 cat "$image" >/dev/null
check "who is exempt" cat "$MNT/${lane[0]}" >/dev/null
"$LAPSE" guard status "$MNT" --json >"$TEST_TMP/guard" || true
grep -q '"locked out"' "$TEST_TMP/guard" || { cat "$TEST_TMP/guard"; die "guard status"; }
[ "$("$LAPSE" audit tail --kind canary --decision deny -n 9 "$MNT" --json | grep -c '"opened"')" = 1 ] || die "the alarm is on the record"
mapfile -t quiet < <(decoys quiet/ | tr ' ' '\n')
check "reported only" as t3 cat "$MNT/${quiet[0]}" >/dev/null
check "and on" as t3 cat "$image" >/dev/null
[ "$("$LAPSE" audit tail --kind canary --decision alert -n 9 "$MNT" --json | grep -c '"opened"')" = 1 ] || die "that, too"
kill_daemon
mount_archive
refuse "Permission denied" as t1 cat "$image"
check "let in" "$LAPSE" guard unlock --user lapse-t1 --reason "it was the virus scanner" "$MNT"
check "again" as t1 cat "$image" >/dev/null

note "no exposure says that a decoy was an image of somebody"
"$LAPSE" audit exposure --user lapse-t3 --list --json "$MNT" >"$TEST_TMP/exposure"
python3 - "$TEST_TMP/exposure" "${quiet[0]}" <<'P' || { cat "$TEST_TMP/exposure"; die "exposure"; }
import json, sys
d = json.load(open(sys.argv[1]))
assert d["files"] == 1 and d["decoys"] == 1, d
assert sys.argv[2] not in [i["path"] for i in d["images"]]
P

note "the list: the same after a clean end, and made again from the log when it is damaged or gone"
"$LAPSE" canary list --files --json "$MNT" >"$TEST_TMP/before"
umount_archive
printf x | dd of="$ARC/.lapse/canaries" bs=1 seek=5000 conv=notrunc status=none
mount_archive
"$LAPSE" canary list --files --json "$MNT" | diff "$TEST_TMP/before" - || die "after damage"
umount_archive
rm "${ARC:?}/.lapse/canaries"
mount_archive
"$LAPSE" canary list --files --json "$MNT" | diff "$TEST_TMP/before" - || die "after it was gone"
"$LAPSE" canary list --json "$MNT" | grep -q '"per": 2' || die "orders, too"
umount_archive
cp "$TEST_TMP/none-yet" "$ARC/.lapse/canaries"
rm "${ARC:?}/.lapse/snapshots/guard"
mount_archive
"$LAPSE" canary list --files --json "$MNT" | diff "$TEST_TMP/before" - || die "an old list was put back, and what tells that it is old taken away"
check "cancelled" "$LAPSE" canary remove --reason "enough" "$MNT/lane"
refuse "gets no decoys" "$LAPSE" canary remove --reason "enough" "$MNT/lane"
refuse "Permission denied" as t1 cat "$MNT/${lane[0]}"
umount_archive
