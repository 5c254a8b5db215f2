#include "faults.h"

#include "base/log.h"
#include "base/secret.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct archive *archive;
char world_base[PATH_ROOM];
struct fault world_fault;
int64_t clock_skew_s;

static char archive_dir[PATH_ROOM + 16], anchor_path[PATH_ROOM + 16];
static const char *const anchors[] = {anchor_path, NULL};
static const uint8_t key_bytes[KEY_BYTES] = {1, 2, 3};
static const struct subject root_subject = {.login_uid = POLICY_NO_UID, .real_uid = POLICY_NO_UID, .pid = 1};
const struct slot_secret world_key = {SLOT_KEY_FILE, key_bytes, sizeof key_bytes};
const struct caller root_caller = {.subject = &root_subject};

static const char policy[] = "[policy]\nversion = 1\ndefault-class = keep\n\n"
			     "[class short]\nmatch = short/**\nexpire-after = 2s\n\n"
			     "[class keep]\nmatch = **\nexpire-after = 1d\n\n"
			     "[rule everyone]\neffect = permit\nbudget = none\n";

/* ---- the time, and what the log was told ---------------------------------------------------------------------------------- */

/* Before the C library's, as the functions of io_hook.c are. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
	static int (*next)(clockid_t, struct timespec *);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
	int r = next(id, ret);
	if (!r && (id == CLOCK_REALTIME || id == CLOCK_BOOTTIME))
		ret->tv_sec += clock_skew_s;
	return r;
}

static char said[8192];
static size_t said_len;

static void note_line(enum log_level level, const char *line)
{
	int n = snprintf(said + said_len, sizeof said - said_len, "%d %s\n", (int)level, line);
	if (n > 0 && said_len + (size_t)n < sizeof said)
		said_len += (size_t)n;
	else
		said[said_len] = 0;
}

void world_said(const char *prefix)
{
	for (char *save, *line = strtok_r(said, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		printf("%s%s\n", prefix, line);
}

void world_not_damaged(const char *when)
{
	struct archive_status s;
	archive_get_status(archive, &s);
	if (s.damaged_files)
		wrong("%s: %llu things are called damaged", when, (unsigned long long)s.damaged_files);
}

/* ---- opening and closing ---------------------------------------------------------------------------------------------------- */

void world_place(const char *base)
{
	snprintf(world_base, sizeof world_base, "%s", base);
	snprintf(archive_dir, sizeof archive_dir, "%s/archive", base);
	snprintf(anchor_path, sizeof anchor_path, "%s/anchor", base);
	setenv("STATE_DIRECTORY", base, 1);
	setenv("XDG_STATE_HOME", base, 1);
}

struct archive_open world_options(void)
{
	return (struct archive_open){.path = archive_dir, .secret = world_key, .anchor = anchors};
}

errint_t world_open(void)
{
	struct archive_open o = world_options();
	world_fault = (struct fault){{0}};
	log_set_sink(note_line);
	errint_t r = archive_open(&o, &archive, &world_fault);
	if (!r && (r = archive_catch_up(archive)))
		world_close();
	return r;
}

void world_close(void)
{
	archive_close(archive);
	archive = NULL;
}

errint_t world_init(const char *name)
{
	char path[PATH_ROOM + 64], anchor[PATH_ROOM + 64];
	const char *const paths[] = {anchor, NULL};
	uint8_t uuid[UUID_BYTES], log_public[32];
	snprintf(path, sizeof path, "%s/%s", world_base, name);
	snprintf(anchor, sizeof anchor, "%s/%s.anchor", world_base, name);
	struct archive_init o = {
		.path = path,
		.secret = world_key,
		.label = "test",
		.suite = SUITE_XCHACHA20POLY1305,
		.block_size = BLOCK_SIZE_MIN,
		.epoch_seconds = 1,
		.anchor = strcmp(name, "archive") ? paths : anchors,
		.policy_text = policy,
		.policy_len = sizeof policy - 1,
	};
	world_fault = (struct fault){{0}};
	return archive_init(&o, uuid, log_public, &world_fault);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

void world_clear(const char *name)
{
	char path[PATH_ROOM + 64];
	snprintf(path, sizeof path, "%s/%s", world_base, name);
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	snprintf(path, sizeof path, "%s/%s.anchor", world_base, name);
	unlink(path);
}

void world_await_scan(void)
{
	struct archive_status s;
	struct timespec step = {.tv_nsec = 5000000};
	must(archive_start(archive, NULL));
	do {
		nanosleep(&step, NULL);
		archive_get_status(archive, &s);
	} while (!s.catalogue_complete || s.overdue);
}

/* ---- what is in it ------------------------------------------------------------------------------------------------------------- */

#define LONG_NAME                                                                                                   \
	"a name of more than 160 bytes, as camera systems make them when they put place, lane, time, plate, make, " \
	"model, colour and confidence into one, is stored under a hash, with the sealed name beside it.jpg"

void fill(const char *name, uint8_t *out, size_t len, size_t from)
{
	uint32_t seed = 2166136261u;
	for (; *name; name++)
		seed = (seed ^ (uint8_t)*name) * 16777619u;
	for (size_t i = 0; i < len; i++) {
		uint32_t x = seed + (uint32_t)(from + i) * 2654435761u;
		out[i] = (uint8_t)(x >> 24 ^ x >> 13) | 1; /* never a zero: those are what lapse filled up with */
	}
}

errint_t find(const char *path, struct inode **ret)
{
	char part[NAME_PLAIN_MAX + 1];
	struct inode *at = fs_root(archive), *had = NULL;
	struct fs_entry e;
	errint_t r = 0;
	for (const char *p = path; *p && !r;) {
		size_t len = strcspn(p, "/");
		snprintf(part, sizeof part, "%.*s", (int)len, p);
		r = fs_lookup(archive, at, part, &e);
		if (had)
			fs_forget(archive, had, 1);
		at = had = r ? NULL : e.inode;
		p += len + (p[len] == '/');
	}
	*ret = had;
	return r;
}

void forget(struct inode **i)
{
	if (*i)
		fs_forget(archive, *i, 1);
	*i = NULL;
}

static errint_t parent_of(const char *path, struct inode **ret, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_ROOM];
	*ret = NULL;
	*ret_name = slash ? slash + 1 : path;
	snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 0, path);
	return find(dir, ret);
}

