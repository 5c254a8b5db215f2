#include "fuse/look.h"

#include "base/helper.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#define MAPS_BYTES    (1 << 20)
#define MAPPED_MAX    2048
#define SESSIONS      "/run/systemd/sessions"
#define SESSION_BYTES 4096
#define LOOK_SECONDS  5

enum { LOOK_PATHS = 'p', LOOK_SESSION = 's', LOOK_MAPPED = 'm' };

/* ---- what a process has mapped to run ---------------------------------------------------------------------------------- */

/* Reads all of a file of `dir`; NULL if it cannot, or that is too long. */
static char *read_all(int dir, const char *name)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = fd < 0 ? NULL : malloc(MAPS_BYTES);
	size_t len = 0;
	ssize_t n = 1;

	if (!text)
		return NULL;
	while (len < MAPS_BYTES - 1 && (n = read(fd, text + len, MAPS_BYTES - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return n == 0 && len ? steal_ptr(&text) : NULL;
}

/* Whether the kernel tells the likes of us what is mapped at all: then it does of ourselves. */
static bool tells_mapped(void)
{
	cleanup_fd int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *maps = self < 0 ? NULL : read_all(self, "maps");
	struct program_file f;
	unsigned long from, to;
	char name[64];

	if (!maps || sscanf(maps, "%lx-%lx", &from, &to) != 2)
		return false;
	snprintf(name, sizeof(name), "map_files/%lx-%lx", from, to);
	return program_file_stat(self, name, &f) != -EPERM;
}

/* Who serves a filesystem with FUSE, which any user may, says of its files what he likes, and shows them to whom he likes; he may lay an overlay over it. Of what others
 * may have mounted, only the filesystem that the program itself is from is believed. */
static bool says_what_it_likes(const struct statfs *fs, uint64_t device, uint64_t programs)
{
	return fs->f_type == FUSE_SUPER_MAGIC || ((fs->f_type == OVERLAYFS_SUPER_MAGIC || (fs->f_flags & ST_NOSUID)) && device != programs);
}

static enum program_state mapped_file(int dir, const char *name, uint64_t programs)
{
	cleanup_fd int fd = openat(dir, name, O_PATH | O_CLOEXEC);
	struct program_file f;
	struct statfs fs;
	struct stat link;

	if (fd < 0)
		return fstatat(dir, name, &link, AT_SYMLINK_NOFOLLOW) ? PROGRAM_VALID /* unmapped meanwhile */ : PROGRAM_UNREADABLE;
	if (fstatfs(fd, &fs) || program_file_of(fd, &f) || says_what_it_likes(&fs, f.device, programs))
		return PROGRAM_PRELOADED;
	f.links = 1;
	return program_file_state(&f) == PROGRAM_VALID ? PROGRAM_VALID : PROGRAM_PRELOADED;
}

static enum program_state mapped(uint32_t pid)
{
	char name[80];
	cleanup_free char *maps = NULL;
	cleanup_fd int dir = -1;
	struct program_file program;
	unsigned files = 0;

	snprintf(name, sizeof(name), "/proc/%u", pid);
	dir = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	maps = dir < 0 ? NULL : read_all(dir, "maps");
	if (!maps)
		return PROGRAM_UNREADABLE;
	if (!tells_mapped())
		return PROGRAM_VALID;
	if (program_file_stat(dir, "exe", &program))
		return PROGRAM_UNREADABLE;
	for (char *line = maps; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		unsigned long from, to, inode;
		char rights[5];

		if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu", &from, &to, rights, &inode) != 4)
			return PROGRAM_UNREADABLE;
		if (rights[2] != 'x' || !inode)
			continue;
		if (++files > MAPPED_MAX)
			return PROGRAM_UNREADABLE;
		snprintf(name, sizeof(name), "map_files/%lx-%lx", from, to);
		enum program_state state = mapped_file(dir, name, program.device);
		if (state != PROGRAM_VALID)
			return state;
	}
	return PROGRAM_VALID;
}

/* ---- the three, here ------------------------------------------------------------------------------------------------------ */

static void paths_here(const char *const *path, size_t count, struct program_file *ret)
{
	for (size_t i = 0; i < count; i++)
		if (program_file_stat(AT_FDCWD, path[i], &ret[i]))
			ret[i] = (struct program_file){.inode = 0};
}

static ssize_t session_here(uint32_t session, char *out, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), SESSIONS "/%u", session);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size);

	return n < 0 ? -errno : n;
}

