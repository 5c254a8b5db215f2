#!/bin/bash
# Samba over a directory of the mount and over one of the filesystem below, smbclient on loopback: the same for a client; and what a client is told when a budget is
# used up.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sides.bash"
. "$(dirname "$0")/smbd.bash"
as t1 true
uid=$(id -u lapse-t1)
# client SHARE COMMANDS: what smbclient says, without what is of the moment.
client() {
	(cd "$SMB/client" && timeout 60 smbclient -s "$SMB/conf" -N -p "$port" "//127.0.0.1/$1" -c "$2" </dev/null 2>&1) |
		sed -E 's/ *\([0-9.]+ [a-zA-Z]+\/s(ec)?\)//g; s/\(average [^)]*\)//g; s/[A-Z][a-z]{2} [A-Z][a-z]{2} +[0-9]+ [0-9:]+ [0-9]{4}/DATE/; s/\(?[a-z_]*time:.*//; /blocks of size/d' | sort || true
}

both_shares() {
	local side
	for side in plain mount; do
		rm -rf "${SMB:?}/client"
		cp -r "$TEST_TMP/client" "$SMB/client"
		client $side "$2" >"$TEST_TMP/said.$side"
		rm -f "${SMB:?}/client/all.tar" # it has times of the moment; what comes out of it is compared
		rm -rf "${TEST_TMP:?}/got.$side"
		mv "$SMB/client" "$TEST_TMP/got.$side"
	done
	cmp -s "$TEST_TMP/said.plain" "$TEST_TMP/said.mount" || { diff "$TEST_TMP/said.plain" "$TEST_TMP/said.mount" | sed 20q || true; die "$1: smbclient says something else"; }
	check "$1: what the client got" diff -r "$TEST_TMP/got.plain" "$TEST_TMP/got.mount"
	sides_same "$1"
	note "$1"
}
said() { grep -q -- "$1" "$TEST_TMP/said.mount" || { cat "$TEST_TMP/said.mount"; die "smbclient should have said: $1"; }; }

sed "/^\[rule/,\$d" "$TEST_TMP/open.ini" >"$TEST_TMP/policy.ini"
cat >>"$TEST_TMP/policy.ini" <<E
[rule service]
users = $uid
paths = limited/**
effect = permit
budget = tiny

[rule everyone]
effect = permit
budget = none

[budget tiny]
files = 2/24h
error = access
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
sides_new share
chown lapse-t1: "$PLAIN" "$SIDE"
mkdir -p "$TEST_TMP/client/new"
for n in 1 2 3 4 5; do head -c $((n * n * 41000)) /dev/urandom >"$TEST_TMP/client/$n.jpg"; done
head -c 90000 "$TEST_TMP/client/5.jpg" >"$TEST_TMP/client/begun"
smbd_start plain "$PLAIN" lapse-t1 mount "$SIDE" lapse-t1

both_shares "put, list, get" 'put 1.jpg; mkdir d; cd d; put 2.jpg; put 3.jpg "Name with blanks.jpg"; ls; get 2.jpg back; cd ..; ls; recurse; ls; allinfo 1.jpg; get nowhere'
cmp "$TEST_TMP/client/2.jpg" "$TEST_TMP/got.mount/back" || die "what was put is not what is got"
both_shares "put again, larger and smaller" 'put 4.jpg 1.jpg; put 1.jpg d/2.jpg; get 1.jpg b1; get d/2.jpg b2'
# smbclient writes what remains at the beginning of the file; what matters is that it does so in both.
both_shares "reput" 'put begun 5.jpg; reput 5.jpg 5.jpg; get 5.jpg all; del 5.jpg'
cat >"$TEST_TMP/append.py" <<'P'
"""append.py URL: what a recorder does over SMB: appends in pieces, writes in the middle, and reads pieces back."""
import os, random, smbc, sys
rnd, c = random.Random(5), smbc.Context()
url, want = sys.argv[1] + "/appended", b""
for i in range(20):
    f, piece = c.open(url, os.O_CREAT | os.O_RDWR), rnd.randbytes(rnd.choice([1, 4096, 30000, 70000]))
    assert f.lseek(0, os.SEEK_END) == len(want)
    f.write(piece)
    want += piece
    if i % 5 == 4:
        at = rnd.randrange(len(want) - 1000)
        f.lseek(at, 0)
        f.write(b"M" * 1000)
        want = want[:at] + b"M" * 1000 + want[at + 1000:]
    f.close()
g = c.open(url, os.O_RDWR)
for i in range(20):
    at = rnd.randrange(len(want))
    g.lseek(at, 0)
    assert g.read(5000) == want[at:at + 5000]
g.lseek(0, 0)
got = b""
while piece := g.read(60000):
    got += piece
assert got == want
g.close()
print(len(want), "bytes")
P
for side in plain mount; do
	HOME=$SMB check "appends to $side" /usr/bin/python3 "$TEST_TMP/append.py" "smb://127.0.0.1:$port/$side"
done
sides_same "append, overwrite, read pieces"
both_shares "put it again" 'put 5.jpg'
both_shares "reget" 'put begun half; reget 5.jpg begun'
cmp "$TEST_TMP/client/5.jpg" "$TEST_TMP/got.mount/begun" || die "what was got in two halves"
both_shares "rename" 'rename 1.jpg one.jpg; rename d e; rename one.jpg e/one.jpg; rename e/2.jpg nowhere/2.jpg; rename 5.jpg half; rename 5.jpg half -f; ls; ls e/*'
both_shares "mput, mget" 'prompt; mput *.jpg; lcd new; mget *.jpg; mget nothing*; ls'
both_shares "a whole tree" 'tarmode noverbose; tar c all.tar e; deltree e; ls; tar x all.tar; ls e/*'
both_shares "attributes, modes, links" 'setmode half +r; allinfo half; setmode half -r; put 1.jpg a; hardlink a b; ls; del b; utimes a 2020:01:02-03:04:05 2020:01:02-03:04:05 2020:01:02-03:04:05 2020:01:02-03:04:05'
both_shares "mkdir, rmdir, del" 'rmdir e; mkdir f; rmdir f; rmdir f; mkdir e; del half; del half; del *.jpg; ls'
both_shares "a copy on the server" 'put 5.jpg; scopy 5.jpg copy.jpg; get copy.jpg c'
cmp "$TEST_TMP/client/5.jpg" "$TEST_TMP/got.mount/c" || die "what the server copied"

note "a budget of two files, used up"
smbd_stop
mkdir "$MNT/limited"
for n in 1 2 3 4; do cp "$TEST_TMP/client/$n.jpg" "$MNT/limited/"; done
chown -R lapse-t1: "$MNT/limited"
SIDE=$MNT/limited
smbd_start plain "$PLAIN" lapse-t1 mount "$SIDE" lapse-t1
mkdir "$SMB/client"
client mount 'get 1.jpg; get 2.jpg; get 3.jpg; ls; get 1.jpg again' >"$TEST_TMP/said.mount"
cmp "$TEST_TMP/client/1.jpg" "$SMB/client/1.jpg" && cmp "$TEST_TMP/client/2.jpg" "$SMB/client/2.jpg" || die "two files are permitted"
cmp "$TEST_TMP/client/1.jpg" "$SMB/client/again" || die "one of the two, again"
said 'NT_STATUS_ACCESS_DENIED opening remote file \\3.jpg'
said ' 4.jpg '
[ ! -s "$SMB/client/3.jpg" ] || die "a third file came"
smbd_stop
umount_archive
