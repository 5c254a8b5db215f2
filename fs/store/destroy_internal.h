/* destroy_internal.h - what is to be destroyed, gathered. Private to destroy*.c. */
#pragma once

#include "store/destroy.h"
#include "store/retain.h"

struct doomed_file {
	const char *path; /* borrowed; one of its names */
	struct file_header h;
	size_t names;
	bool again;  /* its leaf is gone already */
	bool missed; /* a name of it was not there, and may be elsewhere */
	bool failed; /* a name of it could not be removed */
};
struct destruction {
	struct archive *a;
	struct doomed_file *file; /* by file id */
	size_t count;
	struct anchor_leaf *leaf; /* in order: those that they are under, and those that the log says they were */
	size_t leaves, leaf_cap;
	struct catalogue_row *name; /* of every name of a file */
	size_t names, name_cap;
	struct catalogue_row *sibling; /* others that share a leaf, and live on */
	size_t siblings, sibling_cap;
};
void destruction_free(struct destruction *d);
/* Looks at the files, and then at the catalogue for their names and for those who share a leaf. */
errint_t destruction_gather(struct destruction *d, struct archive *a, const char *const *path, size_t count, struct fault *f);
/* The catalogue anew. */
errint_t destruction_scan(struct destruction *d, struct fault *f);
/* anchor_admin.c; key_lock held. */
errint_t anchor_reseed_locked(struct archive *a, const struct anchor_order *o, struct fault *f);
bool destruction_has_leaf(const struct destruction *d, const struct anchor_leaf *leaf);
struct doomed_file *destruction_file(const struct destruction *d, const uint8_t id[static FILE_ID_BYTES]);
void destruction_digest(const struct destruction *d, uint8_t out[static 32]);
