#include "exif/confine.h"

#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY        65534
#define MEMORY_MAX    (256ul << 20)
#define CPU_SECONDS   120 /* in its whole life, of at most some thousand images */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if !defined(SANITIZED) && defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static errint_t become_nobody(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}, {0}};
	if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)))
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

static errint_t limit(int what, rlim_t max)
{
	struct rlimit l = {max, max};
	return setrlimit(what, &l) ? -errno : 0;
}

static errint_t set_limits(void)
{
	errint_t r = 0;
#ifndef SANITIZED /* whose shadow of the memory is larger */
	r = limit(RLIMIT_AS, MEMORY_MAX);
#endif
	if (!r)
		r = limit(RLIMIT_CPU, CPU_SECONDS);
	if (!r)
		r = limit(RLIMIT_CORE, 0);
	if (!r)
		r = limit(RLIMIT_FSIZE, 0);
	if (!r)
		r = limit(RLIMIT_NPROC, 0);
	return r ? r : limit(RLIMIT_NOFILE, 0);
}

static errint_t allow(scmp_filter_ctx f)
{
	static const int calls[] = {SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn),
#ifdef SANITIZED
		SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(sched_yield), SCMP_SYS(sigaltstack),
		SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(prctl), SCMP_SYS(mprotect),
#endif
		SCMP_SYS(restart_syscall)};
	errint_t r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(read), 1, SCMP_A0(SCMP_CMP_EQ, STDIN_FILENO, 0));
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, SCMP_A0(SCMP_CMP_EQ, STDIN_FILENO, 0));
	/* memory, and no code in it */
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
			SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
	for (size_t i = 0; !r && i < ARRAY_SIZE(calls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

static errint_t forbid_calls(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!f)
		return -ENOMEM;
	errint_t r = allow(f);
	if (!r)
		r = seccomp_load(f);
	seccomp_release(f);
	return r;
}

errint_t exif_confine(void)
{
	if (syscall(SYS_close_range, STDIN_FILENO + 1, ~0U, 0))
		return -errno;
	errint_t r = chdir("/") ? -errno : become_nobody();
	if (!r)
		r = set_limits();
	return r ? r : forbid_calls();
}
