#include "tools/file.h"

#include "tools/command.h"
#include "tools/say.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define POLICY_FILE_MAX (1u << 20) /* POLICY.md section 1 */

/* Whoever may change the link, or a directory on its way, could put another policy in force. What it leads to may be a pipe of the shell's. */
static bool is_link(const char *path, const struct stat *is)
{
	struct stat st;
	return S_ISREG(is->st_mode) && !lstat(path, &st) && S_ISLNK(st.st_mode);
}

/* Through one descriptor, so that what is checked is what is used; pipes are fine. */
int policy_file_read(const char *path, char **ret, size_t *ret_len)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		return say_error("cannot open policy file %s: %s", path, strerror(errno));
	if (is_link(path, &st)) {
		cleanup_free char *whole = realpath(path, NULL);
		return say_error("policy file %s is a symbolic link: name the file itself, %s", path, whole ? whole : "where it leads");
	}
	if (S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH))
		return say_error("policy file %s can be written by everyone; chmod o-w it, and look at what it says "
				 "before you use it",
			path);
	cleanup_free char *text = malloc(POLICY_FILE_MAX + 1);
	size_t len = 0;
	ssize_t n;
	if (!text)
		return say_error("out of memory");
	while (len <= POLICY_FILE_MAX && (n = read(fd, text + len, POLICY_FILE_MAX + 1 - len)) != 0) {
		if (n < 0 && errno != EINTR)
			return say_error("cannot read policy file %s: %s", path, strerror(errno));
		len += n > 0 ? (size_t)n : 0;
	}
	if (len > POLICY_FILE_MAX)
		return say_error("policy file %s is larger than 1 MiB", path);
	if (len == 0)
		return say_error("policy file %s is empty", path);
	*ret = steal_ptr(&text);
	*ret_len = len;
	return EXIT_DONE;
}
