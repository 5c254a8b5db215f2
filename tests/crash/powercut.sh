#!/bin/bash
# A power cut: the store's I/O is recorded, and what the disk may have kept of it is mounted and looked at. A sample; powercut.long.sh takes all.
# timeout: 240
# attack items: 46
set -u
TMPDIR=/dev/shm
scratch=$(mktemp -d "$TMPDIR/lapse-powercut.XXXXXX") || exit 1
trap 'rm -rf --one-file-system "${scratch:?}"' EXIT
timeout 220 "${LAPSE_BUILD:?}/crash/powercut" --scratch "$scratch/run" --limit 55 --again 14 --random 4 --events 4
