#include "store/trail.h"

#include "store/internal.h"
#include "store/log_names.h"
#include "store/open.h"
#include "store/prune.h"

#include <stdio.h>
#include <string.h>

#define SLACK_NS   (INT64_C(60) * 1000000000) /* records of several threads may be out of order by less */
#define EXPORTED   "exported: "
#define REASON_MAX 400

/* ---- what is asked for ------------------------------------------------------------------------------------------------------- */

bool trail_wants(const struct trail_filter *f, const struct audit_record *r)
{
	if (r->trusted_ns < f->since_ns || r->trusted_ns >= f->until_ns)
		return false;
	if (f->kinds && !(f->kinds >> r->kind & 1))
		return false;
	if (f->decisions && !(f->decisions >> r->decision & 1))
		return false;
	if (f->by_user && r->uid != f->uid && r->login_uid != f->uid && r->real_uid != f->uid)
		return false;
	return !f->by_file || !memcmp(r->file_id, f->file_id, FILE_ID_BYTES);
}

static bool has_file(const struct audit_record *r)
{
	static const uint8_t none[FILE_ID_BYTES];
	return memcmp(r->file_id, none, sizeof none) != 0;
}

static bool is_export(const struct audit_record *r)
{
	return r->kind == RECORD_ADMIN && has_file(r) && !strncmp(r->text, EXPORTED, sizeof EXPORTED - 1);
}

bool trail_is_read(const struct audit_record *r)
{
	return r->kind == RECORD_OPEN || is_export(r);
}

bool trail_is_permitted(const struct audit_record *r)
{
	if (is_export(r))
		return true;
	return r->kind == RECORD_OPEN && !r->error && (r->decision == DECISION_PERMIT || r->decision == DECISION_ALERT);
}

const char *trail_kind_word(unsigned kind)
{
	static const char *const word[] = {[RECORD_OPEN] = "open", [RECORD_LIST] = "list", [RECORD_CREATE] = "create", [RECORD_CLOSE] = "close",
		[RECORD_COMMIT] = "commit", [RECORD_RENAME] = "rename", [RECORD_UNLINK] = "unlink", [RECORD_EXPIRE] = "expire", [RECORD_DESTROY] = "destroy",
		[RECORD_HOLD] = "hold", [RECORD_POLICY] = "policy", [RECORD_KEY] = "key", [RECORD_CLOCK] = "clock", [RECORD_GUARD] = "guard",
		[RECORD_MOUNT] = "mount", [RECORD_UMOUNT] = "umount", [RECORD_PRUNE] = "prune", [RECORD_WRITE_OPEN] = "write-open",
		[RECORD_ANCHOR] = "anchor", [RECORD_GRANT] = "grant", [RECORD_CANARY] = "canary", [RECORD_FORGED] = "forged", [RECORD_LINK] = "link",
		[RECORD_ADMIN] = "admin", [RECORD_DATED] = "dated", [RECORD_RAISED] = "raised"};
	return kind < ARRAY_SIZE(word) && word[kind] ? word[kind] : "?";
}

const char *trail_decision_word(unsigned decision)
{
	static const char *const word[] = {
		[DECISION_NONE] = "none", [DECISION_PERMIT] = "permit", [DECISION_DENY] = "deny", [DECISION_ALERT] = "alert"};
	return decision < ARRAY_SIZE(word) ? word[decision] : "?";
}

