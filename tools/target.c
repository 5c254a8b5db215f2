#include "tools/target.h"

#include "tools/say.h"
#include "tools/unlock.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

_Static_assert(CTL_PATH_MAX >= PATH_MAX, "realpath writes PATH_MAX bytes");

bool path_resolve(const char *path, char out[static CTL_PATH_MAX])
{
	if (realpath(path, out))
		return true;
	/* What is gone, or cannot be looked at, keeps its last component below whatever of it exists. */
	cleanup_free char *copy = strdup(path);
	if (!copy || !*copy)
		return false;
	size_t len = strlen(copy);
	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	char *slash = strrchr(copy, '/');
	const char *last = slash ? slash + 1 : copy;
	if (!*last || !strcmp(last, "..") || !strcmp(last, "."))
		return false;
	char parent[CTL_PATH_MAX];
	if (slash)
		*slash = '\0';
	if (!path_resolve(!slash ? "." : slash == copy ? "/" : copy, parent))
		return false;
	int n = snprintf(out, CTL_PATH_MAX, "%s/%s", strcmp(parent, "/") ? parent : "", last);
	return n < CTL_PATH_MAX;
}

static int connect_to(struct target *t)
{
	errint_t r = ctl_connect(&t->daemon, &t->fd);
	if (!r)
		return EXIT_DONE;
	return say_error(
		"the daemon of %s (pid %d) does not answer: %s", t->daemon.archive, (int)t->daemon.pid, strerror(-r));
}

/* Nobody serves it: is it an archive, and does a key open it? */
static int open_here(const struct args *a, const char *verb, struct target *t)
{
	struct key_slot_info slot[KEYRING_SLOTS];
	size_t count;
	struct fault f = {0};
	cleanup_free struct keyring *kr = calloc(1, sizeof *kr);
	if (!kr)
		return say_error("out of memory");
	errint_t r = archive_keys_offline(t->path, slot, &count, kr, &f);
	if (r == -ENOTCONN)
		return say_error("%s: %s", t->path, say_errno(r));
	if (r == -ENOTDIR)
		return say_error("%s lies in no archive that is mounted, and is none itself", t->path);
	if (r)
		return say_fault(&f, r, t->path);
	int e = unlock_get(t->path, args_value(a, "key-file"), args_value(a, "passphrase-fd"), UNLOCK_OPEN, &t->unlock);
	if (e != EXIT_DONE)
		return e;
	struct archive_open o = {.path = t->path, .secret = t->unlock.secret, .observe = ctl_verb_observes(verb)};
	snprintf(t->daemon.archive, sizeof t->daemon.archive, "%s", t->path);
	r = archive_open(&o, &t->archive, &f);
	if (!r)
		return EXIT_DONE;
	unlock_free(&t->unlock);
	return say_open_fault(&f, r, t->path);
}

static errint_t find_without_operand(struct target *t, struct fault *f)
{
	char here[CTL_PATH_MAX];
	if (getcwd(here, sizeof here) && ctl_find(here, &t->daemon, NULL, NULL) == 0)
		return 0;
	return ctl_find(NULL, &t->daemon, NULL, f);
}

int target_open(const struct args *a, const char *operand, const char *verb, struct target *t)
{
	struct fault f = {0};
	*t = (struct target){.fd = -1};
	if (!operand) {
		errint_t r = find_without_operand(t, &f);
		if (r == -ENOENT)
			return say_error("no archive is mounted; name one that is not, with its key: lapse %s ARCHIVE "
					 "--key-file FILE",
				a->command->name);
		return r ? say_fault(&f, r, "The archive") : connect_to(t);
	}
	if (!path_resolve(operand, t->path))
		return say_error("%s: %s", operand, strerror(errno ? errno : ENAMETOOLONG));
	errint_t r = ctl_find(t->path, &t->daemon, &t->below, &f);
	if (r == 0)
		return connect_to(t);
	return r == -ENOENT ? open_here(a, verb, t) : say_fault(&f, r, operand);
}

void target_close(struct target *t)
{
	if (t->fd >= 0)
		close(t->fd);
	archive_close(t->archive);
	unlock_free(&t->unlock);
	t->fd = -1;
	t->archive = NULL;
}

errint_t target_try(struct target *t, struct ctl_request *q, ctl_row_cb row, void *ctx, struct fault *f)
{
	errint_t r = t->archive ? ctl_ask_local(t->archive, q, row, ctx, f) : ctl_ask(t->fd, q, row, ctx, f);
	ctl_request_free(q);
	return r;
}

int target_ask(struct target *t, struct ctl_request *q, ctl_row_cb row, void *ctx)
{
	struct fault f = {0};
	errint_t r = target_try(t, q, row, ctx, &f);
	return r ? say_fault(&f, r, t->daemon.archive) : EXIT_DONE;
}

int target_open_file(const struct args *a, const char *operand, const char *verb, struct target *ret, const char **ret_below)
{
	const char *archive = args_value(a, "archive");
	if (archive) {
		*ret_below = operand + strspn(operand, "/");
		return target_open(a, archive, verb, ret);
	}
	int e = target_open(a, operand, verb, ret);
	*ret_below = ret->archive ? "" : ret->below;
	if (e == EXIT_DONE && !*ret_below) {
		e = say_error("%s lies in the backing store; name the file by its path below %s", operand, ret->daemon.mountpoint);
		target_close(ret);
	}
	return e;
}
