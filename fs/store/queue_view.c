/* Which files of the queue somebody asked for. */
#include "store/queue.h"
#include "store/retain.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static bool is_held(const struct catalogue_row *row)
{
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		if (row->holds[i])
			return true;
	return false;
}

/* Its key is wrapped for longer than its deadline says: a change of the policy has shortened its life, and it goes when that cannot be undone any more. */
static bool outlives(const struct catalogue_row *row, uint32_t epoch)
{
	return row->key_kind == KEY_KIND_ARCHIVE || (row->key_kind == KEY_KIND_EPOCH && row->epoch > epoch);
}

struct queue_next queue_next(const struct catalogue_row *row, int64_t now, int64_t epoch_seconds, int64_t undo_until)
{
	int64_t due = row_due(row);
	uint32_t epoch;
	if (policy_expired(row->expires_at, now)) {
		if (is_held(row))
			return (struct queue_next){QUEUE_NOTHING, POLICY_NEVER};
		bool far = epoch_of(row->expires_at, epoch_seconds, &epoch);
		int64_t at = far ? row->expires_at : ((int64_t)epoch + 1) * epoch_seconds;
		int64_t key = ((int64_t)row->epoch + 1) * epoch_seconds; /* of before: with it nothing is left to be undone */
		int64_t undo = row->key_kind == KEY_KIND_EPOCH && key < undo_until ? key : undo_until;
		return (struct queue_next){QUEUE_SHRED, !far && outlives(row, epoch) && undo > at ? undo : at};
	}
	if (due != row->expires_at)
		return (struct queue_next){due == row->commits_at ? QUEUE_COMMIT : QUEUE_DATE, due};
	if (row->state == HEADER_COMMITTED && row->retain_until > now && row->retain_until < row->expires_at &&
		!is_held(row))
		return (struct queue_next){QUEUE_RELEASE, row->retain_until};
	return (struct queue_next){row->expires_at == POLICY_NEVER ? QUEUE_NOTHING : QUEUE_DENY, row->expires_at};
}

void queue_view_init(struct queue_view *v, struct archive *a, const struct queue_filter *f)
{
	*v = (struct queue_view){.a = a, .filter = f, .now = tclock_trusted(a->clock), .undo_until = gate_undo_until(a)};
	if (f->class_)
		class_fingerprint(v->class_fp, a->keys, f->class_);
}

static void forget_dir(struct queue_view *v)
{
	if (v->dir)
		inode_unref(v->a, v->dir);
	v->dir = NULL;
}

void queue_view_end(struct queue_view *v)
{
	forget_dir(v);
}

static struct inode *find_dir(struct queue_view *v, const uint8_t *dir_id)
{
	if (v->known && !memcmp(v->dir_id, dir_id, DIR_ID_BYTES))
		return v->dir;
	forget_dir(v);
	if (dir_by_id(v->a, dir_id, &v->dir))
		v->dir = NULL;
	memcpy(v->dir_id, dir_id, DIR_ID_BYTES);
	v->known = true;
	return v->dir;
}

bool queue_view_time(const struct queue_filter *f, int64_t expires_at)
{
	bool any = !f->from && f->before == POLICY_NEVER;
	return any || (expires_at != POLICY_NEVER && (!f->from || expires_at >= f->from) && expires_at < f->before);
}

bool queue_view_row(const struct queue_view *v, const struct catalogue_row *row)
{
	const struct queue_filter *f = v->filter;
	if (f->class_ && memcmp(row->class_fp, v->class_fp, CLASS_FP_BYTES))
		return false;
	if (f->state && row->state != f->state)
		return false;
	if (f->held && !is_held(row))
		return false;
	if (f->overdue && !policy_expired(row->expires_at, v->now))
		return false;
	if (!queue_view_time(f, row->expires_at))
		return false;
	return f->all || is_held(row) || row_due(row) != POLICY_NEVER;
}

bool queue_view_needs_file(const struct queue_filter *f)
{
	return f->glob || f->owned;
}

static void tell_file(
	struct queue_view *v, const struct catalogue_row *row, bool path, bool owner, struct queue_item *q)
{
	struct dir_use u;
	struct stat st;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	cleanup_free char *text = NULL;
	struct inode *dir = find_dir(v, row->dir_id);
	if (!dir || dir_enter(v->a, dir, false, &u))
		return;
	errint_t r = path ? backing_name_open(v->a, &u, row->backing, name, &len) : -ENOENT;
	q->owner_known = owner && !fstatat(u.fd, row->backing, &st, AT_SYMLINK_NOFOLLOW);
	q->owner = q->owner_known ? st.st_uid : 0;
	dir_leave(v->a, &u);
	if (!r && !inode_path(v->a, dir, name, &text) && strlen(text) < sizeof q->path)
		strcpy(q->path, text);
}

bool queue_view_file(struct queue_view *v, const struct catalogue_row *row, struct queue_item *q)
{
	const struct queue_filter *f = v->filter;
	bool path = f->paths || f->glob, owner = f->owners || f->owned;
	q->path[0] = 0;
	q->owner_known = false;
	if (path || owner)
		tell_file(v, row, path, owner, q);
	if (f->owned && (!q->owner_known || q->owner != f->owner))
		return false;
	return !f->glob || (q->path[0] && policy_glob_match(f->glob, q->path));
}

void queue_view_dir(struct queue_view *v, const uint8_t dir_id[static DIR_ID_BYTES], char out[static 4096])
{
	cleanup_free char *path = NULL;
	struct inode *dir = find_dir(v, dir_id);
	bool told = dir && !inode_path(v->a, dir, NULL, &path) && strlen(path) < 4096;
	strcpy(out, told ? path : "?");
}
