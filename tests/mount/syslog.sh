#!/bin/bash
# The daemon's lines in syslog: also after whoever listens has started anew, with a new socket, and where that is in /dev itself.
if [ -z "${LAPSE_SYSLOG_ALONE:-}" ]; then # a socket of its own where syslog has its
	export LAPSE_SYSLOG_ALONE=1
	exec unshare --mount --propagation private "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
made=
[ -e /dev/log ] || { : >/dev/log; made=/dev/log; }
gone() { umount /dev/log 2>/dev/null || true; [ -z "$made" ] || rm -f /dev/log; }
at_end gone
listener=
stop() { [ -z "$listener" ] || kill "$listener" 2>/dev/null || true; }
at_end stop
listen() { # listen NAME: in the place of whoever listened before
	stop
	umount /dev/log 2>/dev/null || true
	python3 "$SRC/tests/mount/alerts.py" "$TEST_TMP/$1.socket" "$TEST_TMP/$1" &
	listener=$!
	wait_until 10 test -S "$TEST_TMP/$1.socket"
	mount --bind "$TEST_TMP/$1.socket" /dev/log
}
ARC=$TEST_TMP/syslog-archive
archive_new
# ended SOCKET: its daemon ends by a signal, which is a line of its own, and that comes there.
ended() {
	local pid
	pid=$(grep -o 'pid=[0-9]*' /run/lapse/syslog-archive/info | cut -d= -f2)
	kill -TERM "$pid"
	wait_until 20 grep -q 'lapse\[[0-9]*\]: told by a signal to end' "$TEST_TMP/$1"
	wait_until 20 test ! -e "/proc/$pid"
}
at_end timeout 20 "$LAPSE" umount "$MNT"
listen first
timeout 60 "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
ended first
timeout 60 "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
listen second
ended second
listen third
stop
umount /dev/log # nobody listens: it is served all the same
timeout 60 "$LAPSE" mount "$ARC" "$MNT" --key-file "$KEY"
echo x >"$MNT/x"
listen fourth
ended fourth
