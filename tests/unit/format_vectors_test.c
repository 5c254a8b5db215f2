/* Opens what tests/vectors/format.txt holds: a change of this code that changes the format fails here. */
#include "../vectors/format_values.h"

#include "base/secret.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

static struct vector {
	char name[64];
	uint8_t *bytes;
	size_t len;
} vectors[128];
static size_t vector_count;
static struct master_keys keys;

static const struct vector *get(const char *name)
{
	for (size_t i = 0; i < vector_count; i++)
		if (strcmp(vectors[i].name, name) == 0)
			return &vectors[i];
	cr_assert_fail("no vector %s", name);
	return NULL;
}

static const uint8_t *bytes(const char *name)
{
	return get(name)->bytes;
}

static bool equals(const char *name, const void *p, size_t len)
{
	return get(name)->len == len && memcmp(bytes(name), p, len) == 0;
}

static const char *text(const char *name)
{
	return (const char *)bytes(name);
}

static void load(void)
{
	char *line = NULL, *space = NULL;
	size_t cap = 0;
	cr_assert_eq(secret_init(), 0);
	FILE *f = fopen(LAPSE_SOURCE_DIR "/tests/vectors/format.txt", "r");
	cr_assert_not_null(f);
	for (ssize_t n; (n = getline(&line, &cap, f)) > 0; vector_count++) {
		struct vector *v = &vectors[vector_count];
		cr_assert(vector_count < ARRAY_SIZE(vectors) && (space = strchr(line, ' ')));
		snprintf(v->name, sizeof v->name, "%.*s", (int)(space - line), line);
		v->bytes = calloc(1, (size_t)n); /* a NUL behind texts */
		cr_assert_eq(
			sodium_hex2bin(v->bytes, (size_t)n, space + 1, strlen(space + 1) - 1, NULL, &v->len, NULL), 0);
	}
	free(line);
	fclose(f);
	master_keys_derive(&keys, bytes("master"), bytes("uuid"));
}

TestSuite(format_vectors, .init = load);

static void check_small_key(const char *name, const struct small_key *k)
{
	cr_assert(get(name)->len == 64 && !memcmp(bytes(name), k->mac, 32) && !memcmp(bytes(name) + 32, k->enc, 32),
		"%s", name);
}

Test(format_vectors, keys)
{
	check_small_key("key.header", &keys.header);
	check_small_key("key.directory", &keys.directory);
	check_small_key("key.symlink", &keys.symlink);
	check_small_key("key.log", &keys.log);
	check_small_key("key.policy", &keys.policy);
	check_small_key("key.journal", &keys.journal);
	check_small_key("key.hold", &keys.hold);
	cr_assert(equals("key.archive_wrap", keys.archive_wrap, KEY_BYTES));
}

static void check_file(enum suite s, const char *name)
{
	const struct vector *v = get(name);
	struct file_header h, expected = vector_file_header();
	struct content_keys k;
	uint8_t file_key[KEY_BYTES], plain[FILE_BLOCK_SIZE], leaf[LEAF_BYTES], root[LEAF_BYTES] = {0};
	uint64_t size;
	int slot;
	cr_assert_eq(plain_size(s, FILE_BLOCK_SIZE, v->len, &size), 0);
	cr_assert_eq(header_choose(&keys, bytes("uuid"), s, v->bytes, &h, &slot), 0);
	cr_assert(slot == 0 && h.size == size && size == get("file.plain")->len && h.state == expected.state);
	cr_assert(h.expires_at == INT64_MAX && h.retain_until == INT64_MIN && h.key_kind == KEY_KIND_ARCHIVE);
	cr_assert_eq(file_key_unwrap(keys.archive_wrap, bytes("uuid"), &h, file_key), 0);
	content_keys_derive(&k, s, file_key, h.file_id);
	for (uint64_t i = 0; i * FILE_BLOCK_SIZE < size; i++) {
		const uint8_t *nonce = v->bytes + block_offset(s, FILE_BLOCK_SIZE, i),
			      *cipher = nonce + suite_nonce_bytes(s);
		size_t len = min_size(FILE_BLOCK_SIZE, size - i * FILE_BLOCK_SIZE);
		cr_assert_eq(block_open(&k, i, nonce, cipher, len, cipher + len, plain), 0);
		cr_assert_eq(memcmp(plain, bytes("file.plain") + i * FILE_BLOCK_SIZE, len), 0);
		block_leaf(&k, i, nonce, cipher + len, leaf);
		for (size_t j = 0; j < LEAF_BYTES; j++)
			root[j] ^= leaf[j];
	}
	cr_assert_eq(memcmp(root, h.root, LEAF_BYTES), 0);
}

Test(format_vectors, files)
{
	check_file(SUITE_AEGIS256, "file.aegis256");
	check_file(SUITE_XCHACHA20POLY1305, "file.xchacha20poly1305");
}

