#include "fuse/internal.h"
#include "fuse/ops.h"
#include "fuse/order.h"
#include "fuse/subject.h"

#include <assert.h>
#include <sched.h>
#include <stdio.h>

struct queue {
	pthread_mutex_t lock; /* all of it; nothing is done under it but moving jobs */
	pthread_cond_t filled;
	struct job *first, **end;
	size_t count;
	bool closed;
};

/* Workers run jobs and never reply: who replies on a ring is woken by the kernel for that entry's next request,
 * and must have nothing else to wait for. So one thread replies for all of them, and it waits for its queue only. */
struct pool {
	struct queue todo, done;
	pthread_mutex_t free_lock; /* spare, a leaf */
	struct job *spare;
	struct job *jobs;
	pthread_t replier;
	unsigned workers;
	pthread_t worker[];
};

static void queue_init(struct queue *q)
{
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->filled, NULL);
	q->first = NULL;
	q->end = &q->first;
	q->closed = false;
}

static void queue_put(struct queue *q, struct job *j)
{
	j->next = NULL;
	pthread_mutex_lock(&q->lock);
	*q->end = j;
	q->end = &j->next;
	q->count++;
	pthread_mutex_unlock(&q->lock);
	pthread_cond_signal(&q->filled);
}

/* NULL once it is closed and empty. */
static struct job *queue_take(struct queue *q)
{
	struct job *j;

	pthread_mutex_lock(&q->lock);
	while (!q->first && !q->closed)
		pthread_cond_wait(&q->filled, &q->lock);
	j = q->first;
	if (j) {
		q->count--;
		q->first = j->next;
		if (!q->first)
			q->end = &q->first;
	}
	pthread_mutex_unlock(&q->lock);
	return j;
}

static void queue_close(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_mutex_unlock(&q->lock);
	pthread_cond_broadcast(&q->filled);
}

static void answer(struct job *j)
{
	order_replied(j);
	if (j->began_ns)
		latency_end(j->session, j->op, j->began_ns);
	op_table[j->op].reply(j);
	if (j->buf_pooled)
		buffer_put(j->session->buffers, j->buf);
}

static void put_back(struct pool *p, struct job *j)
{
	pthread_mutex_lock(&p->free_lock);
	j->next = p->spare;
	p->spare = j;
	pthread_mutex_unlock(&p->free_lock);
}

static void *work(void *arg)
{
	struct pool *p = arg;
	struct job *j;

	pthread_setname_np(pthread_self(), "lapse-work"); /* others' names are files in /proc, which is read-only by now */
	while ((j = queue_take(&p->todo))) {
		j->may_wait = true;
		op_table[j->op].run(j);
		if (j->held)
			put_back(p, j);
		else
			queue_put(&p->done, j);
	}
	return NULL;
}

static void *reply_all(void *arg)
{
	struct pool *p = arg;
	struct job *j;

	pthread_setname_np(pthread_self(), "lapse-reply");
	while ((j = queue_take(&p->done))) {
		struct session *s = j->session;
		unsigned throttled = j->throttled;
		bool own = j->own;

		answer(j);
		if (own)
			free(j);
		else
			put_back(p, j);
		if (throttled)
			throttle_done(s, throttled);
	}
	return NULL;
}

static void pool_free(struct pool *p)
{
	free(p->jobs);
	free(p);
}

errint_t pool_start(unsigned workers, size_t entries, struct pool **ret)
{
	/* One more than the ring has entries: an entry may bring its next request before the replier has put its
	 * job back; so may the throttle. */
	size_t count = entries + 1 + 2 * THROTTLED_MAX;
	struct pool *p = calloc(1, sizeof(*p) + workers * sizeof(p->worker[0]));

	if (!p)
		return -ENOMEM;
	p->jobs = calloc(count, sizeof(*p->jobs));
	if (!p->jobs) {
		pool_free(p);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		p->jobs[i].next = p->spare;
		p->spare = &p->jobs[i];
	}
	pthread_mutex_init(&p->free_lock, NULL);
	queue_init(&p->todo);
	queue_init(&p->done);
	if (pthread_create(&p->replier, NULL, reply_all, p)) {
		pool_free(p);
		return -EAGAIN;
	}
	while (p->workers < workers && !pthread_create(&p->worker[p->workers], NULL, work, p))
		p->workers++;
	if (p->workers == 0) {
		pool_stop(p);
		return -EAGAIN;
	}
	*ret = p;
	return 0;
}

