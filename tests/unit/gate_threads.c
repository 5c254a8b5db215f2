/* Readers, creators, policy changes, anchor writes and a rotating log at once: budgets stay exact, the log stays one chain. */
#include "base/secret.h"
#include "store/internal.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#define READERS 8
#define FILES   1500
#define BUDGET  150
#define REFUSE(what)                                                                     \
	do {                                                                             \
		if (what) {                                                              \
			fprintf(stderr, "gate_threads: line %d: %s\n", __LINE__, #what); \
			exit(1);                                                         \
		}                                                                        \
	} while (0)

static const char policy[] = "[policy]\nversion = 1\ndefault-class = images\n"
			     "[class images]\nmatch = **\nexpire-after = 30d\n"
			     "[rule all]\neffect = permit\nbudget = reader\n"
			     "[budget reader]\nper = user\nfiles = 150/24h\non-exceed = deny\n";
static const uint8_t key[KEY_BYTES] = {1};
static char base[64];
static struct archive *a;
static _Atomic unsigned permitted;
static _Atomic bool stop;

static struct file_header file(unsigned thread, uint32_t number)
{
	struct file_header h = {.generation = 1, .expires_at = INT64_MAX, .key_kind = KEY_KIND_ARCHIVE};
	memcpy(h.file_id, &number, sizeof number);
	h.file_id[8] = (uint8_t)thread;
	return h;
}

static void *reader(void *p)
{
	unsigned thread = (unsigned)(uintptr_t)p;
	const struct subject who = {.uid = 1000, .login_uid = 1000, .real_uid = 1000, .gid = 1000};
	for (uint32_t i = 0; i < FILES; i++) {
		struct file_header h = file(thread, i);
		errint_t r = gate_read(a, &who, "x.jpg", &h, 10, O_RDONLY, &(struct guard_principals){.count = 0}, &(bool){false}, NULL);
		REFUSE(r != 0 && r != -EDQUOT);
		permitted += r == 0;
	}
	return NULL;
}

static void *creator(void *p)
{
	const struct subject who = {.uid = 1001, .login_uid = 1001, .real_uid = 1001, .gid = 1001};
	for (uint32_t i = 0; i < FILES; i++) {
		struct file_header h = file(99, i);
		REFUSE(gate_classify(a, "x.jpg", tclock_trusted(a->clock), &h));
		REFUSE(gate_record(a, RECORD_CREATE, &who, &h, NULL, NULL));
		gate_created(a, &who, h.file_id, &(struct guard_principals){.count = 0});
		uint8_t under[KEY_BYTES];
		REFUSE(anchor_wrap_key(a->anchor, a->keys->archive_wrap, &h, under));
		REFUSE(gate_record(a, RECORD_CLOSE, NULL, &h, NULL, NULL));
	}
	return NULL;
}

static void *officer(void *p)
{
	struct policy_plan plan;
	uint32_t next = 1;
	while (!stop) {
		struct policy_diags diags = {0};
		REFUSE(archive_policy_apply(a, policy, strlen(policy), &(struct policy_change){.who = NULL}, &plan, &diags, NULL));
		policy_diags_free(&diags);
		tclock_tick(a->clock);
		REFUSE(anchor_pass(a->anchor, next++, tclock_trusted_ns(a->clock)));
	}
	return NULL;
}

static void *looker(void *p)
{
	struct archive_status *s = malloc(sizeof *s);
	struct anchor_status as;
	while (!stop) {
		archive_get_status(a, s);
		archive_anchor_status(a, &as);
		REFUSE(audit_sync(a->audit));
	}
	free(s);
	return NULL;
}

static errint_t count(void *ctx, const struct audit_record *r)
{
	*(unsigned *)ctx += r->kind == RECORD_OPEN && r->decision == DECISION_PERMIT;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static void make(void)
{
	static char root[96], anchor[96];
	const char *const anchors[] = {anchor, NULL};
	uint8_t uuid[UUID_BYTES], public[32];
	snprintf(root, sizeof root, "%s/archive", base);
	snprintf(anchor, sizeof anchor, "%s/anchor", base);
	struct slot_secret secret = {.kind = SLOT_KEY_FILE, .bytes = key, .len = sizeof key};
	struct archive_init o = {.path = root,
		.secret = secret,
		.label = "",
		.suite = SUITE_XCHACHA20POLY1305,
		.block_size = 4096,
		.epoch_seconds = 60,
		.anchor = anchors,
		.policy_text = policy,
		.policy_len = strlen(policy)};
	struct archive_open oo = {.path = root, .secret = secret};
	REFUSE(archive_init(&o, uuid, public, NULL));
	REFUSE(archive_open(&oo, &a, NULL));
}

int main(void)
{
	void *(*const work[])(void *) = {officer, looker, creator};
	pthread_t t[READERS + 3];
	unsigned recorded = 0;
	snprintf(base, sizeof base, "/tmp/lapse-threads-XXXXXX");
	REFUSE(secret_init());
	REFUSE(!mkdtemp(base));
	setenv("STATE_DIRECTORY", base, 1);
	setenv("XDG_STATE_HOME", base, 1);
	make();
	audit_segment_bytes(a->audit, 32768);
	REFUSE(audit_start(a->audit));
	for (unsigned i = 0; i < READERS + 3; i++)
		REFUSE(pthread_create(&t[i], NULL, i < READERS ? reader : work[i - READERS], (void *)(uintptr_t)i));
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	pthread_join(t[READERS + 2], NULL);
	stop = true;
	pthread_join(t[READERS], NULL);
	pthread_join(t[READERS + 1], NULL);
	REFUSE(permitted != BUDGET);
	REFUSE(audit_each(a->audit, 0, count, &recorded));
	REFUSE(recorded != BUDGET);
	archive_close(a);
	nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
