/* exif_fixture.h - JPEG and TIFF files as cameras begin them, with dates of one's choice. */
#pragma once

#include <stdint.h>
#include <string.h>

struct exif_image {
	uint8_t byte[512];
	size_t len, tiff; /* where its TIFF header is */
	size_t date, offset; /* where the texts are */
};

static inline void exif_u16(struct exif_image *i, unsigned v)
{
	i->byte[i->len++] = (uint8_t)v;
	i->byte[i->len++] = (uint8_t)(v >> 8);
}

static inline void exif_u32(struct exif_image *i, uint32_t v)
{
	exif_u16(i, v & 0xffff);
	exif_u16(i, v >> 16);
}

static inline void exif_entry(struct exif_image *i, unsigned tag, unsigned format, uint32_t count, uint32_t value)
{
	exif_u16(i, tag);
	exif_u16(i, format);
	exif_u32(i, count);
	exif_u32(i, value);
}

/* Little-endian: header, IFD 0 with a pointer to the EXIF IFD, which has the date and, unless it is NULL, its offset from UTC. */
static inline void exif_tiff(struct exif_image *i, const char *date, const char *offset)
{
	const uint32_t date_len = (uint32_t)strlen(date) + 1, offset_len = offset ? (uint32_t)strlen(offset) + 1 : 0, texts = offset ? 56 : 44;
	i->tiff = i->len;
	memcpy(i->byte + i->len, "II*\0", 4);
	i->len += 4;
	exif_u32(i, 8);
	exif_u16(i, 1);
	exif_entry(i, 0x8769, 4, 1, 26);
	exif_u32(i, 0);
	exif_u16(i, offset ? 2 : 1);
	exif_entry(i, 0x9003, 2, date_len, texts);
	if (offset)
		exif_entry(i, 0x9011, 2, offset_len, texts + date_len);
	exif_u32(i, 0);
	i->date = i->len;
	memcpy(i->byte + i->len, date, date_len);
	i->len += date_len;
	i->offset = i->len;
	if (offset)
		memcpy(i->byte + i->len, offset, offset_len);
	i->len += offset_len;
}

static inline struct exif_image exif_tiff_file(const char *date, const char *offset)
{
	struct exif_image i = {.len = 0};
	exif_tiff(&i, date, offset);
	return i;
}

static inline struct exif_image exif_jpeg_file(const char *date, const char *offset)
{
	struct exif_image i = {.len = 12};
	memcpy(i.byte, "\xff\xd8\xff\xe1\0\0Exif\0\0", 12);
	exif_tiff(&i, date, offset);
	size_t segment = i.len - 4;
	i.byte[4] = (uint8_t)(segment >> 8);
	i.byte[5] = (uint8_t)segment;
	memcpy(i.byte + i.len, "\xff\xd9", 2);
	i.len += 2;
	return i;
}
