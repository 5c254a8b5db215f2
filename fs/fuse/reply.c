#include "fuse/internal.h"
#include "fuse/errmap.h"
#include "fuse/ops.h"
#include "fuse/order.h"

void reply_error(struct job *j)
{
	fuse_reply_err(j->req, reply_errno(j->op, j->error));
}

static void attr_dress(struct stat *st)
{
	if (S_ISREG(st->st_mode))
		st->st_blksize = 64 << 10; /* what stdio and image libraries size their buffers by */
}

void entry_param(struct session *s, const struct fs_entry *e, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
		.ino = session_node(s, e->inode),
		.attr = e->attr,
		.attr_timeout = CACHE_SECONDS,
		.entry_timeout = CACHE_SECONDS,
	};
	attr_dress(&ret->attr);
	order_given(e->inode);
}

void reply_entry(struct job *j)
{
	struct fuse_entry_param e = {.entry_timeout = CACHE_SECONDS};

	if (j->error && !(j->op == SESSION_LOOKUP && j->error == -ENOENT)) {
		reply_error(j);
		return;
	}
	if (!j->error)
		entry_param(j->session, &j->entry, &e);
	if (j->uncached)
		e = (struct fuse_entry_param){.ino = e.ino, .attr = e.attr, .attr_timeout = e.attr_timeout};
	if (j->uncached && j->error) {
		reply_error(j);
		return;
	}
	if (fuse_reply_entry(j->req, &e) == -ENOENT && !j->error)
		fs_forget(j->session->archive, j->entry.inode, 1);
}

void reply_attr(struct job *j)
{
	if (j->error) {
		reply_error(j);
		return;
	}
	attr_dress(&j->attr);
	fuse_reply_attr(j->req, &j->attr, CACHE_SECONDS);
}

void reply_buf(struct job *j)
{
	if (j->error)
		reply_error(j);
	else
		fuse_reply_buf(j->req, j->buf, j->len);
}
