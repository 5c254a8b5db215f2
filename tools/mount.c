#include "tools/mount.h"

#include "tools/alert.h"
#include "tools/command.h"
#include "tools/file.h"
#include "tools/human.h"
#include "tools/notify.h"
#include "tools/say.h"
#include "tools/target.h"
#include "tools/unlock.h"

#include "base/helper.h"
#include "base/log.h"
#include "ctl/server.h"
#include "fuse/look.h"
#include "fuse/sandbox.h"
#include "fuse/session.h"
#include "store/anchor.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

/* How a child that has printed its own message ends its parent without another. */
#define SAID_ERROR -ECANCELED
#define SAID_USAGE -EBADR

struct daemon {
	const struct mount_request *request;
	char archive[CTL_PATH_MAX], mountpoint[CTL_PATH_MAX];
	int ready_fd;
	bool served;
	uint8_t uuid[UUID_BYTES];
	struct unlock unlock;
	char *policy; /* the text of the file that is to be applied; NULL: none */
	size_t policy_len;
	struct archive *store;
	struct session *session;
	struct ctl_place place;
	struct ctl_server *server;
	struct ctl_hooks hooks;
	struct alert_out *alerts;
};

/* ---- what the control socket asks of the session ----------------------------------------------------------------------- */

static const char *hook_transport(void *ctx)
{
	struct daemon *d = ctx;
	struct session_stats s;
	session_get_stats(d->session, &s);
	return s.transport;
}

static void hook_stats(void *ctx, void (*put)(void *put_ctx, const char *name, uint64_t value), void *put_ctx)
{
	struct daemon *d = ctx;
	struct session_stats s;
	session_get_stats(d->session, &s);
	for (size_t op = 0; op < SESSION_OPS; op++)
		put(put_ctx, session_op_name((enum session_op)op), s.requests[op]);
	put(put_ctx, "by-uring", s.by_uring);
	put(put_ctx, "by-device", s.by_device);
	put(put_ctx, "handed-off", s.handed_off);
	put(put_ctx, "read-bytes", s.read_bytes);
	put(put_ctx, "written-bytes", s.written_bytes);
	put(put_ctx, "uring-negotiated", s.uring_negotiated);
	put(put_ctx, "workers", s.workers);
	put(put_ctx, "waiting", s.waiting);
}

static void hook_latency(void *ctx, void (*put)(void *put_ctx, const char *op, const uint64_t *bucket, size_t count, uint64_t sum_ns), void *put_ctx)
{
	struct daemon *d = ctx;
	struct session_stats s;
	session_get_stats(d->session, &s);
	for (size_t op = 0; op < SESSION_OPS; op++)
		put(put_ctx, session_op_name((enum session_op)op), s.latency[op], SESSION_LATENCY_BUCKETS, s.latency_ns[op]);
}

static errint_t hook_show(void *ctx, const char *path, int dir_fd)
{
	return session_show(path, dir_fd);
}

static void hook_umount(void *ctx)
{
	struct daemon *d = ctx;
	session_stop(d->session);
}

/* ---- the daemon's life --------------------------------------------------------------------------------------------------- */

static void on_serving(void *ctx)
{
	struct daemon *d = ctx;
	struct ctl_daemon *info = calloc(1, sizeof *info);
	uint8_t uuid[UUID_BYTES];
	errint_t r = info ? ctl_server_start(d->server) : -ENOMEM;
	if (!r) {
		snprintf(info->archive, sizeof info->archive, "%s", d->archive);
		snprintf(info->mountpoint, sizeof info->mountpoint, "%s", d->mountpoint);
		archive_uuid(d->store, uuid);
		uuid_text(uuid, info->uuid);
		info->pid = getpid();
		r = ctl_place_announce(&d->place, info);
	}
	free(info);
	if (r)
		log_line(LOG_LEVEL_ERROR, "control socket: %s; the archive is served, but commands will not find it",
			strerror(-r));
	d->served = true;
	if (!d->request->foreground)
		log_to_syslog(session_show_log);
	notify_manager("READY=1");
}

static void on_stopping(void *ctx)
{
	struct daemon *d = ctx;
	notify_manager("STOPPING=1");
	ctl_server_stop(d->server);
	d->server = NULL;
}

