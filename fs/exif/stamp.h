/* stamp.h - when an image was captured, by its EXIF data: DateTimeOriginal and OffsetTimeOriginal. Private to the reader's process: it parses what
 * anybody may have written. */
#pragma once

#include "base/base.h"

struct exif_stamp {
	int64_t local; /* the camera's clock, in seconds since 1970 as if it showed UTC */
	bool has_offset;
	int32_t offset; /* seconds that clock is east of UTC */
};

/* The beginning of a JPEG or TIFF file. False: it has no such date, or none that means something. */
bool exif_stamp_read(const uint8_t *bytes, size_t len, struct exif_stamp *ret);
/* The same of the two values: "2026:01:31 23:59:59" with any number of NULs behind it; "+01:00", or NULL. A date that is none is refused; an offset that is
 * none is left out. */
bool exif_stamp_parse(const uint8_t *date, size_t date_len, const uint8_t *offset, size_t offset_len, struct exif_stamp *ret);