void pool_stop(struct pool *p)
{
	if (!p)
		return;
	queue_close(&p->todo);
	for (unsigned i = 0; i < p->workers; i++)
		pthread_join(p->worker[i], NULL);
	queue_close(&p->done);
	pthread_join(p->replier, NULL);
	pool_free(p);
}

void pool_depth(struct pool *p, uint64_t *ret_workers, uint64_t *ret_waiting)
{
	*ret_workers = *ret_waiting = 0;
	if (!p)
		return;
	*ret_workers = p->workers;
	pthread_mutex_lock(&p->todo.lock);
	*ret_waiting = p->todo.count;
	pthread_mutex_unlock(&p->todo.lock);
}

/* A job of the pool's own with what is in this one. */
static struct job *keep(struct pool *p, const struct job *j)
{
	struct job *own;

	pthread_mutex_lock(&p->free_lock);
	own = p->spare;
	assert(own);
	p->spare = own->next;
	pthread_mutex_unlock(&p->free_lock);
	*own = *j;
	return own;
}

void dispatch_answer(struct job *j)
{
	struct pool *p = j->session->pool;

	queue_put(&p->done, keep(p, j));
}

void dispatch_answer_own(struct job *j)
{
	j->own = true;
	queue_put(&j->session->pool->done, j);
}

void dispatch_again(const struct job *j)
{
	struct pool *p = j->session->pool;

	queue_put(&p->todo, keep(p, j));
}

/* A thread of /dev/fuse may wait, there are enough of them; a ring thread serves a processor and may not. */
static bool would_wait(const struct job *j)
{
	const struct op *op = &op_table[j->op];

	if (j->light)
		return false;
	if (j->heavy || op->waits == WAITS_LONG || (op->waits == WAITS_DISK && !j->session->memory_backed))
		return true;
	return op->needs_subject && !subject_ready(j->session->subjects, fuse_req_ctx(j->req)->uid);
}

void dispatch(fuse_req_t req, enum session_op op, struct job *j)
{
	struct session *s = fuse_req_userdata(req);
	struct counters *c = session_counters(s);

	if (!atomic_load_explicit(&s->first_seen, memory_order_relaxed))
		session_first_request(s);
	j->req = req;
	j->session = s;
	j->op = op;
	j->uring = fuse_req_is_uring(req);
	order_received(j);
	j->began_ns = latency_begin(op);
	atomic_fetch_add_explicit(&c->requests[op], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(j->uring ? &c->by_uring : &c->by_device, 1, memory_order_relaxed);
	j->may_wait = !j->uring || !s->hands_off;
	if (!j->may_wait && would_wait(j))
		j->put_off = true;
	else
		op_table[op].run(j);
	if (j->put_off) {
		atomic_fetch_add_explicit(&c->handed_off, 1, memory_order_relaxed);
		j->put_off = false;
		queue_put(&s->pool->todo, keep(s->pool, j));
		return;
	}
	if (!j->held)
		answer(j);
}

errint_t job_space(struct job *j, size_t size)
{
	char *payload;
	size_t payload_size;

	if (j->uring && fuse_req_get_payload(j->req, &payload, &payload_size, NULL) == 0 && payload_size >= size) {
		j->buf = payload;
		return 0;
	}
	if (size > MAX_REQUEST)
		return -ENOMEM;
	j->buf = buffer_get(j->session->buffers);
	j->buf_pooled = j->buf != NULL;
	return j->buf ? 0 : -ENOMEM;
}

struct caller job_caller(const struct job *j)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(j->req);

	return (struct caller){.uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask};
}

