/* import.h - shared by the files of `lapse import`. */
#pragma once

#include "store/import.h"
#include "tools/progress.h"
#include "tools/target.h"
#include "tools/walk.h"

#include <pthread.h>

/* ---- import_send.c: items on their way to the archive, and what comes of them ---- */

enum sent_kind { SENT_FILE, SENT_LINK, SENT_DIR, SENT_DIR_END, SENT_OTHER };

/* What was sent and is not yet settled: in the source, an entry of `dir` (or the directory itself). */
struct sent {
	uint64_t item;
	enum sent_kind kind;
	struct walk_dir *dir; /* a reference */
	char *name;           /* in it; NULL: the directory */
	struct stat st;
	bool told, taken, again; /* its outcome is known; it is in the archive (or is to go, as overdue); it is sent a second time */
};

struct sender;
struct sender_hooks {
	/* Left where it is, with the reason; `st`: as it was found. */
	void (*left)(void *ctx, const char *path, const struct stat *st, const char *why);
	/* An outcome other than that: "placed", "present", "overdue". */
	void (*taken)(void *ctx, const struct sent *s, const char *outcome);
	/* It is on disk in the archive (or on the record as overdue): the source may go. May be NULL. */
	void (*durable)(void *ctx, const struct sent *s);
	void *ctx;
};
/* Over a connection on which `import` has been asked. */
struct sender *sender_new(int socket, struct ctl_stream *in, const struct sender_hooks *hooks);
void sender_free(struct sender *s);
/* Each takes what it needs of its arguments. 0, or the error that ended it. */
errint_t sender_entry(struct sender *s, struct walk_dir *d, const char *name, const struct stat *st, bool replace);
errint_t sender_dir(struct sender *s, struct walk_dir *d, bool end);
/* Everything that was sent is on disk, or told as left. */
errint_t sender_settle(struct sender *s);
errint_t sender_end(struct sender *s, struct import_totals *ret, struct fault *f);
char *sender_path(const struct walk_dir *d, const char *name); /* malloc'd */

/* ---- import_place.c: a directory becomes an archive where it lies ---- */

#define ASIDE_NAME    "import"        /* in .lapse: what is still plain */
#define MOVING_NAME   "import.moving" /* … while it is being moved there */
#define FINISHED_NAME "import.wipe"   /* … what is in the archive, and to be overwritten */

/* Before an archive is made around what lies there: a note, on disk, by which the next attempt takes back what a crash left of this one. */
int place_note(const char *path, const struct args *a);
/* Takes back what an attempt left that did not come to an archive. */
int place_take_back(const char *path);
void place_made(const char *path); /* it is one */
/* What is plain in an archive that is open here goes aside. *ret_fd: the directory where it lies now. EXIT_… */
int place_aside(struct target *t, int *ret_fd);

struct remover;
/* Removes sources that are safe in the archive. `wipe`: overwrites them before. */
struct remover *remover_new(int lapse_fd, int plain_fd, bool wipe);
void remover_add(struct remover *r, const struct sent *s);
/* All that was added is gone. ret_left: directories and files that could not be removed. */
errint_t remover_finish(struct remover *r, uint64_t *ret_left);
void remover_free(struct remover *r);
