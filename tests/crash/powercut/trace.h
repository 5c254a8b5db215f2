/* trace.h - the record: what was done to the directories of the archive and of its anchor, call by call, with its bytes. */
#pragma once

#include "io_record.h"

#include <pthread.h>
#include <sys/stat.h>

enum { VOLUME_STORE, VOLUME_ANCHOR, VOLUMES };

enum event_kind {
	EV_ENTRY,  /* object `obj` is `name` in `dir` from now on */
	EV_REMOVE, /* `name` in `dir` is no more */
	EV_MOVE,   /* from (dir, name) to (dir2, name2); exchange: both */
	EV_ATTR,
	EV_XATTR, /* data NULL: removed */
	EV_WRITE,
	EV_SIZE,
	EV_SYNC,     /* of obj */
	EV_SYNC_ALL, /* of a volume */
};

struct event {
	enum event_kind kind;
	uint32_t obj, dir, dir2, site;
	uint8_t volume;
	bool data_only, exchange, shrinks;
	char *name, *name2;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	off_t off; /* EV_SIZE: the new size */
	size_t len; /* of data */
	uint8_t *data;
};

/* A file, directory or symlink, whatever it is called. */
struct object {
	dev_t dev;
	ino_t ino;
	uint8_t volume;
	mode_t mode; /* with type; as it began */
	uid_t uid;
	gid_t gid;
	char *target;  /* of a symlink */
	bool mapped;   /* SQLite's -shm: what is in it is not recorded, and not missed */
	uint8_t *data; /* what a file had when the record began */
	size_t len;
};

#define SITE_FRAMES 6
/* A place in the program that calls the system: helpers (site.c) are told apart by who calls them. */
struct site {
	const void *frame[SITE_FRAMES];
	unsigned frames;
	char call[24];
	enum io_kind kind;
	uint64_t count;
};

struct trace {
	pthread_mutex_t lock;
	uint32_t root_obj[VOLUMES];
	struct object *object;
	uint32_t objects, object_cap;
	uint32_t *by_ino; /* hash: object + 1 */
	uint32_t ino_slots;
	struct event *event;
	uint32_t events, event_cap;
	uint32_t begun; /* events before it are what was there */
	struct site *site;
	uint32_t sites, site_cap;
	/* What a build without this call would do: it is not done, and succeeds. */
	const struct site *leave_out;
	const char *unmodelled; /* a call that this does not know how to replay */
};

/* What lies in the two directories now counts as durable; from here on all is recorded. */
void trace_begin(struct trace *t, const char *const root[VOLUMES]);
void trace_end(void);
void trace_free(struct trace *t);
uint32_t trace_position(struct trace *t); /* how many events so far */
/* The kernel has had the time to write everything back. */
void trace_written_back(struct trace *t);
bool site_equal(const struct site *a, const struct site *b);
/* What event i did, for people. */
void trace_tell(const struct trace *t, uint32_t i, char *out, size_t cap);

/* site.c */
void site_of(const struct io_call *c, struct site *ret);
/* "function (file:line)" of the first frame, and of those it was called by. */
void site_text(const struct site *s, char *out, size_t cap);
