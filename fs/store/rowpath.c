#include "store/rowpath.h"

#include <stdio.h>
#include <string.h>

static void forget(struct row_paths *p)
{
	if (p->dir)
		inode_unref(p->archive, p->dir);
	free(p->dir_path);
	p->dir = NULL;
	p->dir_path = NULL;
	p->known = false;
	p->asked[0] = NULL;
}

void row_paths_free(struct row_paths *p)
{
	forget(p);
}

static bool find_dir(struct row_paths *p, const uint8_t *dir_id)
{
	uint64_t moves = atomic_load(&p->archive->dir_moves);
	if (p->known && p->moves == moves && !memcmp(p->dir_id, dir_id, DIR_ID_BYTES))
		return p->dir_path;
	forget(p);
	memcpy(p->dir_id, dir_id, DIR_ID_BYTES);
	p->moves = moves;
	p->known = true;
	if ((p->dir_error = dir_by_id(p->archive, dir_id, &p->dir)))
		p->dir = NULL;
	else if ((p->dir_error = inode_path(p->archive, p->dir, NULL, &p->dir_path)))
		p->dir_path = NULL;
	return p->dir_path;
}

const char *row_path(struct row_paths *p, const struct catalogue_row *row)
{
	struct dir_use u;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	if (!find_dir(p, row->dir_id)) {
		p->error = p->dir_error;
		return NULL;
	}
	if ((p->error = dir_enter(p->archive, p->dir, false, &u)))
		return NULL;
	p->error = backing_name_open(p->archive, &u, row->backing, name, &len);
	dir_leave(p->archive, &u);
	if (p->error)
		return NULL;
	int n = snprintf(p->path, sizeof p->path, "%s%s%s", p->dir_path, p->dir_path[0] ? "/" : "", name);
	p->error = n < (int)sizeof p->path ? 0 : -ENAMETOOLONG;
	return p->error ? NULL : p->path;
}

const char *row_path_like(struct row_paths *p, const struct catalogue_row *row, const struct policy *policy, const struct policy *other)
{
	if (!find_dir(p, row->dir_id)) {
		p->error = p->dir_error;
		return NULL;
	}
	if (p->asked[0] != policy || p->asked[1] != other) {
		p->asked[0] = policy;
		p->asked[1] = other;
		p->alike = policy_class_below(policy, p->dir_path) && (!other || policy_class_below(other, p->dir_path));
	}
	if (!p->alike)
		return row_path(p, row);
	int n = snprintf(p->path, sizeof p->path, "%s%s-", p->dir_path, p->dir_path[0] ? "/" : "");
	p->error = n < (int)sizeof p->path ? 0 : -ENAMETOOLONG;
	return p->error ? NULL : p->path;
}
