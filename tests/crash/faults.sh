#!/bin/bash
# EIO, ENOSPC, EDQUOT, EROFS and short reads and writes at each call to the backing filesystem, one after the other (faults/): a clear errno, nothing
# lost, nothing leaked, and the next session finds it well. A sample of all cases; all of them with --long.
# timeout: 120
# ci: asan
# attack items: 46
set -euo pipefail
: "${LAPSE_BUILD:?}" "${TEST_TMP:?an empty directory}"
if [ -n "${LAPSE_LONG:-}" ]; then
	exec "$(dirname "$0")/faults.long.sh"
fi
ram=${TEST_TMP:?}/ram
mkdir "$ram"
mount -t tmpfs -o size=256m none "$ram"
trap 'umount "${ram:?}"' EXIT
stride=53 # a prime: each run of cases is met at another place
[ "${LAPSE_PRESET:-release}" = release ] || stride=211
TEST_TMP=$ram "$LAPSE_BUILD/crash/faults" --stride $stride
