# shellcheck shell=bash
# The same work in a directory of the mount and in one of the filesystem below, and whatever differs is a failure. Sourced after lib.sh.
#
#   sides_archive             a new archive with POSIX ACLs
#   sides_new NAME            makes $PLAIN and $SIDE, one directory each
#   both WHAT SNIPPET         runs the bash snippet in each, at the same time, with $OTHER outside of both and $OUT of its own: exit status, what
#                             it says, and then the trees must be the same (sides.py says in what)
#   sides_same WHAT           compares the trees
#   sides_tree                makes $OTHER/tree, a tree to work with
#
# A snippet that leaves a program's own success open would compare two failures: `both` runs it with `set -e`, and it must succeed; a refusal that is
# looked for is written as `! command`, and its message is compared.

export LC_ALL=C.UTF-8 TZ=UTC SIDES_BEGAN=$EPOCHSECONDS OTHER=$TEST_TMP/other PYTHONDONTWRITEBYTECODE=1
mkdir -p "$OTHER"

sides_archive() {
	sed 's/^default-class.*/&\nacl = yes/' "$TEST_TMP/open.ini" >"$TEST_TMP/acl.ini"
	archive_new "$TEST_TMP/acl.ini"
}

sides_new() {
	PLAIN=$TEST_TMP/plain.d/$1 SIDE=$MNT/$1
	mkdir -p "$PLAIN" "$SIDE"
}

sides_same() { check "$1: the trees" python3 "$SRC/tests/mount/sides.py" "$SIDES_BEGAN" "$PLAIN" "$SIDE"; }

one_side() { # one_side NAME DIR SNIPPET
	local status=0
	rm -rf "${TEST_TMP:?}/out.$1"
	mkdir "$TEST_TMP/out.$1"
	(cd "$2" && OUT=$TEST_TMP/out.$1 timeout "${CHECK_TIMEOUT:-60}" bash -euc "$3") >"$TEST_TMP/said.$1" 2>&1 </dev/null || status=$?
	# Its own scratch directory is the one thing that a program may name differently.
	sed -i "s|$TEST_TMP/out.$1|OUT|g" "$TEST_TMP/said.$1"
	echo "exit status $status" >>"$TEST_TMP/said.$1"
}

both() {
	one_side plain "$PLAIN" "$2" &
	local below=$!
	one_side mount "$SIDE" "$2"
	wait $below
	grep -qx 'exit status 0' "$TEST_TMP/said.plain" || { tail -n 20 "$TEST_TMP/said.plain"; die "$1: fails on the filesystem below, too"; }
	cmp -s "$TEST_TMP/said.plain" "$TEST_TMP/said.mount" || {
		diff "$TEST_TMP/said.plain" "$TEST_TMP/said.mount" | sed 20q || true
		die "$1: what it says or its exit status differs (< below, > on the mount)"
	}
	sides_same "$1"
	note "$1"
}

same() { diff -r --no-dereference -x fifo "$@"; } # diff takes no two fifos for the same
export -f same

# $OTHER/tree: what people have, with ACLs, attributes, a set-id bit, a hole, links and a fifo.
sides_tree() {
	local t=$OTHER/tree
	python3 "$SRC/tests/mount/maketree.py" "$t" 250 3
	mkdir "$t/acl" "$t/holes"
	echo x >"$t/acl/file"
	chown 1234:1235 "$t/acl/file"
	chmod 4755 "$t/acl/file"
	chmod 2775 "$t/acl"
	setfacl -m u:1234:rw,g:1235:r,m::rwx "$t/acl/file"
	setfacl -m u:1234:rwx,d:u:1234:rx,d:g::r "$t/acl"
	setfattr -n user.comment -v "said of a file" "$t/acl/file"
	setfattr -n user.comment -v "said of a directory" "$t/acl"
	mkfifo "$t/holes/fifo" # (where it inherits no ACL: those are for files and directories)
	ln -s loop "$t/acl/loop"
	truncate -s 300000 "$t/holes/sparse"
	printf middle | dd of="$t/holes/sparse" bs=1 seek=150000 conv=notrunc status=none
	touch -d '2026-05-04 03:02:01.123456789' "$t/acl/file" "$t/acl" "$t/holes/sparse"
}
