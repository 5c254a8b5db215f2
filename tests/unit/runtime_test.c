#include "ctl/runtime.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Everything here happens as an ordinary user with a runtime directory of its own; on a machine on which nothing is mounted. */
static char base[64];

static void hide_archives_of_root(void)
{
	cr_assert_eq(mkdir("/run/lapse", 0755) && errno != EEXIST, 0);
	cr_assert_eq(unshare(CLONE_NEWNS), 0);
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mount("none", "/run/lapse", "tmpfs", 0, "mode=755"), 0);
}

static void become_user(void)
{
	snprintf(base, sizeof base, "/tmp/lapse-runtime.XXXXXX");
	cr_assert_not_null(mkdtemp(base));
	setenv("XDG_RUNTIME_DIR", base, 1);
	if (geteuid() == 0) {
		hide_archives_of_root();
		cr_assert_eq(chown(base, 65534, 65534), 0);
		cr_assert_eq(seteuid(65534), 0);
	}
}

static void clean(void)
{
	char command[128];
	cr_assert_eq(seteuid(getuid()), 0);
	snprintf(command, sizeof command, "rm -rf %s", base);
	cr_assert_eq(system(command), 0);
}

static bool finds_nothing(void)
{
	struct ctl_daemon d;
	return ctl_find(NULL, &d, NULL, NULL) == -ENOENT;
}

TestSuite(runtime, .init = become_user, .fini = clean);

static void announce(struct ctl_place *p, const char *archive, const char *mountpoint)
{
	struct ctl_daemon d = {.pid = getpid()};
	snprintf(d.archive, sizeof d.archive, "%s", archive);
	snprintf(d.mountpoint, sizeof d.mountpoint, "%s", mountpoint);
	cr_assert_eq(ctl_place_announce(p, &d), 0);
}

static bool exists(const char *dir, const char *name)
{
	char path[CTL_PATH_MAX + 16];
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return lstat(path, &st) == 0;
}

Test(runtime, names_are_unique_among_the_living)
{
	struct ctl_place a, b, c;
	struct stat st;
	cr_assert_eq(ctl_place_claim("/srv/plates", &a, NULL), 0);
	cr_assert_eq(ctl_place_claim("/mnt/plates", &b, NULL), 0);
	cr_assert_eq(ctl_place_claim("/srv/.odd name\n", &c, NULL), 0);
	cr_assert_str_eq(a.name, "plates");
	cr_assert_str_eq(b.name, "plates-2");
	cr_assert_str_eq(c.name, "_odd_name_");
	cr_assert_eq(stat(a.dir, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700u);
	ctl_place_release(&a);
	cr_assert_not(exists(base, "lapse/plates"));
	cr_assert_eq(ctl_place_claim("/srv/plates", &a, NULL), 0);
	cr_assert_str_eq(a.name, "plates");
	ctl_place_release(&a);
	ctl_place_release(&b);
	ctl_place_release(&c);
}

struct asking {
	struct ctl_daemon found;
	_Atomic pid_t tid;
	_Atomic bool done;
	errint_t result;
};

static void *ask(void *ctx)
{
	struct asking *q = ctx;
	int fd = -1;
	atomic_store(&q->tid, gettid());
	q->result = ctl_connect(&q->found, &fd);
	atomic_store(&q->done, true);
	return NULL;
}

static bool sleeps(pid_t tid)
{
	char path[64], state = 0;
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
	FILE *f = fopen(path, "re");
	bool read = f && fscanf(f, "%*d %*s %c", &state) == 1;
	if (f)
		fclose(f);
	return read && state == 'S';
}

/* Everybody who looks for a daemon knocks at all of them. */
Test(runtime, a_daemon_that_many_ask_at_once_is_waited_for)
{
	struct ctl_place p;
	struct asking q = {.done = false};
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	pthread_t thread;
	cr_assert_eq(ctl_place_claim("/srv/plates", &p, NULL), 0);
	announce(&p, "/srv/plates", "/srv/plates");
	cr_assert_eq(ctl_find("/srv/plates", &q.found, NULL, NULL), 0);
	cr_assert_lt(snprintf(sa.sun_path, sizeof sa.sun_path, "%s/ctl", p.dir), (int)sizeof sa.sun_path);
	int n = 0, fd;
	do
		cr_assert_geq(fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), 0);
	while (!connect(fd, (struct sockaddr *)&sa, sizeof sa) && ++n < 1000);
	cr_assert_eq(errno, EAGAIN);
	cr_assert_eq(pthread_create(&thread, NULL, ask, &q), 0);
	while (!atomic_load(&q.done) && !(atomic_load(&q.tid) && sleeps(atomic_load(&q.tid))))
		sched_yield();
	cr_assert_not(atomic_load(&q.done));
	for (; n >= 0; n--)
		while (accept(p.listen_fd, NULL, NULL) < 0)
			sched_yield();
	pthread_join(thread, NULL);
	cr_assert_eq(q.result, 0);
	ctl_place_release(&p);
}

