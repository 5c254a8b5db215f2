/* internal.h - what the files of this room share. Included by nobody else.
 *
 * A request becomes a struct job: the handler of its operation fills it in and calls dispatch(), which runs and
 * answers it on the spot or hands it to a worker, whose answer a replier thread sends. Either way run() calls the
 * store and keeps the outcome in the job, and reply() answers exactly once. */
#pragma once

#include "fuse/session.h"
#include "store/archive.h"
#include "store/fs.h"

#include <fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#define MAX_REQUEST (1u << 20) /* max_read, max_write */
#define RING_DEPTH  32
#define THROTTLED_MAX (RING_DEPTH / 4) /* opens put off at once, also while they are run again */
#define CACHE_SECONDS \
	3600.0 /* of names and attributes: nobody else writes the store, and the daemon invalidates what it changes */

/* ---- jobs (dispatch.c) ----------------------------------------------------------------------- */

struct fileref;
struct dirref;

struct job {
	fuse_req_t req;
	struct session *session;
	struct job *next;
	enum session_op op;
	bool uring;
	bool uncached, uncached_content; /* the kernel is not to keep the name; what is read */
	int64_t began_ns;  /* 0: not looked at */
	bool light, heavy; /* set by the handler: this one waits for nothing; takes long whatever the store lies on */
	bool may_wait;	   /* it runs on a thread that may */
	bool put_off;	   /* run() has done nothing: it would have to wait where it may not, and runs again on a worker */
	bool held;	   /* it is answered later: see throttle.c and making.c */
	bool own;	   /* memory of its own: freed when it is answered */
	int64_t held_since_ns; /* CLOCK_MONOTONIC; 0: it never was */
	unsigned throttled;    /* what throttle_done() wants to know of it; 0: it is not run again */
	errint_t error;

	/* The request. Names and data lie in the request's memory: with /dev/fuse it is gone when the handler
	 * returns, and nothing is handed off; on a ring it stays until the reply, and is where the reply goes, so
	 * run() has done with it before it writes there. */
	struct inode *inode, *to_inode;
	struct fileref *file;
	struct dirref *dir;
	const char *name, *to_name;
	const void *data;
	size_t size;
	off_t off;
	int flags;
	unsigned what; /* of setattr */
	mode_t mode;
	dev_t rdev;

	/* The reply. */
	void *buf; /* what job_space() gave */
	bool buf_pooled;
	size_t len;
	union {
		struct stat attr; /* setattr: also what is asked for */
		struct fs_entry entry;
		struct statvfs vfs;
	};
};

/* Answers, or has it answered by others. `j` may live on the stack. */
void dispatch(fuse_req_t req, enum session_op op, struct job *j);
/* Memory for `size` bytes of reply: the ring's payload, so that nothing is copied, else a buffer that is given
 * back after the reply. -ENOMEM. */
errint_t job_space(struct job *j, size_t size);
/* On whose behalf; without a subject. */
struct caller job_caller(const struct job *j);

struct who;
/* What has to be known of who asks, besides the uids and groups. */
enum asker {
	ASKER_UIDS,  /* nothing */
	ASKER_MAKES, /* a file: all that rules need, if a file server may be asking */
	ASKER_READS  /* all that rules need */
};
/* Adds the subject, which is given back with subject_put(). False: nothing is to be done now, the job is put off. */
bool job_asker(struct job *j, enum asker asker, struct caller *c, struct who *who);

struct pool;
/* Starts workers and the replier. For `entries` jobs of rings that can be outstanding at once, and those that are throttled. */
errint_t pool_start(unsigned workers, size_t entries, struct pool **ret);
/* After the last request. Lets the queue run dry. NULL is fine. */
void pool_stop(struct pool *p);
/* How many workers there are, and how many jobs wait for one. NULL is fine. */
void pool_depth(struct pool *p, uint64_t *ret_workers, uint64_t *ret_waiting);

/* ---- buffers.c: reply memory for /dev/fuse --------------------------------------------------- */

struct buffers;
errint_t buffers_new(struct buffers **ret);
void buffers_free(struct buffers *b);
void *buffer_get(struct buffers *b); /* MAX_REQUEST bytes, page-aligned, the one used last; NULL: out of memory */
void buffer_put(struct buffers *b, void *p);
void buffers_wipe(struct buffers *b); /* what was in those that are not in use now */

