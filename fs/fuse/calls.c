/* calls.c - the system calls that the daemon may make: the first filter from before it opens the archive, for all threads that it will start; the second,
 * for all that there are, once the kernel has taken the reply to INIT, from when on no ring and no thread's program is made any more. KERNEL.md 25. */
#include "fuse/internal.h"
#include "fuse/sandbox.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* A build that says what it would deny: it is allowed, and in the kernel's log. */
#ifdef LAPSE_SECCOMP_LOG
#define DENIED SCMP_ACT_LOG
#else
#define DENIED SCMP_ACT_ERRNO(EPERM)
#endif

#define FUSE_CLONE _IOR(229, 0, uint32_t) /* FUSE_DEV_IOC_CLONE */

/* From the start to the end. Where not said otherwise: whatever the arguments, within what the daemon sees and may. */
static const int always[] = {
	/* files */
	SCMP_SYS(access), SCMP_SYS(chdir), SCMP_SYS(chmod), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(copy_file_range), SCMP_SYS(dup), SCMP_SYS(dup2),
	SCMP_SYS(dup3), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(fadvise64), SCMP_SYS(fallocate), SCMP_SYS(fchmod), SCMP_SYS(fchmodat),
	SCMP_SYS(fchown), SCMP_SYS(fchownat), SCMP_SYS(fdatasync), SCMP_SYS(fgetxattr), SCMP_SYS(flistxattr),
	SCMP_SYS(flock), SCMP_SYS(fremovexattr), SCMP_SYS(fsetxattr), SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(fsync), SCMP_SYS(ftruncate),
	SCMP_SYS(getcwd), SCMP_SYS(getdents64), SCMP_SYS(getxattr), SCMP_SYS(lgetxattr), SCMP_SYS(linkat), SCMP_SYS(listxattr), SCMP_SYS(llistxattr),
	SCMP_SYS(lremovexattr), SCMP_SYS(lseek), SCMP_SYS(lsetxattr), SCMP_SYS(lstat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(mknodat),
	SCMP_SYS(newfstatat), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(preadv2),
	SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(pwritev2), SCMP_SYS(read), SCMP_SYS(readahead), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
	SCMP_SYS(readv), SCMP_SYS(removexattr), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(rmdir), SCMP_SYS(setxattr), SCMP_SYS(splice),
	SCMP_SYS(stat), SCMP_SYS(statfs), SCMP_SYS(statx), SCMP_SYS(symlinkat), SCMP_SYS(sync_file_range), SCMP_SYS(syncfs), SCMP_SYS(umask),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(utimensat), SCMP_SYS(write), SCMP_SYS(writev),
	/* memory; not to be executed: see below */
	SCMP_SYS(brk), SCMP_SYS(get_mempolicy), SCMP_SYS(madvise), SCMP_SYS(mbind), SCMP_SYS(mincore), SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(mremap), SCMP_SYS(msync), SCMP_SYS(munlock),
	SCMP_SYS(munmap),
	/* threads, waiting, signals, time */
	SCMP_SYS(clock_getres), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime), SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_wait), SCMP_SYS(eventfd2), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(futex),
	SCMP_SYS(futex_waitv), SCMP_SYS(get_robust_list), SCMP_SYS(getcpu), SCMP_SYS(getpriority), SCMP_SYS(getrandom), SCMP_SYS(gettimeofday),
	SCMP_SYS(membarrier), SCMP_SYS(nanosleep), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(pselect6), SCMP_SYS(restart_syscall), SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigsuspend), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sched_get_priority_max),
	SCMP_SYS(sched_get_priority_min), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_yield),
	SCMP_SYS(select), SCMP_SYS(set_robust_list), SCMP_SYS(set_tid_address), SCMP_SYS(setsid), SCMP_SYS(sigaltstack), SCMP_SYS(sysinfo), SCMP_SYS(time), SCMP_SYS(uname), SCMP_SYS(wait4), SCMP_SYS(waitid),
	/* who it is, its limits and capabilities, which it cannot raise */
	SCMP_SYS(capget), SCMP_SYS(capset), SCMP_SYS(getegid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getgroups), SCMP_SYS(getpgrp), SCMP_SYS(getpid), SCMP_SYS(getppid),
	SCMP_SYS(getrlimit), SCMP_SYS(getrusage), SCMP_SYS(gettid), SCMP_SYS(getuid),
	/* the control socket, the helper, the log: none but of the Unix domain, see below */
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(getpeername), SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(setsockopt), SCMP_SYS(shutdown), SCMP_SYS(pidfd_open),
	SCMP_SYS(io_uring_enter),
};

/* Until the kernel has taken the reply to INIT. */
static const int at_first[] = {SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_register), SCMP_SYS(landlock_create_ruleset), SCMP_SYS(landlock_restrict_self), SCMP_SYS(seccomp)};

static errint_t allow_some(scmp_filter_ctx f)
{
	static const unsigned long ioctls[] = {FUSE_CLONE, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FIONREAD};
	static const int prctls[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA};
	/* not whom a descriptor signals, and by what: root may name any process there */
	static const int fcntls[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW,
		F_GETPIPE_SZ, F_SETPIPE_SZ};
	static const int thread = CLONE_VM | CLONE_THREAD;
	const pid_t self = getpid();
	errint_t r;

	/* memory that is not code, nor becomes it */
	r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* threads, not processes; what clone3 is asked for cannot be seen, so that the C library has to do without it */
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* signals to itself */
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)self, 0));
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)self, 0));
	/* limits, priority and processors of its own; those of root's other processes it could set without a capability */
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0));
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(sched_setaffinity), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0));
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setpriority), 2, SCMP_A0(SCMP_CMP_EQ, PRIO_PROCESS, 0), SCMP_A1(SCMP_CMP_EQ, 0, 0));
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	for (size_t i = 0; !r && i < ARRAY_SIZE(ioctls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, ioctls[i]));
	for (size_t i = 0; !r && i < ARRAY_SIZE(fcntls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)fcntls[i]));
	for (size_t i = 0; !r && i < ARRAY_SIZE(prctls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)prctls[i], 0));
	return r;
}

static errint_t load(bool first)
{
	scmp_filter_ctx f = seccomp_init(DENIED);
	errint_t r = f ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ARRAY_SIZE(always); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, always[i], 0);
	for (size_t i = 0; !r && first && i < ARRAY_SIZE(at_first); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, at_first[i], 0);
	if (!r)
		r = allow_some(f);
	if (!r)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree: few comparisons for each call */
	if (!r)
		r = seccomp_attr_set(f, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (!r)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 0); /* done */
	if (!r && !first)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!r)
		r = seccomp_load(f);
	seccomp_release(f);
	return r;
}

errint_t calls_limit(bool first)
{
#ifdef LAPSE_SANITIZED
	const bool limited = false; /* what watches memory makes calls of its own */
#else
	const bool limited = true;
#endif
	return limited ? load(first) : 0;
}