Test(format_vectors, header)
{
	struct file_header h, e = vector_header();
	uint8_t file_key[KEY_BYTES], slot[HEADER_SLOT_BYTES];
	cr_assert_eq(header_open(&keys, bytes("uuid"), SUITE_AEGIS256, bytes("header.slot"), &h), 0);
	cr_assert(h.state == e.state && h.type == e.type && h.flags == e.flags && h.generation == e.generation &&
		  h.basis_kind == e.basis_kind && h.key_kind == e.key_kind && h.tree == e.tree && h.epoch == e.epoch);
	cr_assert(h.created_at == e.created_at && h.basis_at == e.basis_at && h.modified_at == e.modified_at &&
		  h.retain_until == e.retain_until && h.expires_at == e.expires_at && h.settles_at == e.settles_at &&
		  h.commits_at == e.commits_at && h.size == e.size && !memcmp(h.holds, e.holds, sizeof h.holds));
	cr_assert(!memcmp(h.file_id, e.file_id, 16) && !memcmp(h.dir_id, e.dir_id, 16) &&
		  !memcmp(h.class_fp, e.class_fp, 16) && !memcmp(h.root, e.root, 32) && !memcmp(h.home, e.home, 32));
	cr_assert_eq(file_key_unwrap(bytes("header.leaf_key"), bytes("uuid"), &h, file_key), 0);
	cr_assert(equals("header.file_key", file_key, KEY_BYTES));
	header_seal(&keys, bytes("uuid"), SUITE_AEGIS256, &h, slot);
	cr_assert(equals("header.slot", slot, sizeof slot));
}

Test(format_vectors, dir)
{
	struct dir_record d, e = vector_dir();
	cr_assert_eq(dir_record_open(&keys, bytes("uuid"), bytes("dir.record"), &d), 0);
	cr_assert(d.flags == e.flags && d.generation == e.generation && d.mode == e.mode && d.uid == e.uid &&
		  d.gid == e.gid);
	cr_assert(!memcmp(d.dir_id, e.dir_id, 16) && !memcmp(d.parent_id, e.parent_id, 16) &&
		  !memcmp(d.home, e.home, 32) && !memcmp(d.name_key, e.name_key, KEY_BYTES));
}

Test(format_vectors, names)
{
	struct name_keys nk;
	char out[NAME_PLAIN_MAX + 1];
	size_t len;
	name_keys_derive(&nk, bytes("dir.name_key"));
	check_small_key("name.siv_key", &nk.siv);
	cr_assert_eq(name_open(&nk, text("name.short.backing"), out, &len), 0);
	cr_assert(equals("name.short.plain", out, len));
	cr_assert_eq(name_open(&nk, text("name.sixteen.backing"), out, &len), 0);
	cr_assert(equals("name.sixteen.plain", out, len));
	const struct vector *raw = get("name.long.companion_content");
	cr_assert_eq(name_open_long(&nk, text("name.long.backing"), raw->bytes, raw->len, out, &len), 0);
	cr_assert(equals("name.long.plain", out, len));
	struct sealed_name s;
	cr_assert_eq(name_seal(&nk, out, len, &s), 0);
	cr_assert_str_eq(s.companion, text("name.long.companion"));
}

Test(format_vectors, symlink)
{
	char out[64];
	cr_assert_eq(symlink_open(&keys, bytes("symlink.dir_id"), text("symlink.name"), get("symlink.name")->len,
			     text("symlink.sealed"), get("symlink.sealed")->len, out),
		0);
	cr_assert_str_eq(out, text("symlink.target"));
}

static void check_xattr(const struct xattr_keys *k, const char *name, const char *value)
{
	char out[XATTR_BACKING_MAX + 1];
	uint8_t got[16];
	cr_assert_eq(xattr_name_open(k, text(name), out), 0);
	cr_assert_str_eq(out, text("xattr.name"));
	cr_assert_eq(xattr_value_open(k, out, bytes(value), get(value)->len, got), 0);
	cr_assert(equals("xattr.value", got, get(value)->len - XATTR_OVERHEAD));
}

Test(format_vectors, xattrs)
{
	struct xattr_keys xk;
	xattr_keys_derive(&xk, bytes("header.file_key"), vector_header().file_id, false);
	check_xattr(&xk, "xattr.file.backing_name", "xattr.file.backing_value");
	xattr_keys_derive(&xk, bytes("dir.name_key"), vector_dir().dir_id, true);
	check_xattr(&xk, "xattr.dir.backing_name", "xattr.dir.backing_value");
}

