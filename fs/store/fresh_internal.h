/* fresh_internal.h - the table in memory, and the fold that makes it. Private to fresh*.c. */
#pragma once

#include "store/fresh.h"
#include "store/fresh_table.h"

#define FIRST_CLOSE 2 /* the generation of a file that was made, written and closed: its header before says open, and is refused for that */

struct fresh {
	struct fresh_table *table;
	struct fresh_table *gone; /* files that were deleted before their date, by the minute of that */
	struct fresh_table *soft; /* what a crash may have taken: known by the log alone */
	_Atomic bool complete, gone_full;
	_Atomic uint64_t saved; /* the last record that the snapshot on disk tells of */
	uint8_t session[SESSION_BYTES];
	bool kept;
	pthread_mutex_t saving; /* one snapshot at a time, from its copy until it is in its place; taken before all others here */

	pthread_mutex_t lock; /* leaf */
	pthread_cond_t wake;
	pthread_t thread;
	bool started, stop;
};

#define GONE_MAX (8u << 20)
#define GONE_NEVER UINT32_MAX
uint32_t fresh_minute(int64_t expires_at); /* the whole minute from which on it is dark in any case; not 0 */
/* Tables, as a record says. */
errint_t fresh_set(struct fresh *f, const struct fresh_item *i);
errint_t fresh_set_gone(struct fresh *f, uint64_t key, uint32_t minute); /* 0: it has come to its end */
void fresh_raised_to(struct archive *a, const uint8_t id[static FILE_ID_BYTES], uint64_t generation);
void fresh_seen_at(struct archive *a, const uint8_t id[static FILE_ID_BYTES], uint64_t generation);
/* Everything is valid again. */
void fresh_forget(struct archive *a);

/* What the last records of a session tell may not have reached the disk before a crash: it counts when it is old enough, or the session has ended, or went on
 * in the next one. */
struct fresh_event {
	uint64_t key;
	uint32_t floor; /* 0: the file is gone … */
	uint32_t until; /* … before its date, which is then; 0: at its date */
	int64_t at_ns;
};
struct fresh_fold {
	struct archive *archive;
	struct fresh_event *event; /* those from `first` on wait */
	size_t first, count, cap;
	uint8_t session[SESSION_BYTES]; /* as the last mount says */
	uint64_t began;			/* the first record that was read */
};
errint_t fresh_fold(void *fold, const struct audit_record *r);
errint_t fresh_fold_end(struct fresh_fold *f);	  /* the log's end: before the session that begins now */
void fresh_fold_forget(struct fresh_fold *f); /* as if nothing had been read */
void fresh_fold_free(struct fresh_fold *f);
