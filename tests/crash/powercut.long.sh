#!/bin/bash
# A power cut at every point of every workload, in all the ways that are considered and some drawn; then each call left out in turn: one that nobody misses
# is told as NOT NOTICED, and needs a reason or a workload.
# timeout: 14400
set -u
TMPDIR=/dev/shm
scratch=$(mktemp -d "$TMPDIR/lapse-powercut.XXXXXX") || exit 1
trap 'rm -rf --one-file-system "${scratch:?}"' EXIT
powercut=${LAPSE_BUILD:?}/crash/powercut
"$powercut" --scratch "$scratch/run" --random 40 --events 16 --again 10 --seeds 20 || exit 1
"$powercut" --scratch "$scratch/leave" --leave-out --limit 400 --again 20
