#!/bin/bash
# The expiry queue as an admin asks for it: exact rows of a small archive, every filter alone and together, every sum, sorting, JSON and CSV, watching.
. "$(dirname "$0")/lib.sh"
export TZ=UTC0
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = rest

[class short]
match = short/**
expire-after = 1s

[class faces]
match = faces/**
expire-after = 12h

[class worm]
match = worm/**
retain-for = 30d
expire-after = 60d
commit-after = 1h

[class sealed]
match = sealed/**
retain-for = 30d
expire-after = 60d
commit-after = close

[class never]
match = never/**
expire-after = never

[class rest]
match = **
expire-after = 90d

[rule everyone]
effect = permit
budget = none
E
archive_new "$TEST_TMP/policy.ini" --epoch 1h
mount_archive
mkdir "$MNT"/{short,faces,worm,sealed,never,rest} "$MNT/rest/deep"
put() { head -c "$2" /dev/zero >"$MNT/$1"; }
put faces/a.jpg 1000
put worm/w.jpg 3000
put rest/r.jpg 4000
put never/n.jpg 6000
chown 65534 "$MNT/rest/r.jpg"
put short/x.jpg 7000
# Deadlines of one second come in no order: what follows is made a second later.
wait_until 10 bash -c "! cat '$MNT/short/x.jpg' >/dev/null 2>&1"
put faces/b.png 2000
put sealed/s.jpg 3500
put "rest/deep/o, \"p\".jpg" 5000

q() { timeout 20 "$LAPSE" queue "$MNT" "$@"; }
paths() { q --raw --noheadings -o PATH "$@" 2>/dev/null | paste -sd' '; }
is() { # is EXPECTED OPTION…
	local want=$1 got
	shift
	got=$(paths "$@")
	[ "$got" = "$want" ] || die "queue $*: '$got', should be '$want'"
}
deep='rest/deep/o,\x20"p".jpg'

note "rows, and what happens next"
is "short/x.jpg faces/a.jpg faces/b.png worm/w.jpg sealed/s.jpg rest/r.jpg $deep"
is "short/x.jpg faces/a.jpg faces/b.png worm/w.jpg sealed/s.jpg rest/r.jpg $deep never/n.jpg" --all
got=$(q --raw --noheadings -o STATE,CLASS,WHY,SIZE,OWNER,HOLDS,PATH --class worm)
[ "$got" = 'closed worm worm,\x20line\x2013 2.9K root - worm/w.jpg' ] || die "a row: $got"
q --json --all >"$TEST_TMP/q.json"
python3 - "$TEST_TMP/q.json" <<'P'
import json, sys
d = json.load(open(sys.argv[1]))
rows = {r["path"]: r for r in d["queue"]}
assert len(rows) == 8 and d["complete"] == 1, d
now = d["now"]
def check(path, act, at, **more):
    r = rows[path]
    assert r["next"] == act, (path, r)
    assert (at is None) == (r["next-at"] is None) and (at is None or abs(r["next-at"] - at) <= 20), (path, r, at)
    for k, v in more.items():
        assert r[k] == v, (path, k, r)
day = 86400
check("short/x.jpg", "shred", rows["short/x.jpg"]["next-at"], size=7000, why="short, line 5")
x = rows["short/x.jpg"]
assert x["next-at"] % 3600 == 0 and x["expires"] <= x["next-at"] <= x["expires"] + 3600 and x["in"] <= 0, x
check("faces/a.jpg", "deny", now + day // 2, why="faces, line 9", state="closed", holds=None)
check("worm/w.jpg", "commit", now + 3600, why="worm, line 13", state="closed")
check("rest/r.jpg", "deny", now + 90 * day, **{"class": "rest"})
check("never/n.jpg", "nothing", None, expires=None, **{"in": None})
check("sealed/s.jpg", "release", now + 30 * day, state="committed", why="sealed, line 19")
P

note "each filter alone"
is "faces/a.jpg faces/b.png" --class faces
is "faces/a.jpg worm/w.jpg sealed/s.jpg rest/r.jpg" --path '**/*.jpg' --between 1min..91d --path '*/*.jpg'
is "$deep" --path 'rest/deep/**'
is "short/x.jpg faces/a.jpg faces/b.png" --within 1d
is "short/x.jpg" --overdue
is "sealed/s.jpg" --state committed
is "" --state open
is "" --held
is "rest/r.jpg" --owner 65534
is "rest/r.jpg" --owner nobody
is "worm/w.jpg sealed/s.jpg" --between 50d..70d
is "rest/r.jpg $deep" --between 61d..
is "short/x.jpg" --between ..+1min
is "faces/a.jpg faces/b.png" --between "+1min..$(date -d '+2 days' +%F)"
is "worm/w.jpg sealed/s.jpg" --between "$(date -d '+60 days' +%F)..$(date -d '+60 days' +%F)"
is "short/x.jpg faces/a.jpg" --limit 2

note "together"
is "faces/a.jpg" --class faces --path '*/a*' --within 1d --owner root --state closed
is "" --class faces --overdue
is "rest/r.jpg" --owner nobody --between 80d..100d --class rest

