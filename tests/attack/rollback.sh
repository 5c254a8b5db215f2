#!/bin/bash
# Parts of an archive put back from an earlier time, cut, changed or removed: a mount refuses each with a sentence, `lapse fsck` says what is behind, and goes on from
# it only when that is accepted with a reason. Whatever is accepted, what has expired stays dark.
# timeout: 240
# attack items: 4 43
. "$(dirname "$0")/../mount/lib.sh"
PYTHON=/usr/bin/python3 # the distribution's, whose PyNaCl the second reader uses
export PYTHONDONTWRITEBYTECODE=1

cat >"$TEST_TMP/policy.ini" <<'P'
[policy]
version = 1
default-class = keep

[class short]
match = short/**
expire-after = 10s

[class keep]
match = **
expire-after = 1d

[rule everyone]
effect = permit
budget = none
P
archive_new "$TEST_TMP/policy.ini" --epoch 1s
seg=$ARC/.lapse/audit/0000000000000001.seg
head -c 32 /dev/urandom >"$TEST_TMP/key2"
chmod 600 "$TEST_TMP/key2"

# put STORE ANCHOR: the archive is what it was then.
put() {
	rm -rf "$ARC"
	cp -a "$TEST_TMP/$1" "$ARC"
	cp "$TEST_TMP/$2" "$TEST_TMP/anchor"
}
fsck() { timeout 60 "$LAPSE" fsck "$ARC" --key-file "$KEY" "$@" >"$TEST_TMP/fsck.out" 2>&1 </dev/null; }

# refused SENTENCE: by a mount, which says so once and leaves nothing behind.
refused() {
	local status=0 before after
	before=$(sha256sum <"$TEST_TMP/anchor")
	timeout 60 "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" >"$TEST_TMP/mount.out" 2>&1 </dev/null || status=$?
	[ $status -eq 3 ] || { cat "$TEST_TMP/mount.out" >&2; die "mount ended with status $status, not 3 ($1)"; }
	grep -qE -- "$1" "$TEST_TMP/mount.out" || die "mount should have said '$1', but said '$(cat "$TEST_TMP/mount.out")'"
	[ "$(wc -l <"$TEST_TMP/mount.out")" -le 2 ] || die "more than a sentence: $(cat "$TEST_TMP/mount.out")"
	! mountpoint -q "$MNT" || die "it is mounted all the same"
	after=$(sha256sum <"$TEST_TMP/anchor")
	[ "$before" = "$after" ] || die "a refused mount has changed the anchor"
}

# found STATUS LINE…: what fsck says of the parts.
found() {
	local want=$1 status=0 line
	shift
	fsck || status=$?
	[ $status -eq "$want" ] || { cat "$TEST_TMP/fsck.out" >&2; die "fsck ended with status $status, not $want"; }
	for line in "$@"; do grep -qE -- "^$line" "$TEST_TMP/fsck.out" || { cat "$TEST_TMP/fsck.out" >&2; die "fsck should say '$line'"; }; done
}

accepted() {
	local status=0
	fsck --accept-rollback --reason "the test of $1" || status=$?
	[ $status -eq 3 ] && grep -q -- --yes "$TEST_TMP/fsck.out" || die "accepted without being asked: $(cat "$TEST_TMP/fsck.out")"
	fsck --accept-rollback --reason "the test of $1" --yes || { cat "$TEST_TMP/fsck.out" >&2; die "not accepted: $1"; }
	found 0 'keyring *ok' 'anchor *ok' 'policy *ok' 'log *ok'
	timeout 60 "$PYTHON" "$SRC/tests/reader/reader.py" "$ARC" --key-file "$KEY" --anchor "$TEST_TMP/anchor" >/dev/null 2>"$TEST_TMP/problems" ||
		{ cat "$TEST_TMP/problems" >&2; die "the second reader does not find it of one time: $1"; }
}

# The keys, whatever the clock says: a second reader that ignores deadlines, with this anchor.
reader() {
	local status=0
	timeout 60 "$PYTHON" "$SRC/tests/reader/reader.py" "$ARC" --key-file "$KEY" --anchor "$1" --accept-rollback --ignore-deadlines \
		>"$TEST_TMP/read" 2>"$TEST_TMP/problems" || status=$?
	[ $status -le 1 ] || { cat "$TEST_TMP/problems" >&2; die "the second reader ended with status $status"; }
}
opens() { [ "$(grep -ac "^ok $1/" "$TEST_TMP/read")" = "$2" ] || { cat "$TEST_TMP/read" "$TEST_TMP/problems" >&2; die "should open $2 of $1"; }; }

# keeps N: mounts; N files of keep/ are as they were written, none of short/ can be read.
keeps() {
	local i
	mount_archive
	for i in $(seq "$1"); do check "keep/$i" cmp "$TEST_TMP/plain/$i" "$MNT/keep/$i.jpg"; done
	for i in 1 2 3; do
		! cat "$MNT/short/$i.jpg" >"$TEST_TMP/out" 2>/dev/null || die "short/$i.jpg has expired, and can be read"
		[ ! -s "$TEST_TMP/out" ] || die "bytes of short/$i.jpg came out"
	done
	umount_archive
}

note "yesterday, and today"
mkdir "$TEST_TMP/plain"
mount_archive
mkdir "$MNT/short" "$MNT/keep"
for i in 1 2 3; do head -c 30000 /dev/urandom | tee "$TEST_TMP/plain/$i" "$MNT/short/$i.jpg" >"$MNT/keep/$i.jpg"; done
umount_archive
cp -a "$ARC" "$TEST_TMP/yesterday"
cp "$TEST_TMP/anchor" "$TEST_TMP/anchor-yesterday"
reader "$TEST_TMP/anchor"
opens short 3
mount_archive
wait_until 40 sh -c "[ -z \"\$(ls -A '$MNT/short')\" ]"
head -c 30000 /dev/urandom | tee "$TEST_TMP/plain/4" >"$MNT/keep/4.jpg"
umount_archive
"$LAPSE" key add "$ARC" --key-file "$KEY" --new-key-file "$TEST_TMP/key2" >/dev/null || die "key add"
cp "$ARC/.lapse/keyring" "$TEST_TMP/keyring-two"
{ cat "$TEST_TMP/policy.ini"; echo "# of today"; } >"$TEST_TMP/policy2.ini"
"$LAPSE" policy apply "$TEST_TMP/policy2.ini" "$ARC" --key-file "$KEY" >/dev/null || die "policy apply"
cp -a "$ARC" "$TEST_TMP/today"
cp "$TEST_TMP/anchor" "$TEST_TMP/anchor-today"
found 0 'keyring *ok' 'anchor *ok' 'policy *ok' 'log *ok'

note "yesterday's store, today's anchor"
put yesterday anchor-today
refused 'keyring is older .*lapse fsck'
found 1 'keyring *behind' 'anchor *ok' 'policy *behind' 'log *behind *ends with record'
accepted "yesterday's store"
reader "$TEST_TMP/anchor"
opens short 0
opens keep 3
expect_log 'recovered'
keeps 3

note "today's store, yesterday's anchor"
put today anchor-yesterday
rsync -a --ignore-existing --exclude .lapse "$TEST_TMP/yesterday/" "$ARC/" # what had expired lies in its place again
refused 'anchor is older .*lapse fsck'
found 1 'anchor *behind' 'log *ok'
reader "$TEST_TMP/anchor"
opens short 3 # which is why it is refused
accepted "yesterday's anchor"
reader "$TEST_TMP/anchor"
opens short 0
opens keep 4
keeps 4

note "the log: its end cut off, a record changed, another name, gone"
for attack in cut flipped renamed gone; do
	put today anchor-today
	case $attack in
	cut) truncate -s -300 "$seg" ;;
	flipped) printf '\377' | dd of="$seg" bs=1 seek=$(($(stat -c %s "$seg") / 2)) conv=notrunc status=none ;;
	renamed) mv "$seg" "${seg%1.seg}2.seg" ;;
	gone) rm "$seg" ;;
	esac
	refused 'audit log .*lapse fsck'
	found 1 'keyring *ok' 'anchor *ok' 'policy *ok' 'log *behind'
	accepted "a log that is $attack"
	keeps 4
done
put today anchor-today
cp "$TEST_TMP/yesterday/.lapse/audit/0000000000000001.seg" "$seg"
refused 'audit log .*lapse fsck'
found 1 'log *behind .*are missing'

note "an older policy, an older keyring"
put today anchor-today
cp "$TEST_TMP/yesterday/.lapse/policy" "$ARC/.lapse/policy"
refused 'policy .*lapse fsck'
found 1 'keyring *ok' 'policy *behind .*generation 1.*generation 2' 'log *ok'
accepted "yesterday's policy"
! "$LAPSE" policy show "$ARC" --key-file "$KEY" | grep -q "# of today" || die "not yesterday's policy"
put today anchor-today
cp "$TEST_TMP/yesterday/.lapse/keyring" "$ARC/.lapse/keyring"
refused 'keyring is older .*lapse fsck'
found 1 'keyring *behind' 'policy *ok' 'log *ok'
accepted "yesterday's keyring"
[ "$("$LAPSE" key list "$ARC" --noheadings | wc -l)" = 1 ] || die "not yesterday's keys"

note "a keyring with a key that was removed since opens no anchor of today, accepted or not"
put today anchor-today
"$LAPSE" key remove "$ARC" 2 --key-file "$KEY" --yes >/dev/null || die "key remove"
cp "$TEST_TMP/keyring-two" "$ARC/.lapse/keyring"
refused 'a key was removed'
found 1 'keyring *ok' 'anchor *damaged' 'log *unseen'
! fsck --accept-rollback --reason "it should not" --yes || die "a removed key was accepted"
grep -q "nothing was accepted" "$TEST_TMP/fsck.out" || die "fsck: $(cat "$TEST_TMP/fsck.out")"

note "damaged: keyring, policy, anchor"
for file in "$ARC/.lapse/keyring" "$ARC/.lapse/policy" "$TEST_TMP/anchor"; do
	for attack in cut flipped gone; do
		put today anchor-today
		case $attack in
		cut) truncate -s -1 "$file" ;;
		flipped) # the anchor has two slots
			for at in 100 $((100 + 1048576)); do [ "$(stat -c %s "$file")" -lt $at ] || printf '\377' | dd of="$file" bs=1 seek=$at conv=notrunc status=none; done ;;
		gone) mv "$file" "$TEST_TMP/gone" ;;
		esac
		status=0
		timeout 60 "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY" >"$TEST_TMP/mount.out" 2>&1 </dev/null || status=$?
		[ $status -eq 3 ] && [ -s "$TEST_TMP/mount.out" ] || die "${file##*/} $attack: status $status: $(cat "$TEST_TMP/mount.out")"
		status=0
		fsck --accept-rollback --reason "it should not" --yes || status=$?
		[ $status -eq 3 ] || die "${file##*/} $attack: fsck ended with status $status: $(cat "$TEST_TMP/fsck.out")"
	done
done
put today anchor-today
found 0
keeps 4
