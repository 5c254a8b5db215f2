/* anchor_admin.h - what is done to the anchor on order: copies, backups, trees. Each is recorded before it is done, with `reason`, and durable when 0 is
 * returned. Paths are absolute. */
#pragma once

#include "crypt/anchor_notes.h"
#include "store/anchor.h"
#include "store/archive.h"

struct anchor_order {
	const struct subject *who;
	const char *reason; /* one line, at most ROLLBACK_REASON_MAX bytes */
	const struct stat *dir; /* a new file has to lie in this directory, and no other that its path may lead to by then: -ESTALE; NULL: wherever it leads */
};

/* A new copy, written and advanced from now on, also by later mounts. */
errint_t archive_anchor_add(struct archive *a, const char *path, const struct anchor_order *o, struct fault *f);

/* What `drop` is about. */
struct anchor_drop {
	bool backup;	    /* it is a backup, not a copy */
	int64_t begins_at;  /* of a backup */
	size_t copies_left; /* that are whole */
	errint_t reachable; /* 0, or why the file cannot be overwritten */
	errint_t erased;    /* afterwards: 0, or why it was not */
};
/* Looks only. -ENOENT: neither a copy nor a backup; -EBUSY: the last copy that is whole. */
errint_t archive_anchor_drop_plan(struct archive *a, const char *path, struct anchor_drop *ret, struct fault *f);
/* Gives up a copy or a backup; its file is overwritten and removed where it can be reached. */
errint_t archive_anchor_drop(struct archive *a, const char *path, const struct anchor_order *o, struct anchor_drop *ret, struct fault *f);

/* Writes a new file that opens what expires `horizon` seconds from now or later and, with a key slot of today, stands in for a lost anchor. */
errint_t archive_anchor_backup(struct archive *a, const char *path, int64_t horizon, const struct anchor_order *o, struct anchor_backup *ret,
			       struct fault *f);
/* Those that were made and not dropped. 0, or why they are not known. */
errint_t archive_anchor_notes(struct archive *a, struct anchor_notes *ret);

struct anchor_tree_use {
	struct anchor_tree_info tree;
	uint64_t files; /* that the catalogue knows */
};
/* -EAGAIN: the catalogue is being completed, or files were renamed each time that it was looked through. */
errint_t archive_anchor_trees(struct archive *a, struct anchor_tree_use out[static ANCHOR_TREES_MAX], size_t *ret_count, struct fault *f);
/* New files use a new tree. `retire`: trees that no file is left under go. */
errint_t archive_anchor_reseed(struct archive *a, bool retire, const struct anchor_order *o, struct fault *f);
/* The same without being told, once the current tree is a year old. */
void archive_anchor_reseed_if_due(struct archive *a);

struct anchor_restore {
	const char *path;	   /* the archive; nobody has it open */
	struct slot_secret secret; /* of a slot of its keyring */
	const struct slot_secret *backup_secret; /* of a slot of the backup's keyring; NULL: the same */
	const char *backup;
	const char *const *anchor; /* as archive_init */
};
/* Makes an anchor from a backup where there is none. `lapse fsck --accept-rollback` has to follow. *ret_begins_at: what expires before is lost.
 * ret_log_public: of the key that the log is sealed with from now on. */
errint_t archive_anchor_restore(const struct anchor_restore *o, int64_t *ret_begins_at, uint8_t ret_log_public[static 32], struct fault *f);
