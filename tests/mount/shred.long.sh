#!/bin/bash
# shred.sh with a million files in an epoch of a minute.
# timeout: 5000
FILES=1000000 EPOCH=60 exec "$(dirname "$0")/shred.sh"
