#include "base/io.h"
#include "base/log.h"
#include "fuse/internal.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u /* Linux 6.8; before, the kernel tells the other number, which is given away again */
#endif
#define READ_AHEAD_KIB 1024
#define RUN_DIR        "/run/lapse"

errint_t mountpoint_resolve(const char *path, char out[static PATH_MAX], struct fault *f)
{
	struct stat st;

	if (!realpath(path, out) || stat(out, &st) < 0) {
		errint_t error = -errno;

		if (error == -ENOENT)
			return fault_set(f, error, "cannot mount on %s: it does not exist; make it with mkdir", path);
		if (error == -ENOTCONN)
			return fault_set(f, error,
				"cannot mount on %s: a mount whose daemon has died lies there; umount %s", path, path);
		return fault_set(f, error, "cannot mount on %s: %s", path, strerror(-error));
	}
	if (!S_ISDIR(st.st_mode))
		return fault_set(f, -ENOTDIR, "cannot mount on %s: it is not a directory", path);
	return 0;
}

errint_t mountpoint_device(const char *path, dev_t *ret)
{
	struct statx stx;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, 0, &stx) < 0)
		return -errno;
	*ret = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	return 0;
}

errint_t mountpoint_mark(const char *path, struct mount_mark *ret)
{
	struct statx stx;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, STATX_MNT_ID_UNIQUE, &stx) < 0)
		return -errno;
	*ret = (struct mount_mark){
		.device = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.id = stx.stx_mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE) ? stx.stx_mnt_id : 0,
	};
	return 0;
}

/* ---- unmounting ------------------------------------------------------------------------------ */

/* The helper that is allowed to unmount what an ordinary user has mounted. */
static errint_t fusermount_detach(const char *path)
{
	char *const argv[] = {
		(char *)"fusermount3", (char *)"-u", (char *)"-q", (char *)"-z", (char *)"--", (char *)path, NULL};
	pid_t pid;
	int status, error = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	if (error)
		return -error;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static errint_t detach(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EPERM ? fusermount_detach(path) : -errno;
}

static bool is_ours(const char *path, const struct mount_mark *mark)
{
	struct mount_mark now;

	return mountpoint_mark(path, &now) == 0 && now.device == mark->device && now.id == mark->id;
}

errint_t mountpoint_there(const char *path, const struct mount_mark *mark)
{
	return is_ours(path, mark) ? 0 : -ENOENT;
}

errint_t mountpoint_release(const char *path, const struct mount_mark *mark)
{
	if (!is_ours(path, mark) || umount2(path, UMOUNT_NOFOLLOW) == 0)
		return 0;
	return detach(path);
}

/* A control filesystem of our own, since nobody may have mounted one where it usually lies. */
static int control_open(const char *name)
{
	cleanup_fd int context = fsopen("fusectl", FSOPEN_CLOEXEC), mount = -1;

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	mount = fsmount(context, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? -1 : openat(mount, name, O_WRONLY | O_CLOEXEC);
}

errint_t connection_open(const char *mountpoint, const struct mount_mark *mark, int *ret_fd)
{
	char path[64];
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "%u/abort", minor(mark->device));
	fd = control_open(path);
	if (fd < 0) {
		snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", minor(mark->device));
		fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	if (!is_ours(mountpoint, mark))
		return -ESTALE;
	*ret_fd = steal_fd(&fd);
	return 0;
}

errint_t connection_abort(int fd)
{
	return write(fd, "1", 1) < 0 ? -errno : 0;
}

errint_t read_ahead_raise(dev_t device)
{
	char path[64], text[16];
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(device), minor(device));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "%d\n", READ_AHEAD_KIB);
	return fd >= 0 && write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* ---- what a dead daemon left ----------------------------------------------------------------- */

/* The octal escapes of /proc/self/mountinfo, in place. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++, out++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
			s[3] <= '7') {
			*out = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out = *s;
		}
	}
	*out = '\0';
}

/* Where the mount of that device lies, if it is one of lapse. */
static bool find_mount(dev_t device, char out[static PATH_MAX])
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	cleanup_free char *line = NULL;
	size_t cap = 0;
	bool found = false;

	if (!file)
		return false;
	while (getline(&line, &cap, file) > 0) {
		char place[PATH_MAX], type[64], *rest = strstr(line, " - ");
		unsigned major_no, minor_no;

		if (!rest || sscanf(rest, " - %63s", type) != 1 || strcmp(type, "fuse.lapse") != 0)
			continue;
		if (sscanf(line, "%*u %*u %u:%u %*s %4095s", &major_no, &minor_no, place) != 3)
			continue;
		if (makedev(major_no, minor_no) == device) {
			unescape(place);
			memcpy(out, place, sizeof(place));
			found = true;
		}
	}
	fclose(file);
	return found;
}

errint_t session_clear_dead(const char *mountpoint, struct fault *f)
{
	for (int stacked = 0; stacked < 16; stacked++) {
		char place[PATH_MAX];
		struct statx stx;
		dev_t device;
		errint_t error;

		/* The kernel remembers attributes of the dead for an hour. */
		if (statx(AT_FDCWD, mountpoint, AT_STATX_FORCE_SYNC, STATX_MODE, &stx) == 0 || errno != ENOTCONN)
			return 0;
		if (mountpoint_device(mountpoint, &device) || !find_mount(device, place))
			return fault_set(f, -ENOTCONN,
				"%s is a mount whose daemon has died, and not one of lapse; umount it first",
				mountpoint);
		error = detach(place);
		if (error)
			return fault_set(f, error, "%s is a mount whose daemon has died, and cannot be unmounted: %s",
				mountpoint, strerror(-error));
		log_line(LOG_LEVEL_NOTICE, "detached the mount that a dead daemon had left at %s", place);
	}
	return fault_set(f, -ENOTCONN, "%s: too many dead mounts upon one another", mountpoint);
}

/* ---- the store, for backups ------------------------------------------------------------------ */

static void store_path(const char *name, char out[static PATH_MAX])
{
	snprintf(out, PATH_MAX, RUN_DIR "/%s/store", name);
}

/* Also what an earlier daemon left there. */
static void store_unmount(const char *path)
{
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
}

static errint_t attach(const char *path, int root_fd)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		.propagation = MS_PRIVATE,
	};
	cleanup_fd int tree = open_tree(root_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
		move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

errint_t store_attach(const char *name, int root_fd)
{
	char path[PATH_MAX], parent[PATH_MAX];
	errint_t error;

	store_path(name, path);
	snprintf(parent, sizeof(parent), RUN_DIR "/%s", name);
	store_unmount(path);
	error = io_mkdirs(parent, 0755); /* the control socket's directory; the store's own mode keeps others out of it */
	if (!error && mkdir(path, 0700) < 0 && errno != EEXIST)
		error = -errno;
	return error ? error : attach(path, root_fd);
}

void store_detach(const char *name)
{
	char path[PATH_MAX];

	store_path(name, path);
	store_unmount(path);
	rmdir(path);
}

errint_t runtime_dir_remove(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), RUN_DIR "/%s", name);
	/* Not empty: the next daemon of that name has it already. */
	return rmdir(path) == 0 || errno == ENOENT || errno == ENOTEMPTY ? 0 : -errno;
}