static unsigned needs_of(struct session *s, enum asker asker)
{
	unsigned needs = asker == ASKER_UIDS ? 0 : archive_subject_needs(s->archive);

	if (asker == ASKER_MAKES && !(needs & NEED_MAKER))
		needs = 0;
	if ((needs & NEED_PROGRAM) && subjects_generation(s->subjects) != archive_policy_generation(s->archive)) {
		uint64_t generation = archive_policy_generation(s->archive);
		struct policy *p = archive_policy(s->archive);

		subjects_follow(s->subjects, p, generation);
		policy_unref(p);
	}
	return needs;
}

bool job_asker(struct job *j, enum asker asker, struct caller *c, struct who *who)
{
	struct subject_query q = {.pid = (uint32_t)fuse_req_ctx(j->req)->pid, .uid = c->uid, .gid = c->gid, .at_once = !j->may_wait};

	q.needs = needs_of(j->session, asker);
	if (!subject_get(j->session->subjects, &q, who)) {
		j->put_off = true;
		return false;
	}
	c->subject = &who->subject;
	return true;
}

const struct op op_table[SESSION_OPS] = {
	[SESSION_LOOKUP] = {"lookup", run_lookup, reply_entry, WAITS_DISK, false},
	[SESSION_FORGET] = {"forget", NULL, NULL, WAITS_NEVER, false},
	[SESSION_GETATTR] = {"getattr", run_getattr, reply_attr, WAITS_NEVER, false},
	[SESSION_SETATTR] = {"setattr", run_setattr, reply_attr, WAITS_DISK, false},
	[SESSION_READLINK] = {"readlink", run_readlink, reply_buf, WAITS_DISK, false},
	[SESSION_MKNOD] = {"mknod", run_mknod, reply_entry, WAITS_DISK, true},
	[SESSION_MKDIR] = {"mkdir", run_mkdir, reply_entry, WAITS_DISK, false},
	[SESSION_UNLINK] = {"unlink", run_unlink, reply_error, WAITS_DISK, true},
	[SESSION_RMDIR] = {"rmdir", run_rmdir, reply_error, WAITS_DISK, false},
	[SESSION_SYMLINK] = {"symlink", run_symlink, reply_entry, WAITS_DISK, false},
	[SESSION_RENAME] = {"rename", run_rename, reply_error, WAITS_DISK, true},
	[SESSION_LINK] = {"link", run_link, reply_entry, WAITS_DISK, true},
	[SESSION_CREATE] = {"create", run_create, reply_create, WAITS_DISK, true},
	[SESSION_OPEN] = {"open", run_open, reply_open, WAITS_DISK, true},
	[SESSION_READ] = {"read", run_read, reply_buf, WAITS_DISK, false},
	[SESSION_WRITE] = {"write", run_write, reply_write, WAITS_DISK, false},
	[SESSION_FLUSH] = {"flush", run_flush, reply_error, WAITS_DISK, false},
	[SESSION_RELEASE] = {"release", run_release, reply_error, WAITS_DISK, false},
	[SESSION_FSYNC] = {"fsync", run_fsync, reply_error, WAITS_DISK, false},
	[SESSION_FALLOCATE] = {"fallocate", run_fallocate, reply_error, WAITS_LONG, false},
	[SESSION_OPENDIR] = {"opendir", run_opendir, reply_opendir, WAITS_DISK, true},
	[SESSION_READDIR] = {"readdir", run_readdir, reply_buf, WAITS_DISK, false},
	[SESSION_READDIRPLUS] = {"readdirplus", run_readdirplus, reply_buf, WAITS_DISK, false},
	[SESSION_RELEASEDIR] = {"releasedir", run_releasedir, reply_error, WAITS_NEVER, false},
	[SESSION_FSYNCDIR] = {"fsyncdir", run_fsyncdir, reply_error, WAITS_DISK, false},
	[SESSION_STATFS] = {"statfs", run_statfs, reply_statfs, WAITS_DISK, false},
	[SESSION_GETXATTR] = {"getxattr", run_getxattr, reply_xattr, WAITS_DISK, false},
	[SESSION_SETXATTR] = {"setxattr", run_setxattr, reply_error, WAITS_DISK, false},
	[SESSION_LISTXATTR] = {"listxattr", run_listxattr, reply_xattr, WAITS_DISK, false},
	[SESSION_REMOVEXATTR] = {"removexattr", run_removexattr, reply_error, WAITS_DISK, false},
};
