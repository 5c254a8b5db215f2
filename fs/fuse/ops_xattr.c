#include "fuse/internal.h"
#include "fuse/ops.h"
#include "fuse/subject.h"

#include <string.h>

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), ino), .name = name, .size = size};

	j.light = fs_no_xattrs(j.inode); /* at the first write of every file the kernel asks for security.capability */
	dispatch(req, SESSION_GETXATTR, &j);
}

/* A length to tell (size 0) or bytes. */
static void settle(struct job *j, ssize_t n)
{
	if (n < 0)
		j->error = (errint_t)n;
	else
		j->len = (size_t)n;
}

void run_getxattr(struct job *j)
{
	char name[256]; /* the value goes where the name lies */

	if (strlen(j->name) >= sizeof(name)) {
		j->error = -ERANGE;
		return;
	}
	strcpy(name, j->name);
	j->error = j->size ? job_space(j, j->size) : 0;
	if (!j->error)
		settle(j, fs_getxattr(j->session->archive, j->inode, name, j->buf, j->size));
}

void reply_xattr(struct job *j)
{
	if (j->error)
		reply_error(j);
	else if (j->size == 0)
		fuse_reply_xattr(j->req, j->len);
	else
		fuse_reply_buf(j->req, j->buf, j->len);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), ino), .name = name, .data = value, .size = size};

	j.flags = flags;
	dispatch(req, SESSION_SETXATTR, &j);
}

void run_setxattr(struct job *j)
{
	struct caller c = job_caller(j);
	struct who who;

	who.groups = NULL;
	if (fs_xattr_minds_groups(j->name) && !job_asker(j, ASKER_UIDS, &c, &who))
		return;
	j->error = fs_setxattr(j->session->archive, j->inode, j->name, j->data, j->size, j->flags, &c);
	subject_put(&who);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), ino), .size = size};

	dispatch(req, SESSION_LISTXATTR, &j);
}

void run_listxattr(struct job *j)
{
	j->error = j->size ? job_space(j, j->size) : 0;
	if (!j->error)
		settle(j, fs_listxattr(j->session->archive, j->inode, j->buf, j->size, job_caller(j).uid == 0));
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), ino), .name = name};

	dispatch(req, SESSION_REMOVEXATTR, &j);
}

void run_removexattr(struct job *j)
{
	j->error = fs_removexattr(j->session->archive, j->inode, j->name);
}
