#!/bin/bash
# The mount itself: a loop device and an overlay on top of it, binds, a mount over it, a second daemon, users who want to unmount it, the store beside it, the
# daemon's memory and its socket.
# attack items: 13 35 40 62
. "$(dirname "$0")/../mount/lib.sh"
users t1 t2
login_uids
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule denied]
users = lapse-t2
paths = secret/**
effect = deny

[rule root]
users = root
effect = permit
budget = hundred

[rule everyone]
effect = permit
budget = three

[budget three]
files = 3/10min

[budget hundred]
files = 100/10min
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive "$@"
mkdir "$MNT/in" "$MNT/secret" "$MNT/secret/deep"
for i in $(seq 9); do echo "image $i" >"$MNT/in/$i"; echo "image $i" >"$MNT/secret/deep/$i"; done
chmod -R a+rX "$MNT"
came() { # came DIR COMMAND…
	local n=0 i dir=$1
	shift
	for i in $(seq 9); do [ "$("$@" "$dir/$i" 2>/dev/null)" != "image $i" ] || n=$((n + 1)); done
	echo $n
}
as_uid() { local u=$1; shift; setpriv --reuid "$u" --regid "$u" --clear-groups -- "$@"; }
logged_in() { sh -c 'echo "$1" >/proc/self/loginuid && shift && exec "$@"' - "$@"; } # logged_in UID COMMAND…: as root who has logged in so
undo() { umount -l "$TEST_TMP"/over/merged "$TEST_TMP/over" "$TEST_TMP/bind" "$TEST_TMP/loop" "$TEST_TMP/again" "$MNT/in" 2>/dev/null; }
at_end undo

note "an overlay with the mount below it: its reader pays, not only who mounted it"
mkdir "$TEST_TMP/over" "$TEST_TMP/bind" "$TEST_TMP/loop"
mount -t tmpfs -o mode=755 tmpfs "$TEST_TMP/over" # what TEST_TMP lies on may be no upper layer
mkdir "$TEST_TMP"/over/{upper,work,merged}
mount -t overlay overlay -o "lowerdir=$MNT,upperdir=$TEST_TMP/over/upper,workdir=$TEST_TMP/over/work" "$TEST_TMP/over/merged" ||
	die "an overlay cannot be mounted here: modprobe overlay, and run the tests where root may mount one"
[ "$(came "$TEST_TMP/over/merged/in" as_uid 43001 cat)" = 3 ] || die "not three files by an overlay"
[ "$(came "$MNT/in" as_uid 43001 cat)" = 3 ] || die "not the same three files beside the overlay"
[ "$(came "$TEST_TMP/over/merged/secret/deep" as t2 cat)" = 0 ] || die "denied files by an overlay"
umount "$TEST_TMP/over/merged" "$TEST_TMP/over"

note "a subdirectory bound elsewhere: its files keep their paths"
mount --bind "$MNT/secret/deep" "$TEST_TMP/bind"
[ "$(came "$TEST_TMP/bind" as t2 cat)" = 0 ] || die "a bind took files out of a rule's paths"
[ "$(came "$TEST_TMP/bind" as_uid 43002 cat)" = 3 ] || die "a bind's reader"
[ "$(came "$MNT/secret/deep" as_uid 43002 cat)" = 3 ] || die "the same files, by their own path"
[ "$(came "$MNT/in" as_uid 43002 cat)" = 0 ] || die "files of both"
umount "$TEST_TMP/bind"
ln -s secret/deep "$MNT/way"
[ "$(came "$MNT/way" as t2 cat)" = 0 ] || die "a symlink took files out of a rule's paths"
[ "$(came "$MNT/in/../secret//./deep" as t2 cat)" = 0 ] || die "dots and slashes"

note "40: another's image on the mount as a disk: one file, charged to whom attached it, and dark to whom may not open it"
mkdir -m 777 "$MNT/secret/disks"
mkdir "$TEST_TMP/inside"
echo "in the disk" >"$TEST_TMP/inside/word"
check "a disk of t1's" as t1 sh -c 'truncate -s 2M "$0" && mkfs.ext4 -q -d "$1" "$0"' "$MNT/secret/disks/1" "$TEST_TMP/inside"
used() { "$LAPSE" guard status "$MNT" --user "$1" --json | python3 -c 'import json, sys; print(sum(r["used"] for r in json.load(sys.stdin)["guard"]))'; }
[ -e /dev/loop-control ] || die "this machine has no loop devices: modprobe loop, and run the tests where root may use them"
before=$(used root)
check "who may open it attaches it" logged_in 43010 mount -o loop,ro "$MNT/secret/disks/1" "$TEST_TMP/loop"
[ "$(cat "$TEST_TMP/loop/word")" = "in the disk" ] || die "it is not what lies on the mount"
[ "$(used 43010)" = 1 ] && [ "$(used root)" = $((before + 1)) ] || die "charged: $(used 43010) files to who logged in, $(used root) to root ($before before)"
umount "$TEST_TMP/loop"
[ "$(came "$MNT/in" as_uid 43010 cat)" = 2 ] || die "two files are left of three"
refuse "Permission denied" logged_in "$(id -u lapse-t2)" losetup --find --show "$MNT/secret/disks/1"
! logged_in "$(id -u lapse-t2)" mount -o loop,ro "$MNT/secret/disks/1" "$TEST_TMP/loop" 2>/dev/null || die "a denied reader has attached it"
[ -z "$(losetup -j "$MNT/secret/disks/1")" ] || die "it is still attached: $(losetup -j "$MNT/secret/disks/1")"

note "something mounted inside it, and let go"
mount -t tmpfs tmpfs "$MNT/in"
umount "$MNT/in"
[ "$(came "$MNT/in" as_uid 43002 cat)" = 0 ] || die "after a mount inside"

note "users: no unmounting, no store, no socket, no memory, no tracing"
! as t1 fusermount3 -u "$MNT" 2>/dev/null || die "a user unmounted it"
! as t1 umount "$MNT" 2>/dev/null || die "a user unmounted it"
refuse "Only root" as t1 "$LAPSE" umount "$MNT"
refuse "Only root" as t1 "$LAPSE" queue "$MNT"
refuse "Only root" as t1 "$LAPSE" explain "$MNT/secret/deep/1"
refuse "Only root" as t1 "$LAPSE" policy apply "$TEST_TMP/open.ini" "$MNT"
for f in "$ARC" /run/lapse/archive*/store "$ARC/.lapse/keyring"; do ! as t1 ls "$f" >/dev/null 2>&1 || die "a user sees $f"; done
! as t1 head -c 1 "$TEST_TMP/anchor" >/dev/null 2>&1 || die "a user reads the anchor"
for f in mem maps environ fd root cwd exe; do ! as t1 sh -c "ls -l /proc/$DAEMON/$f/ >/dev/null 2>&1 || head -c 1 /proc/$DAEMON/$f >/dev/null 2>&1" || die "a user reads /proc/DAEMON/$f"; done
! as t1 kill -TERM "$DAEMON" 2>/dev/null || die "a user ended the daemon"
# (The sanitizers make mlock do nothing.)
case ${LAPSE_PRESET:-release} in
asan | tsan) ;;
*) [ "$(awk '/^VmLck/ {print $2}' /proc/"$DAEMON"/status)" -gt 0 ] || die "no locked memory for keys" ;;
esac
[ "$(ulimit -c; awk '/Max core/ {print $5}' /proc/"$DAEMON"/limits | head -n 1)" != unlimited ] || die "a core may be dumped"

