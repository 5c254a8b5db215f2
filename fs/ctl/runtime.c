#include "ctl/runtime.h"

#include "base/io.h"
#include "ctl/protocol.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define ROOT_BASE "/run/lapse"
#define BACKLOG   64
#define CONNECT_SECONDS 30
#define INFO_MAX  32768u

static errint_t own_base(char out[static CTL_PATH_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	int n;
	if (geteuid() == 0)
		n = snprintf(out, CTL_PATH_MAX, ROOT_BASE);
	else if (runtime && runtime[0] == '/')
		n = snprintf(out, CTL_PATH_MAX, "%s/lapse", runtime);
	else if (home && home[0] == '/')
		n = snprintf(out, CTL_PATH_MAX, "%s/.local/state/lapse/run", home);
	else
		return -ENOENT;
	return n < CTL_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Somebody else's directory would let him answer for the daemon. */
static errint_t base_open(const char *base, int *ret)
{
	cleanup_fd int fd = open(base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return -EPERM;
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;
	*ret = steal_fd(&fd);
	return 0;
}

static errint_t base_lock(int base_fd, int *ret)
{
	cleanup_fd int fd = openat(base_fd, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX))
		if (errno != EINTR)
			return -errno;
	*ret = steal_fd(&fd);
	return 0;
}

/* The socket's path through the descriptor: sun_path holds 108 bytes, a home directory's name may not fit. */
static void socket_address(int dir_fd, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(sa->sun_path, sizeof sa->sun_path, "/proc/self/fd/%d/ctl", dir_fd);
}

/* `patience`: seconds until one who is asked by many at once has taken this one. */
static errint_t connect_at(int dir_fd, int patience, int *ret)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (patience ? 0 : SOCK_NONBLOCK), 0);
	const struct timeval limit = {.tv_sec = patience};
	struct sockaddr_un sa;
	if (fd < 0 || (patience && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit)))
		return -errno;
	socket_address(dir_fd, &sa);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa))
		return -errno;
	*ret = steal_fd(&fd);
	return 0;
}

/* A full backlog (EAGAIN) is a sign of life too. */
static bool is_live(int dir_fd)
{
	cleanup_fd int fd = -1;
	errint_t r = connect_at(dir_fd, 0, &fd);
	return r != -ECONNREFUSED && r != -ENOENT;
}

static void forget(int base_fd, int dir_fd, const char *name)
{
	unlinkat(dir_fd, "info", 0);
	unlinkat(dir_fd, "ctl", 0);
	unlinkat(base_fd, name, AT_REMOVEDIR);
}

static errint_t listen_at(int dir_fd, int *ret)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	if (fd < 0)
		return -errno;
	socket_address(dir_fd, &sa);
	mode_t umask_before = umask(geteuid() == 0 ? 0111 : 0177); /* who may do what is the verbs' to say */
	int failed = bind(fd, (struct sockaddr *)&sa, sizeof sa) || listen(fd, BACKLOG);
	errint_t r = failed ? -errno : 0;
	umask(umask_before);
	if (!r)
		*ret = steal_fd(&fd);
	return r;
}

/* The archive's last component in characters that need no quoting. */
static void name_of(const char *archive, char out[static 64])
{
	const char *slash = strrchr(archive, '/'), *base = slash ? slash + 1 : archive;
	size_t n = 0;
	for (; base[n] && n < 63; n++) {
		char c = base[n];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
			     c == '-';
		out[n] = plain || (c == '.' && n > 0) ? c : '_';
	}
	out[n] = '\0';
	if (n == 0)
		snprintf(out, 64, "archive");
}

