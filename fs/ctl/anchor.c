/* anchor.c - verbs about the anchor: its copies, backups, trees. */
#include "ctl/plan.h"

#include "ctl/runtime.h"
#include "store/anchor_admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static errint_t put_copies(struct ctl_call *c, const struct anchor_status *s)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < s->copies; i++) {
		ctl_begin(&c->out, "copy");
		ctl_put(&c->out, "path", s->copy[i].path);
		ctl_put_i64(&c->out, "errno", -s->copy[i].error);
		r = verb_row(c);
	}
	return r;
}

static errint_t put_backups(struct ctl_call *c)
{
	cleanup_free struct anchor_notes *n = malloc(sizeof *n);
	if (!n)
		return -ENOMEM;
	errint_t r = archive_anchor_notes(c->archive, n);
	if (r)
		return verb_fail(c, r, "The notes on the anchor's backups cannot be read: %s", strerror(-r));
	for (size_t i = 0; !r && i < n->count; i++) {
		ctl_begin(&c->out, "backup");
		ctl_put(&c->out, "path", n->item[i].path);
		ctl_put_i64(&c->out, "made", n->item[i].made_at);
		ctl_put_i64(&c->out, "begins", n->item[i].begins_at);
		ctl_put_u64(&c->out, "sequence", n->item[i].sequence);
		r = verb_row(c);
	}
	return r;
}

errint_t verb_put_anchor(struct ctl_call *c)
{
	struct anchor_status s = {0};
	uint8_t log_public[32];
	archive_anchor_status(c->archive, &s);
	archive_log_public(c->archive, log_public);
	ctl_begin(&c->out, "anchor");
	ctl_put_u64(&c->out, "sequence", s.sequence);
	ctl_put_i64(&c->out, "trusted-ns", s.trusted_ns);
	ctl_put_i64(&c->out, "last-write-ns", s.last_write_ns);
	ctl_put_u64(&c->out, "epoch-seconds", s.epoch_seconds);
	ctl_put_u64(&c->out, "next-epoch", s.next_epoch);
	ctl_put_u64(&c->out, "trees", s.trees);
	ctl_put_u64(&c->out, "cover-nodes", s.cover_nodes);
	ctl_put_u64(&c->out, "holds", s.holds);
	ctl_put_u64(&c->out, "barriers", s.barriers);
	ctl_put_u64(&c->out, "log-sequence", s.log_sequence);
	ctl_put_hex(&c->out, "log-head", s.log_head, sizeof s.log_head);
	ctl_put_hex(&c->out, "log-key", s.sign_public, sizeof s.sign_public);
	ctl_put_hex(&c->out, "log-first-key", log_public, sizeof log_public);
	ctl_put_u64(&c->out, "keyring-generation", s.keyring_generation);
	ctl_put_u64(&c->out, "policy-generation", s.policy_generation);
	errint_t r = verb_row(c);
	if (!r)
		r = put_copies(c, &s);
	return r ? r : put_backups(c);
}

errint_t verb_anchor_status(struct ctl_call *c)
{
	return verb_put_anchor(c);
}

/* ---- orders ----------------------------------------------------------------------------------------------------------- */

struct ordered {
	struct subject who;
	uint32_t groups[CTL_GROUPS_MAX];
	struct anchor_order order;
	struct stat dir;
	const char *path;
};

static bool is_root(const struct ctl_call *c)
{
	return c->peer.has_key || c->peer.uid == 0;
}

/* Below a directory of the peer's own there may be others', in which it must not have the daemon write. */
static errint_t may_show(struct ctl_call *c, const char *dir, const char *path)
{
	if (is_root(c))
		return 0;
	if (strchr(path + strlen(dir) + 1, '/'))
		return verb_fail(c, -EACCES, "Only root may name a file whose own directory is not there: %s is above it", dir);
	return verb_own_directory(c, c->dir_fd);
}

/* The daemon sees what it was mounted with; where `path` lies, or will lie, the one who asks shows it. */
static errint_t show(struct ctl_call *c, const char *path)
{
	const char *dir = ctl_str(c->args, "dir");
	size_t len = strlen(dir);
	if (c->dir_fd < 0 && !is_root(c))
		return verb_fail(c, -EACCES, "Only root may name a file without showing its directory");
	if (!len && c->hooks && c->hooks->show && access(path, F_OK))
		return verb_fail(c, -EINVAL, "The daemon does not see the root directory itself: %s has to lie in a directory, of which the first is there", path);
	if (c->dir_fd < 0 || !c->hooks || !c->hooks->show)
		return 0;
	if (dir[0] != '/' || !dir[1] || strncmp(dir, path, len) || path[len] != '/')
		return verb_fail(c, -EINVAL, "The argument 'dir' is no directory above %s", path);
	errint_t r = may_show(c, dir, path);
	if (r)
		return r;
	r = c->hooks->show(c->hooks->ctx, dir, c->dir_fd);
	return r ? verb_fail(c, r, "%s cannot be shown to the daemon: %s", dir, strerror(-r)) : 0;
}

