#!/bin/bash
# Programs for images, and SQLite with several processes: the same on the mount and on the filesystem below.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sides.bash"
archive_new
mount_archive
check "sample images" "$SRC/packaging/sample-images" "$OTHER/images" 3 2
find "$OTHER/images" -name '*.jpg' -exec touch -d '2026-05-04 03:02:01.5' {} +
for candidate in mogrify mogrify-im6.q16 mogrify-im7.q16 /usr/bin/mogrify; do
	[[ $("$candidate" -version 2>/dev/null) != *ImageMagick* ]] || break
done
export MOGRIFY=$candidate

sides_new images
both "cp -p" 'cp -rp "$OTHER/images" i; ls i/*/*/*.jpg | wc -l'
both "jpegtran, djpeg, cjpeg" '
	cd i; for f in plates/*/*.jpg; do jpegtran -rotate 90 -copy all -outfile "$f.new" "$f"; mv "$f.new" "$f"; done
	for f in portraits/*/*.jpg; do jpegtran -progressive -optimize -outfile "$f" "$f"; djpeg "$f" | cjpeg -quality 70 >"$f.70"; done
	! jpegtran nowhere'
both "mogrify" '
	cd i; find plates -name "*.jpg" -print0 | sort -z | xargs -0 "$MOGRIFY" -resize 50% -strip
	mkdir small; find portraits -name "*.jpg" -print0 | sort -z | xargs -0 "$MOGRIFY" -path small -thumbnail 64x64 -strip -format png -define png:exclude-chunks=date,time
	"$MOGRIFY" -flip -quality 60 portraits/*/*.jpg; ! "$MOGRIFY" -flip nowhere.jpg 2>/dev/null'
both "exiftool, by rename and in place" '
	cp -rp "$OTHER/images" e; cd e; f=$(find . -name "*.jpg" | sort | head -n 1); ln "$f" linked.jpg; chmod 640 "$f"
	exiftool -q -r -overwrite_original -P -Artist=somebody plates; exiftool -q -r -overwrite_original_in_place -Comment="in place" portraits "$f"
	exiftool -q -Title=backup "$f"; ls -A "$(dirname "$f")"; exiftool -r -s -Artist -Comment -Title -DateTimeOriginal -FileSize -FilePermissions . | sort; exiftool -q -restore_original -r .
	exiftool -q -r "-FileName<DateTimeOriginal" -d "%Y%m%d-%H%M%S%%-c.%%e" plates; exiftool -q -all= -o clean/ portraits/*/*.jpg; find . | sort; ! exiftool -q -Artist=x nowhere.jpg'
both "vipsthumbnail" '
	cd e; for f in $(find plates clean -name "*.jpg" | sort); do vipsthumbnail --size 128 -o tn_%s.jpg "$f"; vips copy "$f" "${f%.jpg}.tif[tile,pyramid,compression=deflate]"; vips flip "$f" "${f%.jpg}.png[strip]" horizontal; done
	vips avg "$(find . -name "*.png" | sort | head -n 1)"'
both "a video frame by frame: append, then cut" 'for f in $(find "$OTHER/images" i -name "*.jpg" | sort); do cat "$f" >>mjpeg; done; sha256sum mjpeg; truncate -s -1000 mjpeg; tail -c 100000 mjpeg | head -c 5000 | sha256sum; rm mjpeg'

note "SQLite"
cat >"$OTHER/sql.py" <<'P'
"""sql.py DB: four processes write, two read, all in one database in WAL mode; each transaction keeps the sum, and every reader sees it kept."""
import multiprocessing, random, sqlite3, sys
db = sys.argv[1]
ACCOUNTS, EACH = 50, 60
def connect():
    return sqlite3.connect(db, timeout=60, isolation_level=None)
def writer(k):
    rnd, c = random.Random(k), connect()
    for n in range(EACH):
        a, b, x = rnd.randrange(ACCOUNTS), rnd.randrange(ACCOUNTS), rnd.randrange(100)
        c.execute("BEGIN IMMEDIATE")
        c.execute("UPDATE t SET v = v - ? WHERE id = ?", (x, a))
        c.execute("UPDATE t SET v = v + ? WHERE id = ?", (x, b))
        c.execute("INSERT INTO log(who, pad) VALUES (?, ?)", (k, bytes([k]) * rnd.randrange(3000)))
        c.execute("COMMIT" if n % 10 != 9 else "ROLLBACK")
