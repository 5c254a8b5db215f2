#include "tools/command.h"
#include "tools/human.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/target.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FUSERMOUNT  "fusermount3"
#define END_SECONDS 120 /* last writes, a last shred, the anchor */
#define HOLDERS_MAX 6

/* ---- who keeps it busy ------------------------------------------------------------------------------------------------------ */

static bool is_on(int proc_fd, const char *link, dev_t dev)
{
	struct stat st;
	return fstatat(proc_fd, link, &st, AT_NO_AUTOMOUNT) == 0 && st.st_dev == dev;
}

static bool holds_file(int proc_fd, dev_t dev)
{
	int fd = openat(proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool found = false;
	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	for (struct dirent *e; !found && (e = readdir(d));)
		found = isdigit((unsigned char)e->d_name[0]) && is_on(dirfd(d), e->d_name, dev);
	closedir(d);
	return found;
}

static bool holds_mount(int proc_fd, dev_t dev)
{
	return is_on(proc_fd, "cwd", dev) || is_on(proc_fd, "root", dev) || is_on(proc_fd, "exe", dev) ||
	       holds_file(proc_fd, dev);
}

static void say_holder(int proc_fd, const char *pid)
{
	char name[32] = "?", user[HUMAN_BYTES] = "";
	struct stat st;
	int fd = openat(proc_fd, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
	if (fd >= 0)
		close(fd);
	if (n > 0)
		name[name[n - 1] == '\n' ? n - 1 : n] = '\0';
	if (fstat(proc_fd, &st) == 0)
		human_user(st.st_uid, user);
	fprintf(stderr, "  %s (pid %s) of %s\n", name, pid, user);
}

/* Best effort: processes of other users show only to root, mappings of closed files not at all. */
static void say_holders(const char *mountpoint)
{
	struct stat st;
	DIR *proc = opendir("/proc");
	size_t found = 0;
	if (!proc || stat(mountpoint, &st)) {
		if (proc)
			closedir(proc);
		return;
	}
	for (struct dirent *e; found < HOLDERS_MAX && (e = readdir(proc));) {
		cleanup_fd int fd = isdigit((unsigned char)e->d_name[0])
					    ? openat(dirfd(proc), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
					    : -1;
		if (fd < 0 || !holds_mount(fd, st.st_dev))
			continue;
		if (found++ == 0)
			fprintf(stderr, "Used by:\n");
		say_holder(fd, e->d_name);
	}
	if (found == HOLDERS_MAX)
		fprintf(stderr, "  and perhaps others\n");
	closedir(proc);
}

/* ---- unmounting --------------------------------------------------------------------------------------------------------------- */

/* As an ordinary user, through the helper that mounted it. Its own words go to standard error. */
static errint_t fusermount(const char *mountpoint)
{
	int status;
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		execlp(FUSERMOUNT, FUSERMOUNT, "-q", "-u", "--", mountpoint, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOPKG;
	return status ? -EPROTO : 0;
}

static errint_t unmount(const char *mountpoint)
{
	if (geteuid() != 0)
		return fusermount(mountpoint);
	return umount2(mountpoint, UMOUNT_NOFOLLOW) ? -errno : 0;
}

/* Where this process cannot unmount it (another mount namespace), the daemon can end itself. */
static errint_t ask_daemon(struct target *t)
{
	struct ctl_request q;
	struct fault f = {0};
	ctl_request_begin(&q, "umount");
	return target_try(t, &q, NULL, NULL, &f);
}

static int pidfd_of(const struct target *t)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	if (getsockopt(t->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -1;
	return (int)syscall(SYS_pidfd_open, cred.pid, 0);
}

/* The mount is gone at once; the archive is free when the daemon has written what was left to write. */
static int wait_for_end(int pidfd, const struct ctl_daemon *d)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int n;
	if (pidfd < 0)
		return EXIT_DONE;
	while ((n = poll(&p, 1, END_SECONDS * 1000)) < 0 && errno == EINTR)
		;
	if (n == 1)
		return EXIT_DONE;
	return say_error("%s is unmounted, but its daemon (pid %d) has not ended within %d s: it may still be writing, "
			 "a program may hold a file of a lazily unmounted mount, or a container a copy of the mount. "
			 "kill -TERM %d ends it for those, too",
		d->mountpoint, (int)d->pid, END_SECONDS, (int)d->pid);
}

static int say_failed(const char *mountpoint, errint_t r)
{
	if (r == -EBUSY || r == -EPROTO) {
		if (r == -EBUSY)
			say("%s is in use: close what is open there, or leave it, and try again", mountpoint);
		else
			say("cannot unmount %s, for the reason that " FUSERMOUNT " gave; if it is in use, close what is open there, or leave it, and try again",
				mountpoint);
		say_holders(mountpoint);
		return EXIT_ERROR;
	}
	if (r == -ENOPKG)
		return say_error("cannot unmount %s: fusermount3 is not installed (package fuse3)", mountpoint);
	if (r == -EPERM)
		return say_error("cannot unmount %s: only root, or the user who mounted it, may", mountpoint);
	return say_error("cannot unmount %s: %s", mountpoint, strerror(-r));
}

/* No daemon answers for it: what a dead one left, or nothing at all. */
static int unmount_orphan(const char *operand, const char *path)
{
	if (!ctl_mounted(path, true))
		return say_error("no archive is mounted at %s", operand);
	errint_t r = unmount(path);
	return r ? say_failed(path, r) : EXIT_DONE;
}

/* Said before it is tried, and for the socket's reasons: its directory belongs to whom the daemon runs as. */
static bool may_unmount(const struct ctl_daemon *d)
{
	struct stat st;
	return geteuid() == 0 || (stat(d->dir, &st) == 0 && st.st_uid == geteuid());
}

static int umount_run(const struct args *a)
{
	const char *operand = a->operand[0];
	struct fault f = {0};
	struct target t = {.fd = -1};
	if (!path_resolve(operand, t.path))
		return say_error("%s: %s", operand, strerror(errno));
	errint_t r = ctl_find(t.path, &t.daemon, NULL, &f);
	if (r)
		return r == -ENOENT ? unmount_orphan(operand, t.path) : say_fault(&f, r, operand);
	if (strcmp(t.path, t.daemon.mountpoint) && strcmp(t.path, t.daemon.archive))
		return say_error("%s is not a mountpoint; %s is", operand, t.daemon.mountpoint);
	if (!may_unmount(&t.daemon))
		return say_error("Only root and the user who mounted the archive may unmount it");
	r = ctl_connect(&t.daemon, &t.fd);
	if (r)
		return say_error("the daemon of %s does not answer: %s", t.daemon.archive, strerror(-r));
	cleanup_fd int pidfd = pidfd_of(&t);
	if (chdir("/")) /* else this process itself might keep it busy */
		return say_error("/: %s", strerror(errno));
	r = unmount(t.daemon.mountpoint);
	if (r == -EINVAL)
		r = ask_daemon(&t);
	target_close(&t);
	return r ? say_failed(t.daemon.mountpoint, r) : wait_for_end(pidfd, &t.daemon);
}

const struct command command_umount = {
	.name = "umount",
	.operands = "MOUNTPOINT",
	.min = 1,
	.max = 1,
	.summary = "Unmount an archive and wait until its daemon has written everything and ended.",
	.details = "MOUNTPOINT may also be the archive's directory. Exit status 3 if it is in use; then it says by "
		   "whom, as far as it can tell.",
	.run = umount_run,
};