static errint_t order_parse(struct ctl_call *c, bool path, struct ordered *ret)
{
	verb_subject(c, &ret->who, ret->groups);
	ret->order = (struct anchor_order){.who = &ret->who, .reason = ctl_str(c->args, "reason")};
	ret->path = ctl_str(c->args, "path");
	size_t len = c->hooks ? strlen(c->hooks->mountpoint) : 0;
	if (!ret->order.reason[0])
		return verb_fail(c, -EINVAL, "A reason is needed: it goes on the record");
	if (path && ret->path[0] != '/')
		return verb_fail(c, -EINVAL, "An absolute path is needed");
	if (path && len && !strncmp(ret->path, c->hooks->mountpoint, len) && (!ret->path[len] || ret->path[len] == '/'))
		return verb_fail(c, -EINVAL, "%s lies in the mounted archive: the anchor has to be kept apart from it", ret->path);
	errint_t r = path ? show(c, ret->path) : 0;
	if (!r && path && !is_root(c)) {
		ret->order.dir = &ret->dir;
		r = fstat(c->dir_fd, &ret->dir) ? -errno : 0;
	}
	return r;
}

errint_t verb_anchor_add(struct ctl_call *c)
{
	struct ordered o;
	errint_t r = order_parse(c, true, &o);
	if (!r)
		r = archive_anchor_add(c->archive, o.path, &o.order, &c->fault);
	if (r)
		return r;
	ctl_begin(&c->out, "added");
	ctl_put(&c->out, "path", o.path);
	return verb_row(c);
}

static errint_t put_drop(struct ctl_call *c, const char *path, const struct anchor_drop *d, bool done)
{
	ctl_put(&c->out, "path", path);
	ctl_put(&c->out, "kind", d->backup ? "backup" : "copy");
	ctl_put_u64(&c->out, "copies-left", d->copies_left);
	if (d->backup)
		ctl_put_i64(&c->out, "begins", d->begins_at);
	ctl_put_i64(&c->out, done ? "erased-errno" : "reachable-errno", done ? -d->erased : -d->reachable);
	return verb_row(c);
}

errint_t verb_anchor_drop(struct ctl_call *c)
{
	struct ordered o;
	struct plan plan;
	struct anchor_drop d;
	char text[CTL_PATH_MAX + 64];
	errint_t r = order_parse(c, true, &o);
	if (!r)
		r = archive_anchor_drop_plan(c->archive, o.path, &d, &c->fault);
	if (r)
		return r;
	snprintf(text, sizeof text, "%zu %d %s", d.copies_left, d.reachable, o.path);
	plan_make(c, text, &plan);
	if (!plan_confirmed(c, &plan, d.copies_left, &r))
		return r ? r : put_drop(c, o.path, &d, false);
	r = archive_anchor_drop(c->archive, o.path, &o.order, &d, &c->fault);
	if (r)
		return r;
	ctl_begin(&c->out, "dropped");
	return put_drop(c, o.path, &d, true);
}

errint_t verb_anchor_backup(struct ctl_call *c)
{
	struct ordered o;
	cleanup_free struct anchor_backup *b = calloc(1, sizeof *b);
	int64_t horizon = 0;
	errint_t r = b ? order_parse(c, true, &o) : -ENOMEM;
	if (!r)
		r = verb_number(c, "horizon", &horizon);
	if (!r)
		r = archive_anchor_backup(c->archive, o.path, horizon, &o.order, b, &c->fault);
	if (r)
		return r;
	struct anchor_status s;
	archive_anchor_status(c->archive, &s);
	ctl_begin(&c->out, "backup");
	ctl_put(&c->out, "path", b->path);
	ctl_put_i64(&c->out, "made", b->made_at);
	ctl_put_i64(&c->out, "begins", b->begins_at);
	ctl_put_u64(&c->out, "sequence", b->sequence);
	ctl_put_u64(&c->out, "holds", s.holds);
	return verb_row(c);
}

/* The plan's own key tells the files; rows `tree` come first. */
static errint_t retire_plan(struct ctl_call *c, char text[static 2048], uint64_t *ret_going)
{
	struct anchor_tree_use use[ANCHOR_TREES_MAX];
	size_t count, len = 0;
	errint_t r = archive_anchor_trees(c->archive, use, &count, &c->fault);
	*ret_going = 0;
	text[0] = '\0';
	for (size_t i = 0; !r && i < count; i++) {
		bool goes = !use[i].files && !use[i].tree.current;
		*ret_going += goes;
		if (goes)
			len += (size_t)snprintf(text + len, 2048 - len, "%" PRIu32 " ", use[i].tree.number);
		ctl_begin(&c->out, "tree");
		ctl_put_u64(&c->out, "number", use[i].tree.number);
		ctl_put_u64(&c->out, "next-epoch", use[i].tree.next);
		ctl_put_u64(&c->out, "nodes", use[i].tree.nodes);
		ctl_put_u64(&c->out, "files", use[i].files);
		ctl_put_i64(&c->out, "current", use[i].tree.current);
		ctl_put_i64(&c->out, "goes", goes);
		r = verb_row(c);
	}
	return r;
}

errint_t verb_anchor_reseed(struct ctl_call *c)
{
	struct ordered o;
	struct plan plan;
	char text[2048];
	uint64_t going = 0;
	bool retire = verb_flag(c, "retire");
	errint_t r = order_parse(c, false, &o);
	if (!r && retire) {
		r = retire_plan(c, text, &going);
		if (r)
			return r;
		plan_make(c, text, &plan);
		if (going && !plan_confirmed(c, &plan, going, &r))
			return r ? r : verb_row(c);
	}
	if (!r)
		r = archive_anchor_reseed(c->archive, retire, &o.order, &c->fault);
	if (r)
		return r;
	ctl_begin(&c->out, "reseeded");
	ctl_put_u64(&c->out, "trees-gone", going);
	return verb_row(c);
}
