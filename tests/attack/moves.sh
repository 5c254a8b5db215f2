#!/bin/bash
# Names: a file denied here is not readable by another name, nor one on a budget for nothing; and no name, no writing, makes it live longer.
# attack items: 10 13 14
. "$(dirname "$0")/../mount/lib.sh"
as t1 true
as t2 true
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = rest
settle = 1s

[class faces]
match = faces/**
expire-after = 12h

[class rest]
match = **
expire-after = 730d

[rule denied]
users = lapse-t1
paths = secret/**
effect = deny

[rule free]
paths = hits/**
effect = permit
budget = none

[rule everyone]
effect = permit
budget = five

[budget five]
files = 5/10min
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive "$@"
cd "$MNT"
mkdir secret faces open hits
chmod 777 . secret faces open hits
for i in $(seq 9); do echo "image s$i" >secret/$i; echo "image o$i" >open/$i; done
chmod 666 */*

note "denied by path: rename, link, the directory's rename, exchange, unlink and reopen"
refuse "Permission denied" as t1 cat secret/1
refuse "Permission denied" as t1 mv secret/1 open/x
refuse "Permission denied" as t1 ln secret/1 open/x
refuse "Permission denied" as t1 mv secret elsewhere
mkdir -m 777 secret/deep
refuse "Permission denied" as t1 mv secret/deep open/deep
echo mine >open/mine
chmod 666 open/mine
as t1 /usr/bin/python3 - <<'P'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for flags in (2, 4, 6):  # exchange, whiteout
    assert libc.renameat2(-100, b"secret/2", -100, b"open/mine", flags) == -1, "exchanged"
assert libc.renameat2(-100, b"open/mine", -100, b"secret/2", 2) == -1, "exchanged"
fd = os.open("secret/3", os.O_WRONLY)
os.unlink("secret/3")
try:
    print(os.read(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY), 100))
    raise SystemExit("read once it had no name")
except PermissionError:
    pass
P
for i in 1 2 4; do refuse "Permission denied" as t1 cat secret/$i; done
check "who is not denied may move" as t2 mv secret/9 open/nine

note "on a budget: not into a directory where there is none"
for i in $(seq 9); do as t2 mv open/$i hits/$i 2>/dev/null && die "moved to where reading is free"; done
check "within the same rule" as t2 mv open/9 open/9b

note "an upload may go where it belongs"
as t1 sh -c 'echo upload >open/.up.tmp && mv open/.up.tmp hits/up && cat hits/up' >/dev/null || die "an upload by rename"
as t1 sh -c 'echo upload >secret/.up.tmp && mv secret/.up.tmp secret/up' || die "an upload to where its writer may not read"

note "written to once more, a settled file does not settle anew"
lives() { "$LAPSE" explain "$1" --json | /usr/bin/python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["expires"] - d["basis"])'; }
settled() { "$LAPSE" explain "$1" --json | /usr/bin/python3 -c 'import json,sys,time; sys.exit(json.load(sys.stdin)["settles"] > time.time())'; }
for n in append truncate held exchange; do echo face >faces/$n; done
chmod 666 faces/*
for n in append truncate held exchange; do wait_until 10 settled "$MNT/faces/$n"; done
as t2 sh -c 'echo >>faces/append; mv faces/append open/append'
[ "$(lives "$MNT/open/append")" = 43200 ] || die "appending made a file live for $(lives "$MNT/open/append") s"
as t2 sh -c ': >faces/truncate; echo new >faces/truncate; mv faces/truncate open/truncate'
[ "$(lives "$MNT/open/truncate")" = 43200 ] || die "truncating made a file live for $(lives "$MNT/open/truncate") s"
as t2 sh -c 'exec 3>>faces/held; echo x >&3; mv faces/held open/held; echo y >&3; mv open/held open/held2'
[ "$(lives "$MNT/open/held2")" = 43200 ] || die "holding it open made a file live for $(lives "$MNT/open/held2") s"
cd /
umount_archive
