/* hold.h - legal holds: which there are, which files are under them, who may read what they keep. Their keys are in the anchor, what they match in
 * .lapse/holds, and every held file says so in its header. POLICY.md "Legal holds". */
#pragma once

#include "crypt/hold.h"
#include "store/core.h"

struct holds;

errint_t holds_open(struct archive *a, struct fault *f); /* before anything is swept; after the anchor and the clock */
errint_t holds_start(struct archive *a);		 /* its thread, which takes up what a crash interrupted */
/* What its thread does, here and now: one pass over the files. After how many seconds it has to be done again; 0: it has not. */
int holds_run_once(struct archive *a);
void holds_stop(struct archive *a);
void holds_free(struct archive *a);
void holds_kick(struct archive *a); /* the catalogue is complete */

/* Around whatever decides under which holds a file is, until its row is queued: a hold that comes or goes meanwhile waits. No other lock is held. */
void hold_doing(struct archive *a);
void hold_done(struct archive *a);
/* Waits until whatever was being decided when it is called has been, and its rows are queued. */
void hold_settle(struct archive *a);

bool hold_needs_path(struct archive *a);
/* Adds the holds in force that match the file, up to four in all. True if that changed h->holds; the key is the caller's to place. */
bool hold_decide(struct archive *a, const char *path, struct file_header *h);
/* The same with the key: placed and wrapped anew. */
errint_t hold_apply(struct archive *a, const char *path, struct file_header *h);
/* A file with this header is about to get another name or place: a pass over the files may miss it. In an act between hold_doing and hold_done. */
void hold_moving(struct archive *a, const struct file_header *h);
/* Is it under a hold that is in force? By its header. */
bool hold_binds(struct archive *a, const struct file_header *h);
/* … or about to be: it is matched by a hold that is still on its way to its files. */
bool hold_covers(struct archive *a, const char *path, const struct file_header *h);
/* The key of a file that no hold has would come to lie in an earlier epoch. */
bool hold_key_sooner(const struct file_header *was, const struct file_header *next);
/* … and below what a pass has looked through already: not now (-EAGAIN to whoever wants that). In an act between
 * hold_doing and hold_done. */
bool hold_bars(struct archive *a, const struct file_header *was, const struct file_header *next);
/* Holds are on their way to files: directories stay where they are. */
bool hold_placing(struct archive *a);
/* May the sweeper not unlink it? */
bool hold_keeps(struct archive *a, const char *path, const struct file_header *h);
/* May they read it past its deadline? All the people behind a request must be readers of one of its holds. */
bool hold_reads(struct archive *a, const struct file_header *h, const struct subject *who);
/* A directory is about to be moved to that path (and, in an exchange, another one to `back`; else NULL), with the tree locked. Where holds may match below it, what they match there is covered from
 * now on, and no epoch is passed until they have looked. An error of the anchor: it may not be moved. In any case hold_dir_moved has to follow, under the same lock. */
errint_t hold_dir_moving(struct archive *a, const char *to, const char *back);
void hold_dir_moved(struct archive *a);

size_t hold_count(struct archive *a);
