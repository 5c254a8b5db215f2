/* mounter.c - what the helper does about places in the tree, since the daemon can not any more. Where that is was settled before the helper was forked: the
 * daemon says what is to be done, never to what. */
#include "fuse/internal.h"
#include "fuse/ops.h"
#include "fuse/sandbox.h"

#include "base/helper.h"
#include "base/log.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static struct {
	char archive[PATH_MAX], mountpoint[PATH_MAX], name[NAME_MAX + 1];
	bool allow_other, uring;
	pid_t daemon;
	/* in the helper: what it has mounted, and what ends that connection */
	struct mount_mark mount;
	int abort_fd;
} plan = {.abort_fd = -1};

/* ---- in the helper ----------------------------------------------------------------------------- */

/* What libfuse says while mounting is the reason to tell. */
static char why[256];

static void take_why(enum fuse_log_level level, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

static void take_why(enum fuse_log_level level, const char *format, va_list args)
{
	if (level > FUSE_LOG_WARNING || why[0])
		return;
	vsnprintf(why, sizeof(why), format, args);
	why[strcspn(why, "\n")] = '\0';
}

/* For an option list: commas and backslashes are escaped. */
static void escape(char *out, size_t cap, const char *in)
{
	size_t n = 0;

	for (; *in && n + 2 < cap; in++) {
		if (*in == ',' || *in == '\\')
			out[n++] = '\\';
		out[n++] = *in;
	}
	out[n] = '\0';
}

static errint_t know_mount(void)
{
	errint_t error = mountpoint_mark(plan.mountpoint, &plan.mount);

	if (error)
		snprintf(why, sizeof(why), "it was mounted, but cannot be found there: %s", strerror(-error));
	else if (connection_open(plan.mountpoint, &plan.mount, &plan.abort_fd))
		plan.abort_fd = -1; /* an ordinary user, and no control filesystem is mounted */
	return error;
}

static errint_t act_mount(struct helper_call *c)
{
	static const struct fuse_lowlevel_ops none;
	char source[2 * PATH_MAX], options[2 * PATH_MAX + 256];
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *se;
	errint_t error;

	escape(source, sizeof(source), plan.archive);
	snprintf(options, sizeof(options), "-ofsname=%s,subtype=lapse,default_permissions,max_read=%u%s", source, MAX_REQUEST,
		plan.allow_other ? ",allow_other" : "");
	why[0] = '\0';
	fuse_set_log_func(take_why);
	if (plan.mount.device || fuse_opt_add_arg(&args, "lapse") || fuse_opt_add_arg(&args, options))
		return -EINVAL;
	se = fuse_session_new(&args, &none, sizeof(none), NULL);
	fuse_opt_free_args(&args);
	if (!se)
		return -ENOMEM;
	error = fuse_session_mount(se, plan.mountpoint) < 0 ? -EPERM : know_mount();
	if (error)
		helper_reply(c, error, why, strlen(why), -1);
	else
		helper_reply(c, 0, &plan.mount.device, sizeof(plan.mount.device), fuse_session_fd(se));
	if (error && plan.mount.device)
		fuse_session_unmount(se);
	fuse_session_destroy(se); /* closes the device: a process that holds it keeps a dead mount hanging */
	return 0;
}

static errint_t attach_store(void)
{
	cleanup_fd int fd = open(plan.archive, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return plan.mount.device || !plan.name[0] ? -EINVAL : fd < 0 ? -errno : store_attach(plan.name, fd);
}

/* What the daemon holds in its hand it is shown, and nothing else: who asked it for something there has given it that. */
static errint_t show(const char *path, int dir_fd)
{
	char name[64];
	struct stat held, named;
	cleanup_fd int tree = -1, space = -1;

	if (geteuid() != 0 || path[0] != '/' || dir_fd < 0 || fstat(dir_fd, &held) < 0 || stat(path, &named) < 0)
		return -EINVAL;
	if (!S_ISDIR(held.st_mode) || held.st_dev != named.st_dev || held.st_ino != named.st_ino)
		return -ESTALE;
	snprintf(name, sizeof(name), "/proc/%d/ns/mnt", (int)plan.daemon);
	space = open(name, O_RDONLY | O_CLOEXEC);
	tree = open_tree(dir_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (space < 0 || tree < 0 || setns(space, CLONE_NEWNS) < 0)
		return -errno;
	return sandbox_show(path, tree);
}

/* The socket of the log where it lies in /dev itself: the daemon sees the one that there was at the mount, and whoever listens makes a new one when he starts anew.
 * Where it is a link, the daemon sees the directory that it leads to. */
static errint_t show_log(void)
{
	static const char path[] = "/dev/log";
	char name[64], real[PATH_MAX];
	cleanup_fd int tree = -1, space = -1;

	if (geteuid() != 0 || !realpath(path, real) || strcmp(real, path) != 0)
		return -ENOENT;
	snprintf(name, sizeof(name), "/proc/%d/ns/mnt", (int)plan.daemon);
	space = open(name, O_RDONLY | O_CLOEXEC);
	tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (space < 0 || tree < 0 || setns(space, CLONE_NEWNS) < 0)
		return -errno;
	return sandbox_replace(path, tree);
}

static errint_t act_place(struct helper_call *c)
{
	if (c->len > 1 && c->args[0] == PLACE_SHOW)
		return show((char *)c->args + 1, c->fd[0]);
	switch (c->len == 1 ? c->args[0] : 0) {
	case PLACE_RELEASE:
		return plan.mount.device ? mountpoint_release(plan.mountpoint, &plan.mount) : -EINVAL;
	case PLACE_ABORT:
		return plan.abort_fd >= 0 ? connection_abort(plan.abort_fd) : -EOPNOTSUPP;
	case PLACE_FIND:
		return plan.mount.device ? mountpoint_there(plan.mountpoint, &plan.mount) : -EINVAL;
	case PLACE_READ_AHEAD:
		return plan.mount.device ? read_ahead_raise(plan.mount.device) : -EINVAL;
	case PLACE_ATTACH_STORE:
		return attach_store();
	case PLACE_DETACH_STORE:
		if (plan.name[0])
			store_detach(plan.name);
		return 0;
	case PLACE_LOG:
		return show_log();
	case PLACE_FORGET:
		return plan.name[0] ? runtime_dir_remove(plan.name) : -EINVAL;
	default:
		return -EINVAL;
	}
}

/* ---- in the daemon ------------------------------------------------------------------------------- */

errint_t session_plan(const struct session_place *p, struct fault *f)
{
	errint_t error = session_can_mount(f);

	if (!error)
		error = mountpoint_resolve(p->mountpoint, plan.mountpoint, f);
	if (error)
		return error;
	snprintf(plan.archive, sizeof(plan.archive), "%s", p->archive);
	plan.allow_other = p->allow_other;
	plan.uring = uring_enabled();
	plan.daemon = getpid();
	helper_provide(HELPER_MOUNT, act_mount);
	helper_provide(HELPER_PLACE, act_place);
	return 0;
}

void session_plan_name(const char *name)
{
	snprintf(plan.name, sizeof(plan.name), "%s", name);
}

void session_forget_name(void)
{
	if (plan.name[0] && helper_started())
		mounter_do(PLACE_FORGET);
}

const char *planned_mountpoint(void)
{
	return plan.mountpoint;
}

bool planned_uring(void)
{
	return plan.uring;
}

errint_t mounter_mount(int *ret_fd, dev_t *ret_device, struct fault *f)
{
	const char *hint = geteuid() == 0 ? "mounting needs CAP_SYS_ADMIN, which containers often lack"
					  : "a user can mount only on directories of their own";
	struct helper_answer a;
	errint_t error = helper_ask(HELPER_MOUNT, NULL, 0, NULL, &a);

	if (!error && (a.fd < 0 || a.len != sizeof(*ret_device)))
		error = -EPROTO;
	if (error)
		fault_set(f, error, "cannot mount on %s: %s (%s)", plan.mountpoint,
			a.len			? (const char *)a.out
			: error == -EPIPE	? "the helper process that mounts has died; the system's log may say why"
			: error == -EPERM	? "not permitted"
						: strerror(-error),
			hint);
	else
		memcpy(ret_device, a.out, sizeof(*ret_device));
	free(a.out);
	*ret_fd = a.fd;
	return error;
}

errint_t session_show(const char *path, int dir_fd)
{
	char args[PATH_MAX + 1] = {PLACE_SHOW};
	struct helper_answer a;
	struct stat held, seen;
	size_t len = strlen(path);
	errint_t error;

	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	if (geteuid() != 0 || (!fstat(dir_fd, &held) && !stat(path, &seen) && held.st_dev == seen.st_dev && held.st_ino == seen.st_ino))
		return 0;
	memcpy(args + 1, path, len);
	error = helper_ask(HELPER_PLACE, args, len + 1, (int[HELPER_FDS_MAX]){dir_fd, -1}, &a);
	free(a.out);
	cleanup_closep(&a.fd);
	return error;
}

bool mounter_finds(void)
{
	uint8_t byte = PLACE_FIND;
	struct helper_answer a;
	errint_t error = helper_ask(HELPER_PLACE, &byte, 1, NULL, &a);

	free(a.out);
	cleanup_closep(&a.fd);
	return !error;
}

errint_t session_show_log(void)
{
	uint8_t byte = PLACE_LOG;
	struct helper_answer a;
	errint_t error = geteuid() == 0 ? helper_ask(HELPER_PLACE, &byte, 1, NULL, &a) : -ENOENT;

	if (geteuid() == 0) {
		free(a.out);
		cleanup_closep(&a.fd);
	}
	return error;
}

errint_t mounter_do(enum place_act what)
{
	static const char *const doing[] = {
		[PLACE_RELEASE] = "unmount it",
		[PLACE_ABORT] = "abort its connection",
		[PLACE_READ_AHEAD] = "raise its read-ahead",
		[PLACE_ATTACH_STORE] = "attach the store below /run/lapse",
		[PLACE_DETACH_STORE] = "detach the store below /run/lapse",
		[PLACE_FORGET] = "remove the directory below /run/lapse",
	};
	uint8_t byte = (uint8_t)what;
	struct helper_answer a;
	errint_t error = helper_ask(HELPER_PLACE, &byte, 1, NULL, &a);

	free(a.out);
	cleanup_closep(&a.fd);
	if (error)
		log_line(what == PLACE_ABORT || what == PLACE_READ_AHEAD ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "%s: cannot %s: %s",
			plan.mountpoint, doing[what], strerror(-error));
	return error;
}
