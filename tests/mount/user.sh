#!/bin/bash
# An ordinary user makes and mounts an archive for themselves (fusermount3); nobody else sees into it.
. "$(dirname "$0")/lib.sh"
as t1 true
# On any Debian with udev it is 0666; a bare machine may have it otherwise.
device_mode=$(stat -c %a /dev/fuse)
home=$TEST_TMP/home
cp -r "$SRC/policy" "$TEST_TMP/some"
install -d -o lapse-t1 "$home"
u() { as t1 env HOME="$home" XDG_RUNTIME_DIR="$home/run" XDG_STATE_HOME="$home/state" "$@"; }
u mkdir -m 700 "$home/run"
u sh -c "head -c 32 /dev/urandom >$home/key; chmod 600 $home/key"
u "$LAPSE" init "$home/archive" --key-file "$home/key" --no-recovery-key --expire-after 30d >"$TEST_TMP/init.out"
[ -n "$(find "$home/state" -name anchor)" ] || die "the anchor is not below the user's state directory"
if [ "$device_mode" = 600 ]; then refuse "only root may mount" as t1 env HOME="$home" XDG_STATE_HOME="$home/state" "$LAPSE" mount "$home/archive" --key-file "$home/key"; fi
at_end chmod "$device_mode" /dev/fuse
at_end umount -lq "$home/archive"
chmod 666 /dev/fuse
u "$LAPSE" mount "$home/archive" --key-file "$home/key"
MNT=$home/archive
u cp -r "$TEST_TMP/some" "$MNT/copy"
u diff -r "$TEST_TMP/some" "$MNT/copy"
u sh -c "umask 077; echo x >$MNT/mine; chmod 400 $MNT/mine; cat $MNT/mine; mv $MNT/mine $MNT/mine2; rm -f $MNT/mine2" >/dev/null
# What one may do to what one made inaccessible, as on any filesystem.
cat >"$TEST_TMP/modes.sh" <<'E'
cd "$1"
long=$(printf 'l%.0s' $(seq 200))
for d in ro shut "$long"; do mkdir "$d"; done
chmod 500 ro "$long"; chmod 0 shut
mv ro ro2; mv shut shut2; mv "$long" "$long.2"
touch ro2/x 2>/dev/null && exit 11
ls shut2 2>/dev/null && exit 12
[ "$(stat -c %a ro2 shut2 | xargs)" = "500 0" ] || exit 13
rmdir ro2 shut2 "$long.2"
echo a >none; chmod 0 none
mv none "$long"; ln "$long" none; rm -f "$long"
cat none 2>/dev/null && exit 14
chmod 600 none; [ "$(cat none)" = a ] || exit 15
chmod 4755 none; : >none
rm none
mkdir full; echo x >full/x; chmod 500 full
rmdir full 2>/dev/null && exit 16
[ "$(stat -c %a full)" = 500 ] || exit 17
chmod 700 full; rm -r full
mkdir zero; echo x >zero/x; chmod 0 zero
E
chmod 755 "$TEST_TMP/modes.sh"
check "modes" u sh -e "$TEST_TMP/modes.sh" "$MNT"
u ln -s copy "$MNT/link"
[ "$(u readlink "$MNT/link")" = copy ] || die readlink
refuse "Permission denied" as t2 ls "$MNT"
if ls "$MNT" >/dev/null 2>&1; then die "root sees into a user's mount (allow_other is not set)"; fi
u "$LAPSE" status "$MNT" >"$TEST_TMP/status" || [ $? -eq 1 ]
grep -q 'mounted over itself' "$TEST_TMP/status" || { cat "$TEST_TMP/status"; die "status"; }
u "$LAPSE" umount "$MNT"
[ -z "$(ls "$MNT" 2>/dev/null | grep -v '^[-_A-Za-z0-9]*$')" ] || die "plain names in the store: $(ls "$MNT")"
u "$LAPSE" mount "$home/archive" --key-file "$home/key"
u diff -r "$TEST_TMP/some" "$MNT/copy"
# now it has to be opened first
check "mv of an inaccessible directory" u mv "$MNT/zero" "$MNT/zero2"
[ "$(stat -c %a "$MNT/zero2" 2>/dev/null || u stat -c %a "$MNT/zero2")" = 0 ] || die "its mode has changed"
u chmod 700 "$MNT/zero2"
[ "$(u cat "$MNT/zero2/x")" = x ] || die "what lies in it"
u fusermount3 -u "$MNT"
wait_until 20 sh -c "! mountpoint -q '$MNT'"
wait_until 20 u "$LAPSE" mount "$home/archive" --key-file "$home/key"
u "$LAPSE" umount "$MNT"
