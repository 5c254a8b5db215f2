/* open.h - the first steps of opening an archive. Private to archive.c and check.c. */
#pragma once

#include "store/internal.h"
#include "store/place.h"

/* path, descriptors, lock, what the backing filesystem is. */
errint_t store_open_dirs(struct archive *a, const char *path, struct fault *f);
void store_remove_left(struct archive *a);
/* keyring, secrets, keys, anchor. */
errint_t store_unlock(struct archive *a, const struct archive_open *o, struct fault *f);
/* archive.c: the structure alone, for archive_close; the log and the clock. */
struct archive *store_new(const struct archive_open *o);
errint_t store_open_log(struct archive *a, struct fault *f);
/* Looks whether the log's seals end with the anchor's, and writes that one if a crash kept it from their file. a->sealed_anchor: the anchor's sequence in the last
 * seal, if the anchor is older than that. */
errint_t store_open_seals(struct archive *a, struct fault *f);
/* Adds a seal to the file. For anchor_set_log. */
errint_t store_keep_seal(void *archive, const struct log_seal *s);
errint_t store_open_clock(struct archive *a, struct fault *f);
