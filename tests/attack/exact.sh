#!/bin/bash
# A thousand processes race one budget: exactly as many different files give a byte as it permits, not one more through the race, and not one less; and so
# after kill -9. In files, in bytes, and for all readers together.
# attack items: 27 42
. "$(dirname "$0")/../mount/lib.sh"
users t1 t2 t3
rules <<'E'
[rule by-size]
users = lapse-t2
effect = permit
budget = size

[rule many]
users = lapse-t3
effect = permit
budget = wide

[rule everyone]
effect = permit
budget = reader

[budget reader]
files = 150/10min 200/24h

[budget size]
bytes = 100K/24h

[budget wide]
files = 900/24h

[budget all]
per = everyone
files = 250/24h
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
mkdir "$MNT/in"
python3 - "$MNT/in" <<'P'
import sys
for i in range(1000):
    with open(f"{sys.argv[1]}/{i:04}.jpg", "wb") as f: f.write(b"x" * 1024)
P
race() { # race USER SEED PROCESSES TRIES
	timeout 100 python3 "$SRC/tests/attack/race.py" "$MNT/in" "$(id -u "lapse-$1")" "$3" "$4" "$2" "$TEST_TMP/before"
}
told() { # told WANTED WHAT FILES FILES_OF_ALL PERMITTED REFUSED OTHERS FAILED
	note "$2: $3 files ($4 by all), $5 opens permitted, $6 refused"
	[ "$1" = "$3" ] || [ "$1" = "of all $4" ] || die "$2: $1 were expected"
	[ "$6" -gt 0 ] && [ "$7 $8" = "[] 0" ] || die "$2: $7, $8"
}

# shellcheck disable=SC2046
told 150 "1000 processes, 150 files" $(race t1 1 1000 20)
# shellcheck disable=SC2046
told 100 "200 processes, 100 KiB of files of 1 KiB" $(race t2 2 200 20)
kill_daemon
mount_archive
# shellcheck disable=SC2046
told 150 "200 processes after kill -9" $(race t1 3 200 90) # each of the 150 is tried by somebody, but for a chance of 150 e^-18
# shellcheck disable=SC2046
told "of all 250" "100 processes of another, all readers together 250 files" $(race t3 4 100 100)
umount_archive
