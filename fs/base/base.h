/* base.h - errors, cleanup and small things every room below `policy` uses. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* 0 or a negative errno. Domain errors: expired EKEYEXPIRED, clock in doubt ENOKEY, forged EBADMSG (shown as EIO),
 * over budget EDQUOT, denied EACCES, held or committed EPERM, unknown version or feature EPROTONOSUPPORT. */
typedef int errint_t;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void cleanup_freep(void *p) { free(*(void **)p); }
static inline void cleanup_closep(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}
#define cleanup_free __attribute__((cleanup(cleanup_freep)))
#define cleanup_fd __attribute__((cleanup(cleanup_closep)))

/* The fd's value; the variable is set to -1 so that its cleanup does nothing. */
static inline int steal_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}
#define steal_ptr(pp) ({ __typeof__(*(pp)) v_ = *(pp); *(pp) = NULL; v_; })

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