Test(format_vectors, audit)
{
	const struct vector *frames = get("audit.frames");
	struct audit_record r, e;
	struct audit_chain c;
	char name[64];
	size_t at = 0, used;
	cr_assert_eq(segment_head_open(&keys.log, bytes("uuid"), bytes("audit.segment_head"), &c), 0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(audit_frame_open(&keys.log, &c, frames->bytes + at, frames->len - at, &used, &r), 0);
		at += used;
		e = vector_record(i);
		e.sequence = (uint64_t)i + 1;
		cr_assert_eq(memcmp(&e, &r, sizeof e), 0, "record %d", i + 1);
	}
	cr_assert_eq(at, frames->len);
	cr_assert(equals("audit.chain_head", c.head, DIGEST_BYTES));
	cr_assert_eq(log_name_open(bytes("header.leaf_key"), vector_header().file_id, bytes("audit.name.sealed"),
			     get("audit.name.sealed")->len, name),
		0);
	cr_assert_str_eq(name, text("audit.name.plain"));
}

Test(format_vectors, seals)
{
	struct seals_head h;
	struct log_seal s;
	cr_assert_eq(seals_head_decode(bytes("audit.seal.head"), &h), 0);
	cr_assert(equals("audit.seal.public_key", h.public_key, sizeof h.public_key));
	cr_assert_eq(log_seal_decode(bytes("audit.seal.seal"), &s), 0);
	cr_assert(s.after == 0 && s.anchor == 9 && s.first == 1 && s.last == 2);
	cr_assert(equals("audit.chain_head", s.head, sizeof s.head));
	cr_assert(log_seal_is_of(&s, bytes("uuid"), h.log_id, h.public_key));
	cr_assert_eq(crypto_sign_verify_detached(
			     s.signature, bytes("audit.seal.message"), get("audit.seal.message")->len, bytes("audit.seal.public_key")),
		0);
}

Test(format_vectors, hold)
{
	const struct vector *file = get("hold.file");
	const struct hold_object want = vector_hold();
	struct hold_object o;
	cr_assert_eq(hold_object_decode(&keys, bytes("uuid"), file->bytes, file->len, &o), 0);
	cr_assert(o.number == want.number && o.state == want.state && o.since == want.since && o.review_at == want.review_at && !o.released_at);
	cr_assert(!strcmp(o.name, want.name) && !strcmp(o.reason, want.reason) && !o.release_reason[0]);
	cr_assert(o.reader_count == 2 && !memcmp(o.reader, want.reader, sizeof o.reader));
	cr_assert(o.globs_len == want.globs_len && !memcmp(o.globs, want.globs, o.globs_len));
	cr_assert(o.id_count == 2 && !memcmp(o.id, want.id, 2 * FILE_ID_BYTES));
	hold_object_free(&o);
}

Test(format_vectors, policy_and_places)
{
	const struct vector *file = get("policy.file");
	uint8_t *out = malloc(file->len), digest[DIGEST_BYTES], home[HOME_BYTES], fp[CLASS_FP_BYTES];
	uint64_t generation;
	int64_t applied_at;
	size_t len;
	cr_assert_eq(sealed_policy_decode(
			     &keys, bytes("uuid"), file->bytes, file->len, &generation, &applied_at, out, &len, digest),
		0);
	cr_assert(generation == 5 && applied_at == 1700000000 && equals("policy.text", out, len));
	cr_assert(equals("policy.digest", digest, sizeof digest));
	free(out);
	home_compute(home, &keys, bytes("symlink.dir_id"), "plate-0001.jpg", 14);
	cr_assert(equals("home", home, sizeof home));
	class_fingerprint(fp, &keys, "plates");
	cr_assert(equals("class_fingerprint", fp, sizeof fp));
	uint64_t bucket = 0;
	for (int i = 7; i >= 0; i--)
		bucket = bucket << 8 | bytes("catalogue_bucket")[i];
	cr_assert_eq(catalogue_bucket(&keys, 28333333), (int64_t)bucket);
}

Test(format_vectors, journal)
{
	const struct journal_lap want = vector_lap();
	struct journal_lap lap;
	uint64_t at = LAP_HEAD_BYTES;
	cr_assert_eq(journal_lap_open(&keys.journal, bytes("uuid"), bytes("journal.lap"), &lap), 0);
	cr_assert(lap.number == want.number && !memcmp(lap.id, want.id, sizeof lap.id));
	for (int kind = JOURNAL_BLOCK; kind <= JOURNAL_DONE; kind++) {
		const struct journal_record r = vector_journal_record(kind);
		struct journal_record got;
		cr_assert_eq(journal_record_open(&keys.journal, &lap, at, bytes(vector_journal_names[kind]), &got), 0);
		cr_assert(got.kind == r.kind && got.len == r.len && got.generation == r.generation && got.at == r.at);
		cr_assert(!memcmp(got.file_id, r.file_id, sizeof r.file_id));
		at += JOURNAL_RECORD_BYTES + (r.len ? r.len + suite_overhead(SUITE_AEGIS256) : 0);
	}
}