const char *trail_flaw_word(enum audit_flaw_kind kind)
{
	static const char *const word[] = {[FLAW_EDITED] = "edited", [FLAW_REMOVED] = "removed", [FLAW_INSERTED] = "inserted", [FLAW_DUPLICATED] = "duplicated",
		[FLAW_REORDERED] = "reordered", [FLAW_CUT] = "cut", [FLAW_MISSING] = "missing", [FLAW_REPEATED] = "repeated", [FLAW_UNLINKED] = "unlinked",
		[FLAW_HEAD] = "head", [FLAW_MISPLACED] = "misplaced", [FLAW_STARTED_OVER] = "started-over", [FLAW_SHORT] = "short", [FLAW_OTHER] = "other",
		[FLAW_ROLLBACK] = "rollback", [FLAW_UNSEALED] = "unsealed", [FLAW_SEAL_FORGED] = "seal-forged", [FLAW_SEAL_GAP] = "seal-gap",
		[FLAW_SEAL_LOST] = "seal-lost", [FLAW_SEAL_AGAIN] = "seal-again", [FLAW_SEAL_FORK] = "seal-fork", [FLAW_SEAL_KEY] = "seal-key", [FLAW_UNSIGNED] = "unsigned",
		[FLAW_CHECKPOINT] = "checkpoint", [FLAW_TOMBSTONE] = "tombstone", [FLAW_PRUNED_EARLY] = "pruned-early", [FLAW_PRUNED_BEYOND] = "pruned-beyond"};
	return word[kind];
}

/* ---- records ------------------------------------------------------------------------------------------------------------------ */

struct picking {
	const struct trail_filter *filter;
	unsigned seen;
	errint_t (*cb)(void *ctx, const struct audit_record *r);
	void *ctx;
};

static bool wanted(void *ctx, const struct audit_record *r)
{
	const struct picking *p = ctx;
	return trail_wants(p->filter, r);
}

static bool goes_on(void *ctx)
{
	const struct picking *p = ctx;
	return !p->filter->go_on || p->filter->go_on(p->filter->ctx);
}

static errint_t pick(void *ctx, const struct audit_record *r)
{
	struct picking *p = ctx;
	if (++p->seen % TRAIL_ASK_EACH == 0 && !goes_on(p))
		return -EINTR;
	return trail_wants(p->filter, r) ? p->cb(p->ctx, r) : 0;
}

/* 1: what comes is later than what is wanted. */
static errint_t pick_until(void *ctx, const struct audit_record *r)
{
	struct picking *p = ctx;
	if (p->filter->until_ns < INT64_MAX - SLACK_NS && r->trusted_ns >= p->filter->until_ns + SLACK_NS)
		return 1;
	return pick(ctx, r);
}

static errint_t tell(struct fault *f, errint_t r)
{
	if (r == -EPIPE || r == -EINTR || !r)
		return r;
	return fault_set(f, r, "the audit log could not be read to its end: %s; lapse audit verify says where it ends", strerror(-r));
}

errint_t archive_trail_last(struct archive *a, const struct trail_filter *f, uint64_t n, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx,
	uint64_t *ret_next, struct fault *fault)
{
	struct picking p = {.filter = f, .cb = cb, .ctx = ctx};
	return tell(fault, audit_last_n(a->audit, n, goes_on, wanted, pick, &p, ret_next));
}

errint_t archive_trail_each(
	struct archive *a, const struct trail_filter *f, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx, struct fault *fault)
{
	struct picking p = {.filter = f, .cb = cb, .ctx = ctx};
	errint_t r = audit_each(a->audit, f->since_ns > SLACK_NS ? f->since_ns - SLACK_NS : INT64_MIN, pick_until, &p);
	return r > 0 ? 0 : tell(fault, r);
}

errint_t archive_trail_follow(struct archive *a, const struct trail_filter *f, uint64_t from,
	errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx, struct fault *fault)
{
	struct picking p = {.filter = f, .cb = cb, .ctx = ctx};
	return tell(fault, audit_follow(a->audit, from, goes_on, pick, &p));
}

errint_t archive_trail_exported(struct archive *a, const char *reason, const struct subject *who)
{
	char text[RECORD_TEXT_MAX];
	snprintf(text, sizeof text, "audit log handed out: %.*s", REASON_MAX, reason);
	errint_t r = gate_record(a, RECORD_ADMIN, who, NULL, NULL, text);
	return r ? r : audit_sync(a->audit);
}

