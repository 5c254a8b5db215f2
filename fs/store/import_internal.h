/* import_internal.h - shared by the files of an import. */
#pragma once

#include "exif/reader.h"
#include "store/import.h"
#include "store/ofile.h"

#include <sys/stat.h>

#define BATCH_ITEMS 1024
#define BATCH_BYTES (256u << 20)
#define WORKERS_MAX 4
#define WORK_QUEUED 128 /* files that wait to be sealed, each with a descriptor */
#define ATTEMPTS    3 /* at a file that is being written to */

enum staged_kind { STAGED_FILE, STAGED_LINK, STAGED_OTHER, STAGED_DIR_END, STAGED_SETTLED };

/* What waits for its batch to be on disk. */
struct staged {
	struct staged *next;
	uint64_t number;
	enum staged_kind kind;
	struct inode *dir; /* a reference */
	bool replace, names, captured;
	uint64_t to_item;
	struct staged *queued; /* the next that waits to be sealed */
	int source;            /* of a file, until it is sealed; -1 */
	char *path;            /* of a file, in the archive */
	enum import_outcome outcome;
	errint_t error;
	char tmp[33];         /* of a file, in staging; "": none */
	struct stat st;       /* of the source */
	struct file_header h; /* of a file */
	char *to;             /* of a link: the path of its first name; of a symlink: its target */
	int fd;               /* of a directory, for its attributes; -1: none */
	errint_t absent;      /* of a directory: why it is not there, if it is not */
	char name[NAME_PLAIN_MAX + 1];
};

struct overdue {
	char class_[64];
	uint64_t files, bytes;
};

struct batch {
	struct staged *first, **end;
	size_t items;
	uint64_t bytes, last; /* the last item of it */
};

/* Who seals: the room that it takes. */
struct sealer {
	struct import *im;
	pthread_t thread;
	uint8_t *plain, *again, *sealed; /* RUN_BYTES of plaintext twice, and of sealed blocks behind a header */
};

struct import {
	struct archive *a;
	struct import_options o;
	struct sealer own; /* of the caller's thread, which compares */
	struct sealer worker[WORKERS_MAX];
	size_t workers;
	pthread_mutex_t lock; /* leaf: what follows, overdue, missing */
	pthread_cond_t work, room;
	struct staged *todo, **todo_end;
	size_t waiting, busy;
	bool stop;
	char *dir_path;                  /* the directory that was resolved last */
	struct inode *dir;
	errint_t dir_error; /* why the last directory that could not be made was not … */
	char *dir_failed;   /* … and its path */
	struct batch filling, syncing;
	/* A flush that is under way, by a thread of its own, of the batch `syncing` and of all places up to item `covers`; then the batch gets its places. */
	bool flush;
	pthread_t flusher;
	errint_t flush_error, place_error; /* when it has been joined */
	uint64_t covers, placed; /* the last item that is in its place */
	_Atomic uint64_t lists_dropped;
	uint64_t captured, undated; /* of files that were placed */
	struct overdue *overdue;
	size_t overdue_count;
	uint64_t *missing; /* items that were to get more names, and are not there */
	size_t missing_count, missing_cap;
};

/* What has become of it. -ENOMEM: a link might be made to what is not there, and the import has to end. */
errint_t import_decide(struct import *im, struct staged *s, enum import_outcome outcome, errint_t error);
bool import_missing(struct import *im, uint64_t item);
/* Into the batch; takes it over. */
errint_t import_stage(struct import *im, struct staged *s, uint64_t bytes);
void import_staged_free(struct import *im, struct staged *s);

/* import_work.c: threads that seal. */
errint_t import_workers_start(struct import *im);
void import_workers_stop(struct import *im);
void import_work_put(struct import *im, struct staged *s); /* waits for room */
void import_work_wait(struct import *im);		   /* until all are sealed */
/* Of the memory of a sealer. */
errint_t import_sealer_begin(struct import *im, struct sealer *w);
void import_sealer_end(struct sealer *w);

/* import_file.c: seals the source into staging; s->h and s->tmp are filled. 0; an error of this file; *ret_outcome says what kind. */
errint_t import_seal(struct sealer *w, struct staged *s, enum import_outcome *ret_outcome);
/* Whether the file that lies there is the same as the open source. */
errint_t import_same(struct import *im, struct inode *i, int source, const struct stat *st, bool *ret);
/* import_date.c: what a source's life counts from, in class `c`. `fd` is read where that asks for a capture date. An error of the source. */
struct import_instant {
	int64_t created_at, at;
	bool looked, captured; /* its content was looked at; and has a date that counts */
};
errint_t import_instant(struct exif_readers *readers, enum import_basis basis, const struct policy_class *c, int fd, const struct stat *st, int64_t now,
			struct import_instant *ret);
/* import_meta.c */
typedef errint_t (*import_put)(void *ctx, const char *name, const void *value, size_t size);
/* Every attribute of the source that an archive keeps. */
errint_t import_xattrs(struct import *im, int source, import_put put, void *ctx);
/* import_place.c: under the names that they are to have. The outcome is in s. -ENOMEM: the import has to end. */
errint_t import_place(struct import *im, struct staged *s);
errint_t import_resolve(struct import *im, const char *path, struct inode **ret); /* any entry; a reference */
errint_t import_parent(struct import *im, const char *path, struct inode **ret, char name[static NAME_PLAIN_MAX + 1]);
