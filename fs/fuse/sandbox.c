/* sandbox.c - what the daemon keeps once it has been told its key: the archive, its state, /proc and the device. KERNEL.md 24. */
#include "fuse/execs.h"
#include "fuse/internal.h"
#include "fuse/sandbox.h"
#include "fuse/sandbox_internal.h"

#include "base/io.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define PLACES_MAX 32

/* ---- the process ------------------------------------------------------------------------------- */

static void harden(void)
{
	static const int raised[] = {RLIMIT_NOFILE, RLIMIT_MEMLOCK};
	struct rlimit none = {0, 0}, limit;

	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < ARRAY_SIZE(raised); i++) {
		if (getrlimit(raised[i], &limit) < 0)
			continue;
		limit.rlim_cur = limit.rlim_max;
		if (raised[i] == RLIMIT_MEMLOCK && geteuid() == 0)
			limit.rlim_cur = limit.rlim_max = RLIM_INFINITY; /* for keys and rings, without CAP_IPC_LOCK */
		setrlimit(raised[i], &limit);
	}
	umask(0);
}

/* ---- what it sees -------------------------------------------------------------------------------- */

#define WRITABLE 1u /* else read-only */
#define DEVICE   2u

struct place {
	char path[PATH_MAX];
	unsigned flags;
	int tree; /* a detached copy of what is mounted there */
};

struct places {
	struct place at[PLACES_MAX];
	size_t count;
};

static errint_t place_add(struct places *p, const char *path, unsigned flags)
{
	struct place *new = &p->at[p->count];

	if (p->count == PLACES_MAX)
		return -E2BIG;
	if (path[0] != '/' || snprintf(new->path, sizeof(new->path), "%s", path) >= (int)sizeof(new->path))
		return -EINVAL;
	new->flags = flags;
	new->tree = -1;
	p->count++;
	return 0;
}

/* Parents before what lies in them. */
static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct place *)a)->path, ((const struct place *)b)->path);
}

/* 0: none. */
static uint64_t mount_of(const char *path)
{
	struct statx stx;

	return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID, &stx) < 0 || !(stx.stx_mask & STATX_MNT_ID) ? 0 : stx.stx_mnt_id;
}

/* Whether one of the places lies in another one with a mount between them: then there is no directory for it without that mount. */
static bool leads_to_other(const struct places *p, const struct place *place)
{
	size_t len = strlen(place->path);
	char parent[PATH_MAX];

	for (size_t i = 0; i < p->count; i++) {
		if (strncmp(p->at[i].path, place->path, len) != 0 || p->at[i].path[len] != '/')
			continue;
		snprintf(parent, sizeof(parent), "%s", p->at[i].path);
		*strrchr(parent, '/') = '\0';
		if (mount_of(parent) != mount_of(place->path))
			return true;
	}
	return false;
}

/* Without what is mounted below: a copy of that would keep it from ending when its owner unmounts it. But for what is read of the system: there, mounts hide
 * what a container may not see. */
