/* canary_admin.h - directories are told to get decoys, and which have some is told to who may know. */
#pragma once

#include "store/anchor_admin.h"

#define CANARY_PER_MAX 1000000u

struct canary_wish {
	const char *path;   /* of a directory, relative to the root */
	uint32_t per, most; /* one for so many files that come in; so many at a time, 0: as the policy says, else any number */
	const char *series; /* "": none */
};
/* On the record, durably, before it is in force. -ENOTDIR, -EINVAL, -ENOSPC. */
errint_t archive_canary_order(struct archive *a, const struct canary_wish *w, const struct anchor_order *o, struct fault *f);
/* No further decoys; those that are there stay what they are, until they expire. -ENOENT: it gets none. */
errint_t archive_canary_cancel(struct archive *a, const char *path, const struct anchor_order *o, struct fault *f);

struct canary_place {
	uint8_t dir_id[DIR_ID_BYTES];
	char *path; /* NULL: the directory is gone */
	bool ordered;
	uint32_t per, most, living, expired;
	char series[24];
	uint32_t seen;	 /* names of this session by which a decoy is made; 6 are needed */
	errint_t unable; /* why the last one was not made; 0 */
};
/* Each directory that gets decoys, or has some. Free with archive_canary_places_free. */
errint_t archive_canary_places(struct archive *a, struct canary_place **ret, size_t *ret_count);
void archive_canary_places_free(struct canary_place *p, size_t count);

struct canary_file {
	uint8_t file_id[FILE_ID_BYTES];
	int64_t expires_at;
	char *path; /* NULL: it has none any more */
};
errint_t archive_canary_files(struct archive *a, struct canary_file **ret, size_t *ret_count);
void archive_canary_files_free(struct canary_file *p, size_t count);
/* Whether a file is or was one, as far back as the list goes. */
bool archive_is_canary(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES]);
