/* Requests to a small archive through the table of verbs, by peers of every role: the bytes that a daemon's socket takes. What comes back has to be lines of the protocol that end
 * with ok or error; and what a peer's roles do not let it have is never ok.
 *
 * Input: a byte that says who asks, a byte of flags, then requests with their payloads; a verb that streams gets the rest as its lines. Run as root it becomes nobody first. */
#include "dispatch_fuzz.h"

#include "base/io.h"
#include "base/secret.h"
#include "ctl/verbs.h"
#include "store/fs.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define ANEW_AFTER  200 /* inputs: then the archive is made anew */
#define INPUT_MAX   60000
#define FIRST_GROUP 60001u

enum who { NOBODY, OPERATOR, OFFICER, AUDITOR, APPROVER, ALL_ROLES, HAS_KEY, ROOT, WHOS };
enum { FLAG_DIRECTORY = 1, FLAG_GONE = 2, FLAG_UNMOUNTED = 4 };

static const char policy[] = "[policy]\nversion = 1\ndefault-class = images\nundo = 1h\napprove = loosen\n"
			     "operators = 60001\nofficers = 60002\nauditors = 60003\napprovers = 60004\n"
			     "[class short]\nmatch = short/**\nexpire-after = 1h\n"
			     "[class vault]\nmatch = vault/**\nretain-for = 1d\nexpire-after = 30d\ncommit-after = close\nretain-bounds = 1d..60d\n"
			     "[class images]\nmatch = **\nexpire-after = 30d\n"
			     "[rule denied]\nusers = 5010\npaths = short/**\neffect = deny\n"
			     "[rule all]\neffect = permit\nbudget = reader\n"
			     "[budget reader]\nfiles = 3/1h\nnames = 100/1h\non-exceed = lockout\n"
			     "[canary here]\npaths = **\n"
			     "[break-glass]\nmax-time = 4h\nmax-files = 100\n";

static char place[PATH_MAX - 64], home[PATH_MAX], anchor_file[PATH_MAX], out_dir[PATH_MAX];
static struct archive *archive;
static unsigned inputs;

