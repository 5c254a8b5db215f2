/* fresh_session.c - whether the filesystem of the store has been mounted all the time since an earlier session. Then what that wrote is there, however the daemon
 * ended: files and log are in the same cache. */
#include "store/archive.h"

#include "crypt/types.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define BOOT_ID	  "/proc/sys/kernel/random/boot_id"
#define MOUNTS	  256 /* asked for at a time */
#define LISTMOUNT 458 /* Linux 6.8; as are those below, from linux/mount.h */
#define STATMOUNT 457
#define ALL	  UINT64_MAX /* LSMT_ROOT */
#define SB_BASIC  1	     /* STATMOUNT_SB_BASIC */

struct request { /* struct mnt_id_req */
	uint32_t size, spare;
	uint64_t mnt_id, param;
};
struct answer { /* struct statmount, its beginning */
	uint32_t size, options;
	uint64_t mask;
	uint32_t sb_major, sb_minor;
	uint64_t rest[128];
};

static bool is_of(uint64_t mount, dev_t dev)
{
	struct answer s;
	const struct request q = {.size = sizeof q, .mnt_id = mount, .param = SB_BASIC};
	memset(&s, 0, sizeof s);
	return !syscall(STATMOUNT, &q, &s, sizeof s, 0) && s.mask & SB_BASIC && makedev(s.sb_major, s.sb_minor) == dev;
}

/* The number, which is never used again, of the oldest mount of that filesystem; 0: not known. As long as there is that mount, the filesystem has not been away. */
static uint64_t oldest_mount(dev_t dev)
{
	uint64_t id[MOUNTS];
	struct request q = {.size = sizeof q, .mnt_id = ALL};
	long n;
	while ((n = syscall(LISTMOUNT, &q, id, MOUNTS, 0)) > 0) {
		for (long i = 0; i < n; i++)
			if (is_of(id[i], dev))
				return id[i];
		q.param = id[n - 1];
	}
	return 0;
}

void archive_session(const char *path, uint8_t out[static ARCHIVE_SESSION_BYTES])
{
	uint8_t digest[DIGEST_BYTES];
	char boot[64];
	struct stat st;
	struct crypt_hasher h;
	memset(out, 0, ARCHIVE_SESSION_BYTES);
	cleanup_fd int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, boot, sizeof boot);
	if (n <= 0 || stat(path, &st))
		return;
	const uint64_t store[] = {oldest_mount(st.st_dev), st.st_dev, st.st_ino};
	if (!store[0])
		return;
	crypt_hash_begin(&h);
	crypt_hash_add(&h, boot, (size_t)n);
	crypt_hash_add(&h, store, sizeof store);
	crypt_hash_end(&h, digest);
	memcpy(out, digest, ARCHIVE_SESSION_BYTES);
}
