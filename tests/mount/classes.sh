#!/bin/bash
# Which class a file gets: by its path when it is made, anew by a rename while it settles, and after that a rename can only shorten its life.
# attack items: 15
. "$(dirname "$0")/lib.sh"
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = rest
settle = 3s

[class plates]
match = plates/** **/*.plate.jpg
expire-after = 21d

[class faces]
match = faces/**
expire-after = 12h

[class rest]
match = **
expire-after = 730d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/plates" "$MNT/faces" "$MNT/other"
deadline() { # seconds from creation to the deadline, as explain says
	"$LAPSE" explain "$1" --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(d["expires"] - d["basis"], d["class-then"])'
}
is() { local got; got=$(deadline "$1"); [ "$got" = "$2" ] || die "$1: '$got', should be '$2' ($3)"; }

note "upload under another name, then rename: the final name counts"
echo x >"$MNT/other/.a.jpg.X7d3"
is "$MNT/other/.a.jpg.X7d3" "$((730 * 86400)) rest" "as made"
mv "$MNT/other/.a.jpg.X7d3" "$MNT/faces/a.jpg"
is "$MNT/faces/a.jpg" "43200 faces" "renamed while it settled"
echo x >"$MNT/faces/upload.part"
mv "$MNT/faces/upload.part" "$MNT/plates/b.jpg"
is "$MNT/plates/b.jpg" "$((21 * 86400)) plates" "longer, while it settled"
check "readable after its key was wrapped anew" cmp <(echo x) "$MNT/plates/b.jpg"

note "settled: only stricter"
echo y >"$MNT/plates/c.jpg"
wait_until 20 sh -c "'$LAPSE' explain '$MNT/plates/c.jpg' --json | python3 -c 'import json,sys,time; sys.exit(json.load(sys.stdin)[\"settles\"] > time.time())'"
mv "$MNT/plates/c.jpg" "$MNT/other/c.jpg"
is "$MNT/other/c.jpg" "$((21 * 86400)) plates" "moved to a longer-lived class"
mv "$MNT/other/c.jpg" "$MNT/faces/c.jpg"
is "$MNT/faces/c.jpg" "43200 faces" "moved to a shorter-lived class"
mv "$MNT/faces/c.jpg" "$MNT/plates/c.jpg"
is "$MNT/plates/c.jpg" "43200 faces" "and back"
check "still readable" cmp <(echo y) "$MNT/plates/c.jpg"
umount_archive
mount_archive
is "$MNT/plates/c.jpg" "43200 faces" "after a remount"
check "after a remount" cmp <(echo y) "$MNT/plates/c.jpg"

note "nothing a user sets moves the deadline"
before=$(deadline "$MNT/plates/b.jpg")
touch -d 2040-01-01 "$MNT/plates/b.jpg"
chmod 777 "$MNT/plates/b.jpg"
ln "$MNT/plates/b.jpg" "$MNT/other/hard.jpg"
echo more >>"$MNT/plates/b.jpg"
: >"$MNT/plates/b.jpg"
[ "$(deadline "$MNT/plates/b.jpg")" = "$before" ] || die "moved: $(deadline "$MNT/plates/b.jpg"), was $before"
umount_archive
