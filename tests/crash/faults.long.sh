#!/bin/bash
# faults.sh with every case.
# timeout: 3600
set -euo pipefail
: "${LAPSE_BUILD:?}" "${TEST_TMP:?an empty directory}"
ram=${TEST_TMP:?}/ram
mkdir "$ram"
mount -t tmpfs -o size=256m none "$ram"
trap 'umount "${ram:?}"' EXIT
TEST_TMP=$ram "$LAPSE_BUILD/crash/faults"
