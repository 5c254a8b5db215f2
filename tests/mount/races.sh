#!/bin/bash
# Eight threads on the same few names, on each transport.
# ci: asan
. "$(dirname "$0")/lib.sh"
archive_new
for transport in $(transports); do
	mount_by "$transport"
	mkdir "$MNT/x"
	check "$transport" python3 "$SRC/tests/mount/races.py" "$MNT/x" "${LAPSE_LONG:+3}4"
	rmdir "$MNT/x"
	umount_archive
done
