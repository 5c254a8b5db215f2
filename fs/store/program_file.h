/* program_file.h - what makes the file of a program one that a rule may believe. */
#pragma once

#include "base/base.h"
#include "policy/policy.h"

#include <sys/stat.h>

struct program_file {
	uint64_t device, inode, size;
	int64_t changed_ns;
	uint32_t mode, uid, links;
};
/* Of the file at `path`, links followed, without asking a server of files about it. -errno. */
errint_t program_file_stat(int dir_fd, const char *path, struct program_file *ret);
/* Of an open one, O_PATH is enough. */
errint_t program_file_of(int fd, struct program_file *ret);
static inline bool program_file_same(const struct program_file *a, const struct program_file *b)
{
	return a->device == b->device && a->inode == b->inode && a->changed_ns == b->changed_ns && a->size == b->size;
}
/* PROGRAM_VALID, or PROGRAM_DELETED, PROGRAM_WRITABLE. */
enum program_state program_file_state(const struct program_file *f);
/* Whether nobody but root can have another file at this absolute path: it, every directory and every link on the way are root's, and nobody else may write there.
 * 0; -EPERM: somebody can; -errno. */
errint_t program_path_check(const char *path);
/* SHA-256 of the file at `path`; -ESTALE if it is not `f`, or not any more when it was read. */
errint_t program_file_hash(int dir_fd, const char *path, const struct program_file *f, uint8_t ret[static POLICY_DIGEST_BYTES]);
