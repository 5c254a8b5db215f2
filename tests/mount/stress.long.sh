#!/bin/bash
# Ten minutes of it.
# timeout: 1500
MINUTES=${LAPSE_MINUTES:-10} STEPS=2000 SEED=${LAPSE_SEED:-100}
. "$(dirname "$0")/stress.sh"
