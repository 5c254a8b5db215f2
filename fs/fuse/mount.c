#include "fuse/internal.h"
#include "fuse/ops.h"

#include "base/log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MAX_BACKGROUND 128

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	static const uint64_t wanted[] = {FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_READDIRPLUS, FUSE_CAP_HANDLE_KILLPRIV_V2,
		FUSE_CAP_ATOMIC_O_TRUNC, FUSE_CAP_ASYNC_READ, FUSE_CAP_CACHE_SYMLINKS};
	static const uint64_t unwanted[] = {FUSE_CAP_AUTO_INVAL_DATA, FUSE_CAP_READDIRPLUS_AUTO,
		FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_SPLICE_READ, FUSE_CAP_SPLICE_WRITE, FUSE_CAP_SPLICE_MOVE,
		FUSE_CAP_EXPORT_SUPPORT, FUSE_CAP_POSIX_ACL, FUSE_CAP_DONT_MASK, FUSE_CAP_IOCTL_DIR, FUSE_CAP_NO_OPEN_SUPPORT,
		FUSE_CAP_NO_OPENDIR_SUPPORT};
	struct session *s = userdata;

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		fuse_set_feature_flag(conn, wanted[i]);
	for (size_t i = 0; i < ARRAY_SIZE(unwanted); i++)
		fuse_unset_feature_flag(conn, unwanted[i]);
	if (archive_serves_acl(s->archive)) {
		fuse_set_feature_flag(conn, FUSE_CAP_POSIX_ACL);
		fuse_set_feature_flag(conn, FUSE_CAP_DONT_MASK); /* where a directory has a default list the umask does not count */
	}
	if (!s->options.want_uring)
		fuse_unset_feature_flag(conn, FUSE_CAP_OVER_IO_URING); /* whatever the environment says */
	conn->max_write = MAX_REQUEST;
	conn->max_read = MAX_REQUEST;
	conn->max_readahead = MAX_REQUEST;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	conn->no_interrupt = 1;
	atomic_store(
		&s->uring_negotiated, s->options.want_uring && fuse_get_feature_flag(conn, FUSE_CAP_OVER_IO_URING));
	atomic_store(&s->greeted, true);
	control_event(s, EVENT_SERVING);
}

const struct fuse_lowlevel_ops fuse_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.create = op_create,
	.tmpfile = op_tmpfile,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.setxattr = op_setxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
};

static void take_fuse_log(enum fuse_log_level level, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void take_fuse_log(enum fuse_log_level level, const char *format, va_list args)
{
	char line[512];

	if (level > FUSE_LOG_WARNING)
		return;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	log_line(level <= FUSE_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "libfuse: %s", line);
}

static errint_t check_device(struct fault *f)
{
	if (access("/dev/fuse", F_OK) < 0)
		return fault_set(f, -ENODEV,
			"cannot mount: there is no /dev/fuse here; load the kernel's fuse module (modprobe fuse), or "
			"give "
			"the container that device");
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return fault_set(f, -errno, "cannot mount: /dev/fuse: %s%s", strerror(errno),
			geteuid() == 0 ? ""
				       : "; here only root may mount (elsewhere it has mode 0666: chmod 666 /dev/fuse, "
					 "as root)");
	return 0;
}

/* An ordinary user mounts through a set-uid helper. */
static errint_t check_helper(struct fault *f)
{
	static const char *const places[] = {"/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3"};

	if (geteuid() == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], X_OK) == 0)
			return 0;
	return fault_set(
		f, -ENOENT, "cannot mount as an ordinary user: fusermount3 is missing; install the package fuse3");
}

errint_t session_can_mount(struct fault *f)
{
	errint_t error = check_device(f);

	return error ? error : check_helper(f);
}

bool uring_enabled(void)
{
	char text[2] = "";
	cleanup_fd int fd = open("/sys/module/fuse/parameters/enable_uring", O_RDONLY | O_CLOEXEC);

	return LAPSE_FUSE_URING && fd >= 0 && read(fd, text, 1) == 1 && (text[0] == 'Y' || text[0] == '1');
}

static errint_t make_session(struct session *s, struct fault *f)
{
	char options[256];
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int bad;

	snprintf(options, sizeof(options), "-omax_read=%u%s", MAX_REQUEST, s->options.want_uring ? ",io_uring" : "");
	bad = fuse_opt_add_arg(&args, "lapse") || fuse_opt_add_arg(&args, options);
	if (s->options.want_uring) {
		snprintf(options, sizeof(options), "-oio_uring_q_depth=%d", RING_DEPTH);
		bad = bad || fuse_opt_add_arg(&args, options);
	}
	s->se = bad ? NULL : fuse_session_new(&args, &fuse_ops, sizeof(fuse_ops), s);
	fuse_opt_free_args(&args);
	return s->se ? 0 : fault_set(f, -ENOMEM, "cannot mount on %s: out of memory", s->mountpoint);
}

errint_t session_mount(struct session *s, struct fault *f)
{
	char by_fd[32];
	int fd = -1;
	errint_t error;

	fuse_set_log_func(take_fuse_log);
	error = make_session(s, f);
	if (!error)
		error = mounter_mount(&fd, &s->device, f);
	if (error)
		return error;
	atomic_store(&s->mounted, true);
#ifdef LAPSE_TEST_CLOCK
	if (getenv("LAPSE_TEST_STOP"))
		raise(SIGSTOP); /* between the mount and its first request */
#endif
	snprintf(by_fd, sizeof(by_fd), "/dev/fd/%d", fd);
	if (fuse_session_mount(s->se, by_fd) < 0) {
		close(fd);
		return fault_set(f, -EIO, "cannot mount on %s: libfuse refuses the device", s->mountpoint);
	}
	return 0;
}