/* Who may have what, apart from the table that is tried: a verb that is nowhere here is nobody's but who has the key. */
static bool listed(const char *list, const char *verb)
{
	size_t len = strlen(verb);
	for (const char *at = list; (at = strstr(at, verb)); at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

static bool may(const char *verb, unsigned roles)
{
	static const char any[] = "status stats metrics anchor-status clock-status hold-list key-list explain policy-show";
	static const char *const of[] = {
		[ROLE_OPERATOR] = "umount scrub import restore anchor-add anchor-backup anchor-drop anchor-reseed key-add key-change key-remove queue audit-verify",
		[ROLE_OFFICER] = "policy-plan policy-apply policy-undo policy-pending policy-approve hold-add hold-release retain destroy export guard-close guard-open guard-unlock "
				 "guard-learn guard-status grant-request grant-revoke grant-list grant-approve canary-list canary-plant canary-remove clock-confirm plain-forget queue "
				 "audit-destroyed",
		[ROLE_AUDITOR] = "audit-tail audit-read audit-who audit-exposure audit-export audit-verify audit-destroyed queue guard-status guard-learn grant-list",
		[ROLE_APPROVER] = "policy-approve policy-pending grant-approve grant-list",
	};
	if (listed("ping denied", verb) || (roles && listed(any, verb)))
		return true;
	for (unsigned role = ROLE_OPERATOR; role <= ROLE_APPROVER; role *= 2)
		if ((roles & role) && listed(of[role], verb))
			return true;
	return false;
}

/* ---- the archive ---------------------------------------------------------------------------------------------------- */

static void remove_all(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char below[PATH_MAX];
	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (snprintf(below, sizeof below, "%s/%s", path, e->d_name) < (int)sizeof below && unlink(below))
			remove_all(below);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static void file_make(struct inode *dir, const char *name, const char *text)
{
	struct subject who = {.uid = 5010, .login_uid = 5010, .real_uid = 5010, .gid = 5010};
	struct caller c = {.uid = geteuid(), .gid = getegid(), .subject = &who};
	struct fs_entry e;
	struct handle *h;
	if (fs_create(archive, dir, name, 0644, O_WRONLY | O_CREAT, &c, &e, &h))
		return;
	(void)!fs_write(archive, h, (const uint8_t *)text, strlen(text), 0, false);
	fs_release(archive, h);
	if (!fs_open(archive, e.inode, O_RDONLY, &c, &h))
		fs_release(archive, h);
	fs_forget(archive, e.inode, 1);
}

static void files_make(void)
{
	static const char *const dirs[] = {"short", "vault", "in"};
	struct subject who = {.uid = geteuid(), .login_uid = POLICY_NO_UID, .real_uid = geteuid()};
	struct caller c = {.uid = geteuid(), .gid = getegid(), .subject = &who};
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		struct fs_entry e;
		if (fs_mkdir(archive, fs_root(archive), dirs[i], 0755, &c, &e))
			abort();
		file_make(e.inode, "a.jpg", "an image");
		file_make(e.inode, "b.jpg", "another");
		fs_forget(archive, e.inode, 1);
	}
}

/* What counts files waits for none of them. */
static void archive_begin(void)
{
	static const struct archive_hooks none;
	struct archive_status s = {0};
	if (archive_start(archive, &none))
		abort();
	for (int n = 0; n < 1000 && !s.catalogue_complete; n++) {
		archive_get_status(archive, &s);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static void archive_anew(void)
{
	static const uint8_t key[KEY_BYTES] = {7, 7, 7};
	static const char *const anchors[] = {anchor_file, NULL};
	const struct slot_secret secret = {.kind = SLOT_KEY_FILE, .bytes = key, .len = KEY_BYTES};
	uint8_t uuid[UUID_BYTES], public[32];
	struct fault f = {{0}};
	archive_close(archive);
	archive = NULL;
	remove_all(place);
	struct archive_init init = {.path = home, .secret = secret, .label = "first", .suite = SUITE_XCHACHA20POLY1305, .block_size = 4096, .epoch_seconds = 60, .anchor = anchors,
		.policy_text = policy, .policy_len = strlen(policy)};
	struct archive_open open = {.path = home, .secret = secret};
	if (mkdir(place, 0700) || mkdir(out_dir, 0700) || archive_init(&init, uuid, public, &f) || archive_open(&open, &archive, &f)) {
		fprintf(stderr, "no archive in %s: %s\n", place, f.text);
		abort();
	}
	files_make();
	archive_begin();
}

static void begin(void)
{
	const char *tmp = getenv("TMPDIR");
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
		abort();
	if (null < 0 || secret_init())
		abort();
	snprintf(place, sizeof place, "%s/lapse-dispatch-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(place))
		abort();
	snprintf(home, sizeof home, "%s/archive", place);
	snprintf(anchor_file, sizeof anchor_file, "%s/anchor", place);
	snprintf(out_dir, sizeof out_dir, "%s/out", place);
	char state[PATH_MAX];
	snprintf(state, sizeof state, "%s/state", place);
	setenv("STATE_DIRECTORY", state, 1);
	setenv("XDG_STATE_HOME", state, 1);
}

void dispatch_end(void)
{
	archive_close(archive);
	archive = NULL;
	if (place[0])
		remove_all(place);
}

/* ---- what the daemon adds ------------------------------------------------------------------------------------------- */

static const char *no_transport(void *ctx)
{
	return "";
}

static void no_stats(void *ctx, void (*put)(void *put_ctx, const char *name, uint64_t value), void *put_ctx)
{
	put(put_ctx, "requests", 1);
}

static void no_latency(void *ctx, void (*put)(void *put_ctx, const char *op, const uint64_t *bucket, size_t count, uint64_t sum_ns), void *put_ctx)
{
	static const uint64_t none[4];
	put(put_ctx, "open", none, ARRAY_SIZE(none), 0);
}

static errint_t show_nothing(void *ctx, const char *path, int dir_fd)
{
	return 0;
}

static void no_umount(void *ctx)
{
}

static const struct ctl_hooks hooks = {
	.mountpoint = "/mnt", .transport = no_transport, .stats = no_stats, .latency = no_latency, .show = show_nothing, .umount = no_umount};

/* ---- one call ------------------------------------------------------------------------------------------------------- */

struct reply {
	bool gone; /* nobody takes it */
	bool ended, ok;
};

/* Of the last plan that somebody was shown. A request that names one of zeros means that. */
static char plan_id[40];

static void plan_name(char *line)
{
	char *at = strstr(line, "\tplan=0");
	size_t len = strlen(plan_id);
	if (at && len && strspn(at + 6, "0") >= len)
		memcpy(at + 6, plan_id, len);
}

/* Whole lines, of which the last of all is ok or error. */
static errint_t take_reply(struct ctl_call *c)
{
	struct reply *r = c->flush_ctx;
	struct ctl_line l;
	for (size_t at = 0; at < c->out.len;) {
		char *newline = memchr(c->out.p + at, '\n', c->out.len - at);
		assert(newline && !r->ended);
		size_t len = (size_t)(newline - c->out.p) - at;
		assert(len < CTL_LINE_MAX && ctl_line_parse(c->out.p + at, len, &l) == 0);
		r->ok = !strcmp(l.word, "ok");
		if (!strcmp(l.word, "plan") && strlen(ctl_str(&l, "id")) < sizeof plan_id)
			strcpy(plan_id, ctl_str(&l, "id"));
		r->ended = r->ok || !strcmp(l.word, "error");
		at += len + 1;
	}
	c->out.len = 0;
	return r->gone ? -EPIPE : 0;
}

static struct ctl_peer peer_of(enum who who)
{
	struct ctl_peer p = {.uid = 5000 + (uint32_t)who, .gid = 5000, .pid = (uint32_t)getpid(), .owner = 4999};
	if (who == ROOT)
		p.uid = 0;
	p.has_key = who == HAS_KEY;
	for (uint32_t i = 0; i < 4; i++)
		if (who == ALL_ROLES || who == OPERATOR + i)
			p.groups[p.group_count++] = FIRST_GROUP + i;
	return p;
}

/* The rest of the input is what the client says on its stream; a line with fd=1 brings a directory. */
static struct ctl_stream *stream_of(const uint8_t *data, size_t size, int dir_fd, int end[static 2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end))
		abort();
	for (size_t at = 0; at < size;) {
		const uint8_t *newline = memchr(data + at, '\n', size - at);
		size_t len = newline ? (size_t)(newline - data) - at + 1 : size - at;
		bool fd = memmem(data + at, len, "\tfd=1", 5) != NULL;
		if (ctl_stream_send(end[0], (const char *)data + at, len, &dir_fd, fd ? 1 : 0) != (ssize_t)len)
			break;
		at += len;
	}
	shutdown(end[0], SHUT_WR);
	return ctl_stream_new(end[1]);
}

/* Returns how much of the input it took. */
static size_t request(const struct ctl_peer *peer, uint8_t flags, const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	struct ctl_line args;
	size_t len = newline ? (size_t)(newline - data) : size, payload, taken = size;
	struct reply reply = {.gone = flags & FLAG_GONE};
	struct ctl_call c = {.archive = archive, .hooks = flags & FLAG_UNMOUNTED ? NULL : &hooks, .peer = *peer, .args = &args, .dir_fd = -1, .flush = take_reply, .flush_ctx = &reply};
	int end[2] = {-1, -1}, dir_fd = open(out_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *line = malloc(len + 1);
	if (!line || dir_fd < 0)
		abort();
	memcpy(line, data, len);
	line[len] = '\0';
	plan_name(line);
	if (!newline || ctl_request_parse(line, len, &args, &payload) || payload > size - len - 1)
		goto out;
	taken = len + 1 + payload;
	uint8_t *secret = payload ? secret_alloc(payload) : NULL;
	if (payload && !secret)
		goto out;
	if (payload)
		memcpy(secret, data + len + 1, payload);
	c.payload = secret;
	c.payload_len = payload;
	c.dir_fd = flags & FLAG_DIRECTORY ? dir_fd : -1;
	unsigned roles = ctl_peer_roles(archive, peer);
	if (ctl_verb_streams(args.word)) {
		c.stream = stream_of(data + taken, size - taken, dir_fd, end);
		taken = size;
	}
	errint_t r = ctl_run(&c);
	assert(r == -EPIPE || (!r && reply.ended));
	assert(!reply.ok || peer->has_key || may(args.word, roles));
	ctl_stream_free(c.stream);
	ctl_text_free(&c.out);
	secret_free(secret, payload);
out:
	for (int i = 0; i < 2; i++)
		if (end[i] >= 0)
			close(end[i]);
	close(dir_fd);
	free(line);
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!place[0])
		begin();
	if (inputs++ % ANEW_AFTER == 0)
		archive_anew();
	if (size < 2 || size > INPUT_MAX)
		return 0;
	const struct ctl_peer peer = peer_of((enum who)(data[0] % WHOS));
	for (size_t at = 2; at < size;)
		at += request(&peer, data[1], data + at, size - at);
	return 0;
}
