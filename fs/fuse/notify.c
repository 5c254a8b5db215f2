#include "fuse/internal.h"

#include <string.h>

/* Both are called by the sweeper, never by a thread that serves requests: the kernel makes a notification wait for
 * reads in flight and for the lock of the directory. They fail harmlessly when the kernel does not know the inode
 * or is gone. */

static void drop_pages(void *ctx, struct inode *i)
{
	struct session *s = ctx;

	if (atomic_load(&s->notify))
		fuse_lowlevel_notify_inval_inode(s->se, session_node(s, i), 0, 0);
}

static void entry_gone(void *ctx, struct inode *dir, struct inode *child, const char *name)
{
	struct session *s = ctx;
	fuse_ino_t parent = session_node(s, dir);
	size_t len = strlen(name);
	int error = -ENOENT;

	if (!atomic_load(&s->notify))
		return;
	if (child)
		error = fuse_lowlevel_notify_delete(s->se, parent, session_node(s, child), name, len);
	if (error)
		fuse_lowlevel_notify_inval_entry(s->se, parent, name, len);
}

const struct archive_hooks notify_hooks = {.drop_pages = drop_pages, .entry_gone = entry_gone};
