#!/bin/bash
# A thief with listings, stat, the store and the policy, but no key, who looks for the decoys among what cameras write: no better than chance, by any clue but the content itself, nor by what is learnt of all of them.
# timeout: 900
# attack items: 60
. "$(dirname "$0")/../mount/lib.sh"
directories=${CANARY_DIRECTORIES:-40} seconds=${CANARY_SECONDS:-12} most=${CANARY_MOST:-0}
cat >"$TEST_TMP/policy.ini" <<'E'
[policy]
version = 1
default-class = images

[class images]
match = **
expire-after = 1y

[rule indexer]
users = root
effect = permit
budget = none
canaries = exempt

[rule everyone]
effect = permit
budget = reader

[budget reader]
files = 500/10min

[canary everywhere]
paths = **
E
# Files in all directories, decoys among them. 75: the cameras did not come by chance.
filled() {
	archive_new "$TEST_TMP/policy.ini"
	mount_archive
	local i k dirs
	for ((i = 0; i < directories; i++)); do mkdir "$MNT/$i"; done
	for ((i = 0; i < directories; i += 50)); do
		dirs=()
		for ((k = i; k < i + 50 && k < directories; k++)); do dirs+=("$MNT/$k"); done
		check "order" "$LAPSE" canary plant --per 8 --reason "a test" "${dirs[@]}" >/dev/null
	done
	timeout $((120 + 8 * seconds)) python3 "$SRC/tests/attack/canaries.py" fill "$MNT" "$directories" "$seconds" "${CANARY_SEED:-11}"
}
for attempt in 1 2 3; do
	filled && break
	[ $? = 75 ] || die "the cameras failed"
	[ $attempt -lt 3 ] || die "this machine is too busy: three times the cameras could not write when they should"
	note "the machine was busy: once more"
	umount_archive
	rm -r "${ARC:?}" "${TEST_TMP:?}/anchor"
done
umount_archive
mount_archive
listed() { "$LAPSE" canary list --files --json "$MNT" >"$TEST_TMP/$1" && grep '"id"' "$TEST_TMP/$1" | sort >"$TEST_TMP/$1.ids"; }
complete() { "$LAPSE" status "$MNT" --json | grep -q '"catalogue-complete": true'; }
listed before
[ "$("$LAPSE" status "$MNT" --json | sed "s,$TEST_TMP,,g" | grep -c canar)" = 0 ] || die "lapse status tells of canaries"
umount_archive
mount_archive
wait_until 60 complete
listed decoys
diff "$TEST_TMP/before.ids" "$TEST_TMP/decoys.ids" || die "the list is another after a remount"
CHECK_TIMEOUT=1500 check "no better than chance" python3 "$SRC/tests/attack/canaries.py" judge "$MNT" "$ARC" "$TEST_TMP/decoys" "$most"

note "the list is of one length, with decoys or without"
size=$(stat -c %s "$ARC/.lapse/canaries")
umount_archive
ARC=$TEST_TMP/empty
ANCHORS=()
timeout 60 "$LAPSE" init "$ARC" --key-file "$KEY" --no-recovery-key --policy "$TEST_TMP/policy.ini" --anchor "$TEST_TMP/anchor2" >/dev/null 2>&1
mount_archive
[ "$(stat -c %s "$ARC/.lapse/canaries")" = "$size" ] || die "its length tells"
umount_archive
