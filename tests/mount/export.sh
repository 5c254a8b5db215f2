#!/bin/bash
# lapse export: what has not expired comes out as it went in, with a manifest that another program can check, outside the budgets, each file on the record.
. "$(dirname "$0")/lib.sh"
tree() { python3 "$SRC/tests/mount/importtree.py" "$@"; }
expect_log '^damaged: '
export_() { # export_ EXPECTED-STATUS options…
	local want=$1 got=0
	shift
	timeout 60 "$LAPSE" export "$@" >"$TEST_TMP/said" 2>&1 </dev/null || got=$?
	[ $got -eq "$want" ] || { cat "$TEST_TMP/said"; die "exit status $got, not $want: export $*"; }
}
said() { grep -qF -- "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "should have said '$1'"; }; }
printf '%s\n' '[policy]' 'version = 1' 'default-class = keep' \
	'[class brief]' 'match = brief/**' 'expire-after = 3s' \
	'[class other]' 'match = other/**' 'expire-after = 1y' \
	'[class keep]' 'match = **' 'expire-after = 75y' \
	'[rule everyone]' 'effect = permit' 'budget = few' \
	'[budget few]' 'files = 2/1h' >"$TEST_TMP/policy.ini"
archive_new "$TEST_TMP/policy.ini" --epoch 1s
mount_archive
tree make "$TEST_TMP/src" 6 120
tree list "$TEST_TMP/src" >"$TEST_TMP/want"
timeout 60 "$LAPSE" import "$MNT" --from "$TEST_TMP/src" --basis now >/dev/null 2>&1
records() { { timeout 10 "$LAPSE" status "$MNT" --json || true; } | python3 -c 'import json,sys; print(json.load(sys.stdin)["log-records"])'; }
before=$(records)
export_ 2 "$MNT" "$TEST_TMP/out"
export_ 3 "$MNT" "$MNT/out" --reason test
said "lies in the archive"
export_ 3 "$MNT" "$ARC/out" --reason test
export_ 3 "$MNT" "$TEST_TMP/out" --reason test --class none
export_ 0 "$MNT" "$TEST_TMP/out2" --reason "court order 7"
tree same "$TEST_TMP/want" "$TEST_TMP/out2/files" || die "it is not what went in"
[ $(($(records) - before)) -ge 121 ] || die "not each file is on the record"
python3 - "$TEST_TMP/out2" <<'PY' || die "the manifest"
import hashlib, os, re, sys, urllib.parse
root, n, named = os.fsencode(sys.argv[1]), 0, set()
for line in open(os.path.join(root, b"manifest"), "rb").read().splitlines():
    word, *fields = line.split(b"\t")
    f = dict(x.split(b"=", 1) for x in fields)
    path = urllib.parse.unquote_to_bytes(f[b"path"])
    at = os.path.join(root, b"files", path)
    named.add(path)
    if word == b"link":
        assert os.path.samefile(at, os.path.join(root, b"files", urllib.parse.unquote_to_bytes(f[b"file"]))), line
        continue
    d = open(at, "rb").read()
    assert word == b"file" and len(d) == int(f[b"size"]) and f[b"class"] == b"keep" and re.fullmatch(b"[0-9a-f]{32}", f[b"id"]), line
    assert hashlib.blake2b(d, digest_size=32).hexdigest().encode() == f[b"blake2b-256"], path
    n += 1
assert n == 121, n
files = os.path.join(root, b"files")
there = {os.path.relpath(os.path.join(d, f), files) for d, _, fs in os.walk(files) for f in fs if os.path.isfile(os.path.join(d, f)) and not os.path.islink(os.path.join(d, f))}
assert there == named and len(named) > n, (there ^ named, len(named))
PY
export_ 3 "$MNT" "$TEST_TMP/out2" --reason again
said "name a new or empty directory"

note "what is damaged is told, what has expired stays dark, a class alone"
mkdir "$MNT/brief" "$MNT/other"
echo secret >"$MNT/brief/gone"
echo kept >"$MNT/other/kept"
wait_until 20 sh -c "! cat '$MNT/brief/gone' >/dev/null 2>&1"
export_ 0 "$MNT" "$TEST_TMP/out3" --reason test --class other
[ "$(cd "$TEST_TMP/out3/files" && find . -type f)" = ./other/kept ] || die "not the class alone"
umount_archive
python3 - "$ARC" <<'PY'
import os, sys
f = max((os.path.join(d, f) for d, _, fs in os.walk(sys.argv[1]) if "/.lapse" not in d for f in fs), key=lambda p: os.lstat(p).st_size)
with open(f, "r+b") as h:
    h.seek(5000)
    h.write(b"x")
PY
export_ 1 "$ARC" "$TEST_TMP/out4" --reason test --key-file "$KEY"
said "left: large: it is damaged"
[ ! -e "$TEST_TMP/out4/files/large" ] && [ -e "$TEST_TMP/out4/manifest" ] || die "half a file was left, or no manifest"
! grep -rqs secret "$TEST_TMP"/out?/files || die "what has expired was exported"
