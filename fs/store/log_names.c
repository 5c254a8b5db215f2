#include "store/log_names.h"

#include "store/gate_internal.h"

#include "base/secret.h"

#include <string.h>

void log_names_ask(struct gate *g, const struct policy *p)
{
	const struct policy_settings *ps = policy_settings(p);
	atomic_store(&g->keep_seconds, ps->log_keep_names.seconds);
	atomic_store(&g->keep_months, ps->log_keep_names.months);
	atomic_store(&g->names_kept, ps->log_names);
}

bool log_names_kept(const struct archive *a)
{
	return atomic_load_explicit(&a->gate->names_kept, memory_order_relaxed);
}

/* What the name of a file with this header is sealed under: as the file's key is, but for longer. */
static errint_t place_of(struct archive *a, const struct file_header *h, struct file_header *ret)
{
	const struct policy_duration keep = {.seconds = atomic_load(&a->gate->keep_seconds), .months = atomic_load(&a->gate->keep_months)};
	*ret = *h;
	if (h->expires_at != POLICY_NEVER) {
		ret->expires_at = policy_duration_add(h->expires_at, &keep);
		ret->expires_at -= ret->expires_at == POLICY_NEVER; /* one that has a date dies */
	}
	return anchor_place(a->anchor, ret);
}

void log_name_put(struct archive *a, struct audit_record *r, const struct file_header *h, const char *path)
{
	struct file_header under;
	uint8_t key[KEY_BYTES];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const size_t len = strlen(name);
	if (!log_names_kept(a) || !len || len + SMALL_TAG_BYTES > RECORD_NAME_MAX)
		return;
	if (place_of(a, h, &under) || anchor_wrap_key(a->anchor, a->keys->archive_wrap, &under, key))
		return;
	log_name_seal(key, h->file_id, name, len, r->name);
	secret_wipe(key, sizeof key);
	r->name_len = (uint16_t)(len + SMALL_TAG_BYTES);
	r->name_tree = under.key_kind == KEY_KIND_EPOCH ? under.tree : 0;
	r->name_epoch = under.key_kind == KEY_KIND_ARCHIVE ? 0 : under.epoch;
}

void log_name_again(struct archive *a, const struct file_header *before, const struct file_header *h, const char *name)
{
	struct audit_record r;
	if (!log_names_kept(a) || (before->expires_at == h->expires_at && before->key_kind == h->key_kind && before->epoch == h->epoch))
		return;
	gate_fill(a, &r, RECORD_PRUNE, NULL, h, NULL, NULL, "kept");
	log_name_put(a, &r, h, name);
	audit_append(a->audit, &r);
}

errint_t log_name_of(struct archive *a, const struct audit_record *r, char out[static RECORD_NAME_MAX])
{
	struct file_header under = {.key_kind = r->name_tree ? KEY_KIND_EPOCH : r->name_epoch ? KEY_KIND_HOLD : KEY_KIND_ARCHIVE,
		.tree = r->name_tree,
		.epoch = r->name_epoch};
	uint8_t key[KEY_BYTES];
	if (!r->name_len)
		return -ENOENT;
	memcpy(under.file_id, r->file_id, sizeof under.file_id);
	errint_t e = anchor_wrap_key(a->anchor, a->keys->archive_wrap, &under, key);
	if (!e)
		e = log_name_open(key, r->file_id, r->name, r->name_len, out);
	secret_wipe(key, sizeof key);
	return e;
}