/* The file differs from what is sealed: take it if nothing that exists expires by it, else go on with the sealed one and say so. */
static void policy_reconcile(struct daemon *d)
{
	const char *file = d->request->policy;
	cleanup_free char *sealed = NULL;
	size_t sealed_len;
	uint64_t generation;
	int64_t applied_at;
	struct policy_plan plan;
	struct policy_diags diags = {0};
	struct fault f = {0};
	struct subject who = {.uid = geteuid(),
		.real_uid = getuid(),
		.login_uid = POLICY_NO_UID,
		.gid = getegid(),
		.pid = (uint32_t)getpid()};
	if (archive_policy_text(d->store, &sealed, &sealed_len, &generation, &applied_at) == 0 && sealed_len == d->policy_len &&
		!memcmp(sealed, d->policy, d->policy_len))
		return;
	errint_t r = archive_policy_apply(
		d->store, d->policy, d->policy_len, &(struct policy_change){.who = &who, .reason = "at mount", .alone = true}, &plan, &diags, &f);
	if (r)
		archive_tell(d->store, ALERT_POLICY_KEPT, NULL, NULL, "mounted with the sealed policy, not with %s: %s", file,
			f.text[0] ? f.text : r == -EINVAL ? "it has errors" : strerror(-r));
	policy_plan_free(&plan);
	say_diags(file, &diags);
	if (r == -EBUSY || r == -EAGAIN || r == -EACCES)
		say_warning("%s differs from the policy sealed in the archive and was not applied: %s. Mounting with the sealed one. To change that: "
			    "lapse policy plan %s",
			file, f.text, file);
	else if (r == -EINVAL)
		say_warning("%s has errors; mounting with the policy sealed in the archive", file);
	else if (r)
		say_warning("%s was not applied (%s); mounting with the policy sealed in the archive", file,
			f.text[0] ? f.text : strerror(-r));
	policy_diags_free(&diags);
}

/* What the daemon does not see any more once it is confined: the key, and the policy's file. 0, SAID_… after a message of its own, or an error with a sentence. */
static errint_t read_secrets(struct daemon *d, struct fault *f)
{
	const struct mount_request *m = d->request;
	struct key_slot_info slot[KEYRING_SLOTS];
	size_t count;
	cleanup_free struct keyring *kr = calloc(1, sizeof *kr);
	/* before anyone is asked for a passphrase */
	errint_t r = kr ? archive_keys_offline(d->archive, slot, &count, kr, f) : -ENOMEM;
	if (r)
		return r;
	memcpy(d->uuid, kr->uuid, sizeof d->uuid);
	int e = unlock_get(d->archive, m->key_file, m->passphrase_fd, UNLOCK_OPEN, &d->unlock);
	if (e != EXIT_DONE)
		return e == EXIT_USAGE ? SAID_USAGE : SAID_ERROR;
	if (m->policy && policy_file_read(m->policy, &d->policy, &d->policy_len) != EXIT_DONE)
		say_warning("mounting with the policy sealed in the archive");
	return 0;
}

static errint_t confine(struct daemon *d, struct fault *f)
{
	char **state;
	errint_t r = archive_state_dirs(d->uuid, &state);
	if (r)
		return r;
	const char *writable[ANCHOR_COPIES_MAX + 4] = {d->archive, d->place.dir};
	for (size_t i = 0; state[i]; i++)
		writable[i + 2] = state[i];
	r = session_confine(&(struct session_confinement){.writable = writable}, f);
	archive_state_dirs_free(state);
	return r ? r : ctl_place_reopen(&d->place);
}

static errint_t prepare(struct daemon *d, struct fault *f)
{
	uint8_t where[ARCHIVE_SESSION_BYTES];
	errint_t r = read_secrets(d, f);
	archive_session(d->archive, where);
	if (!r)
		r = confine(d, f);
	if (!r) {
		struct archive_open o = {.path = d->archive, .secret = d->unlock.secret, .session = where};
		r = archive_open(&o, &d->store, f);
	}
	unlock_free(&d->unlock);
	if (r)
		return r;
	alert_out_use(d->alerts, d->store, !d->request->foreground || getenv("JOURNAL_STREAM"));
	if (d->policy)
		policy_reconcile(d);
	struct policy *p = archive_policy(d->store);
	bool programs = policy_needs(p) & NEED_PROGRAM;
	policy_unref(p);
	if (!programs && (r = session_forget_programs(f)))
		return r;
	struct session_options o = {
		.archive = d->store,
		.name = geteuid() == 0 ? d->place.name : NULL,
		.foreground = d->request->foreground,
		.want_uring = !d->request->only_device,
		.ready_fd = d->ready_fd,
		.serving = on_serving,
		.stopping = on_stopping,
		.ctx = d,
	};
	r = session_new(&o, &d->session, f);
	d->hooks = (struct ctl_hooks){
		.mountpoint = d->mountpoint,
		.programs = programs,
		.transport = hook_transport,
		.stats = hook_stats,
		.latency = hook_latency,
		.show = hook_show,
		.umount = hook_umount,
		.ctx = d,
	};
	return r ? r : ctl_server_new(&d->place, d->store, &d->hooks, &d->server);
}

/* While there is no key: the place is settled, and the helper forked that acts there. */
static errint_t begin(struct daemon *d, struct fault *f)
{
	struct session_place p = {.archive = d->archive, .mountpoint = d->mountpoint, .allow_other = geteuid() == 0};
	errint_t r = session_clear_dead(d->mountpoint, f);
	if (!r)
		r = session_plan(&p, f);
	if (!r)
		r = ctl_place_claim(d->archive, &d->place, f);
	if (r)
		return r;
	if (geteuid() == 0)
		session_plan_name(d->place.name);
	archive_provide();
	look_provide();
	helper_provide(HELPER_ALERTS, alert_act);
	r = helper_start(!d->request->foreground);
	return r ? fault_set(f, r, "cannot fork: %s", strerror(-r)) : 0;
}

