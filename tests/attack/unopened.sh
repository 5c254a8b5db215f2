#!/bin/bash
# A retained file whose header the daemon cannot read at the moment is not taken for a damaged one, which its owner may remove: of a user's daemon, because of the file's mode; of any,
# because no descriptor is left to it.
# attack items: 11 17
. "$(dirname "$0")/../mount/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = kept

[class kept]
match = **
retain-for = 1d
expire-after = 30d
commit-after = close

[rule everyone]
effect = permit
budget = none
E
cat >"$TEST_TMP/acts.sh" <<'E'
cd "$1"
for f in none written; do
	rm -f $f 2>/dev/null && exit 11
	mv -f other $f 2>/dev/null && exit 12
	[ -e $f ] || exit 13
done
exit 0
E
chmod 755 "$TEST_TMP/acts.sh"

note "a user's daemon, and files that they made inaccessible"
as t1 true
device_mode=$(stat -c %a /dev/fuse)
home=$TEST_TMP/home
install -d -o lapse-t1 "$home"
u() { as t1 env HOME="$home" XDG_RUNTIME_DIR="$home/run" XDG_STATE_HOME="$home/state" "$@"; }
u mkdir -m 700 "$home/run"
u sh -c "head -c 32 /dev/urandom >$home/key; chmod 600 $home/key"
u "$LAPSE" init "$home/archive" --key-file "$home/key" --no-recovery-key --policy "$TEST_TMP/policy.ini" >"$TEST_TMP/init.out"
at_end chmod "$device_mode" /dev/fuse
at_end umount -lq "$home/archive"
chmod 666 /dev/fuse
u "$LAPSE" mount "$home/archive" --key-file "$home/key"
u sh -c "cd $home/archive; echo c >other; umask 777; echo a >none; umask 577; echo b >written"
[ "$(u stat -c %a "$home/archive/none" "$home/archive/written" | xargs)" = "0 200" ] || die "the modes are others"
check "acts of a user" u sh "$TEST_TMP/acts.sh" "$home/archive"
u "$LAPSE" umount "$home/archive"
u "$LAPSE" mount "$home/archive" --key-file "$home/key"
check "and after the next mount" u sh "$TEST_TMP/acts.sh" "$home/archive"
u "$LAPSE" umount "$home/archive"

note "no descriptor left"
expect_log "libfuse: fuse: (failed to open /dev/fuse: Too many open files|trying to continue without -o clone_fd)" # when another thread of its begins just then
archive_new "$TEST_TMP/policy.ini"
mount_archive
for f in none written other; do echo x >"$MNT/$f"; done
umount_archive
mount_archive
ls -l "$MNT" >/dev/null
files=$(prlimit --pid "$DAEMON" --nofile --output SOFT --noheadings | tr -d ' ')
prlimit --pid "$DAEMON" --nofile=3:
refuse "Too many open files" rm -f "$MNT/none"
refuse "Too many open files" mv -f "$MNT/other" "$MNT/written"
prlimit --pid "$DAEMON" --nofile="$files:"
[ "$(cat "$MNT/none" "$MNT/written" | xargs)" = "x x" ] || die "a retained file is gone"
umount_archive
