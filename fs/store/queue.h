/* queue.h - what the two views of the expiry queue have in common. */
#pragma once

#include "store/core.h"

/* Of a row, at trusted time `now`; until `undo_until` nothing is destroyed that only a change of the policy has made overdue. Pure. */
struct queue_next queue_next(const struct catalogue_row *row, int64_t now, int64_t epoch_seconds, int64_t undo_until);

/* Looks rows up, and judges them by a filter. */
struct queue_view {
	int64_t undo_until;
	struct archive *a;
	const struct queue_filter *filter;
	int64_t now;
	uint8_t class_fp[CLASS_FP_BYTES]; /* with filter->class_ */
	/* the directory last asked for */
	bool known;
	uint8_t dir_id[DIR_ID_BYTES];
	struct inode *dir; /* NULL: not found */
};
void queue_view_init(struct queue_view *v, struct archive *a, const struct queue_filter *f);
void queue_view_end(struct queue_view *v);
/* By what the row says alone. */
bool queue_view_row(const struct queue_view *v, const struct catalogue_row *row);
/* By its name and owner as well, which are told as the filter asks. */
bool queue_view_file(struct queue_view *v, const struct catalogue_row *row, struct queue_item *q);
/* "" for the root, "?" if it cannot be told. */
void queue_view_dir(struct queue_view *v, const uint8_t dir_id[static DIR_ID_BYTES], char out[static 4096]);
/* What never expires does so at no time that somebody asked for. */
bool queue_view_time(const struct queue_filter *f, int64_t expires_at);
/* Does the filter need more than rows? */
bool queue_view_needs_file(const struct queue_filter *f);
