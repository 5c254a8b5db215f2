/* zone.h - one time zone of this machine, for the whole process. Private to the reader's process. */
#pragma once

#include "base/base.h"

/* From here on local time is that of the zone ("Europe/Berlin"). False: this machine does not know it, and local time is none. */
bool zone_enter(const char *name);
/* The instants at which clocks of that zone showed `local` (seconds since 1970 as if it were UTC), ascending: none where they were set forward past it, two
 * where they were set back. */
size_t zone_instants(int64_t local, int64_t ret[static 2]);
