/* faults.h - each call of the store to its filesystem fails once, one after the other (main.c); what holds whatever fails is in `world.c` and `tree.c`,
 * what is done meanwhile in `work_*.c`. */
#pragma once

#include "store/core.h"

#define PATH_ROOM 512

enum world_kind {
	WORLD_CLEAN,   /* closed properly */
	WORLD_CRASHED, /* left as the end of a process leaves it: files open for writing, some of them fsynced */
	WORLD_KINDS
};

enum stage {
	IN_SESSION, /* the archive is open; `op` fails or not */
	MOUNTING,   /* `op` opens it */
	CLOSING,    /* `op` closes it */
	OFFLINE,    /* `op` works on the archive that nobody has open */
};

enum partly {
	LEAVES_OLD,  /* an operation that failed has changed nothing */
	LEAVES_NEW,  /* … or has been done all the same: its error is that of what comes after the change */
	LEAVES_SOME, /* … or some of the new bytes are there (`target`), as on any filesystem */
};

struct work {
	const char *name;
	enum world_kind world;
	enum stage stage;
	void (*before)(void);	/* faults off */
	errint_t (*op)(void);	/* faults on; may be called again after it failed */
	void (*after)(void);	/* faults off: gives back what the others took */
	enum partly partly;
	const char *target;	/* the file whose content is on its way */
	bool reads;		/* what cannot be recorded is not read: EIO, whatever the log's disk says */
	bool later;		/* what failed of it is done by the next session at the latest */
};

extern const struct work file_works[], name_works[], archive_works[]; /* end with a NULL name */

/* ---- world.c: the archive that all of it is done to ----------------------------------------------------------------------- */

/* Says what is wrong, and ends this case. */
_Noreturn void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define must(what)                                                                              \
	do {                                                                                    \
		errint_t must_r = (errint_t)(what);                                             \
		if (must_r < 0)                                                                 \
			wrong("%s without a fault: %s", #what, strerrorname_np(-must_r));       \
	} while (0)

extern struct archive *archive; /* open in this process, or NULL */
extern char world_base[PATH_ROOM]; /* the case's own directory, all the store's files below it */
extern struct fault world_fault;   /* the sentence of the last open */
extern const struct caller root_caller;
extern const struct slot_secret world_key;
extern int64_t clock_skew_s;	   /* added to what this process takes for the time */

void world_place(const char *base); /* the directory of a template or case from now on */
void world_make(enum world_kind kind);
struct archive_open world_options(void);
errint_t world_init(const char *name); /* `lapse init` of another archive beside it */
void world_clear(const char *name);    /* what is left of one */
errint_t world_open(void);
void world_await_scan(void); /* starts what works in the background, until all files have been looked at */
void world_close(void);
/* What must not grow: descriptors but for cached directories', inodes. */
struct world_use {
	size_t fds;
	uint64_t inodes, open_files;
};
struct world_use world_use(void);
size_t open_descriptors(void);
void world_said(const char *prefix); /* prints what the daemon's log was told */
/* wrong() if something was called damaged since the archive was opened. */
void world_not_damaged(const char *when);

/* By path below the root; the lookup is the caller's to give back. */
errint_t find(const char *path, struct inode **ret);
void forget(struct inode **i);
/* Bytes that a file of this name has, so that each one can be told from every other. */
void fill(const char *name, uint8_t *out, size_t len, size_t from);
errint_t make(const char *path, size_t len, struct inode **ret, struct handle **ret_handle);

/* ---- tree.c: everything a reader sees -------------------------------------------------------------------------------------- */

#define TREE_ENTRIES 40
#define TREE_BYTES (512u << 10)
struct tree {
	unsigned count;
	size_t used;
	bool untimed; /* modification times do not count */
	struct seen {
		char path[PATH_ROOM], about[256]; /* type, mode, owner, links, size, target or attributes; or the error */
		int64_t mtime_ns;
		size_t at, len; /* content */
		errint_t error;
	} seen[TREE_ENTRIES];
	uint8_t bytes[TREE_BYTES];
};

void tree_read(struct tree *ret);
/* True if `now` is `want`, or `was` if it is not done; else where it differs, in words. Modification times count of what is alike in both. */
bool tree_is(const struct tree *now, bool done, const struct tree *was, const struct tree *want, char *why, size_t why_room);
/* The same for what is alike in `was` and `want`, and is not `target`. The rest is there or not; with `readable`, it has no error. */
bool tree_others(const struct tree *now, const struct tree *was, const struct tree *want, const char *target, bool readable, char *why,
		 size_t why_room);
/* tree_is but for `target`, of which each byte is that of either tree, or a zero. */
bool tree_between(const struct tree *now, const struct tree *was, const struct tree *want, const char *target, char *why, size_t why_room);