static errint_t place_clone(const struct places *p, struct place *place)
{
	const unsigned below = !(place->flags & WRITABLE) || leads_to_other(p, place) ? AT_RECURSIVE : 0;
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | (place->flags & WRITABLE ? 0 : MOUNT_ATTR_RDONLY) |
			    (place->flags & DEVICE ? 0 : MOUNT_ATTR_NODEV),
		.propagation = MS_PRIVATE,
	};

	place->tree = open_tree(AT_FDCWD, place->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | below);
	if (place->tree < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	return mount_setattr(place->tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static errint_t places_clone(struct places *p)
{
	errint_t error = 0;

	for (size_t i = 0; !error && i < p->count; i++)
		error = place_clone(p, &p->at[i]);
	return error;
}

/* The file or directory on which the place will lie, with what leads there. */
static errint_t make_node(int root, const char *path, bool directory)
{
	char part[PATH_MAX];

	if (faccessat(root, path + 1, F_OK, 0) == 0)
		return 0;
	for (const char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		memcpy(part, path + 1, (size_t)(slash - path - 1));
		part[slash - path - 1] = '\0';
		if (mkdirat(root, part, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	if (directory)
		return mkdirat(root, path + 1, 0755) < 0 && errno != EEXIST ? -errno : 0;
	cleanup_fd int fd = openat(root, path + 1, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	return fd < 0 && errno != EEXIST && errno != ENXIO ? -errno : 0;
}

static errint_t place_mount(int root, const struct place *p)
{
	struct stat st;
	errint_t error = fstat(p->tree, &st) < 0 ? -errno : make_node(root, p->path, S_ISDIR(st.st_mode));

	if (error)
		return error;
	return move_mount(p->tree, "", root, p->path + 1, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

/* An empty filesystem, and in it the places under their own names. */
static errint_t root_make(struct places *p, int *ret)
{
	cleanup_fd int context = fsopen("tmpfs", FSOPEN_CLOEXEC), root = -1;
	errint_t error = 0;

	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "size", "1M", 0) < 0 ||
		fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	root = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	/* On something, so that it can be turned to: the mount namespace is private by now. */
	if (root < 0 || move_mount(root, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	qsort(p->at, p->count, sizeof(p->at[0]), by_path);
	for (size_t i = 0; !error && i < p->count; i++)
		if (p->at[i].tree >= 0)
			error = place_mount(root, &p->at[i]);
	*ret = steal_fd(&root);
	return error;
}

/* A symlink to the log's socket, as the C library looks for it. */
static void log_link(int root, const char *socket)
{
	if (socket[0] && strcmp(socket, "/dev/log") != 0 && !make_node(root, "/dev/log/", true))
		unlinkat(root, "dev/log", AT_REMOVEDIR);
	if (socket[0] && strcmp(socket, "/dev/log") != 0 && symlinkat(socket, root, "dev/log") < 0)
		return;
}

static errint_t places_find(struct places *p, const struct session_confinement *c, char *log_socket)
{
	static const char *const readable[] = {"/proc", "/etc/localtime", "/usr/share/zoneinfo", "/sys/devices/system"};
	const char *notify = getenv("NOTIFY_SOCKET"), *clock = getenv("LAPSE_TEST_CLOCK");
	errint_t error = 0;
	char dir[PATH_MAX];

	for (size_t i = 0; !error && i < ARRAY_SIZE(readable); i++)
		error = place_add(p, readable[i], 0);
	for (size_t i = 0; !error && c->writable[i]; i++)
		error = place_add(p, c->writable[i], WRITABLE);
	if (!error)
		error = place_add(p, "/dev/fuse", WRITABLE | DEVICE);
	if (!error)
		error = place_add(p, "/dev/null", WRITABLE | DEVICE);
	if (!error && notify && notify[0] == '/')
		error = place_add(p, notify, 0);
	if (!error && clock)
		error = place_add(p, clock, 0);
	if (error || !realpath("/dev/log", log_socket)) {
		log_socket[0] = '\0';
		return error;
	}
	/* The directory: the socket is made anew when its daemon starts anew. */
	snprintf(dir, sizeof(dir), "%s", log_socket);
	if (strcmp(log_socket, "/dev/log") != 0)
		*strrchr(dir, '/') = '\0';
	return place_add(p, dir, 0);
}

/* Whether anything can be made in the root itself: what is made there is in no filesystem that stays. */
static errint_t root_writable(bool writable)
{
	struct mount_attr attr = {.attr_set = writable ? 0 : MOUNT_ATTR_RDONLY, .attr_clr = writable ? MOUNT_ATTR_RDONLY : 0};

	return mount_setattr(AT_FDCWD, "/", 0, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static errint_t enter(struct places *p, const struct session_confinement *c)
{
	char log_socket[PATH_MAX];
	cleanup_fd int root = -1;
	errint_t error;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	error = places_find(p, c, log_socket);
	if (!error)
		error = places_clone(p);
	if (!error)
		error = root_make(p, &root);
	if (error)
		return error;
	log_link(root, log_socket);
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return root_writable(false);
}

static errint_t show(const char *path, int tree, bool directory)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, .propagation = MS_PRIVATE};
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	errint_t error, end;

	if (root < 0 || mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return -errno;
	error = root_writable(true);
	if (!error)
		error = make_node(root, path, directory);
	if (!error && move_mount(tree, "", root, path + 1, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		error = -errno;
	end = root_writable(false);
	return error ? error : end;
}

errint_t sandbox_show(const char *path, int tree)
{
	return show(path, tree, true);
}

errint_t sandbox_replace(const char *path, int tree)
{
	if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
		return -errno;
	return show(path, tree, false);
}

static errint_t see_only(const struct session_confinement *c)
{
	struct places *p = calloc(1, sizeof(*p));
	errint_t error = p ? enter(p, c) : -ENOMEM;

	for (size_t i = 0; p && i < p->count; i++)
		cleanup_closep(&p->at[i].tree);
	free(p);
	return error;
}

/* ---- what it may --------------------------------------------------------------------------------- */

#define FOR_FILES    (CAPS(CAP_DAC_OVERRIDE) | CAPS(CAP_CHOWN) | CAPS(CAP_FOWNER) | CAPS(CAP_FSETID))
#define FOR_PROGRAMS (CAPS(CAP_SYS_PTRACE) | CAPS(CAP_CHECKPOINT_RESTORE))
#define CAPS(cap)    (UINT64_C(1) << (cap))

static errint_t capabilities_set(uint64_t set)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}, {0}};

	for (size_t i = 0; i < 2; i++)
		data[i].permitted = data[i].effective = (uint32_t)(set >> (32 * i));
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static uint64_t capabilities_get(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}, {0}};

	syscall(SYS_capget, &head, data);
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static errint_t rights_reduce(void)
{
	uint64_t set = geteuid() == 0 ? capabilities_get() & (FOR_FILES | FOR_PROGRAMS) : 0;
	errint_t error;

	for (unsigned cap = 0; cap < 64; cap++)
		if (!(set >> cap & 1) && prctl(PR_CAPBSET_READ, cap) == 1 && prctl(PR_CAPBSET_DROP, cap) < 0 && geteuid() == 0)
			return -errno;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	error = capabilities_set(set);
	return error ? error : prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

errint_t capabilities_keep_files(void)
{
	return capabilities_set(FOR_FILES);
}

errint_t session_confine(const struct session_confinement *c, struct fault *f)
{
	errint_t error = 0;

	execs_watch();
	harden();
	tzset();
	/* What ending a thread needs; it could not be found later. */
	if (!dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_GLOBAL))
		return fault_set(f, -ENOENT, "cannot confine the daemon: libgcc_s.so.1 is missing");
	if (geteuid() == 0)
		error = see_only(c);
	else if (chdir("/") < 0)
		error = -errno;
	if (error)
		return fault_set(f, error, "cannot give the daemon a root directory and a network of its own: %s", strerror(-error));
	error = rights_reduce();
	if (error)
		return fault_set(f, error, "cannot drop the daemon's capabilities: %s", strerror(-error));
	error = calls_limit(true);
	return error ? fault_set(f, error, "cannot limit the daemon's system calls: %s", strerror(-error)) : 0;
}
