/* story.h - what a program did with the archive, and what it was promised: the oracle. Positions are those of the record. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define STORY_PATH 1024
#define TAG_MAX	   64

/* An act began when the record had `begin` events, and was done when it had `end`. */
struct span {
	uint32_t begin, end;
};

struct change { /* of a file's content */
	struct span when;
	bool resize; /* to `off` */
	uint64_t off;
	size_t len;
	uint8_t *data;
};

struct look { /* a file's attributes from then on */
	struct span when;
	mode_t mode;
	char tag[TAG_MAX]; /* user.tag; "": none */
};

struct file { /* or directory, or symlink, under whatever names */
	mode_t type;
	char *target;
	int64_t expires_ns; /* INT64_MAX: not in this story */
	struct change *change;
	uint32_t changes;
	struct look *look;
	uint32_t looks;
};

enum step_kind { STEP_ENTRY, STEP_GONE, STEP_MOVE, STEP_EXCHANGE };
struct step { /* of the tree */
	struct span when;
	enum step_kind kind;
	uint32_t file;
	char path[STORY_PATH], path2[STORY_PATH];
};

/* What must be there after a cut at or behind `since`. */
struct promise {
	uint32_t since;
	uint32_t steps; /* of the tree: at least so many */
	uint32_t file;	/* UINT32_MAX: of none */
	uint32_t changes, looks;
};

struct text { /* a policy put in force; a write of the anchor that nothing older may outlive; the second key slot's coming (1) or going (0) */
	struct span when;
	const char *text;
	uint64_t number;
};

struct holding { /* a legal hold on a file: what it keeps lives past its date */
	struct span on, off; /* off.begin UINT32_MAX: not released in this story */
	uint32_t file;
};

struct moment {
	uint32_t position;
	int64_t ns;
};

struct story {
	uint32_t ready; /* from here on there is an archive */
	struct file *file;
	struct step *step;
	struct promise *promise;
	struct text *policy, *shred, *key;
	struct holding *holding;
	struct moment *moment;
	uint32_t files, steps, promises, policies, shreds, keys, holdings, moments;
};

void story_free(struct story *s);
/* Each adds one, all fields set by the caller. */
uint32_t story_file(struct story *s, const struct file *f);
void story_step(struct story *s, const struct step *st);
void story_change(struct file *f, const struct change *c);
void story_look(struct file *f, const struct look *l);
void story_promise(struct story *s, const struct promise *p);
void story_text(struct text **list, uint32_t *count, const struct text *t);
void story_holding(struct story *s, const struct holding *h);
/* 1: it is held, 0: it is not, -1: either. */
int story_held(const struct story *s, uint32_t cut, uint32_t file);
void story_moment(struct story *s, uint32_t position, int64_t ns);
int64_t story_clock(const struct story *s, uint32_t cut);
/* Different wherever something else may or must be there. */
uint64_t story_stage(const struct story *s, uint32_t cut);

/* The tree after the first `steps` steps. */
struct view {
	struct named {
		char path[STORY_PATH];
		uint32_t file;
	} *named;
	uint32_t count;
};
void story_view(const struct story *s, uint32_t steps, struct view *ret);
uint32_t view_find(const struct view *v, const char *path); /* file, or UINT32_MAX */

/* ---- what was found after a cut, and whether that is as promised -------------------------------------------------------------------- */

#define BLOCK 4096u

struct seen {
	char path[STORY_PATH];
	mode_t mode;
	char tag[TAG_MAX];
	char target[STORY_PATH];
	int open_error;
	size_t size; /* as read, blocks that could not be read included */
	uint8_t *data;
	int *block_error;
};
struct found {
	struct seen *seen;
	uint32_t count;
};
void found_free(struct found *f);

struct verdict {
	char class_[32]; /* "": as promised */
	char what[1024];
	uint64_t unreadable; /* files that nobody synced, and that cannot be read */
};
/* `whole`: nothing of what was done is missing, as after a killed daemon. Then all that was done is there. Else: what was synced is there and can be read
 * (changes since may be there byte by byte, or not); the tree is as it was after one of the steps since the last that was synced; and a file that nobody
 * ever synced may be damaged, but never holds a byte that nobody wrote. */
void story_judge(const struct story *s, uint32_t cut, bool whole, const struct found *f, struct verdict *ret);
/* Was everything that was ever called so to expire by then? */
bool story_expired(const struct story *s, uint32_t cut, const char *path);
bool story_policy_fits(const struct story *s, uint32_t cut, const char *text);
/* 1: the second key must open it, 0: must not, -1: either. */
int story_key(const struct story *s, uint32_t cut);
uint64_t story_shred(const struct story *s, uint32_t cut);