/* Takes the directory if no live daemon has it. -EEXIST. */
static errint_t claim_one(struct ctl_place *p)
{
	if (mkdirat(p->base_fd, p->name, 0700) && errno != EEXIST)
		return -errno;
	cleanup_fd int dir = openat(p->base_fd, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (dir < 0 || fstat(dir, &st))
		return -errno;
	if (st.st_uid != geteuid() || is_live(dir))
		return -EEXIST;
	unlinkat(dir, "info", 0);
	unlinkat(dir, "ctl", 0);
	errint_t r = fchmod(dir, geteuid() == 0 ? 0755 : 0700) ? -errno : listen_at(dir, &p->listen_fd);
	if (!r)
		p->dir_fd = steal_fd(&dir);
	return r;
}

errint_t ctl_place_claim(const char *archive, struct ctl_place *ret, struct fault *f)
{
	char base[CTL_PATH_MAX], stem[64];
	struct ctl_place p = {.base_fd = -1, .dir_fd = -1, .listen_fd = -1};
	errint_t r = own_base(base);
	if (r)
		return fault_set(f, r, "No place for the control socket: neither XDG_RUNTIME_DIR nor HOME is set");
	r = io_mkdirs(base, geteuid() == 0 ? 0755 : 0700);
	if (!r)
		r = base_open(base, &p.base_fd);
	cleanup_fd int lock = -1;
	if (!r)
		r = base_lock(p.base_fd, &lock);
	name_of(archive, stem);
	for (unsigned i = 1; !r && p.dir_fd < 0; i++) {
		snprintf(p.name, sizeof p.name, i == 1 ? "%s" : "%s-%u", stem, i);
		errint_t one = claim_one(&p);
		if (one != -EEXIST)
			r = one;
		else if (i == 1000)
			r = -EMFILE;
	}
	if (!r && snprintf(p.dir, sizeof p.dir, "%s/%s", base, p.name) >= (int)sizeof p.dir)
		r = -ENAMETOOLONG;
	if (r) {
		ctl_place_release(&p);
		return fault_set(f, r, "Cannot make the control socket in %s: %s", base, strerror(-r));
	}
	*ret = p;
	return 0;
}

errint_t ctl_place_reopen(struct ctl_place *p)
{
	char base[CTL_PATH_MAX];
	int base_fd;
	strcpy(base, p->dir);
	*strrchr(base, '/') = '\0';
	errint_t r = base_open(base, &base_fd);
	if (r)
		return r;
	int dir_fd = openat(base_fd, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir_fd < 0) {
		r = -errno;
		close(base_fd);
		return r;
	}
	close(p->base_fd);
	close(p->dir_fd);
	p->base_fd = base_fd;
	p->dir_fd = dir_fd;
	return 0;
}

errint_t ctl_place_announce(struct ctl_place *p, const struct ctl_daemon *d)
{
	struct ctl_text t = {0};
	ctl_begin(&t, "info");
	ctl_put(&t, "archive", d->archive);
	ctl_put(&t, "mountpoint", d->mountpoint);
	ctl_put(&t, "uuid", d->uuid);
	ctl_put_i64(&t, "pid", d->pid);
	ctl_end(&t);
	errint_t r = t.bad ? -ENOMEM : io_replace_file(p->dir_fd, "info", t.p, t.len, geteuid() == 0 ? 0644 : 0600);
	ctl_text_free(&t);
	return r;
}

void ctl_place_release(struct ctl_place *p)
{
	if (p->dir_fd >= 0)
		forget(p->base_fd, p->dir_fd, p->name);
	for (size_t i = 0; i < 3; i++) {
		int *fd = (int *[]){&p->listen_fd, &p->dir_fd, &p->base_fd}[i];
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
	}
}

static errint_t info_read(int dir_fd, struct ctl_daemon *d)
{
	uint8_t *text;
	size_t len;
	errint_t r = io_read_file(dir_fd, "info", INFO_MAX, &text, &len);
	if (r)
		return r;
	cleanup_free char *line = (char *)text;
	struct ctl_line l;
	if (len == 0 || line[len - 1] != '\n' || ctl_line_parse(line, len - 1, &l) || strcmp(l.word, "info"))
		return -EBADMSG;
	int n = snprintf(d->archive, sizeof d->archive, "%s", ctl_str(&l, "archive"));
	int m = snprintf(d->mountpoint, sizeof d->mountpoint, "%s", ctl_str(&l, "mountpoint"));
	snprintf(d->uuid, sizeof d->uuid, "%s", ctl_str(&l, "uuid"));
	d->pid = (pid_t)ctl_num(&l, "pid", 0);
	bool fits = n < (int)sizeof d->archive && m < (int)sizeof d->mountpoint;
	return fits && d->archive[0] == '/' && d->mountpoint[0] == '/' ? 0 : -EBADMSG;
}

/* Under the base's lock, so that a daemon that is just taking the directory over is not cut off. */
static void forget_dead(int base_fd, int dir_fd, const char *name)
{
	cleanup_fd int lock = -1;
	if (base_lock(base_fd, &lock) == 0 && !is_live(dir_fd))
		forget(base_fd, dir_fd, name);
}

/* `prefix` is path or one of its parents: length of the prefix, else 0. */
static size_t prefix_of(const char *prefix, const char *path)
{
	size_t len = strlen(prefix);
	if (!strcmp(prefix, "/"))
		return 1;
	return !strncmp(prefix, path, len) && (path[len] == '/' || path[len] == '\0') ? len : 0;
}

struct search {
	const char *path;
	struct ctl_daemon *best;
	size_t best_len, count;
	bool best_is_mount, closed;
};

static void search_consider(struct search *s, const struct ctl_daemon *d)
{
	s->count++;
	size_t mount = s->path ? prefix_of(d->mountpoint, s->path) : 1;
	size_t store = s->path ? prefix_of(d->archive, s->path) : 0;
	size_t len = mount >= store ? mount : store;
	if (len <= s->best_len)
		return;
	*s->best = *d;
	s->best_len = len;
	s->best_is_mount = mount >= store;
}

static void search_entry(struct search *s, int base_fd, const char *base, const char *name)
{
	cleanup_fd int dir = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0) {
		s->closed |= errno == EACCES;
		return;
	}
	cleanup_free struct ctl_daemon *d = calloc(1, sizeof *d);
	if (!d || snprintf(d->dir, sizeof d->dir, "%s/%s", base, name) >= (int)sizeof d->dir)
		return;
	if (!is_live(dir))
		forget_dead(base_fd, dir, name);
	else if (info_read(dir, d) == 0)
		search_consider(s, d);
}

