/* run.h - one run of a workload on an archive of its own, recorded, with what it was promised. */
#pragma once

#include "story.h"
#include "trace.h"

#include "store/fs.h"

struct open_file {
	uint32_t file;
	struct handle *handle;
	struct inode *inode;
};

struct run {
	char base[128], store[192], anchors[192], anchor[256];
	struct archive *archive;
	struct trace trace;
	struct story story;
	struct view now; /* the tree as it is */
	uint64_t chance;
};

struct workload {
	const char *name;
	void (*act)(struct run *r);
	bool init; /* making the archive is part of the record */
};
extern const struct workload workloads[];
extern const size_t workload_count;

/* The secrets of the two key slots, and policies. */
extern const struct slot_secret key_first, key_second;
extern const char policy_one[], policy_two[];
extern const struct caller who;

/* Makes `base`, an archive in it unless the workload does that, and opens it. */
void run_begin(struct run *r, const struct workload *w, const char *base, uint64_t seed, const struct site *leave_out);
void run_init(struct run *r);
void run_open(struct run *r);
void run_close(struct run *r);
void run_kill(struct run *r); /* the daemon is killed: what it did is there, and none of it is on the disk for that */
void run_end(struct run *r); /* the record is complete; the archive's directory stays until run_free */
void run_free(struct run *r);
/* The program finds that something does not work: ends this process, with this status and a line that says what. */
#define RUN_FAILED 9
_Noreturn void run_failed(const char *what, long error);

/* ---- what a program does: each is done, recorded, and must succeed -------------------------------------------------------------------- */

struct open_file do_create(struct run *r, const char *path);
/* One that has no name, and the name that it gets, which is on disk as soon as the file is there if that was synced. */
struct open_file do_tmpfile(struct run *r, const char *dir);
void do_name(struct run *r, struct open_file f, const char *path);
struct open_file do_open(struct run *r, const char *path, int flags);
void do_write(struct run *r, struct open_file f, uint64_t off, size_t len);
void do_resize(struct run *r, struct open_file f, uint64_t size);
void do_fsync(struct run *r, struct open_file f, bool data_only);
void do_close(struct run *r, struct open_file f);
void do_mkdir(struct run *r, const char *path);
void do_symlink(struct run *r, const char *path, const char *target);
void do_link(struct run *r, const char *path, const char *path2);
void do_rename(struct run *r, const char *path, const char *path2);
void do_exchange(struct run *r, const char *path, const char *path2);
void do_unlink(struct run *r, const char *path);
void do_rmdir(struct run *r, const char *path);
void do_fsync_dir(struct run *r, const char *path); /* "": the root */
/* Files of `len` bytes each come in, in batches of `batch`; each path is one that nobody has. */
void do_import(struct run *r, const char *const *path, size_t count, size_t len, size_t batch);
void do_chmod(struct run *r, const char *path, mode_t mode);
void do_tag(struct run *r, const char *path, const char *tag);
void do_pass(struct run *r, int64_t seconds); /* time goes by, and what is due is swept */
/* A legal hold of that name on the file; its way to the file, as its thread goes it; its release. */
void do_hold(struct run *r, const char *name, const char *path);
void do_hold_work(struct run *r);
void do_release(struct run *r, const char *name, const char *path);
void do_policy(struct run *r, const char *text);
void do_key_add(struct run *r);
void do_key_remove(struct run *r);
