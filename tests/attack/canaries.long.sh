#!/bin/bash
# canaries.sh over 1,000 directories.
# timeout: 5000
CANARY_DIRECTORIES=1000 CANARY_SECONDS=320 CANARY_MOST=0.03 exec "$(dirname "$0")/canaries.sh"
