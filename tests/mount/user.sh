#!/bin/bash
# An ordinary user makes and mounts an archive for themselves (fusermount3); nobody else sees into it.
. "$(dirname "$0")/lib.sh"
as t1 true
# On any Debian with udev it is 0666; a bare machine may have it otherwise.
device_mode=$(stat -c %a /dev/fuse)
home=$TEST_TMP/home
install -d -o lapse-t1 "$home"
u() { as t1 env HOME="$home" XDG_RUNTIME_DIR="$home/run" XDG_STATE_HOME="$home/state" "$@"; }
u mkdir -m 700 "$home/run"
u sh -c "head -c 32 /dev/urandom >$home/key; chmod 600 $home/key"
u "$LAPSE" init "$home/archive" --key-file "$home/key" --no-recovery-key --expire-after 30d >"$TEST_TMP/init.out"
[ -n "$(find "$home/state" -name anchor)" ] || die "the anchor is not below the user's state directory"
if [ "$device_mode" = 600 ]; then refuse "only root may mount" as t1 env HOME="$home" XDG_STATE_HOME="$home/state" "$LAPSE" mount "$home/archive" --key-file "$home/key"; fi
trap 'umount -l "$home/archive" 2>/dev/null || true; chmod "$device_mode" /dev/fuse; finish' EXIT
chmod 666 /dev/fuse
u "$LAPSE" mount "$home/archive" --key-file "$home/key"
MNT=$home/archive
u cp -r "$SRC/policy" "$MNT/copy"
u diff -r "$SRC/policy" "$MNT/copy"
u sh -c "umask 077; echo x >$MNT/mine; chmod 400 $MNT/mine; cat $MNT/mine; mv $MNT/mine $MNT/mine2; rm -f $MNT/mine2" >/dev/null
u ln -s copy "$MNT/link"
[ "$(u readlink "$MNT/link")" = copy ] || die readlink
refuse "Permission denied" as t2 ls "$MNT"
if ls "$MNT" >/dev/null 2>&1; then die "root sees into a user's mount (allow_other is not set)"; fi
u "$LAPSE" status "$MNT" >"$TEST_TMP/status" || [ $? -eq 1 ]
grep -q 'mounted at' "$TEST_TMP/status" || { cat "$TEST_TMP/status"; die "status"; }
u "$LAPSE" umount "$MNT"
[ -z "$(ls "$MNT" 2>/dev/null | grep -v '^[-_A-Za-z0-9]*$')" ] || die "plain names in the store: $(ls "$MNT")"
u "$LAPSE" mount "$home/archive" --key-file "$home/key"
u diff -r "$SRC/policy" "$MNT/copy"
u fusermount3 -u "$MNT"
wait_until 20 sh -c "! mountpoint -q '$MNT'"
wait_until 20 u "$LAPSE" mount "$home/archive" --key-file "$home/key"
u "$LAPSE" umount "$MNT"
