#!/bin/bash
# Budgets whose reads are counted together by session, by program, by service: each is used up by itself, whoever reads in it, and by nobody else; and so it stays through kill -9 and a
# remount. What cannot be told, or is no program that a rule would believe, shares one.
. "$(dirname "$0")/lib.sh"
users t1 t2
login_uids
rules <<'E'
[rule sessions]
paths = session/**
effect = permit
budget = by-session

[rule programs]
paths = program/**
effect = permit
budget = by-program

[rule services]
paths = service/**
effect = permit
budget = by-service

[budget by-session]
per = session
files = 3/10min

[budget by-program]
per = program
files = 3/10min

[budget by-service]
per = service
files = 3/10min
E
expect_log 'refused: uid'
archive_new "$TEST_TMP/policy.ini"
mount_archive
for per in session program service; do
	mkdir "$MNT/$per"
	for i in $(seq 9); do echo "image $i" >"$MNT/$per/$i"; done
done
chmod -R a+rX "$MNT"

BIN=$TEST_TMP/bin CAME=$TEST_TMP/bin/came
mkdir -m 755 "$BIN"
cat >"$BIN/came" <<'E'
#!/bin/sh
# came DIR FIRST LAST COMMAND…: how many of these files come out of `COMMAND FILE`
n=0 dir=$1 i=$2 last=$3
shift 3
while [ "$i" -le "$last" ]; do
	[ "$("$@" "$dir/$i" 2>/dev/null)" != "image $i" ] || n=$((n + 1))
	i=$((i + 1))
done
echo $n
E
cat >"$BIN/session" <<'E'
#!/bin/sh
# session LOGIN CAME DIR: is a session of that login uid, says its number, and answers each line `USER FIRST LAST` with how many of these files come, until one that says end
echo "$1" >/proc/self/loginuid && echo "$(cat /proc/self/sessionid)"
while read -r user first last && [ "$user" != end ]; do
	setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups "$2" "$3" "$first" "$last" cat
done
E
cp /bin/cat "$BIN/viewer"
cp /bin/cat "$BIN/lister"
cp /bin/cat "$BIN/anybodys"
chmod 755 "$BIN"/*
chmod 777 "$BIN/anybodys" # which no rule would believe

declare -A ask say pid number
session_end() { echo end >&"${ask[$1]}" && wait "${pid[$1]}"; }
session_new() { # session_new NAME LOGIN
	mkfifo "$TEST_TMP/ask.$1" "$TEST_TMP/say.$1"
	"$BIN/session" "$2" "$CAME" "$MNT/session" <"$TEST_TMP/ask.$1" >"$TEST_TMP/say.$1" &
	pid[$1]=$!
	exec {ask[$1]}>"$TEST_TMP/ask.$1" {say[$1]}<"$TEST_TMP/say.$1"
	at_end session_end "$1"
	read -r -t 20 "number[$1]" <&"${say[$1]}" || die "no session of $2"
}
# The ways. After each come USER FIRST LAST.
session() { # session NAME
	local n
	echo "lapse-$2 $3 $4" >&"${ask[$1]}"
	read -r -t 60 n <&"${say[$1]}" || die "session $1 does not answer"
	echo "$n"
}
no_session() { as "$1" "$CAME" "$MNT/session" "$2" "$3" cat; }
program() { as "$2" "$CAME" "$MNT/program" "$3" "$4" "$1"; } # program FILE
script() { as "$1" "$CAME" "$MNT/program" "$2" "$3" python3 -c 'import sys; print(open(sys.argv[1]).read(), end="")'; }
unit() { service "$1" setpriv --reuid "lapse-$2" --regid "lapse-$2" --clear-groups "$CAME" "$MNT/service" "$3" "$4" cat; } # unit GROUP
come() { # come COUNT WAY… USER FIRST LAST
	local n
	n=$("${@:2}")
	[ "$n" = "$1" ] || die "$n files instead of $1: ${*:2}"
}

# What each kind is tried by: two of it that can be told, and two that cannot.
session_new one "$(id -u lapse-t1)"
session_new two "$(id -u lapse-t1)"
[ "${number[one]}" != "${number[two]}" ] || die "both are session ${number[one]}"
ONE=system.slice/lapse-one.service TWO=system.slice/system-lapse.slice/lapse-two.service
for group in $ONE $TWO user.slice/lapse-one.service lapse-none; do service_new $group; done
first() { case $1 in session) session one "${@:2}" ;; program) program "$BIN/viewer" "${@:2}" ;; service) unit $ONE "${@:2}" ;; esac; }
second() { case $1 in session) session two "${@:2}" ;; program) program "$BIN/lister" "${@:2}" ;; service) unit $TWO "${@:2}" ;; esac; }
untold() { case $1 in session) no_session "${@:2}" ;; program) script "${@:2}" ;; service) unit lapse-none "${@:2}" ;; esac; }
too() { case $1 in session) no_session "${@:2}" ;; program) program "$BIN/anybodys" "${@:2}" ;; service) unit user.slice/lapse-one.service "${@:2}" ;; esac; }

for per in session program service; do
	note "per = $per: the first is used up, of the second one is used, of what cannot be told two are"
	come 3 first $per t1 1 9
	come 1 second $per t1 4 4
	come 2 untold $per t1 5 6
done
stands() { # whoever asks; and nothing of it is used by this
	for per in session program service; do
		for user in t1 t2; do
			come 3 first $per $user 1 9
			come 1 second $per $user 4 4
			come 2 too $per $user 5 6
		done
	done
}
shown() {
	"$LAPSE" guard status "$MNT" --json | python3 -c 'import json, sys; print(*sorted((r["budget"], r["used"], r["reader"].split()[0]) for r in json.load(sys.stdin)["guard"] if r["budget"]))'
}
WANT="('by-program', 1, 'program') ('by-program', 2, 'unidentified') ('by-program', 3, 'program')"
WANT+=" ('by-service', 1, 'lapse-two.service') ('by-service', 2, 'unidentified') ('by-service', 3, 'lapse-one.service')"
WANT+=" ('by-session', 1, 'session') ('by-session', 2, 'unidentified') ('by-session', 3, 'session')"
for after in "as it is" "after kill -9" "after a remount"; do
	note "$after"
	case $after in *kill*) kill_daemon ;; *remount) umount_archive ;; esac
	[ -n "$DAEMON" ] || mount_archive
	[ "$(shown)" = "$WANT" ] || { "$LAPSE" guard status "$MNT"; die "guard status: $(shown)"; }
	stands
	[ "$(shown)" = "$WANT" ] || { "$LAPSE" guard status "$MNT"; die "guard status after reading the same again: $(shown)"; }
done

note "what was left comes, and no more"
for per in session program service; do
	come 2 second $per t2 5 9
	come 0 second $per t1 7 9
	come 1 too $per t2 7 9
	come 0 untold $per t1 8 9
	come 3 first $per t2 1 9
done
umount_archive
