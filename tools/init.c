#include "tools/init.h"

#include "tools/command.h"
#include "tools/file.h"
#include "tools/human.h"
#include "tools/prompt.h"
#include "tools/say.h"
#include "tools/target.h"
#include "tools/unlock.h"

#include "base/io.h"
#include "base/secret.h"
#include "store/anchor.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BLOCK_SIZE_DEFAULT 32768u
#define EPOCH_DEFAULT      60u
#define EPOCH_MAX          86400

struct init_plan {
	const struct args *args;
	bool filled; /* there may be plain files */
	char path[CTL_PATH_MAX];
	char anchor_path[ANCHOR_COPIES_MAX][CTL_PATH_MAX];
	const char *anchor[ANCHOR_COPIES_MAX + 1];
	size_t anchors;
	enum suite suite;
	uint32_t block_size, epoch_seconds;
	char *policy;
	size_t policy_len;
	const char *policy_from; /* a file, or NULL: the default policy */
	char lifetime[32];
	struct unlock unlock;
	struct slot_cost cost;
	uint8_t *recovery; /* secret memory; NULL: none */
	char label[SLOT_LABEL_MAX + 1];
};

/* ---- what was asked for ------------------------------------------------------------------------------------------------ */

/* What lies there already would be neither encrypted nor shown. An archive is told as such by archive_init. */
static int plan_place(struct init_plan *p)
{
	DIR *d = opendir(p->path);
	const char *found = NULL;
	int e = EXIT_DONE;
	if (!d && errno == ENOENT && !p->filled)
		return EXIT_DONE;
	if (!d)
		return say_error("%s: %s", p->path, strerror(errno));
	for (struct dirent *entry; !found && (entry = readdir(d));)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && strcmp(entry->d_name, "lost+found"))
			found = entry->d_name;
	if (found && !p->filled && faccessat(dirfd(d), ".lapse", F_OK, AT_SYMLINK_NOFOLLOW))
		e = say_error("%s is not empty (%s): lapse import %s --in-place makes an archive of it; or make one in a new "
			      "directory, and lapse import --from this one",
			p->path, found, p->path);
	closedir(d);
	return e;
}

static int plan_suite(struct init_plan *p)
{
	const char *name = args_value(p->args, "suite");
	p->suite = suite_best();
	if (name && suite_by_name(name, &p->suite))
		return say_usage("--suite takes %s or %s, not '%s'", suite_name(SUITE_AEGIS256),
			suite_name(SUITE_XCHACHA20POLY1305), name);
	return EXIT_DONE;
}

static int plan_sizes(struct init_plan *p)
{
	const char *block = args_value(p->args, "block-size"), *epoch = args_value(p->args, "epoch"), *why = "";
	uint64_t bytes = BLOCK_SIZE_DEFAULT;
	struct policy_duration d = {.seconds = EPOCH_DEFAULT};
	if (block && (policy_size_parse(block, true, &bytes) || bytes < BLOCK_SIZE_MIN || bytes > BLOCK_SIZE_MAX ||
			     (bytes & (bytes - 1))))
		return say_usage("--block-size takes a power of two from 4K to 1M, not '%s'", block);
	if (epoch && policy_duration_parse(epoch, &d, &why))
		return say_usage("--epoch needs a duration such as 60s: %s", why);
	if (d.never || d.months || d.seconds < 1 || d.seconds > EPOCH_MAX)
		return say_usage("--epoch takes from 1s to 24h, not '%s'", epoch);
	p->block_size = (uint32_t)bytes;
	p->epoch_seconds = (uint32_t)d.seconds;
	return EXIT_DONE;
}

static int plan_anchors(struct init_plan *p)
{
	const char *given;
	for (size_t i = 0; (given = args_nth(p->args, "anchor", i)); i++) {
		if (i == ANCHOR_COPIES_MAX)
			return say_usage("--anchor can be given at most %d times", ANCHOR_COPIES_MAX);
		if (!path_resolve(given, p->anchor_path[i]))
			return say_error("--anchor %s: the directory that is to hold it must exist", given);
		size_t len = strlen(p->path);
		if (!strncmp(p->anchor_path[i], p->path, len) &&
			(p->anchor_path[i][len] == '/' || !p->anchor_path[i][len]))
			return say_usage("--anchor %s lies inside the archive: every backup of the store would carry "
					 "the keys of all that expires",
				given);
		p->anchor[p->anchors++] = p->anchor_path[i];
	}
	return EXIT_DONE;
}

