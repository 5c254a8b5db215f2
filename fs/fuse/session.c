#include "fuse/internal.h"
#include "fuse/ops.h"

#include "base/log.h"
#include "fuse/subject.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/sysinfo.h>

#define WORKERS_DISK   48 /* that wait for a disk */
#define WORKERS_MEMORY 4  /* for the few things that take long anyway */
#define DEVICE_MEMORY  10 /* threads on /dev/fuse where no request waits */

static errint_t start_pool(struct session *s)
{
	size_t entries = (size_t)get_nprocs_conf() * RING_DEPTH;

	s->hands_off = s->options.want_uring;
	if (!s->hands_off)
		return pool_start(THROTTLED_MAX, 0, &s->pool);
	return pool_start(s->memory_backed ? WORKERS_MEMORY : WORKERS_DISK, entries, &s->pool);
}

static errint_t loop(struct session *s)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int error;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, s->memory_backed ? DEVICE_MEMORY : WORKERS_DISK);
	error = fuse_session_loop_mt(s->se, config);
	fuse_loop_cfg_destroy(config);
	/* What libfuse keeps of rings that the kernel, which had offered them, would not have: all was served by the device. */
	if (error == -EOPNOTSUPP && s->options.want_uring) {
		log_line(LOG_LEVEL_NOTICE, "the kernel refused io_uring (/sys/module/fuse/parameters/enable_uring): requests came by /dev/fuse");
		error = 0;
	}
	/* Positive: a signal. The others: unmounted, or aborted from outside. */
	return error > 0 || error == -ENODEV || error == -ECONNABORTED ? 0 : error;
}

/* The loop has ended, and not because we were told to: that is somebody's unmounting, or it is said what else it is. */
static errint_t ended_by_itself(struct session *s, struct fault *f)
{
	const bool lies_there = mounter_finds();

	if (!lies_there && atomic_load(&s->greeted))
		return 0;
	if (!lies_there)
		return fault_set(f, -ECONNABORTED, "the mount on %s was unmounted by somebody before its first request; mount it again", s->mountpoint);
	return fault_set(f, -ECONNABORTED,
		"the connection of the mount on %s was aborted by somebody (/sys/fs/fuse/connections)%s; mount it again", s->mountpoint,
		atomic_load(&s->greeted) ? "" : ", before its first request");
}

static void attach_store(struct session *s)
{
	s->store_attached = s->name[0] && geteuid() == 0 && !mounter_do(PLACE_ATTACH_STORE);
}

static errint_t serve(struct session *s, struct fault *f)
{
	errint_t error = archive_catch_up(s->archive);

	if (error)
		return fault_set(f, error, "cannot catch up with what has expired: %s", strerror(-error));
	attach_store(s);
	error = control_start(s);
	if (!error)
		error = start_pool(s);
	if (!error)
		error = session_mount(s, f);
	if (error)
		return fault_set(f, error, "cannot mount on %s: %s", s->mountpoint, strerror(-error));
	error = notifier_start(s);
	if (!error)
		error = lockout_start(s);
	if (!error)
		error = throttle_start(s);
	if (!error)
		error = making_start(s);
	if (error)
		return fault_set(f, error, "cannot start a thread: %s", strerror(-error));
	atomic_store(&s->notify, true);
	error = archive_start(s->archive, &s->hooks);
	if (error)
		return fault_set(f, error, "cannot start serving %s: %s", archive_path(s->archive), strerror(-error));
	if (atomic_load(&s->stop_wanted))
		session_end(s);
	error = loop(s);
	if (error)
		return fault_set(f, error, "serving %s ended: %s", s->mountpoint, strerror(-error));
	return atomic_load(&s->ending) ? 0 : ended_by_itself(s, f);
}

/* Nothing may wait for the kernel any more when the archive closes: its sweeper could be in the middle of a
 * notification that waits for a read which nobody will answer, so the connection is ended first, also where
 * somebody still uses a mount that has been detached. */
static void take_down(struct session *s)
{
	atomic_store(&s->notify, false);
	if (atomic_load(&s->mounted)) {
		/* Nobody answers any more: unmounting could wait for ever for what the kernel still asks. */
		mounter_do(PLACE_ABORT);
		session_end(s);
	}
	throttle_stop(s);
	making_stop(s);
	pool_stop(s->pool);
	throttle_free(s);
	making_free(s);
	lockout_stop(s);
	if (s->options.stopping)
		s->options.stopping(s->options.ctx);
	dirs_close_all(s);
	files_close_all(s);
	archive_close(s->archive);
	s->archive = NULL;
	control_end(s);
	if (notifier_stop(s) && s->se)
		fuse_session_destroy(s->se);
	s->se = NULL;
	if (s->store_attached)
		mounter_do(PLACE_DETACH_STORE);
}

errint_t session_run(struct session *s, struct fault *f)
{
	struct fault own = {.text = ""};
	errint_t error;

	f = f ? f : &own;
	s->archive = s->options.archive;
	s->root = fs_root(s->archive);
	s->memory_backed = archive_memory_backed(s->archive);
	s->options.want_uring = s->options.want_uring && planned_uring();
	error = serve(s, f);
	take_down(s);
	if (error)
		session_failed(atomic_exchange(&s->ready_fd, -1), error, f);
	return error;
}

errint_t session_new(const struct session_options *o, struct session **ret, struct fault *f)
{
	struct session *s;
	errint_t error;

	if (o->name && (strlen(o->name) > NAME_MAX || strchr(o->name, '/') || !o->name[0] || !strcmp(o->name, ".") ||
			       !strcmp(o->name, "..")))
		return fault_set(f, -EINVAL, "'%s' is no name for an archive: it must be one path component", o->name);
	s = aligned_alloc(_Alignof(struct session), sizeof(*s));
	if (!s)
		return fault_set(f, -ENOMEM, "out of memory");
	memset(s, 0, sizeof(*s));
	s->options = *o;
	strcpy(s->mountpoint, planned_mountpoint());
	if (o->name)
		strcpy(s->name, o->name);
	s->hooks = notify_hooks;
	s->hooks.ctx = s;
	s->ready_fd = o->ready_fd;
	pthread_mutex_init(&s->dirs_lock, NULL);
	for (size_t i = 0; i < FILE_SHARDS; i++)
		pthread_mutex_init(&s->files[i].lock, NULL);
	s->event_fd = eventfd(0, EFD_CLOEXEC);
	error = s->event_fd < 0 ? -errno : buffers_new(&s->buffers);
	if (!error)
		error = subjects_new(&s->subjects);
	if (error) {
		session_free(s);
		return fault_set(f, error, "cannot prepare the mount: %s", strerror(-error));
	}
	*ret = s;
	return 0;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	buffers_free(s->buffers);
	subjects_free(s->subjects);
	cleanup_closep(&s->event_fd);
	pthread_mutex_destroy(&s->dirs_lock);
	free(s);
}
