/* confine.h - takes from this process all but reading and writing its one descriptor. */
#pragma once

#include "base/base.h"

/* Before anything of others is read; memory may still be had, within a limit. The process is ended where it tries something else. An error: it is not
 * confined, and must not read. */
errint_t exif_confine(void);