static int policy_of_file(struct init_plan *p, const char *file)
{
	struct policy *parsed = NULL;
	struct policy_diags diags = {0};
	int e = policy_file_read(file, &p->policy, &p->policy_len);
	if (e != EXIT_DONE)
		return e;
	int r = policy_parse(p->policy, p->policy_len, archive_names(), &parsed, &diags);
	say_diags(file, &diags);
	if (r)
		e = r == -EINVAL ? say_error("%s has %zu error%s; no archive was made", file, diags.errors,
					   diags.errors == 1 ? "" : "s")
				 : say_error("%s: %s", file, strerror(-r));
	policy_diags_free(&diags);
	policy_unref(parsed);
	p->policy_from = file;
	return e;
}

static int policy_of_lifetime(struct init_plan *p, const char *lifetime)
{
	struct policy_duration d = {0};
	const char *why = "";
	if (policy_duration_parse(lifetime, &d, &why))
		return say_usage("'%s' is no lifetime: %s. Write 12h, 30d, 6mo, 10y or never", lifetime, why);
	p->policy = policy_default_text(lifetime, args_value(p->args, "service"), geteuid() != 0);
	if (!p->policy && errno == EINVAL)
		return say_usage("'%s' is no unit of the system such as imgindex.service", args_value(p->args, "service"));
	if (!p->policy)
		return say_error("cannot write the default policy: %s", strerror(errno));
	p->policy_len = strlen(p->policy);
	snprintf(p->lifetime, sizeof p->lifetime, "%s", lifetime);
	return EXIT_DONE;
}

/* There is no default lifetime: whoever keeps images decides how long. */
static int plan_policy(struct init_plan *p)
{
	const char *file = args_value(p->args, "policy"), *lifetime = args_value(p->args, "expire-after");
	char answer[32];
	if (file && args_has(p->args, "service"))
		return say_usage("give --policy or --service, not both: a policy says itself who reads");
	if (file && lifetime)
		return say_usage("give --policy or --expire-after, not both: a policy says itself how long files live");
	if (file)
		return policy_of_file(p, file);
	if (lifetime)
		return policy_of_lifetime(p, lifetime);
	if (!prompt_possible())
		return say_usage("say how long files may be kept: --expire-after 30d (or never), or --policy FILE");
	if (prompt_line(
		    "How long may files be kept, before they become unreadable for good (12h, 30d, 6mo, 10y, never)? ",
		    answer, sizeof answer))
		return say_error("no answer; no archive was made");
	return policy_of_lifetime(p, answer);
}

static int plan_recovery(struct init_plan *p)
{
	bool file = args_has(p->args, "recovery-key-file"), none = args_has(p->args, "no-recovery-key");
	if (file && none)
		return say_usage("give --recovery-key-file or --no-recovery-key, not both");
	if (none)
		return EXIT_DONE;
	if (!file && !prompt_possible())
		return say_usage("the recovery key is shown on a terminal only, and there is none: give "
				 "--recovery-key-file FILE or "
				 "--no-recovery-key");
	p->recovery = secret_alloc(KEY_BYTES);
	if (!p->recovery)
		return say_error("out of memory");
	crypt_random(p->recovery, KEY_BYTES);
	return EXIT_DONE;
}

static int plan_key(struct init_plan *p)
{
	const char *file = args_value(p->args, "key-file");
	int e = unlock_get(p->path, file, args_value(p->args, "passphrase-fd"), UNLOCK_NEW, &p->unlock);
	if (e != EXIT_DONE)
		return e;
	const char *slash = file ? strrchr(file, '/') : NULL;
	snprintf(p->label, sizeof p->label, "%s", file ? slash ? slash + 1 : file : "first passphrase");
	return unlock_cost(&p->unlock, &p->cost);
}

static int steps(struct init_plan *p, int (*const *step)(struct init_plan *), size_t count)
{
	int e = EXIT_DONE;
	for (size_t i = 0; e == EXIT_DONE && i < count; i++)
		e = step[i](p);
	return e;
}

int init_plan_new(const struct args *a, bool filled, struct init_plan **ret)
{
	static int (*const step[])(struct init_plan *) = {plan_place, plan_suite, plan_sizes, plan_anchors, plan_policy};
	struct init_plan *p = calloc(1, sizeof *p);
	if (!p)
		return say_error("out of memory");
	p->args = a;
	p->filled = filled;
	int e = path_resolve(a->operand[0], p->path) ? steps(p, step, ARRAY_SIZE(step))
						     : say_error("%s: the directory above it must exist", a->operand[0]);
	if (e == EXIT_DONE)
		*ret = p;
	else
		init_plan_free(p);
	return e;
}

const char *init_plan_policy(const struct init_plan *p, size_t *ret_len)
{
	*ret_len = p->policy_len;
	return p->policy;
}

void init_plan_free(struct init_plan *p)
{
	if (!p)
		return;
	secret_free(p->recovery, KEY_BYTES);
	unlock_free(&p->unlock);
	free(p->policy);
	free(p);
}

