/* capture.h - the capture date that files of a class with basis captured count from. */
#pragma once

#include "store/amend.h"

#include "exif/reader.h"

/* Of a plain file, behind `fd`: the instant that it counts from in class `c` if it is created at `created_at`. -ENODATA: it has no date that is believed, or the
 * class does not count from one. -EAGAIN: it cannot be looked at now (exif_ask). The descriptor's position is not used. */
errint_t captured_at(struct exif_readers *readers, const struct policy_class *c, int fd, int64_t created_at, int64_t *ret);

/* A file that is looked at: its header then, and the beginning of its content. */
struct capture {
	struct file_header h;
	uint8_t *head; /* NULL: not to be looked at */
	size_t len;
	struct exif_instants found;
	bool dated; /* it counts from another instant now: to be recorded */
};
/* Of the file that lies under this name in an entered directory. -EBUSY: it is being written. The caller calls capture_free. */
errint_t capture_read(struct archive *a, struct dir_use *u, const char *backing, const char *plain, size_t len, struct capture *ret);
void capture_free(struct capture *c);
/* No lock is held. -EAGAIN: not now. A reader that dies of it finds nothing. */
errint_t capture_ask(struct archive *a, struct capture *c);
/* amend_fn; the context is the capture. What was written meanwhile is looked at another time. */
errint_t capture_apply(struct archive *a, struct file_header *h, void *capture);
