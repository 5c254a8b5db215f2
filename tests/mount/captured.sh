#!/bin/bash
# Files of a class that counts from the date of capture: real JPEGs, whose EXIF data says when; what is believed of it, what is not, and what the process that
# reads it may do. With the build whose clock is injected.
. "$(dirname "$0")/lib.sh"
with_test_clock
pass() { clock $((now + $1)); } # so many seconds later
now() { echo $(($(date +%s) + now)); }
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = plain
undo = 1h

[class photos]
match = photos/**
basis = captured
timezone = Asia/Kolkata
expire-after = 1d

[class kept]
match = kept/**
basis = captured
timezone = America/Sao_Paulo
captured-max-age = 2h
retain-for = 1h
expire-after = 1d

[class plain]
match = **
expire-after = 1d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 1min
mount_archive
mkdir "$MNT/photos" "$MNT/kept" "$MNT/plain"
convert -size 320x240 -seed 1 plasma:gray50 "$TEST_TMP/blank.jpg"
# An image that says it was taken so many seconds ago: by a clock in that zone, or of that offset from UTC.
image() { # image FILE SECONDS ZONE [OFFSET]
	cp "$TEST_TMP/blank.jpg" "$TEST_TMP/image.jpg"
	exiftool -q -overwrite_original -DateTimeOriginal="$(TZ=$3 date -d "@$(($(now) - $2))" '+%Y:%m:%d %H:%M:%S')" ${4:+-OffsetTimeOriginal="$4"} "$TEST_TMP/image.jpg"
	cp "$TEST_TMP/image.jpg" "$1"
}
field() { "$LAPSE" explain "$1" --json | sed -n "s/^.*\"$2\": *\"\?\([^\",]*\).*$/\1/p"; }
looked_at() { [ "$(field "$1" undated)" = 0 ]; }
look() { # at all of them
	local f try end
	pass 121
	for f; do
		for try in 1 2 3; do # where no reader could be had in time, it is looked at again in a minute
			end=$((SECONDS + 15))
			until looked_at "$f" || [ $SECONDS -ge $end ]; do sleep 0.1; done
			! looked_at "$f" || break
			pass 61
		done
		looked_at "$f" || die "$f is never looked at"
	done
}
counts() { # counts FILE created|captured SECONDS-BEFORE-ITS-CREATION
	local created basis
	created=$(field "$1" created) basis=$(field "$1" basis)
	[ "$(field "$1" counts-from)" = "$2" ] || die "$1 counts from when it was $(field "$1" counts-from), not $2"
	[ $((created - basis - $3)) -le 3 ] && [ $((created - basis - $3)) -ge -3 ] || die "$1 counts from $((created - basis)) s before its creation, not $3"
	[ "$(field "$1" expires)" = $((basis + 86400)) ] || die "$1 does not expire a day after that"
}
readers() { # children of what the daemon's helper forked for them
	local helper act
	for helper in $(pgrep -P "$DAEMON" -x lapse-helper); do
		for act in $(pgrep -P "$helper"); do pgrep -P "$act" || true; done
	done
}

note "what the file says is believed from seven days before its creation up to it; what says nothing, or nothing believable, counts from its creation"
p=$MNT/photos
image "$p/zone.jpg" 3600 Asia/Kolkata
image "$p/offset.jpg" 7200 UTC +00:00
image "$p/old.jpg" $((8 * 86400)) Asia/Kolkata
image "$p/future.jpg" -7200 Asia/Kolkata
image "$MNT/plain/zone.jpg" 3600 Asia/Kolkata
cp "$TEST_TMP/blank.jpg" "$p/blank.jpg"
echo "no image" >"$p/text.txt"
: >"$p/empty.jpg"
exiftool -q -o "$TEST_TMP/dated.jpg" -DateTimeOriginal="2026:01:01 00:00:00" "$TEST_TMP/blank.jpg"
i=0
for date in "0000:00:00 00:00:00" "9999:12:31 23:59:59" "2026:13:01 00:00:00" "2026:02:30 00:00:00" "2016:12:31 23:59:60" "soon" "    :  :     :  :  "; do
	python3 - "$TEST_TMP/dated.jpg" "$date" "$p/bad$((i += 1)).jpg" <<'P'
import sys
d = open(sys.argv[1], "rb").read()
assert d.count(b"2026:01:01 00:00:00") == 1
open(sys.argv[3], "wb").write(d.replace(b"2026:01:01 00:00:00", sys.argv[2].encode().ljust(19, b"\0")))
P
done
counts "$p/zone.jpg" created 0
"$LAPSE" explain "$p/zone.jpg" >"$TEST_TMP/said"
grep -q 'still to be looked at' "$TEST_TMP/said" || die "explain does not say that it is still to be looked at"
[ -z "$(readers)" ] || die "a reader was started before it was needed"
look "$p"/*
counts "$p/zone.jpg" captured 3600
counts "$p/offset.jpg" captured 7200
for f in old.jpg future.jpg blank.jpg bad1.jpg bad2.jpg bad3.jpg bad4.jpg bad5.jpg bad6.jpg bad7.jpg empty.jpg text.txt; do counts "$p/$f" created 0; done
counts "$MNT/plain/zone.jpg" created 0
"$LAPSE" explain "$p/zone.jpg" >"$TEST_TMP/said"
grep -q 'when it was captured' "$TEST_TMP/said" || die "explain does not say that it counts from its capture"
"$LAPSE" explain "$p/old.jpg" >"$TEST_TMP/said"
grep -q 'no EXIF date of its capture that is believed' "$TEST_TMP/said" || die "explain does not say why it counts from its creation"
"$LAPSE" queue "$MNT" --json >"$TEST_TMP/queue"
grep -q "$(field "$p/zone.jpg" expires)" "$TEST_TMP/queue" || die "the queue does not have the new deadline"

note "the process that reads has no privileges, no descriptor but its socket, and nothing of the daemon's memory"
[ "$(readers | wc -l)" = 1 ] || die "there is not one reader: $(readers)"
reader=$(readers)
python3 - "$reader" "$DAEMON" <<'P'
import os, sys
def status(pid):
    return dict(l.rstrip("\n").split(":\t", 1) for l in open(f"/proc/{pid}/status") if ":\t" in l)
s = status(sys.argv[1])
assert s["Uid"].split() == ["65534"] * 4 and s["Gid"].split() == ["65534"] * 4 and not s["Groups"].split(), s
assert all(int(s[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")), s
assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2" and s["Threads"] == "1", s
fds = os.listdir(f"/proc/{sys.argv[1]}/fd")
assert fds == ["0"] and os.readlink(f"/proc/{sys.argv[1]}/fd/0").startswith("socket:"), fds
# Executed anew: what is not a file is mapped elsewhere than in the daemon.
def memory(pid):
    return {l.split()[0] for l in open(f"/proc/{pid}/maps") if l.split()[4] == "0"}
assert memory(sys.argv[1]) and not memory(sys.argv[1]) & memory(sys.argv[2]) - {"ffffffffff600000-ffffffffff601000"}
P

note "captured so long ago that it is overdue: denied, also to who has it open, and unlinked"
image "$p/overdue.jpg" $((2 * 86400)) Asia/Kolkata
exec 7<"$p/overdue.jpg"
dd bs=100 count=1 status=none <&7 | cmp - <(head -c 100 "$TEST_TMP/image.jpg") || die "readable until it is looked at"
pass 121
wait_until 20 test ! -e "$p/overdue.jpg"
refuse "Key has expired" dd bs=100 count=1 "if=/proc/$$/fd/7"
exec 7<&-
[ "$("$LAPSE" status "$MNT" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["expired-total"])')" = 1 ] || die "it has not expired"

note "written anew, it is looked at anew"
cat "$TEST_TMP/blank.jpg" >"$p/zone.jpg"
image "$p/blank.jpg" 1800 Asia/Kolkata
image "$p/offset.jpg" 0 Asia/Kolkata
look "$p/zone.jpg" "$p/blank.jpg" "$p/offset.jpg"
counts "$p/zone.jpg" created 0
cmp "$TEST_TMP/blank.jpg" "$p/zone.jpg" || die "its content, under its new key"
[ "$(field "$p/blank.jpg" counts-from)" = captured ] || die "it has a date now"
counts "$p/offset.jpg" created 0

note "renamed within two minutes, it is of the new class"
image "$MNT/plain/.upload" 3600 Asia/Kolkata
mv "$MNT/plain/.upload" "$p/uploaded.jpg"
look "$p/uploaded.jpg"
counts "$p/uploaded.jpg" captured 3600

note "a floor counts from the same date, and is committed after that is known"
image "$MNT/kept/a.jpg" 1800 America/Sao_Paulo
image "$MNT/kept/old.jpg" 7300 America/Sao_Paulo
look "$MNT/kept/a.jpg" "$MNT/kept/old.jpg"
counts "$MNT/kept/a.jpg" captured 1800
counts "$MNT/kept/old.jpg" created 0
[ "$(field "$MNT/kept/a.jpg" retain-until)" = $(($(field "$MNT/kept/a.jpg" basis) + 3600)) ] || die "the floor"
[ "$(field "$MNT/kept/a.jpg" state)" = closed ] || die "committed too early"
pass 200
committed() { [ "$(field "$1" state)" = committed ]; }
wait_until 20 committed "$MNT/kept/a.jpg"
refuse "Operation not permitted" rm "$MNT/kept/a.jpg"

note "what was still to be looked at is, by the next mount"
image "$p/late.jpg" 3600 Asia/Kolkata
reader=$(readers)
[ "$(wc -w <<<"$reader")" = 2 ] || die "there are not two readers, one of each zone"
umount_archive
for r in $reader; do wait_until 5 test ! -e "/proc/$r"; done
pass 121
mount_archive
wait_until 20 looked_at "$p/late.jpg"
counts "$p/late.jpg" captured 3600

note "a reader that is killed is replaced; over a file that it hangs at, the daemon serves, and that file counts from its creation"
kill -KILL "$(readers)"
image "$p/a.jpg" 3600 Asia/Kolkata
look "$p/a.jpg"
counts "$p/a.jpg" captured 3600
expect_log 'reader of EXIF data took more than a second over an image'
kill -STOP "$(readers)"
image "$p/b.jpg" 3600 Asia/Kolkata
pass 121
check "the archive is served" cmp "$TEST_TMP/image.jpg" "$p/b.jpg"
wait_until 20 looked_at "$p/b.jpg"
counts "$p/b.jpg" created 0
[ -z "$(readers)" ] || die "what hung is still there"

note "hostile images: each is looked at, and the daemon serves"
expect_log 'reader of EXIF data died over an image'
python3 - "$TEST_TMP/image.jpg" "$p" <<'P'
import random, struct, sys
random.seed(4)
good = open(sys.argv[1], "rb").read()
at = good.index(b"Exif\0\0") + 6
def write(name, data):
    with open(f"{sys.argv[2]}/hostile-{name}.jpg", "wb") as f:
        f.write(data)
for n in range(40):
    d = bytearray(good)
    for _ in range(1 + n % 9):
        d[at + random.randrange(200)] = random.choice((0, 1, 0x7f, 0x80, 0xff, random.randrange(256)))
    write(f"flipped{n}", d)
for n in (4, 20, at, at + 8, at + 30, at + 60):
    write(f"cut{n}", good[:n])
tiff = b"II*\0\x08\0\0\0"
write("loop", tiff + b"\x01\0" + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8))
write("count", tiff + b"\xff\xff" + struct.pack("<HHII", 0x9003, 2, 0xffffffff, 0xfffffff0) * 5000)
write("far", tiff[:4] + b"\xff\xff\xff\xff" + bytes(300000))
write("segments", b"\xff\xd8" + b"\xff\xe0\0\x02" * 65000)
P
look "$p"/hostile-*
check "the archive is served" cmp "$TEST_TMP/image.jpg" "$p/b.jpg"
image "$p/c.jpg" 3600 Asia/Kolkata
look "$p/c.jpg"
counts "$p/c.jpg" captured 3600

note "a policy that comes to count from it: what there is is looked at once that cannot be undone"
image "$MNT/plain/later.jpg" 3600 Asia/Kolkata
pass 300
sed '/^.class plain/a basis = captured\ntimezone = Asia/Kolkata' "$TEST_TMP/policy.ini" >"$TEST_TMP/all.ini"
check "policy apply" "$LAPSE" policy apply "$TEST_TMP/all.ini" "$MNT"
marked() { [ "$(field "$MNT/plain/later.jpg" undated)" = 1 ]; }
wait_until 20 marked
pass 3000
image "$MNT/plain/new.jpg" 3600 Asia/Kolkata
look "$MNT/plain/new.jpg"
counts "$MNT/plain/new.jpg" captured 3600
marked || die "looked at while the change could be undone"
counts "$MNT/plain/later.jpg" created 0
pass 600
wait_until 20 looked_at "$MNT/plain/later.jpg"
counts "$MNT/plain/later.jpg" captured 3600
umount_archive

note "policy check knows the zones of this machine"
sed 's,Asia/Kolkata,Asia/Kolkatta,' "$TEST_TMP/policy.ini" >"$TEST_TMP/unknown.ini"
"$LAPSE" policy check "$TEST_TMP/unknown.ini" >"$TEST_TMP/out" 2>&1 || true
grep -q 'knows no time zone Asia/Kolkatta' "$TEST_TMP/out" || { cat "$TEST_TMP/out"; die "policy check"; }