/* ---- making it --------------------------------------------------------------------------------------------------------- */

/* Before the archive: a recovery key that cannot be kept must not be counted on. */
static int recovery_to_file(const struct init_plan *p, const char *file)
{
	char *text = secret_alloc(RECOVERY_TEXT_BYTES + 1);
	if (!text)
		return say_error("out of memory");
	recovery_text(p->recovery, text);
	strcat(text, "\n");
	cleanup_fd int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	errint_t r = fd < 0 ? -errno : io_write(fd, text, strlen(text));
	if (!r && fsync(fd))
		r = -errno;
	secret_free(text, RECOVERY_TEXT_BYTES + 1);
	if (r)
		return say_error("cannot write the recovery key to %s: %s; no archive was made", file, strerror(-r));
	return EXIT_DONE;
}

static errint_t make(
	const struct init_plan *p, uint8_t uuid[static UUID_BYTES], uint8_t log_public[static 32], struct fault *f)
{
	struct slot_secret recovery = {SLOT_RECOVERY, p->recovery, KEY_BYTES};
	struct archive_init o = {
		.path = p->path,
		.secret = p->unlock.secret,
		.label = p->label,
		.recovery = p->recovery ? &recovery : NULL,
		.cost = p->cost,
		.suite = p->suite,
		.block_size = p->block_size,
		.epoch_seconds = p->epoch_seconds,
		.anchor = p->anchors ? p->anchor : NULL,
		.policy_text = p->policy,
		.policy_len = p->policy_len,
	};
	return archive_init(&o, uuid, log_public, f);
}

/* ---- telling what it is --------------------------------------------------------------------------------------------------- */

/* Where an old state of the anchor would survive being overwritten, or the anchor would not survive at all. */
static void warn_of_filesystem(const char *anchor)
{
	static const struct {
		uint32_t magic;
		const char *name;
	} copying[] = {{0x9123683e, "btrfs"}, {0x2fc12fc1, "zfs"}, {0xf2f52010, "f2fs"}, {0x794c7630, "overlay"},
		{0xca451a4e, "bcachefs"}, {0x3434, "nilfs"}};
	struct statfs st;
	if (statfs(anchor, &st))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(copying); i++)
		if ((uint32_t)st.f_type == copying[i].magic)
			say_warning("the anchor %s lies on %s, which does not overwrite in place: destroyed keys may "
				    "survive on the disk. Keep "
				    "the anchor on ext4 or XFS (--anchor)",
				anchor, copying[i].name);
	if ((uint32_t)st.f_type == 0x01021994)
		say_warning("the anchor %s lies in memory (tmpfs): with the next restart of the machine every file "
			    "that has a deadline is lost",
			anchor);
}

static void tell_anchor(const struct init_plan *p, const uint8_t uuid[static UUID_BYTES])
{
	char place[CTL_PATH_MAX];
	if (!p->anchors && archive_default_anchor(uuid, place, sizeof place))
		return;
	for (size_t i = 0; i < (p->anchors ? p->anchors : 1); i++)
		printf("  %-10s %s\n", i ? "" : "Anchor", p->anchors ? p->anchor[i] : place);
	printf("             the secret that expiry erases from. Losing every copy of it loses every file that has a "
	       "deadline;\n"
	       "             a copy in a backup keeps expired files readable: leave it out of backups\n");
	for (size_t i = 0; i < (p->anchors ? p->anchors : 1); i++)
		warn_of_filesystem(p->anchors ? p->anchor[i] : place);
}

static void tell_key(const struct init_plan *p)
{
	char size[HUMAN_BYTES];
	if (p->unlock.secret.kind == SLOT_PASSPHRASE)
		printf("  Opens with a passphrase (Argon2id, %s, %u passes)\n", human_size(p->cost.memory, size),
			p->cost.passes);
	else
		printf("  Opens with the key file %s\n", p->label);
}

static void tell_recovery(const struct init_plan *p)
{
	const char *file = args_value(p->args, "recovery-key-file");
	char *text = secret_alloc(RECOVERY_TEXT_BYTES + 64);
	if (!p->recovery) {
		printf("  Recovery   no recovery key: if the key above is lost, so is the archive\n");
	} else if (file) {
		printf("  Recovery   key written to %s: print it, store it elsewhere, delete the file\n", file);
	} else if (text) {
		printf("  Recovery   write this key down, it is not shown again:\n");
		fflush(stdout);
		memcpy(text, "             ", 13);
		recovery_text(p->recovery, text + 13);
		strcat(text, "\n");
		prompt_tell(text);
	}
	secret_free(text, RECOVERY_TEXT_BYTES + 64);
	if (p->recovery)
		printf("             it stands in for a lost passphrase or key file, not for the anchor\n");
}