note "in another order"
is "short/x.jpg $deep rest/r.jpg sealed/s.jpg worm/w.jpg faces/b.png faces/a.jpg" --sort SIZE --reverse
is "faces/a.jpg faces/b.png" --sort size --limit 2
is "$deep rest/r.jpg" --reverse --limit 2
is "faces/a.jpg faces/b.png $deep rest/r.jpg sealed/s.jpg short/x.jpg worm/w.jpg" --sort PATH
is "rest/r.jpg" --sort OWNER --reverse --limit 1

note "sums"
sum() { q --raw --noheadings "$@" | paste -sd' '; }
[ "$(sum --by class -o CLASS,FILES,SIZE,OVERDUE)" = "faces 2 2.9K 0 rest 2 8.7K 0 sealed 1 3.4K 0 short 1 6.8K 1 worm 1 2.9K 0" ] || die "by class: $(sum --by class -o CLASS,FILES,SIZE,OVERDUE)"
[ "$(sum --by class --all -o CLASS,FILES --class never)" = "never 1" ] || die "by class with --all"
[ "$(sum --by directory -o DIRECTORY,FILES,SIZE)" = "faces 2 2.9K rest 1 3.9K rest/deep 1 4.8K sealed 1 3.4K short 1 6.8K worm 1 2.9K" ] || die "by directory: $(sum --by directory -o DIRECTORY,FILES,SIZE)"
[ "$(sum --by directory --owner nobody -o DIRECTORY,FILES)" = "rest 1" ] || die "by directory of an owner"
[ "$(sum --by class --sort SIZE --reverse -o CLASS --limit 2)" = "rest short" ] || die "sorted sums"
first=$(q --json -o EXPIRES,PATH)
for by in hour day week month; do
	python3 - "$by" "$first" "$(q --by $by --json)" "$(q --by $by --class rest --csv)" <<'P'
import csv, datetime, io, json, sys
by, rows, sums, text = sys.argv[1], json.loads(sys.argv[2])["queue"], json.loads(sys.argv[3]), sys.argv[4]
def name(t):
    t = datetime.datetime.fromtimestamp(t, datetime.timezone.utc)
    return {"hour": f"{t:%Y-%m-%d %H:00}", "day": f"{t:%Y-%m-%d}", "week": f"{t:%G-W%V}", "month": f"{t:%Y-%m}"}[by]
want = {}
for r in rows:
    want[name(r["expires"])] = want.get(name(r["expires"]), 0) + 1
got = {s[by]: s["files"] for s in sums[by + "s"]}
assert got == want, (by, got, want)
assert list(got) == sorted(got), got
rest = list(csv.DictReader(io.StringIO(text)))
assert sum(int(s["files"]) for s in rest) == 2 and sum(int(s["size"]) for s in rest) == 9000, rest
P
done
q --by day | grep -Eq '^[0-9-]+ +1 +3.9K|#' || die "no histogram"

note "CSV"
q --csv --all >"$TEST_TMP/q.csv"
python3 - "$TEST_TMP/q.csv" "$TEST_TMP/q.json" <<'P'
import csv, json, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
for r, want in zip(rows, json.load(open(sys.argv[2]))["queue"], strict=True):
    for k, v in want.items():
        if k != "in":
            assert r[k] == ("" if v is None else str(v)), (k, r[k], v)
P
[ "$(q --csv -n -o PATH --path 'rest/deep/**')" = '"rest/deep/o, ""p"".jpg"' ] || die "quotes in CSV"
[ "$(q --csv --state open)" = "expires,in,next,next-at,why,class,size,state,holds,path" ] || die "CSV without rows: $(q --csv --held)"

