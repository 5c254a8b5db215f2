#include "exif/stamp.h"

#include <libexif/exif-data.h>
#include <libexif/exif-mem.h>
#include <stdlib.h>
#include <string.h>

#define TIFF_MAX 65000 /* libexif looks no further into a block of tags */

/* Two or four digits at p. */
static bool digits(const uint8_t *p, size_t n, int *ret)
{
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*ret = *ret * 10 + (p[i] - '0');
	}
	return true;
}

/* Days since 1970 in the Gregorian calendar; years from 1 on. */
static int64_t days_since_1970(int year, int month, int day)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	int64_t y = year - 1;
	return y * 365 + y / 4 - y / 100 + y / 400 - 719162 + before[month - 1] + (leap && month > 2) + day - 1;
}

static bool is_date(int year, int month, int day)
{
	static const int length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= length[month - 1] + (leap && month == 2);
}

static bool parse_offset(const uint8_t *p, size_t len, int32_t *ret)
{
	int hours, minutes;
	if (!p || len < 6 || (p[0] != '+' && p[0] != '-') || p[3] != ':' || !digits(p + 1, 2, &hours) || !digits(p + 4, 2, &minutes))
		return false;
	int32_t seconds = hours * 3600 + minutes * 60;
	*ret = p[0] == '-' ? -seconds : seconds;
	return minutes < 60 && *ret >= -12 * 3600 && *ret <= 14 * 3600;
}

bool exif_stamp_parse(const uint8_t *date, size_t date_len, const uint8_t *offset, size_t offset_len, struct exif_stamp *ret)
{
	static const char form[] = "dddd:dd:dd dd:dd:dd";
	int year, month, day, hour, minute, second;
	if (date_len < sizeof form - 1)
		return false;
	for (size_t i = 0; i < sizeof form - 1; i++)
		if (form[i] != 'd' && date[i] != (uint8_t)form[i])
			return false;
	for (size_t i = sizeof form - 1; i < date_len; i++)
		if (date[i])
			return false;
	if (!digits(date, 4, &year) || !digits(date + 5, 2, &month) || !digits(date + 8, 2, &day) || !digits(date + 11, 2, &hour) ||
		!digits(date + 14, 2, &minute) || !digits(date + 17, 2, &second))
		return false;
	if (!is_date(year, month, day) || hour > 23 || minute > 59 || second > 59)
		return false;
	ret->local = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
	ret->has_offset = parse_offset(offset, offset_len, &ret->offset);
	if (!ret->has_offset)
		ret->offset = 0;
	return true;
}

static const ExifEntry *text_of(const ExifData *d, ExifTag tag)
{
	const ExifEntry *e = exif_content_get_entry(d->ifd[EXIF_IFD_EXIF], tag);
	return e && e->format == EXIF_FORMAT_ASCII && e->data ? e : NULL;
}

static bool from_tags(const ExifData *d, struct exif_stamp *ret)
{
	const ExifEntry *date = text_of(d, EXIF_TAG_DATE_TIME_ORIGINAL), *offset = text_of(d, EXIF_TAG_OFFSET_TIME_ORIGINAL);
	return date && exif_stamp_parse(date->data, date->size, offset ? offset->data : NULL, offset ? offset->size : 0, ret);
}

static bool is_tiff(const uint8_t *p, size_t len)
{
	return len >= 8 && (!memcmp(p, "II*\0", 4) || !memcmp(p, "MM\0*", 4));
}

bool exif_stamp_read(const uint8_t *bytes, size_t len, struct exif_stamp *ret)
{
	static const uint8_t prefix[] = {'E', 'x', 'i', 'f', 0, 0};
	cleanup_free uint8_t *tags = NULL;
	if (is_tiff(bytes, len)) { /* to libexif a block of tags is what stands behind that word in a JPEG */
		len = len < TIFF_MAX ? len : TIFF_MAX;
		if (!(tags = malloc(sizeof prefix + len)))
			return false;
		memcpy(tags, prefix, sizeof prefix);
		memcpy(tags + sizeof prefix, bytes, len);
		bytes = tags;
		len += sizeof prefix;
	} else if (len < 4 || bytes[0] != 0xff || bytes[1] != 0xd8) {
		return false;
	}
	ExifData *d = exif_data_new();
	if (!d)
		return false;
	/* As it was written: tags that a specification asks for, and that are missing, are not made up. */
	exif_data_unset_option(d, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
	exif_data_set_option(d, EXIF_DATA_OPTION_DONT_CHANGE_MAKER_NOTE);
	exif_data_load_data(d, bytes, (unsigned)len);
	bool found = from_tags(d, ret);
	exif_data_unref(d);
	return found;
}