errint_t archive_file_id(struct archive *a, const char *path, uint8_t ret[static FILE_ID_BYTES])
{
	cleanup_free struct fs_explanation *x = malloc(sizeof *x);
	if (!x)
		return -ENOMEM;
	errint_t r = fs_explain(a, path, NULL, x);
	if (!r && !x->has_header)
		r = x->header_error ? x->header_error : -EISDIR;
	if (!r)
		memcpy(ret, x->file_id, FILE_ID_BYTES);
	return r;
}

errint_t archive_record_name(struct archive *a, const struct audit_record *r, char out[static RECORD_NAME_MAX])
{
	return log_name_of(a, r, out);
}

void archive_class_name(struct archive *a, const uint8_t fp[static CLASS_FP_BYTES], char out[static 64])
{
	gate_class_name(a, fp, out, NULL);
	if (!out[0])
		strcpy(out, "?");
}

/* ---- the log's own state -------------------------------------------------------------------------------------------------------- */

/* What it is held against, as far as the archive knows it: log key, first public key, the record that is named. */
struct knowing {
	struct audit_proof proof;
	struct anchor_status anchor;
	struct log_seal seal;
	uint8_t head[DIGEST_BYTES], public_key[1][LOG_PUBLIC_BYTES];
};

static void know(struct archive *a, struct knowing *k)
{
	anchor_get_status(a->anchor, &k->anchor);
	anchor_last_seal(a->anchor, &k->seal);
	memcpy(k->head, k->anchor.log_head, sizeof k->head);
	memcpy(k->public_key[0], a->keyring.log_public_key, sizeof k->public_key[0]);
	k->proof = (struct audit_proof){.log_key = &a->keys->log,
		.uuid = a->uuid,
		.log_id = k->anchor.log_id,
		.named = k->anchor.log_sequence,
		.named_head = k->head,
		.public_key = k->public_key,
		.public_keys = 1,
		.has_seals = k->seal.anchor != 0,
		.allowed = prune_was_allowed,
		.allowed_ctx = a};
}

static errint_t verify(struct knowing *k, int log_fd, struct audit_verdict *ret, struct fault *f)
{
	errint_t r = audit_verify(log_fd, &k->proof, ret);
	return r && r != -EINTR ? fault_set(f, r, "the audit log's files cannot be read: %s", strerror(-r)) : r;
}

/* A copy against the anchor on disk; its own against what the daemon itself has written, and sealed to its end. */
errint_t archive_verify_log(struct archive *a, int log_fd, bool (*go_on)(void *ctx), void *ctx, struct audit_verdict *ret, uint64_t *ret_named,
	struct fault *f)
{
	cleanup_free struct knowing *k = malloc(sizeof *k);
	if (!k)
		return -ENOMEM;
	if (log_fd < 0)
		anchor_update(a->anchor, NULL, NULL);
	know(a, k);
	k->proof.go_on = go_on;
	k->proof.ctx = ctx;
	if (log_fd < 0) {
		audit_hold(a->audit);
		audit_head(a->audit, &k->proof.named, k->head);
		k->proof.upto = k->proof.named;
	}
	*ret_named = k->proof.named;
	errint_t r = verify(k, log_fd >= 0 ? log_fd : a->audit_fd, ret, f);
	if (log_fd < 0)
		audit_release(a->audit);
	return r;
}

errint_t archive_verify_log_offline(const struct archive_open *o, int log_fd, struct audit_verdict *ret, uint64_t *ret_named, struct fault *f)
{
	struct archive_open observe = {.path = o->path, .secret = o->secret, .anchor = o->anchor, .observe = true};
	struct archive *a = store_new(&observe);
	cleanup_free struct knowing *k = malloc(sizeof *k);
	errint_t r = a && k ? store_open_dirs(a, o->path, f) : -ENOMEM;
	if (!r)
		r = store_unlock(a, &observe, f);
	if (!r) {
		know(a, k);
		k->proof.last_seal = log_fd < 0 ? &k->seal : NULL;
		*ret_named = k->proof.named;
		r = verify(k, log_fd >= 0 ? log_fd : a->audit_fd, ret, f);
	}
	archive_close(a);
	return r;
}