note "watching"
timeout 20 "$LAPSE" queue "$MNT" --watch=1 --limit 1 --raw >"$TEST_TMP/watch.txt" & watcher=$!
wait_until 15 bash -c "[ \$(grep -c short/x.jpg '$TEST_TMP/watch.txt') -ge 2 ]"
kill "$watcher"
wait "$watcher" 2>/dev/null || true

note "on a terminal it fits the screen, whatever names are as long as"
long=$(printf 'n%.0s' {1..200}) wide=$(printf '\346\227\245%.0s' {1..60})
put "faces/$long" 10
put "faces/$wide" 10
for size in 80x24 50x10; do
	LC_ALL=C.UTF-8 python3 "$SRC/tests/mount/watched.py" $size "$LAPSE" queue "$MNT" --watch=1 --limit 100 --class faces || die "a screen of $size: files"
	LC_ALL=C.UTF-8 python3 "$SRC/tests/mount/watched.py" $size "$LAPSE" queue "$MNT" --watch=1 --by directory || die "a screen of $size: sums"
done
rm "$MNT/faces/$long" "$MNT/faces/$wide"

note "held: what that keeps from happening"
timeout 60 "$LAPSE" hold add case-9 "$MNT" --match 'faces/**' --match 'never/**' --reason 'file 9' --review 30d >/dev/null
is "faces/a.jpg faces/b.png never/n.jpg" --held
is "faces/a.jpg" --held --path '**/a*'
[ "$(sum --by class --held -o CLASS,FILES)" = "faces 2 never 1" ] || die "sums of held files: $(sum --by class --held -o CLASS,FILES)"
[ "$(q --raw --noheadings -o HOLDS,NEXT,WHY --held --path 'never/*')" = 'case-9 nothing never,\x20line\x2025;\x20held\x20(case-9)' ] || die "a held row"

note "what is wrong with the question is said"
wrong() { # wrong STATUS TEXT OPTION…
	local status=$1 text=$2 got=0
	shift 2
	q "$@" >"$TEST_TMP/out" 2>&1 || got=$?
	[ "$got" = "$status" ] || die "queue $*: status $got, should be $status"
	grep -qF -- "$text" "$TEST_TMP/out" || { cat "$TEST_TMP/out" >&2; die "queue $*: does not say '$text'"; }
}
wrong 2 "--by takes hour, day" --by year
wrong 2 "did you mean SIZE" --sort SIZ
wrong 2 "there is no column FILES" --sort FILES
wrong 2 "FROM..UNTIL" --between 2026-12-01
wrong 2 "ends before it begins" --between 2026-12-01..2026-11-01
wrong 2 "ends before it begins" --between 5d..1h
wrong 2 "ends before it begins" --between now..now
wrong 2 "relative to the archive's root" --path '/faces/**'
wrong 2 "--path takes a pattern" --path ''
wrong 2 "--path takes a pattern" --path 'faces/[a'
wrong 2 "a column's name is missing" -o ,
wrong 2 "a column's name is missing" -o PATH,,SIZE
wrong 2 "no such day" --between 2026-02-30..
wrong 2 "open, closed or committed" --state dead
wrong 2 "there is no user" --owner no-such-user
wrong 2 "--csv and --json" --csv --json
wrong 2 "does not go with" --watch --json
wrong 2 "takes no value" --held=1
wrong 3 "no class 'nothere'" --class nothere
[ "$(q --state open 2>&1)" = "No file in the queue is of that kind." ] || die "an empty list"
[ "$("$LAPSE" --complete queue --s | paste -sd' ')" = "--state --sort" ] || die "completion of options"
[ "$("$LAPSE" --complete queue --by m)" = "month" ] || die "completion of a value"

note "others see nothing, and an archive that is not mounted tells the same"
refuse "Only root" as t1 "$LAPSE" queue "$MNT"
before=$(q --raw --noheadings -o EXPIRES,NEXT-AT,WHY,SIZE,PATH --between +1min..)
umount_archive
[ "$("$LAPSE" queue "$ARC" --key-file "$KEY" --raw --noheadings -o EXPIRES,NEXT-AT,WHY,SIZE,PATH --between +1min..)" = "$before" ] || die "not mounted, the queue is another"
[ "$("$LAPSE" queue "$ARC" --key-file "$KEY" --by class --raw --noheadings -o CLASS,FILES --class faces)" = "faces 2" ] || die "sums, not mounted"
