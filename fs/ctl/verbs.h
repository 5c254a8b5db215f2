/* verbs.h - what can be asked of an archive: one table of verbs with their permissions, for the daemon and for commands on an unmounted one. */
#pragma once

#include "ctl/protocol.h"
#include "ctl/stream.h"
#include "policy/policy.h"
#include "store/archive.h"

/* What the daemon adds to the archive. Called from the control thread. */
struct ctl_hooks {
	const char *mountpoint;
	bool programs; /* the daemon can tell which program reads */
	const char *(*transport)(void *ctx); /* that real requests took: "io_uring", "/dev/fuse", "" before the first */
	/* Counters of the session, by name. */
	void (*stats)(void *ctx, void (*put)(void *put_ctx, const char *name, uint64_t value), void *put_ctx);
	/* How long its requests took, by operation: how many in each bucket (the i-th goes up to 4^i us, the last has no bound), and all of it in ns. */
	void (*latency)(void *ctx, void (*put)(void *put_ctx, const char *op, const uint64_t *bucket, size_t count, uint64_t sum_ns), void *put_ctx);
	/* Has the daemon see a directory, which is at `path`. */
	errint_t (*show)(void *ctx, const char *path, int dir_fd);
	void (*umount)(void *ctx); /* begin to end the session; returns at once */
	void *ctx;
};

#define CTL_GROUPS_MAX 256

/* Who asks. */
struct ctl_peer {
	uint32_t uid, gid, pid;
	uint32_t groups[CTL_GROUPS_MAX]; /* when it connected */
	size_t group_count;
	bool has_key;   /* it opened the archive itself, which is not mounted: it may ask everything */
	uint32_t owner; /* the daemon's own uid, who may ask everything, like root */
	int socket;	/* the connection; 0: there is none, the archive is this process's own */
};

/* One call: what was asked, and where the rows go. */
struct ctl_call {
	struct archive *archive;
	const struct ctl_hooks *hooks; /* NULL: the archive is not mounted */
	struct ctl_peer peer;
	const struct ctl_line *args; /* its word is the verb */
	const uint8_t *payload;
	size_t payload_len;
	int dir_fd; /* a directory that came with it; -1: none */
	/* Takes what is in `out` and empties it; -EPIPE ends the verb. */
	errint_t (*flush)(struct ctl_call *c);
	void *flush_ctx;
	struct ctl_stream *stream; /* what follows the request, for the verbs that have their connection to themselves; else NULL */
	bool failed; /* what flush takes ends with `error` */
	struct ctl_text out;
	struct fault fault;
};

/* Checks the permission, runs the verb, adds the last line (`ok`, or `error`), flushes. -EPIPE only when the rows could not be delivered. */
errint_t ctl_run(struct ctl_call *c);
/* The roles that the policy in force gives it: a bit for each of enum policy_role. */
unsigned ctl_peer_roles(struct archive *a, const struct ctl_peer *p);
/* May the verb run on an unmounted archive that is opened only to observe? False for unknown verbs too. */
bool ctl_verb_observes(const char *verb);
/* Does it go on for long, with a connection and a thread of its own? */
bool ctl_verb_streams(const char *verb);
/* Has the peer one of the roles that it asks for? False for unknown verbs. */
bool ctl_verb_permits(const char *verb, struct archive *a, const struct ctl_peer *p);