/* ---- by the helper ----------------------------------------------------------------------------------------------------------- */

static errint_t act_paths(struct helper_call *c)
{
	const char *text = (const char *)c->args + 1, *end = (const char *)c->args + c->len;
	size_t max = HELPER_ARGS_MAX / sizeof(struct program_file), count = 0;
	cleanup_free struct program_file *found = calloc(max, sizeof(*found));

	if (!found)
		return -ENOMEM;
	for (; text < end && count < max; text += strlen(text) + 1, count++)
		paths_here(&text, 1, &found[count]);
	return helper_reply(c, 0, found, count * sizeof(*found), -1);
}

static errint_t act_number(struct helper_call *c)
{
	char text[SESSION_BYTES];
	uint32_t number, state;
	ssize_t n;

	if (c->len != 1 + sizeof(number))
		return -EBADMSG;
	memcpy(&number, c->args + 1, sizeof(number));
	if (c->args[0] == LOOK_MAPPED) {
		state = mapped(number);
		return helper_reply(c, 0, &state, sizeof(state), -1);
	}
	n = session_here(number, text, sizeof(text));
	return n < 0 ? (errint_t)n : helper_reply(c, 0, text, (size_t)n, -1);
}

static errint_t act_look(struct helper_call *c)
{
	if (!c->len)
		return -EBADMSG;
	alarm(LOOK_SECONDS); /* by then somebody makes it wait */
	return c->args[0] == LOOK_PATHS ? act_paths(c) : c->args[0] == LOOK_SESSION || c->args[0] == LOOK_MAPPED ? act_number(c) : -EBADMSG;
}

void look_provide(void)
{
	helper_provide(HELPER_LOOK, act_look);
}

static errint_t ask(const void *args, size_t len, struct helper_answer *ret)
{
	errint_t error = helper_ask(HELPER_LOOK, args, len, NULL, ret);

	cleanup_closep(&ret->fd);
	return error;
}

static errint_t ask_number(char what, uint32_t number, struct helper_answer *ret)
{
	uint8_t args[1 + sizeof(number)] = {(uint8_t)what};

	memcpy(args + 1, &number, sizeof(number));
	return ask(args, sizeof(args), ret);
}

/* ---- the three --------------------------------------------------------------------------------------------------------------- */

/* As many as fit into one request; the rest is asked for in the next. */
static errint_t ask_paths(const char *const *path, size_t count, struct program_file *ret, size_t *ret_done)
{
	cleanup_free char *args = malloc(HELPER_ARGS_MAX);
	size_t len = 1, done = 0, size;
	struct helper_answer a;
	errint_t error;

	if (!args)
		return -ENOMEM;
	args[0] = LOOK_PATHS;
	for (; done < count && done < HELPER_ARGS_MAX / sizeof(*ret) && (size = strlen(path[done]) + 1) <= HELPER_ARGS_MAX - len; done++, len += size)
		memcpy(args + len, path[done], size);
	if (!done)
		return -E2BIG;
	error = ask(args, len, &a);
	if (!error && a.len != done * sizeof(*ret))
		error = -EBADMSG;
	if (!error)
		memcpy(ret, a.out, a.len);
	free(a.out);
	*ret_done = done;
	return error;
}

errint_t look_paths(const char *const *path, size_t count, struct program_file *ret)
{
	size_t done;
	errint_t error = 0;

	if (!helper_started()) {
		paths_here(path, count, ret);
		return 0;
	}
	for (size_t at = 0; !error && at < count; at += done)
		error = ask_paths(path + at, count - at, ret + at, &done);
	return error;
}

ssize_t look_session(uint32_t session, char *out, size_t size)
{
	struct helper_answer a;
	errint_t error;

	if (!helper_started())
		return session_here(session, out, size);
	error = ask_number(LOOK_SESSION, session, &a);
	if (!error && a.len > size)
		error = -E2BIG;
	if (!error)
		memcpy(out, a.out, a.len);
	free(a.out);
	return error ? error : (ssize_t)a.len;
}

enum program_state look_mapped(uint32_t pid)
{
	enum program_state state = PROGRAM_UNREADABLE;
	struct helper_answer a;
	uint32_t word;

	if (!helper_started())
		return mapped(pid);
	if (!ask_number(LOOK_MAPPED, pid, &a) && a.len == sizeof(word)) {
		memcpy(&word, a.out, sizeof(word));
		state = (enum program_state)word;
	}
	free(a.out);
	return state;
}
