/* reader.h - asks for the date on which an image was captured. Whoever may write a file may have written its EXIF data: it is looked at by a process of its
 * own, this program executed anew, so that no key was ever in its memory; without privileges, other descriptors than its socket, and system calls that reach
 * anything (confine.c). Thread-safe; one image at a time. */
#pragma once

#include "base/base.h"

#define EXIF_HEAD_MAX (256u << 10) /* so much of a file is looked at */
#define EXIF_ZONE_MAX 64u
#define EXIF_ARGV0    "lapse-exif" /* a program executed under this name is a reader: exif_serve */

struct exif_readers;

/* `program`: of the readers' process; NULL: this one. No process is started before it is needed. NULL without memory. */
struct exif_readers *exif_readers_new(const char *program);
/* Readers are started by the helper, where there is one: to be called before it is. */
void exif_provide(void);
void exif_readers_free(struct exif_readers *r); /* ends their processes; NULL is fine */

/* When the camera's clock showed DateTimeOriginal: at none, one or two instants, ascending. */
struct exif_instants {
	size_t count;
	int64_t at[2];
};
/* Of the image that begins with these bytes; where it does not say how far its clock is from UTC, that was a clock of `zone`. 0: also if there is no date, or
 * none that means something. -EBADMSG: its reader died of it or took more than a second, and was ended. -EAGAIN: no reader can be had now, be it that too many
 * have died lately; ask again in a minute. Waits at most three seconds. */
errint_t exif_ask(struct exif_readers *r, const char *zone, const void *head, size_t len, struct exif_instants *ret);
/* JPEG or TIFF, by its first bytes: others need not be asked about. */
bool exif_may_have(const void *head, size_t len);
/* Does this machine know the time zone? */
bool exif_zone_exists(const char *name);

/* The reader's process: answers what comes over its standard input until that ends. Its exit status. */
int exif_serve(const char *zone);
