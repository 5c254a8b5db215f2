/* wire.h - what reader and asker say to each other. Both are the same program on the same machine. */
#pragma once

#include "base/base.h"

/* The reader, when it has confined itself: one byte. */
#define EXIF_READY        'r'
#define EXIF_ZONE_UNKNOWN 'z' /* ready; only dates that say their offset have an instant */

/* A question is a u32 length, at most EXIF_HEAD_MAX, and so many bytes. */
struct exif_answer {
	uint64_t count;
	int64_t at[2];
};
