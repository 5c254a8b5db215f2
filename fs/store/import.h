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
	IMPORT_BASIS_CAPTURED, /* its capture date, where its class counts from that and it has one that is believed, held against its mtime; else its mtime */
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
struct import_totals {
	uint64_t lists; /* source files had access lists that the policy does not keep */
	uint64_t captured, undated; /* of those that were placed, with basis captured: that count from their capture, or from their mtime */
};
void import_totals(const struct import *im, struct import_totals *ret);

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
	uint64_t files, bytes, overdue, overdue_bytes, captured;
};
struct import_sums {
	struct import_sum *item;
	size_t count, cap;
};
/* Who looks for capture dates of files that are in no archive yet; NULL without memory. */
struct import_dates;
struct import_dates *import_dates_new(void);
void import_dates_free(struct import_dates *d);
/* Whether any class of the policy counts from capture dates. */
bool import_has_captured(const struct policy *p);
struct import_asked {
	const struct policy *policy;
	enum import_basis basis;
	int64_t now;
	struct import_dates *dates; /* of basis captured */
};
/* Whether the file's content has to be looked at to count it. */
bool import_needs_content(const struct import_asked *q, const char *path);
/* Counts one file, open behind `fd` if its content is needed; true in *ret_overdue if it would be past its date at `now`. */
errint_t import_sums_add(struct import_sums *s, const struct import_asked *q, const char *path, int fd, const struct stat *st, bool *ret_overdue);
void import_sums_free(struct import_sums *s);