/* Everything from here on happens in the process that will serve. */
static errint_t serve(struct daemon *d, struct fault *f)
{
	log_to_stderr();
	errint_t r = begin(d, f);
	if (!r && (r = alert_out_start(&d->alerts)))
		fault_set(f, r, "cannot start the process that delivers alerts: %s", strerror(-r));
	if (!r)
		r = prepare(d, f);
	if (r) {
		session_failed(d->ready_fd, r, f);
		archive_close(d->store);
	} else {
		r = session_run(d->session, f);
	}
	ctl_server_stop(d->server);
	ctl_place_release(&d->place);
	session_forget_name();
	session_free(d->session);
	alert_out_end(d->alerts);
	helper_stop();
	free(d->policy);
	return r;
}

static int end_with(const struct daemon *d, errint_t r, const struct fault *f)
{
	if (r == SAID_USAGE && !f->text[0])
		return EXIT_USAGE;
	if (r == SAID_ERROR && !f->text[0])
		return EXIT_ERROR;
	return r ? say_open_fault(f, r, d->archive) : EXIT_DONE;
}

/* ---- the command --------------------------------------------------------------------------------------------------------------- */

static int check_free(const struct daemon *d)
{
	struct ctl_daemon *other = calloc(1, sizeof *other);
	const char *below;
	int e = EXIT_DONE;
	if (!other)
		return say_error("out of memory");
	if (ctl_find(d->archive, other, &below, NULL) == 0 && !strcmp(other->archive, d->archive))
		e = say_error("%s is mounted already, at %s (pid %d)", d->archive, other->mountpoint, (int)other->pid);
	else if (ctl_find(d->mountpoint, other, &below, NULL) == 0 && !strcmp(other->mountpoint, d->mountpoint))
		e = say_error("%s is already the mountpoint of %s; lapse umount it first, or take another",
			d->mountpoint, other->archive);
	free(other);
	return e;
}

static int set_flags(const struct daemon *d)
{
	unsigned long flags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	if (d->request->noexec && mount(NULL, d->mountpoint, NULL, flags, NULL))
		return say_error("%s is mounted, but not noexec: %s", d->mountpoint, strerror(errno));
	return EXIT_DONE;
}

static int mount_here(struct daemon *d)
{
	struct fault f = {0};
	bool child = true;
	errint_t r = d->request->foreground ? 0 : session_daemonize(&child, &d->ready_fd, &f);
	if (r || !child)
		return r ? end_with(d, r, &f) : set_flags(d);
	r = serve(d, &f);
	if (!d->request->foreground) {
		if (r && d->served) /* before, the parent says it */
			log_line(LOG_LEVEL_ERROR, "%s: %s", d->archive, f.text[0] ? f.text : strerror(-r));
		_exit(r ? EXIT_ERROR : EXIT_DONE);
	}
	return end_with(d, r, &f);
}

int mount_go(const struct mount_request *m)
{
	struct daemon *d = calloc(1, sizeof *d);
	if (!d)
		return say_error("out of memory");
	*d = (struct daemon){.request = m, .ready_fd = -1, .place = {.base_fd = -1, .dir_fd = -1, .listen_fd = -1}};
	int e = EXIT_DONE;
	if (!path_resolve(m->archive, d->archive))
		e = say_error("%s: no such directory", m->archive);
	else if (!path_resolve(m->mountpoint ? m->mountpoint : m->archive, d->mountpoint))
		e = say_error("%s: no such directory", m->mountpoint);
	if (e == EXIT_DONE)
		e = check_free(d);
	if (e == EXIT_DONE)
		e = mount_here(d);
	free(d);
	return e;
}

static int mount_run(const struct args *a)
{
	const char *transport = args_value(a, "transport");
	if (transport && strcmp(transport, "auto") && strcmp(transport, "device"))
		return say_usage("--transport takes auto or device, not '%s'", transport);
	struct mount_request m = {
		.archive = a->operand[0],
		.mountpoint = args_operand(a, 1),
		.key_file = args_value(a, "key-file"),
		.passphrase_fd = args_value(a, "passphrase-fd"),
		.policy = args_value(a, "policy"),
		.foreground = args_has(a, "foreground"),
		.only_device = transport && !strcmp(transport, "device"),
	};
	return mount_go(&m);
}

static const struct option_def options[] = {
	{"policy", 'p', "FILE", "apply this policy first, if it differs and no existing file expires by it"},
	{"foreground", 'f', NULL, "stay in the foreground, log to standard error"},
	{"transport", '\0', "auto|device", "auto: io_uring where the kernel allows it; device: /dev/fuse"},
	OPTIONS_END,
};

const struct command command_mount = {
	.name = "mount",
	.operands = "ARCHIVE [MOUNTPOINT]",
	.min = 1,
	.max = 2,
	.summary = "Mount an archive at MOUNTPOINT, or over itself: then programs keep their paths.",
	.details = "Returns when the archive is being served. Root mounts for everyone, other users for themselves.\n"
		   "Where neither option names a key: $CREDENTIALS_DIRECTORY/lapse.key or lapse.passphrase, else it is "
		   "asked for.",
	.options = {options, unlock_options},
	.run = mount_run,
};