def reader(stop, bad):
    c = connect()
    while not stop.is_set():
        if c.execute("SELECT sum(v) FROM t").fetchone()[0] != ACCOUNTS * 1000:
            bad.set()
c = connect()
assert c.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal"
c.execute("PRAGMA wal_autocheckpoint=20")
c.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v INT)")
c.execute("CREATE TABLE log(who INT, pad BLOB)")
c.executemany("INSERT INTO t VALUES (?, 1000)", [(i,) for i in range(ACCOUNTS)])
c.close()
stop, bad = multiprocessing.Event(), multiprocessing.Event()
readers = [multiprocessing.Process(target=reader, args=(stop, bad)) for _ in range(2)]
writers = [multiprocessing.Process(target=writer, args=(k,)) for k in range(4)]
[p.start() for p in readers + writers]
[p.join() for p in writers]
stop.set()
[p.join() for p in readers]
assert not bad.is_set() and all(p.exitcode == 0 for p in readers + writers)
c = connect()
print(c.execute("SELECT id, v FROM t").fetchall(), c.execute("SELECT who, count(*), sum(length(pad)) FROM log GROUP BY who").fetchall())
print(c.execute("PRAGMA integrity_check").fetchall(), c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
c.execute("VACUUM")
P
cat >"$OTHER/dump" <<'P'
sqlite3 "$1" .dump | grep -v "INTO log" | sha256sum
P
sides_new database
# What is in the file depends on who came first; what it says does not.
both_databases() {
	one_side plain "$PLAIN" "$2" &
	local below=$!
	one_side mount "$SIDE" "$2"
	wait $below
	grep -qx 'exit status 0' "$TEST_TMP/said.plain" || { cat "$TEST_TMP/said.plain"; die "$1: fails below, too"; }
	cmp -s "$TEST_TMP/said.plain" "$TEST_TMP/said.mount" || { diff "$TEST_TMP/said.plain" "$TEST_TMP/said.mount" || true; die "$1"; }
	note "$1"
}
both_databases "WAL, four writers, two readers" 'python3 "$OTHER/sql.py" db; sh "$OTHER/dump" db; ls'
both_databases "rollback journals" '
	for mode in delete truncate persist; do sqlite3 $mode.db "PRAGMA journal_mode=$mode; CREATE TABLE t(v); BEGIN; INSERT INTO t SELECT value FROM generate_series(1,3000); COMMIT; BEGIN; DELETE FROM t; ROLLBACK;
		UPDATE t SET v=v||v WHERE v%3=0; SELECT count(*), sum(v) FROM t; PRAGMA integrity_check;"; sh "$OTHER/dump" $mode.db; done; ls
	sqlite3 db "ATTACH \"delete.db\" AS d; BEGIN; INSERT INTO log SELECT 9, v FROM d.t; DELETE FROM d.t; COMMIT; PRAGMA integrity_check"; sqlite3 db ".backup copy.db"; sh "$OTHER/dump" copy.db
	coproc holder { sqlite3 db; }; exec 7>&"${holder[1]}" 8<&"${holder[0]}"; echo "BEGIN EXCLUSIVE; SELECT 1;" >&7; read -r one <&8
	! sqlite3 delete.db "ATTACH \"db\" AS d; INSERT INTO d.log VALUES (8, 8)"; sqlite3 db "SELECT count(*) FROM log"; echo "COMMIT; SELECT 2;" >&7; read -r one <&8; echo .quit >&7; wait; sqlite3 db "INSERT INTO log VALUES (8, 8)"'

note "and after a remount"
umount_archive
mount_archive
sides_new images
sides_same "images after a remount"
sides_new database
both_databases "the databases after a remount" 'for d in *.db db; do echo $d; sqlite3 $d "PRAGMA integrity_check"; sh "$OTHER/dump" $d; done'
umount_archive