static void search_base(struct search *s, const char *base)
{
	int fd;
	if (base_open(base, &fd))
		return;
	DIR *entries = fdopendir(fd);
	if (!entries) {
		close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(entries));)
		if (e->d_name[0] != '.')
			search_entry(s, fd, base, e->d_name);
	closedir(entries);
}

errint_t ctl_find(const char *path, struct ctl_daemon *ret, const char **ret_below, struct fault *f)
{
	char base[CTL_PATH_MAX];
	struct search s = {.path = path, .best = ret};
	if (own_base(base) == 0)
		search_base(&s, base);
	if (geteuid() != 0)
		search_base(&s, ROOT_BASE);
	if (!path && s.count > 1)
		return fault_set(f, -ENOTUNIQ, "%zu archives are mounted: name the one you mean", s.count);
	if (!s.best_len && s.closed && (!path || ctl_mounted(path, false)))
		return fault_set(f, -EACCES,
			"No archive of yours is mounted%s%s; about one that root mounted, only root may ask",
			path ? " at " : "", path ? path : "");
	if (!s.best_len)
		return path ? fault_set(f, -ENOENT, "No mounted archive at %s", path)
			    : fault_set(f, -ENOENT, "No archive is mounted");
	if (ret_below) {
		*ret_below = NULL;
		if (s.best_is_mount) {
			const char *rest = path ? path + s.best_len : "";
			*ret_below = rest + (*rest == '/');
		}
	}
	return 0;
}

errint_t ctl_connect(const struct ctl_daemon *d, int *ret_fd)
{
	cleanup_fd int dir = open(d->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int fd = -1;
	errint_t r = dir < 0 ? -errno : connect_at(dir, CONNECT_SECONDS, &fd);
	if (!r)
		*ret_fd = steal_fd(&fd);
	return r;
}