errint_t make(const char *path, size_t len, struct inode **ret, struct handle **ret_handle)
{
	uint8_t content[40000];
	const char *name;
	struct inode *dir;
	struct fs_entry e;
	struct handle *h;
	errint_t r = parent_of(path, &dir, &name);
	if (!r && !(r = fs_create(archive, dir ? dir : fs_root(archive), name, 0644, O_RDWR, &root_caller, &e, &h))) {
		fill(path, content, len, 0);
		ssize_t n = fs_write(archive, h, content, len, 0, false);
		r = n == (ssize_t)len ? 0 : n < 0 ? (errint_t)n : -EMSGSIZE;
		if (!r && ret_handle)
			*ret_handle = h;
		else
			fs_release(archive, h);
		if (!r && ret)
			*ret = e.inode;
		else
			fs_forget(archive, e.inode, 1);
	}
	forget(&dir);
	return r;
}

static void make_dir(const char *name)
{
	struct fs_entry e;
	must(fs_mkdir(archive, fs_root(archive), name, 0755, &root_caller, &e));
	fs_forget(archive, e.inode, 1);
}

static void furnish(void)
{
	struct inode *i;
	struct fs_entry e;
	make_dir("dir");
	make_dir("empty");
	make_dir("full");
	make_dir("short");
	must(make("a.jpg", 20000, NULL, NULL));
	must(make("b.jpg", 3000, NULL, NULL));
	must(make("none.jpg", 0, NULL, NULL));
	must(make("dir/c.jpg", 9000, NULL, NULL));
	must(make("full/d.jpg", 100, NULL, NULL));
	must(make(LONG_NAME, 5000, NULL, NULL));
	must(make("twice.jpg", 700, NULL, NULL));
	must(find("twice.jpg", &i));
	must(fs_link(archive, i, fs_root(archive), "again.jpg", &root_caller, &e));
	forget(&e.inode);
	forget(&i);
	must(fs_symlink(archive, fs_root(archive), "link", "dir/c.jpg", &root_caller, &e));
	forget(&e.inode);
	must(find("a.jpg", &i));
	must(fs_setxattr(archive, i, "user.plate", "ABC 123", 7, 0, NULL));
	forget(&i);
}

/* Files that a session has not finished with when it ends at once. */
static void leave_open(void)
{
	struct handle *h;
	uint8_t content[3000];
	struct inode *i;
	must(make("dir/synced.jpg", 14000, NULL, &h));
	must(fs_fsync(archive, h, false));
	must(make("dir/begun.jpg", 10000, NULL, &h));
	must(find("b.jpg", &i));
	must(fs_open(archive, i, O_RDWR, &root_caller, &h));
	fill("changed", content, sizeof content, 0);
	must(fs_write(archive, h, content, sizeof content, 500, false));
	must(fs_fsync(archive, h, false));
}

void world_make(enum world_kind kind)
{
	must(world_init("archive"));
	must(world_open());
	furnish();
	world_close();
	if (kind == WORLD_CRASHED) {
		must(world_open());
		leave_open();
		_exit(0);
	}
}

/* ---- what it uses ------------------------------------------------------------------------------------------------------------------ */

size_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

struct world_use world_use(void)
{
	struct archive_status s;
	archive_get_status(archive, &s);
	return (struct world_use){.fds = open_descriptors() - s.dir_fds, .inodes = s.inodes, .open_files = s.open_files};
}
