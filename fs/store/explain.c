/* explain.c - what `lapse explain PATH` shows: the file's header, the policy's view of it, and what a reader would be told. */
#include "store/hold.h"
#include "store/holds.h"
#include "store/retain.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

errint_t inode_by_path(struct archive *a, const char *path, struct inode **ret)
{
	struct inode *at = a->root;
	char name[NAME_PLAIN_MAX + 1];
	errint_t r = 0;
	while (!r) {
		path += strspn(path, "/");
		size_t len = strcspn(path, "/");
		struct fs_entry e;
		if (!len)
			break;
		if (len > NAME_PLAIN_MAX) {
			r = -ENAMETOOLONG;
			break;
		}
		memcpy(name, path, len);
		name[len] = 0;
		path += len;
		if (!strcmp(name, "."))
			continue;
		r = !strcmp(name, "..") ? -EINVAL : fs_lookup(a, at, name, &e);
		if (r)
			break;
		fs_forget(a, at, 1);
		at = e.inode;
	}
	if (r)
		fs_forget(a, at, 1);
	else
		*ret = at;
	return r;
}

static void from_header(struct archive *a, struct fs_explanation *x, const struct file_header *h)
{
	x->has_header = true;
	memcpy(x->file_id, h->file_id, sizeof x->file_id);
	memcpy(x->class_fp, h->class_fp, sizeof x->class_fp);
	x->state = (uint8_t)h->state;
	x->type = (uint8_t)h->type;
	x->key_kind = (uint8_t)h->key_kind;
	x->flags = h->flags;
	x->basis_kind = h->basis_kind;
	x->tree = h->tree;
	x->epoch = h->epoch;
	x->generation = h->generation;
	x->size = h->size;
	x->created_at = h->created_at;
	x->basis_at = h->basis_at;
	x->modified_at = h->modified_at;
	x->retain_until = h->retain_until;
	x->expires_at = h->expires_at;
	x->settles_at = h->settles_at;
	x->commits_at = h->commits_at;
	gate_class_name(a, h->class_fp, x->class_then, &x->class_line);
	x->readable = tclock_check(a->clock, h->expires_at);
	archive_hold_names(a, h->holds, x->hold_names, sizeof x->hold_names);
}

static errint_t explain_file(struct archive *a, struct inode *i, const char *path, const struct subject *who, struct fs_explanation *x)
{
	struct dir_use u;
	struct link *l;
	struct sealed_name n;
	struct file_header h;
	int slot;
	errint_t r = inode_enter(a, i, false, &u, &l);
	if (r)
		return r;
	if (!(r = name_seal(u.dir->dir->keys, l->name, l->len, &n)))
		x->header_error = file_header_at(a, &u, n.backing, l->name, l->len, &h, &slot);
	dir_leave(a, &u);
	if (r || x->header_error)
		return r;
	/* Its key's epoch is what it is wrapped under; its deadlines are those of the policy in force. */
	struct file_header due = h;
	gate_review(a, path, &due);
	from_header(a, x, &due);
	int64_t now = tclock_trusted(a->clock);
	if (policy_expired(due.expires_at, now) && !policy_expired(h.expires_at, now))
		x->removed_at = gate_goes_at(a, &h);
	if (x->removed_at)
		x->undo_until = h.expires_at < gate_undo_until(a) ? h.expires_at : gate_undo_until(a);
	x->tree = h.tree;
	x->epoch = h.epoch;
	x->key_kind = (uint8_t)h.key_kind;
	const struct anchor_leaf leaf = {.tree = h.tree, .epoch = h.epoch, .id = leaf_id(h.file_id)};
	const errint_t key = anchor_key_there(a->anchor, h.key_kind, &leaf);
	if ((x->lost = key && !policy_expired(due.expires_at, tclock_trusted(a->clock))) && !x->readable)
		x->readable = key;
	x->hold_reader = hold_reads(a, &h, who);
	if (who)
		gate_preview(a, who, path, &due, h.size, &x->verdict);
	return 0;
}

errint_t fs_explain(struct archive *a, const char *path, const struct subject *who, struct fs_explanation *ret)
{
	struct inode *i;
	memset(ret, 0, sizeof *ret);
	path += strspn(path, "/");
	errint_t r = inode_by_path(a, path, &i);
	if (r)
		return r;
	struct policy *p = gate_policy(a);
	strncpy(ret->class_now, policy_class_for(p, path)->name, sizeof ret->class_now - 1);
	policy_unref(p);
	if (!(r = fs_getattr(a, i, NULL, &ret->attr)) && S_ISREG(i->type))
		r = explain_file(a, i, path, who, ret);
	fs_forget(a, i, 1);
	return r;
}
