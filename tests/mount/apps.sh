#!/bin/bash
# Programs that are particular about their filesystem: git and SQLite.
# timeout: 180
. "$(dirname "$0")/lib.sh"
archive_new
over_mount
export HOME=$TEST_TMP GIT_CONFIG_NOSYSTEM=1
git config --global user.email test@example.org
git config --global user.name test
git config --global init.defaultBranch main

git init -q "$TEST_TMP/origin"
python3 "$SRC/tests/mount/maketree.py" "$TEST_TMP/origin/files" 300 2
git -C "$TEST_TMP/origin" add -A
git -C "$TEST_TMP/origin" commit -qm first
check "git clone" git clone -q "$TEST_TMP/origin" "$MNT/clone"
check "git fsck" git -C "$MNT/clone" fsck --strict --no-progress
check "git status" test -z "$(git -C "$MNT/clone" status --porcelain)"
check "git gc" git -C "$MNT/clone" gc -q --aggressive
for i in 1 2 3 4 5; do
	echo "$i" >"$MNT/clone/change"
	git -C "$MNT/clone" add change
	git -C "$MNT/clone" commit -qm "$i"
	git -C "$MNT/clone" checkout -qb "b$i"
done
check "git fsck again" git -C "$MNT/clone" fsck --strict --no-progress

for mode in delete wal; do
	db=$MNT/$mode.db
	timeout 60 sqlite3 "$db" "PRAGMA journal_mode=$mode; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);
		WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n<5000) INSERT INTO t SELECT n, randomblob(200) FROM c;
		UPDATE t SET v=randomblob(300) WHERE id%3=0; DELETE FROM t WHERE id%7=0;" >/dev/null
	[ "$(timeout 60 sqlite3 "$db" 'PRAGMA integrity_check; SELECT count(*) FROM t;')" = $'ok\n4286' ] || die "SQLite, journal_mode=$mode"
done
umount_archive
over_mount
[ "$(timeout 60 sqlite3 "$MNT/wal.db" 'PRAGMA integrity_check;')" = ok ] || die "SQLite after a remount"
check "git fsck after a remount" git -C "$MNT/clone" fsck --strict --no-progress
umount_archive
