/* session.h - an open archive on a mountpoint: mounting, serving until it is unmounted, taking down. The only room
 * that knows libfuse. */
#pragma once

#include "base/base.h"
#include "store/fault.h"

struct archive;
struct session;

/* Forks, before anything of FUSE is open: a process that holds the device keeps a dead mount hanging. In the child
 * 0 is returned at once with *ret_child true and *ret_ready_fd to be handed to session_new(). The parent waits
 * until the child serves (0, *ret_child false) or has failed: then its error, its sentence in *f. The child keeps
 * its terminal and its standard streams until it serves, so that it can ask for a passphrase. */
errint_t session_daemonize(bool *ret_child, int *ret_ready_fd, struct fault *f);
/* In the child, for a failure before session_run(), which tells its own: tells the parent and closes the
 * descriptor. -1 is fine. */
void session_failed(int ready_fd, errint_t error, const struct fault *f);

/* Detaches what a daemon that died has left mounted there (its calls fail with ENOTCONN), and nothing else. Before
 * archive_open(), since an archive mounted over itself cannot be reached until then. 0 if there was nothing to do. */
errint_t session_clear_dead(const char *mountpoint, struct fault *f);

/* Where will be mounted what: told before the helper is started, which mounts it. */
struct session_place {
	const char *archive, *mountpoint; /* absolute */
	bool allow_other;
};
/* -ENOTDIR, -ENOENT, -EPERM, -ENODEV (no /dev/fuse) … with a sentence. One place per process. */
errint_t session_plan(const struct session_place *p, struct fault *f);
/* … and under which name below /run/lapse the store is attached. */
void session_plan_name(const char *name);
/* Has the directory of that name removed, which a confined daemon sees but cannot remove: after everything in it has gone, before helper_stop(). */
void session_forget_name(void);

/* Has a confined daemon see the directory that the descriptor is of, at its path. */
errint_t session_show(const char *path, int dir_fd);
/* The log's socket as it is by now, where the daemon sees an old one. Root's only; else -ENOENT. */
errint_t session_show_log(void);

struct session_options {
	struct archive *archive; /* taken over by session_run() */
	/* As root: the store is attached at /run/lapse/NAME/store, for backups; one path component. NULL: it is not. */
	const char *name;
	bool foreground; /* keep terminal and streams */
	bool want_uring; /* io_uring where kernel and libfuse have it, else /dev/fuse */
	int ready_fd;    /* from session_daemonize(), or -1 */
	/* From a thread of the session's own, once: requests are being served. May be NULL. */
	void (*serving)(void *ctx);
	/* From the thread in session_run(): no request comes any more, the archive is still open, about to be
	 * closed. May be NULL. */
	void (*stopping)(void *ctx);
	void *ctx;
};

/* Copies the options; `archive` stays the caller's until session_run(). */
errint_t session_new(const struct session_options *o, struct session **ret, struct fault *f);
/* Mounts, catches up with what has expired, serves until unmounted from outside, by SIGTERM, SIGINT, SIGHUP or by
 * session_stop(), unmounts if the mount is still ours. The archive is closed when it returns, whatever it returns.
 * 0 after an orderly end. Once per session. */
errint_t session_run(struct session *s, struct fault *f);
/* From any thread: ask the session to end as SIGTERM does. Returns at once. */
void session_stop(struct session *s);
void session_free(struct session *s); /* after session_run(); NULL is fine */

enum session_op {
	SESSION_LOOKUP,
	SESSION_FORGET,
	SESSION_GETATTR,
	SESSION_SETATTR,
	SESSION_READLINK,
	SESSION_MKNOD,
	SESSION_MKDIR,
	SESSION_UNLINK,
	SESSION_RMDIR,
	SESSION_SYMLINK,
	SESSION_RENAME,
	SESSION_LINK,
	SESSION_CREATE,
	SESSION_OPEN,
	SESSION_READ,
	SESSION_WRITE,
	SESSION_FLUSH,
	SESSION_RELEASE,
	SESSION_FSYNC,
	SESSION_FALLOCATE,
	SESSION_OPENDIR,
	SESSION_READDIR,
	SESSION_READDIRPLUS,
	SESSION_RELEASEDIR,
	SESSION_FSYNCDIR,
	SESSION_STATFS,
	SESSION_GETXATTR,
	SESSION_SETXATTR,
	SESSION_LISTXATTR,
	SESSION_REMOVEXATTR,
	SESSION_OPS
};
const char *session_op_name(enum session_op op); /* "lookup" … */

/* The i-th bound of how long requests take, in ns; what is above the last one has a bucket of its own. */
#define SESSION_LATENCY_BUCKETS  12
#define SESSION_LATENCY_BOUND(i) (INT64_C(1000) << 2 * (i))

struct session_stats {
	uint64_t requests[SESSION_OPS];
	uint64_t by_uring, by_device; /* what carried them; FORGET always comes by the device and counts in neither */
	uint64_t handed_off;          /* of by_uring: done by a worker */
	uint64_t read_bytes, written_bytes;
	uint64_t workers, waiting; /* for jobs that are handed off, and those that nobody has begun yet */
	/* From arrival to reply, by operation. Of what is frequent every eighth request of a thread is looked at, and counts for eight. */
	uint64_t latency[SESSION_OPS][SESSION_LATENCY_BUCKETS], latency_ns[SESSION_OPS];
	bool uring_negotiated;
	const char *transport; /* what real requests take: "io_uring", "/dev/fuse", or "none yet" */
};
/* At any time after session_new(), from any thread. */
void session_get_stats(struct session *s, struct session_stats *ret);