/* ---- reply.c --------------------------------------------------------------------------------- */

void reply_error(struct job *j); /* j->error, which may be 0 */
void reply_entry(struct job *j); /* j->entry, or a negative entry for -ENOENT of a lookup */
void reply_attr(struct job *j);
void reply_buf(struct job *j); /* j->len bytes at j->buf */
void entry_param(struct session *s, const struct fs_entry *e, struct fuse_entry_param *ret);

/* ---- notify.c: what the store asks of the kernel's caches ------------------------------------ */

extern const struct archive_hooks notify_hooks; /* ctx: the session */
/* The thread that tells of names; once s->se is there. */
errint_t notifier_start(struct session *s);
/* After the archive is closed. False: it waits for the kernel still, and goes on using s->se. */
bool notifier_stop(struct session *s);

/* ---- throttle.c: opens that are put off ------------------------------------------------------- */

errint_t throttle_start(struct session *s);
void throttle_end(struct session *s);  /* those that are put off are answered, and no more are */
void throttle_stop(struct session *s); /* and its thread has ended; workers may still ask to have one put off */
void throttle_free(struct session *s); /* once they have ended */
/* How many ms this one may still be put off. */
int64_t throttle_patience(const struct job *j);
/* Runs it again after so long; it is not answered until then. False: it cannot be put off. */
bool throttle_hold(struct job *j, const struct subject *who, int64_t wait_ms);
/* It has been answered. */
void throttle_done(struct session *s, unsigned throttled);
/* dispatch.c: answers a job that was put off; has a worker run it. */
void dispatch_answer(struct job *j);
void dispatch_answer_own(struct job *j); /* from malloc(), and not the caller's any more */
void dispatch_again(const struct job *j);

/* ---- making.c: what a file's maker writes, and others read; what others write, and its maker reads - */

errint_t making_start(struct session *s);
void making_stop(struct session *s); /* when nothing waits for the kernel any more; what is held is answered, and no more is */
void making_free(struct session *s); /* once no worker runs */
/* After a write past the page cache: true: it is answered when no page is older than it. After an open: when there are none of the file at all. */
bool making_hold(struct job *j);

/* ---- lockout.c: what a reader has open when it is locked out ---------------------------------- */

errint_t lockout_start(struct session *s);
void lockout_stop(struct session *s); /* when nothing waits for the kernel any more */
void lockout_begun(void *session);    /* hook of the store */

/* ---- mountpoint.c: everything about a place in the tree -------------------------------------- */

/* Absolute, without links, a directory. */
errint_t mountpoint_resolve(const char *path, char out[static PATH_MAX], struct fault *f);
/* The device number of what is mounted there, without asking its daemon. */
errint_t mountpoint_device(const char *path, dev_t *ret);
/* By which a mount is known again: device numbers are another's as soon as their mount has gone. */
struct mount_mark {
	dev_t device;
	uint64_t id;
};
errint_t mountpoint_mark(const char *path, struct mount_mark *ret);
/* -ENOENT: that mount is not what lies there (any more). */
errint_t mountpoint_there(const char *path, const struct mount_mark *mark);
/* Unmounts if it is still the one with that mark: cleanly, or if somebody uses it, by detaching it. */
errint_t mountpoint_release(const char *path, const struct mount_mark *mark);
/* What ends the connection of the mount that lies there: to be opened while it does, since connections are found by device number; the descriptor stays
 * that connection's. -ESTALE: it has gone. */
errint_t connection_open(const char *mountpoint, const struct mount_mark *mark, int *ret_fd);
/* Ends it: everything that waits for it fails, nothing waits any more. 0, too, if it has ended. */
errint_t connection_abort(int fd);
errint_t read_ahead_raise(dev_t device);
/* The backing directory, read-only, at /run/lapse/NAME/store. */
errint_t store_attach(const char *name, int root_fd);
void store_detach(const char *name);
/* /run/lapse/NAME, if it is empty. */
errint_t runtime_dir_remove(const char *name);

/* ---- mounter.c: the same, by the helper --------------------------------------------------------- */

