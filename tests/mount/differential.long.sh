#!/bin/bash
# The same with many seeds, and longer.
# timeout: 3600
SEEDS=$(seq -s" " ${LAPSE_SEED:-1001} $((${LAPSE_SEED:-1001} + ${LAPSE_SEEDS:-40} - 1))) STEPS=3000 ROUNDS=2
. "$(dirname "$0")/differential.sh"