Test(runtime, what_the_dead_left_is_taken_over_and_cleaned)
{
	struct ctl_place dead, next;
	struct ctl_daemon found;
	cr_assert_eq(ctl_place_claim("/srv/plates", &dead, NULL), 0);
	announce(&dead, "/srv/plates", "/srv/plates");
	close(dead.listen_fd); /* as kill -9 would */
	cr_assert_eq(ctl_place_claim("/srv/plates", &next, NULL), 0);
	cr_assert_str_eq(next.name, "plates");
	cr_assert_not(exists(next.dir, "info"));
	announce(&next, "/srv/plates", "/srv/plates");
	close(next.listen_fd);
	cr_assert_eq(ctl_find("/srv/plates/a", &found, NULL, NULL), -ENOENT);
	cr_assert_not(exists(base, "lapse/plates"));
}

Test(runtime, the_longest_prefix_wins)
{
	struct ctl_place a, b;
	struct ctl_daemon d;
	const char *below;
	cr_assert(finds_nothing());
	cr_assert_eq(ctl_place_claim("/srv/a", &a, NULL), 0);
	announce(&a, "/srv/a", "/srv/a");
	cr_assert_eq(ctl_find(NULL, &d, &below, NULL), 0);
	cr_assert_str_eq(d.archive, "/srv/a");
	cr_assert_eq(ctl_place_claim("/srv/store with\ttab", &b, NULL), 0);
	announce(&b, "/srv/store with\ttab", "/srv/a/sub");
	cr_assert_eq(ctl_find(NULL, &d, &below, NULL), -ENOTUNIQ);
	cr_assert_eq(ctl_find("/srv/a/sub/x/y.jpg", &d, &below, NULL), 0);
	cr_assert_str_eq(d.archive, "/srv/store with\ttab");
	cr_assert_str_eq(below, "x/y.jpg");
	cr_assert_eq(ctl_find("/srv/a/subway", &d, &below, NULL), 0);
	cr_assert_str_eq(d.archive, "/srv/a");
	cr_assert_str_eq(below, "subway");
	cr_assert_eq(ctl_find("/srv/a", &d, &below, NULL), 0);
	cr_assert_str_eq(below, "");
	cr_assert_eq(ctl_find("/srv/store with\ttab/AbC", &d, &below, NULL), 0);
	cr_assert_null(below, "a path in the backing store is not one below the mountpoint");
	cr_assert_eq(d.pid, getpid());
	cr_assert_eq(ctl_find("/srv", &d, &below, NULL), -ENOENT);
	ctl_place_release(&a);
	ctl_place_release(&b);
}

Test(runtime, a_base_that_others_can_write_to_is_not_trusted)
{
	struct ctl_place p;
	struct fault f = {0};
	char path[96];
	snprintf(path, sizeof path, "%s/lapse", base);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(chmod(path, 0777), 0);
	cr_assert_eq(ctl_place_claim("/srv/a", &p, &f), -EPERM);
	cr_assert(f.text[0]);
}

Test(runtime, a_directory_name_too_long_for_a_socket_address_works)
{
	struct ctl_place p;
	struct ctl_daemon d;
	char path[512];
	int fd;
	snprintf(path, sizeof path, "%s/%0150d", base, 7);
	cr_assert_eq(mkdir(path, 0700), 0);
	setenv("XDG_RUNTIME_DIR", path, 1);
	cr_assert_eq(ctl_place_claim("/srv/a", &p, NULL), 0);
	announce(&p, "/srv/a", "/srv/a");
	cr_assert_eq(ctl_find("/srv/a", &d, NULL, NULL), 0);
	cr_assert_eq(ctl_connect(&d, &fd), 0);
	cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	close(fd);
	ctl_place_release(&p);
}