enum place_act { PLACE_RELEASE = 1, PLACE_ABORT, PLACE_READ_AHEAD, PLACE_ATTACH_STORE, PLACE_DETACH_STORE, PLACE_SHOW, PLACE_FORGET, PLACE_FIND, PLACE_LOG };
/* What was planned by session_plan(). */
const char *planned_mountpoint(void);
bool planned_uring(void); /* the kernel has it enabled */
/* Mounts there; the device is the caller's to close. */
errint_t mounter_mount(int *ret_fd, dev_t *ret_device, struct fault *f);
bool mounter_finds(void); /* what it has mounted is what lies there still */
/* Best effort; what fails is logged. */
errint_t mounter_do(enum place_act what);

/* ---- calls.c -------------------------------------------------------------------------------------- */

/* The filter of system calls: of this thread and those that it will start; not `first`: of all, and from now on without what only the start needs. */
errint_t calls_limit(bool first);

/* ---- daemonize.c ----------------------------------------------------------------------------- */

void session_tell_ready(int ready_fd); /* the parent returns; closes the descriptor */
void session_leave_terminal(void);

/* ---- control.c: a thread for signals, and for what must not be done by one that serves ------- */

#define EVENT_SERVING 1u
#define EVENT_FIRST   2u
#define EVENT_STOP    4u
#define EVENT_SIGNAL  8u
#define EVENT_END     16u

/* Takes SIGTERM, SIGINT and SIGHUP for itself. */
errint_t control_start(struct session *s);
void control_end(struct session *s);
void control_event(struct session *s, unsigned event);
/* Unmounts and ends the loop, once. */
void session_end(struct session *s);
/* A request has come: the kernel has taken the reply to INIT. */
void session_first_request(struct session *s);

/* ---- mount.c --------------------------------------------------------------------------------- */

bool uring_enabled(void); /* by this build and by the kernel */
/* Mounts on s->mountpoint; s->se and s->device are set. */
errint_t session_mount(struct session *s, struct fault *f);
/* Is the device there, and the helper for an ordinary user? */
errint_t session_can_mount(struct fault *f);

/* ---- counters.c, session.c ------------------------------------------------------------------- */

#define COUNTER_SHARDS 8
struct counters {
	_Alignas(64) _Atomic uint64_t requests[SESSION_OPS];
	_Atomic uint64_t by_uring, by_device, handed_off, read_bytes, written_bytes;
	_Atomic uint64_t latency[SESSION_OPS][SESSION_LATENCY_BUCKETS], latency_ns[SESSION_OPS];
};
struct counters *session_counters(struct session *s); /* this thread's */
bool session_by_uring(struct session *s); /* a request has come that way */
/* When a request began, for latency_end; 0 for most of what is frequent. */
int64_t latency_begin(enum session_op op);
void latency_end(struct session *s, enum session_op op, int64_t began_ns);

#define STAT_HINTS  256
#define FILE_SHARDS 16

/* Handles that the kernel holds. */
struct file_shard {
	_Alignas(64) pthread_mutex_t lock;
	struct fileref *first;
};

struct session {
	struct session_options options;
	char mountpoint[PATH_MAX], name[NAME_MAX + 1];
	struct archive *archive;
	struct inode *root;
	bool memory_backed;
	struct fuse_session *se;
	dev_t device; /* of the mount */
	bool store_attached, controlled;
	struct pool *pool;
	bool hands_off;	/* requests of a ring to it, not only what was put off */
	struct buffers *buffers;
	struct subjects *subjects;
	struct file_shard files[FILE_SHARDS];
	pthread_mutex_t dirs_lock; /* dirs */
	struct dirref *dirs;
	_Atomic uint32_t stat_hint[STAT_HINTS]; /* lookups by parent, hashed: do programs look at what they list? */
	_Atomic bool uring_negotiated, first_seen, notify;
	_Atomic bool mounted, stop_wanted, ending;
	_Atomic bool greeted; /* the kernel has sent INIT */
	pthread_t control;
	int event_fd;
	_Atomic unsigned events;
	_Atomic int ready_fd;
	struct archive_hooks hooks;
	struct notifier *notifier;
	struct lockout_sweeper *lockouts;
	struct throttle *throttle;
	struct making *making;
	_Atomic uint64_t lockouts_begun;
	struct counters counters[COUNTER_SHARDS];
};

static inline struct inode *session_inode(struct session *s, fuse_ino_t node)
{
	return node == FUSE_ROOT_ID ? s->root : (struct inode *)(uintptr_t)node;
}
static inline fuse_ino_t session_node(struct session *s, struct inode *i)
{
	return i == s->root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)i;
}
