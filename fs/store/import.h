/* import.h - files that exist already come into an archive: each sealed in staging, read back through fresh keys and held against what was read, on disk by
 * batch, and only then put in its place. What is given is open descriptors, so that nobody but the giver has to reach the source. One thread per import. */
#pragma once

#include "policy/policy.h"
#include "store/archive.h"

#include <sys/stat.h>

/* The instant that a file's life counts from. */
enum import_basis {
	IMPORT_BASIS_NOW,
	IMPORT_BASIS_MODIFIED, /* its mtime, but never later than now */
	IMPORT_BASIS_CAPTURED, /* in the grammar; import_new refuses it */
};
errint_t import_basis_by_name(const char *name, enum import_basis *ret); /* -EINVAL */

enum import_outcome {
	IMPORT_PLACED,      /* it is in the archive */
	IMPORT_PRESENT,     /* it was: the same, under the same name */
	IMPORT_OVERDUE,     /* past its date at `planned_at`: not taken in, and on the record */
	IMPORT_NOW_OVERDUE, /* past its date since then: not taken in, and for another plan */
	IMPORT_CLASH,       /* something else has its name */
	IMPORT_CHANGING,    /* it was written to each time that it was read */
	IMPORT_FAILED,
};

struct import_options {
	enum import_basis basis;
	int64_t planned_at; /* what is overdue at this time is to be left out; INT64_MIN: nothing is planned */
	bool compare;       /* what is there already counts as the same only by content; else by size and modification time */
	bool in_place;      /* for the record: the source goes away */
	const char *text;   /* of the record of each; NULL: "imported" */
	const struct subject *who;
	/* Called during the calls below. An outcome once for each item; `durable`: of all items up to this one, what their outcome says is on disk. */
	void (*outcome)(void *ctx, uint64_t item, enum import_outcome outcome, errint_t error);
	void (*durable)(void *ctx, uint64_t item);
	void *ctx;
};

struct import;
/* -EOPNOTSUPP: the basis is not supported yet. */
errint_t import_new(struct archive *a, const struct import_options *o, struct import **ret);
/* What has not been put in its place is forgotten; NULL is fine. */
void import_free(struct import *im);

struct import_item {
	uint64_t number; /* ascending */
	const char *path;/* in the archive, relative to its root: hostile */
	int fd;          /* of the source, borrowed: O_RDONLY of files and directories, O_PATH of others; of a link none */
	bool names;      /* a file that is to get more names by import_link */
	bool replace;    /* a file that takes the place of the one there, which this import brought */
};
/* 0, or an error that ends the import. What is wrong with one item is its outcome. */
errint_t import_file(struct import *im, const struct import_item *it);
/* Another name of the file `to`, which was item `first`; if that did not come in, neither does this: -ESTALE. */
errint_t import_link(struct import *im, const struct import_item *it, const char *to, uint64_t first);
errint_t import_dir(struct import *im, const struct import_item *it);                  /* before what is in it */
errint_t import_dir_end(struct import *im, const struct import_item *it);              /* behind it: attributes and times */
errint_t import_other(struct import *im, const struct import_item *it);                /* symlink, fifo, socket */
/* Brings what was given to the disk and puts it in place; at the end twice, so that the places are on disk too. -EIO: the disk failed. */
errint_t import_commit(struct import *im);
/* Source files had access lists that the policy does not keep. */
uint64_t import_lists_dropped(const struct import *im);

/* Of the root of an open archive: is this name in it one that lapse has sealed? */
errint_t import_is_sealed(struct archive *a, const char *backing, bool *ret);

/* A source directory's mode and times, kept in an attribute of its own before anything is removed from it, for an import that has to begin anew. */
void import_keep_attributes(int dir_fd, const struct stat *st);
/* Puts them into *st, if they are there. */
void import_kept_attributes(int dir_fd, struct stat *st);

/* ---- once plain: which paths on this machine's disks held files of the archive in plain (FORMAT.md "Once plain") ---- */

struct once_plain {
	int64_t since; /* trusted seconds, of the last import */
	bool in_place;
	const char *path;
};
/* Adds a path, durably; beyond 64 of them the oldest is left out. */
errint_t once_plain_note(struct archive *a, const char *path, bool in_place);
errint_t once_plain_each(struct archive *a, errint_t (*cb)(void *ctx, const struct once_plain *p), void *ctx);
/* An import in place has begun, and not ended: what is still plain lies in .lapse, and in every copy of the store that is made meanwhile. */
bool import_unfinished(const struct archive *a);
/* On the record, for this reason. */
errint_t once_plain_forget(struct archive *a, const struct subject *who, const char *reason);

/* ---- what an import would do ---- */

struct import_sum {
	char class_[64], lifetime[32];
	uint64_t files, bytes, overdue, overdue_bytes;
};
struct import_sums {
	struct import_sum *item;
	size_t count, cap;
};
/* Counts one file by the policy; true in *ret_overdue if it would be past its date at `now`. */
errint_t import_sums_add(struct import_sums *s, const struct policy *p, enum import_basis basis, int64_t now, const char *path, uint64_t size,
			 int64_t mtime, bool *ret_overdue);
void import_sums_free(struct import_sums *s);