static void tell(const struct init_plan *p, const uint8_t uuid[static UUID_BYTES], const uint8_t log_public[static 32])
{
	char size[HUMAN_BYTES], span[HUMAN_BYTES], id[37];
	const char *why = args_has(p->args, "suite")   ? "as you asked"
			  : p->suite == SUITE_AEGIS256 ? "this CPU has AES instructions"
						       : "this CPU has no AES instructions";
	uuid_text(uuid, id);
	printf("Made the archive %s (%s).\n", p->path, id);
	printf("  Sealed by  %s (%s), blocks of %s\n", suite_name(p->suite), why, human_size(p->block_size, size));
	printf("  Epochs     of %s: a file's key is destroyed at most that long after its date\n",
		human_span(p->epoch_seconds, span));
	tell_key(p);
	if (p->policy_from)
		printf("  Policy     %s, sealed in the archive\n", p->policy_from);
	else
		printf("  Policy     the default one: files expire after %s; everyone has a budget%s\n", p->lifetime,
			geteuid() ? ", in alert mode" : "");
	tell_anchor(p, uuid);
	printf("  Log key    ");
	for (size_t i = 0; i < 32; i++)
		printf("%02x", log_public[i]);
	printf("\n             the audit log's first public key: keep it elsewhere, it proves the log and is no "
	       "secret\n");
	tell_recovery(p);
}

static void tell_next(const struct init_plan *p)
{
	const char *key = args_value(p->args, "key-file");
	printf("\nNext:\n  lapse mount %s%s%s\n  lapse status\n  lapse queue\n", p->path, key ? " --key-file " : "",
		key ? key : "");
	if (!p->policy_from)
		printf("  lapse policy show >policy.ini, edit it, lapse policy apply policy.ini\n");
}

int init_plan_make(struct init_plan *p)
{
	static int (*const step[])(struct init_plan *) = {plan_recovery, plan_key};
	const char *recovery_file = args_value(p->args, "recovery-key-file");
	uint8_t uuid[UUID_BYTES], log_public[32];
	struct fault f = {0};
	int e = steps(p, step, ARRAY_SIZE(step));
	bool wrote = e == EXIT_DONE && p->recovery && recovery_file;
	if (wrote) {
		e = recovery_to_file(p, recovery_file);
		wrote = e == EXIT_DONE;
	}
	errint_t r = e == EXIT_DONE ? make(p, uuid, log_public, &f) : 0;
	if (r) {
		e = say_fault(&f, r, p->path);
		if (wrote)
			unlink(recovery_file);
	} else if (e == EXIT_DONE) {
		tell(p, uuid, log_public);
	}
	return e;
}

void init_plan_take_key(struct init_plan *p, struct unlock *ret)
{
	*ret = p->unlock;
	p->unlock = (struct unlock){0};
}

static int init_run(const struct args *a)
{
	struct init_plan *p;
	int e = init_plan_new(a, false, &p);
	if (e != EXIT_DONE)
		return e;
	e = init_plan_make(p);
	if (e == EXIT_DONE)
		tell_next(p);
	init_plan_free(p);
	return e;
}

const struct option_def init_options[] = {
	{"expire-after", 'e', "DURATION", "how long files live, with the default policy: 12h, 30d, 6mo, 10y, never"},
	{"policy", 'p', "FILE", "the policy to seal in the archive"},
	{"service", '\0', "UNIT", "the service of the system that reads automatically, such as imgindex.service: without limit"},
	{"epoch", '\0', "DURATION", "how finely keys are cut by time (60s)"},
	{"suite", '\0', "aegis-256|xchacha20-poly1305", "how file contents are sealed (what this CPU does fastest)"},
	{"block-size", '\0', "SIZE", "bytes sealed at a time, 4K to 1M (32K)"},
	{"anchor", '\0', "FILE", "where to keep the anchor; several times for several copies"},
	{"recovery-key-file", '\0', "FILE", "write the recovery key to this new file"},
	{"no-recovery-key", '\0', NULL, "make no recovery key"},
	OPTIONS_END,
};

const struct command command_init = {
	.name = "init",
	.operands = "ARCHIVE",
	.min = 1,
	.max = 1,
	.summary = "Make a new archive in ARCHIVE, an empty directory or one that does not exist yet.",
	.details = "Without --key-file and --passphrase-fd a passphrase is asked for. A key file is made with:\n"
		   "  (umask 077; head -c 32 /dev/urandom >FILE)\n"
		   "There is no default lifetime: --expire-after or --policy says it, or it is asked for.",
	.options = {init_options, unlock_options},
	.run = init_run,
};
