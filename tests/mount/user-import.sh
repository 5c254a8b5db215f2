#!/bin/bash
# An ordinary user brings files that exist already into an archive of theirs, and makes a directory an archive where it lies. What they cannot read is left, and said.
. "$(dirname "$0")/lib.sh"
as t1 true
device_mode=$(stat -c %a /dev/fuse)
home=$TEST_TMP/home
install -d -o lapse-t1 "$home"
u() { as t1 env HOME="$home" XDG_RUNTIME_DIR="$home/run" XDG_STATE_HOME="$home/state" "$@"; }
# outcome EXPECTED-STATUS COMMAND…: what it says on both goes to $TEST_TMP/said
outcome() {
	local want=$1 got=0
	shift
	u "$@" >"$TEST_TMP/said" 2>&1 </dev/null || got=$?
	[ $got -eq "$want" ] || { cat "$TEST_TMP/said"; die "exit status $got, not $want: $*"; }
}
said() { grep -qF -- "$1" "$TEST_TMP/said" || { cat "$TEST_TMP/said"; die "should have said '$1'"; }; }
# The same content, names, links, modes and times, but for those of the directory itself.
same() {
	check rsync u rsync -rlptHDcni --delete "$1/" "$2/" >"$TEST_TMP/differs"
	! grep -v ' \./$' "$TEST_TMP/differs" || die "$2 is not as $1"
}
u mkdir -m 700 "$home/run"
u sh -c "head -c 32 /dev/urandom >$home/key; chmod 600 $home/key"
cp -r "$SRC/policy" "$TEST_TMP/some"
chmod -R a+rX "$TEST_TMP/some"
u cp -r "$TEST_TMP/some" "$home/plain"
u sh -c "cd $home/plain; ln POLICY.md second; ln -s POLICY.md link; mkdir -p empty/below; : >nothing; echo x >read-only; chmod 400 read-only; mkfifo pipe; touch -d 2020-01-01 read-only"
u cp -a "$home/plain" "$home/kept"
at_end chmod "$device_mode" /dev/fuse
at_end umount -lq "$home/archive"
at_end umount -lq "$home/plain"
chmod 666 /dev/fuse

note "into a mounted archive"
u "$LAPSE" init "$home/archive" --key-file "$home/key" --no-recovery-key --expire-after 75y >"$TEST_TMP/init.out"
u "$LAPSE" mount "$home/archive" --key-file "$home/key"
outcome 0 "$LAPSE" import "$home/archive" --from "$home/plain" --basis modified
same "$home/kept" "$home/archive"
same "$home/kept" "$home/plain"
u sh -c "echo secret >$home/plain/shut"
chown 0:0 "$home/plain/shut"
chmod 600 "$home/plain/shut"
outcome 1 "$LAPSE" import "$home/archive" --from "$home/plain" --basis modified
said "left: shut: Permission denied"
[ -e "$home/plain/shut" ] || die "what could not be read is gone"
rm "${home:?}/plain/shut"
u "$LAPSE" umount "$home/archive"
outcome 0 "$LAPSE" import "$home/archive" --from "$home/plain" --basis modified --key-file "$home/key"
said "were there already"

note "in place"
outcome 0 "$LAPSE" import "$home/plain" --in-place --basis modified --expire-after 75y --key-file "$home/key" --no-recovery-key
! grep -rqs "Legal holds" "$home/plain" || die "plain text is left"
u "$LAPSE" mount "$home/plain" --key-file "$home/key"
same "$home/kept" "$home/plain"
u "$LAPSE" umount "$home/plain"