note "a second daemon on the same store, by any path"
mkdir "$TEST_TMP/m2" "$TEST_TMP/again"
mount --bind "$ARC" "$TEST_TMP/again"
refuse "" timeout 20 "$LAPSE" mount "$ARC" "$TEST_TMP/m2" --key-file "$KEY"
refuse "" timeout 20 "$LAPSE" mount "$TEST_TMP/again" "$TEST_TMP/m2" --key-file "$KEY"
refuse "" timeout 20 "$LAPSE" mount "$TEST_TMP/again" --key-file "$KEY"
umount "$TEST_TMP/again"
! mountpoint -q "$TEST_TMP/m2" || die "mounted twice"

note "a copy of the store beside the anchor that is in use"
cp -a "$ARC" "$TEST_TMP/copy"
if timeout 20 "$LAPSE" mount "$TEST_TMP/copy" "$TEST_TMP/m2" --key-file "$KEY" >"$TEST_TMP/copy.out" 2>&1; then
	"$LAPSE" umount "$TEST_TMP/m2"
	die "two daemons on one anchor"
fi
[ "$(came "$MNT/in" as_uid 43002 cat)" = 0 ] || die "after all that"

note "detached while in use: who holds a file reads that one, nobody opens another, and the daemon ends"
setpriv --reuid 43003 --regid 43003 --clear-groups -- sleep 60 <"$MNT/in/1" &
sleeper=$!
wait_until 10 sh -c "[ \"\$(readlink /proc/$sleeper/fd/0)\" = '$MNT/in/1' ]"
umount -l "$MNT"
[ -z "$(ls "$MNT")" ] || die "something is still mounted"
[ "$(as_uid 43003 cat /proc/$sleeper/fd/0 2>/dev/null)" != "" ] || die "who holds a file does not read it"
kill $sleeper
wait $sleeper 2>/dev/null || true
daemon_gone || die "the daemon ended with status $?"
mount_archive "$@"
[ "$(came "$MNT/in" as_uid 43002 cat)" = 0 ] || die "and mounted again"
umount_archive
