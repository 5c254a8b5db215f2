/* sandbox_threads.c - what every thread gives up once the policy is known, in those that there are already: rights go with a thread, and the kernel takes them
 * from the one that asks. */
#include "fuse/execs.h"
#include "fuse/internal.h"
#include "fuse/sandbox.h"
#include "fuse/sandbox_internal.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define GIVE_SIGNAL   (SIGRTMIN + 6)
#define GIVE_SECONDS  10
#define GIVE_PAUSE_NS 1000000

/* ---- a domain of its own ---------------------------------------------------------------------- */

/* As of linux/landlock.h; older ones end earlier. */
struct ruleset {
	uint64_t fs, net, scoped;
};
#define LANDLOCK_VERSION 1u
#define NET_TCP		 UINT64_C(3) /* to bind, to connect */
#define NET_SINCE	 4
#define SCOPE_ABSTRACT	 (UINT64_C(1) << 0)
#define SCOPES_SINCE	 6

/* Nothing of files: what is exported, restored, or a copy of the anchor lies where a descriptor leads that came with the order, and whoever binds anything of files
 * binds links and renames from one directory to another as well. But whoever is in a domain reaches no process outside of it by /proc, whatever its user, and no
 * socket without a file. -1: the kernel has none. */
static int ruleset_make(void)
{
	struct ruleset r = {.net = NET_TCP, .scoped = SCOPE_ABSTRACT};
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);

	if (version < NET_SINCE)
		return -1;
	return (int)syscall(SYS_landlock_create_ruleset, &r, version < SCOPES_SINCE ? offsetof(struct ruleset, scoped) : sizeof(r), 0);
}

/* ---- in each thread --------------------------------------------------------------------------- */

static int ruleset = -1;
static bool forgot;
static _Thread_local bool given;
static _Atomic unsigned answered, newly, failed;

static void give_up(void)
{
	if (given)
		return;
	given = true;
	if ((geteuid() == 0 && capabilities_keep_files()) || (ruleset >= 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0))
		atomic_fetch_add(&failed, 1);
	atomic_fetch_add(&newly, 1);
}

static void on_give(int signal_no)
{
	int saved = errno;

	give_up();
	atomic_fetch_add(&answered, 1);
	errno = saved;
}

/* How many threads were asked, or -errno. */
static int ask_others(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int asked = 0;

	if (!tasks)
		return -errno;
	for (struct dirent *e; (e = readdir(tasks));) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid > 0 && tid != gettid() && !syscall(SYS_tgkill, getpid(), tid, GIVE_SIGNAL))
			asked++;
	}
	closedir(tasks);
	return asked;
}

/* Until a round finds nobody who had not: what a thread that had starts afterwards has given it up as well. A thread that ends answers to nobody. */
static errint_t ask_all(void)
{
	const struct timespec pause = {.tv_nsec = GIVE_PAUSE_NS};
	int asked = 1;

	for (int n = 0; n < GIVE_SECONDS * 100; n++) {
		atomic_store(&answered, 0);
		atomic_store(&newly, 0);
		asked = ask_others();
		if (asked < 0)
			return asked;
		for (int i = 0; i < 10 && atomic_load(&answered) < (unsigned)asked; i++)
			nanosleep(&pause, NULL);
		if (atomic_load(&answered) >= (unsigned)asked && !atomic_load(&newly))
			return 0;
	}
	return -ETIME;
}

bool session_forgot_programs(void)
{
	return forgot;
}

errint_t session_forget_programs(struct fault *f)
{
	struct sigaction act = {.sa_handler = on_give, .sa_flags = SA_RESTART};
	errint_t error;

	forgot = true;
	execs_forget();
	ruleset = ruleset_make();
	sigaction(GIVE_SIGNAL, &act, NULL);
	give_up();
	error = ask_all();
	signal(GIVE_SIGNAL, SIG_IGN);
	cleanup_closep(&ruleset);
	if (!error && atomic_load(&failed))
		error = -EPERM;
	return error ? fault_set(f, error, "cannot give up in all of the daemon's threads what shows readers' programs: %s", strerror(-error)) : 0;
}
