# shellcheck shell=bash
# An smbd of a test's own: private state, an unprivileged port, no configuration of the machine's. Sourced after lib.sh.
SMB=$TEST_TMP/smb
SMBD=
SMBD_IN=() # a command that runs it somewhere
smbd_stop() {
	[ -n "$SMBD" ] || return 0
	local n
	kill -TERM -- "-$SMBD" 2>/dev/null || true
	wait "$SMBD" 2>/dev/null || true
	for ((n = 0; n < 100; n++)); do kill -0 -- "-$SMBD" 2>/dev/null || break; sleep 0.1; done
	SMBD=
}
at_end smbd_stop

listens() { smbclient -s "$SMB/conf" -N -p "$port" -L 127.0.0.1 >"$SMB/list" 2>&1 </dev/null; }

# smbd_start (SHARE PATH USER)…: on a free port, one that nobody listens on.
smbd_start() {
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	rm -rf "${SMB:?}"
	mkdir -p "$SMB"/{private,lock,state,cache,pid,ncalrpc,.smb}
	cat >"$SMB/conf" <<-C
	[global]
	server role = standalone server
	interfaces = lo
	bind interfaces only = yes
	smb ports = $port
	private dir = $SMB/private
	lock directory = $SMB/lock
	state directory = $SMB/state
	cache directory = $SMB/cache
	pid directory = $SMB/pid
	ncalrpc dir = $SMB/ncalrpc
	log file = $SMB/log.%m
	map to guest = bad user
	load printers = no
	disable spoolss = yes
	disable netbios = yes
	server min protocol = SMB2
	rpc start on demand helpers = no
	C
	while [ $# -ge 3 ]; do
		printf '[%s]\npath = %s\nforce user = %s\nguest ok = yes\nguest only = yes\nread only = no\nstore dos attributes = yes\nea support = yes\n' "$1" "$2" "$3" \
			>>"$SMB/conf"
		shift 3
	done
	ln -s "$SMB/conf" "$SMB/.smb/smb.conf" # where libsmbclient looks
	"${SMBD_IN[@]}" setsid smbd --foreground --no-process-group -s "$SMB/conf" >"$SMB/out" 2>&1 </dev/null &
	SMBD=$!
	wait_until 30 listens
}

