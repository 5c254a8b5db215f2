#!/bin/bash
# Who may write where a camera does makes its next files himself, for everybody to write, and has what a maker has: his own files cost nothing, go anywhere, and are open already.
# What must happen: what somebody else has opened for writing is nobody's own, for those who have it open too, and after kill -9.
# attack items: 63
. "$(dirname "$0")/../mount/lib.sh"
rules <<'E'
[rule camera]
users = 42000
effect = permit
budget = none

[rule theirs]
users = 41005
paths = theirs/**
effect = deny

[rule everyone]
effect = permit
budget = two

[budget two]
files = 2/10min
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive "$@"
chmod 755 "$MNT"
act() { # act WAY DIRECTORY THIEF CAMERA
	mkdir -p "$MNT/$2"
	chmod 777 "$MNT/$2"
	check "$1 as $3, camera $4" python3 "$SRC/tests/attack/precreated.py" "$1" "$MNT/$2" "$3" "$4"
}

note "five made before the camera, or root, writes them: two are read, as of any five; and so by truncating"
act make first 41001 42000
act count first 41001 42000
act make root 41002 0
act count root 41002 0
act truncate cut 41003 42000
note "held open and mapped since they were made: as many as may be read, and of the others not a byte of what is written"
act hold held 41004 42000
act hold held-root 41008 0
note "moved to where their maker may read: no more"
chmod 777 "$MNT"
act move theirs 41005 42000
chmod 755 "$MNT"
note "another process of the maker's own writes: it stays free, and open"
act self own 41006 42000
note "after kill -9"
act make again 41007 42000
kill_daemon
mount_archive "$@"
act count again 41007 42000
umount_archive
