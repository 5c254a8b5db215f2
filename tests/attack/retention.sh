#!/bin/bash
# Ways to keep a file longer, or to be rid of it sooner, than its class says: directories moved while files are open or just committed, hard links into other
# classes, exchanges that fail, a crash before the commit. Evasions by touch, chmod, rename, link, open descriptor.
# attack items: 10 12 17
. "$(dirname "$0")/../mount/lib.sh"
with_test_clock
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images
settle = 2min

[class passports]
match = passports/**
expire-after = 1h

[class vault]
match = vault/**
retain-for = 1000h
expire-after = never
commit-after = close
mode = compliance

[class slow]
match = slow/**
retain-for = 2h
expire-after = 4h
commit-after = 1min

[class images]
expire-after = 30d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 1min
mount_archive
mkdir "$MNT"/{passports,vault,slow,images}
field() { timeout 20 "$LAPSE" explain "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"; }
at_most() { [ "$(field "$1" expires)" -le "$2" ] || die "$3: $(($(field "$1" expires) - $2)) s longer than before"; }
rename() { python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$@"; }
exchange() { python3 -c 'import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2): sys.exit(os.strerror(ctypes.get_errno()))' "$@"; }

note "a directory moved while its file is open for writing"
mkdir "$MNT/passports/d"
echo p >"$MNT/passports/d/x"
date=$(field "$MNT/passports/d/x" expires)
clock 200
exec 3>>"$MNT/passports/d/x"
echo more >&3
mv "$MNT/passports/d" "$MNT/images/d"
at_most "$MNT/images/d/x" "$date" "written while its directory was moved"
exec 3>&-
at_most "$MNT/images/d/x" "$date" "closed after its directory was moved"

note "a directory moved under a floor that is longer than the file's life, and back"
mkdir "$MNT/passports/e"
echo p >"$MNT/passports/e/x"
date=$(field "$MNT/passports/e/x" expires)
clock 400
mv "$MNT/passports/e" "$MNT/vault/e"
at_most "$MNT/vault/e/x" "$date" "under a long floor"
mv "$MNT/vault/e" "$MNT/passports/e"
at_most "$MNT/passports/e/x" "$date" "back again"

note "a hard link into a class with a long floor, or a long life"
echo p >"$MNT/passports/l"
date=$(field "$MNT/passports/l" expires)
clock 600
refuse "Invalid cross-device link" ln "$MNT/passports/l" "$MNT/vault/l"
ln "$MNT/passports/l" "$MNT/images/l"
at_most "$MNT/images/l" "$date" "by its other name"
at_most "$MNT/passports/l" "$date" "by its first name"
echo i >"$MNT/images/short"
clock 800
ln "$MNT/images/short" "$MNT/passports/short"
[ "$(field "$MNT/images/short" expires)" -le $(($(field "$MNT/images/short" created) + 3600)) ] || die "a name in a stricter class counts for nothing"

note "committed, but not settled: its directory moved out, and it deleted"
mkdir "$MNT/vault/d"
echo v >"$MNT/vault/d/x"
mv "$MNT/vault/d" "$MNT/images/v"
refuse "Operation not permitted" rm "$MNT/images/v/x"
refuse "Operation not permitted" rename "$MNT/images/v/x" "$MNT/images/free"
clock 830 # a sweeper that came while the directory moved looks again some seconds later
wait_until 20 eval '[ "$(field "$MNT/images/v/x" state)" = committed ]'
refuse "Operation not permitted" rm "$MNT/images/v/x"

note "an exchange that is refused leaves the other file as it was"
echo a >"$MNT/passports/fresh"
echo v >"$MNT/vault/fixed"
echo i >"$MNT/images/i"
clock 1000
date=$(field "$MNT/images/i" expires) generation=$(field "$MNT/images/i" generation)
refuse "Operation not permitted" exchange "$MNT/images/i" "$MNT/vault/fixed"
[ "$(field "$MNT/images/i" expires)" = "$date" ] || die "a refused exchange changed a deadline"
[ "$(field "$MNT/images/i" generation)" = "$generation" ] || die "a refused exchange wrote a header"
[ "$(cat "$MNT/images/i" "$MNT/vault/fixed")" = $'i\nv' ] || die "contents"

note "a crash before the commit: it commits all the same"
exec 4>>"$MNT/slow/y"
echo y >&4
sync -f "$MNT/slow/y"
expect_log 'unclean|did not end well|recover'
kill_daemon
exec 4>&- || true
mount_archive
[ "$(cat "$MNT/slow/y")" = y ] || die "recovered"
clock $((now + 90))
refuse "Operation not permitted" rm "$MNT/slow/y"
umount_archive
