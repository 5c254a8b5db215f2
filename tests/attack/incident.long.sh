#!/bin/bash
# timeout: 1500
# The incident with as many images as there were.
export INCIDENT_IMAGES=184000 INCIDENT_MONTHS=1 INCIDENT_STRANGERS=1
exec "$(dirname "$0")/incident.sh" "$@"
