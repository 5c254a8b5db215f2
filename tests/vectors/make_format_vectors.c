/* make_format_vectors - prints tests/vectors/format.txt: "name hex" lines that a second reader of FORMAT.md can be tested with.
 * Everything is deterministic: block nonces are counted up here, and nowhere else. */
#include "format_values.h"

#include "base/buf.h"
#include "base/secret.h"
#include "crypt/head.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static struct master_keys keys;
static uint8_t uuid[UUID_BYTES], leaf_key[KEY_BYTES], file_key[KEY_BYTES];

static void put(const char *name, const void *p, size_t len)
{
	printf("%s ", name);
	for (size_t i = 0; i < len; i++)
		printf("%02x", ((const uint8_t *)p)[i]);
	putchar('\n');
}

static void put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

static void put_small_key(const char *name, const struct small_key *k)
{
	uint8_t both[2 * KEY_BYTES];
	memcpy(both, k->mac, KEY_BYTES);
	memcpy(both + KEY_BYTES, k->enc, KEY_BYTES);
	put(name, both, sizeof both);
}

/* The plaintext of an object that begins with a clear head. */
static void put_plain(const char *name, const struct small_key *k, const char *label, const uint8_t *object, size_t len)
{
	uint8_t ad[HEAD_AD_BYTES], plain[1024];
	clear_head_ad(ad, uuid, object);
	size_t plain_len = len - CLEAR_HEAD_BYTES - SMALL_TAG_BYTES;
	errint_t err = small_open(k, label, ad, sizeof ad, object + CLEAR_HEAD_BYTES, plain_len, plain);
	assert(!err);
	put(name, plain, plain_len);
}

/* As block_seal, with a nonce that is given. */
static void seal_block(const struct content_keys *k, uint64_t index, const uint8_t *plain, size_t len, uint8_t *nonce,
	uint8_t *cipher, uint8_t *tag, uint8_t leaf[static LEAF_BYTES])
{
	uint8_t ad[FILE_ID_BYTES + 8];
	struct wbuf w;
	wbuf_init(&w, ad, sizeof ad);
	wbuf_bytes(&w, k->file_id, FILE_ID_BYTES);
	wbuf_u64(&w, index);
	count_up(nonce, suite_nonce_bytes(k->suite), 0xe0 + (unsigned)index);
	if (k->suite == SUITE_AEGIS256)
		crypto_aead_aegis256_encrypt_detached(
			cipher, tag, NULL, plain, len, ad, sizeof ad, NULL, nonce, k->block);
	else
		crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
			cipher, tag, NULL, plain, len, ad, sizeof ad, NULL, nonce, k->block);
	block_leaf(k, index, nonce, tag, leaf);
}

static void make_file(enum suite s, const char *name, const uint8_t plain[static FILE_PLAIN_SIZE])
{
	static uint8_t backing[8192];
	char line[64];
	struct file_header h = vector_file_header();
	struct content_keys k;
	uint8_t leaf[LEAF_BYTES];
	content_keys_derive(&k, s, file_key, h.file_id);
	snprintf(line, sizeof line, "%s.block_key", name);
	put(line, k.block, KEY_BYTES);
	snprintf(line, sizeof line, "%s.root_key", name);
	put(line, k.root, KEY_BYTES);
	for (uint64_t i = 0; i * FILE_BLOCK_SIZE < FILE_PLAIN_SIZE; i++) {
		size_t len = min_size(FILE_BLOCK_SIZE, FILE_PLAIN_SIZE - i * FILE_BLOCK_SIZE);
		uint8_t *at = backing + block_offset(s, FILE_BLOCK_SIZE, i), *cipher = at + suite_nonce_bytes(s);
		seal_block(&k, i, plain + i * FILE_BLOCK_SIZE, len, at, cipher, cipher + len, leaf);
		snprintf(line, sizeof line, "%s.leaf%d", name, (int)i);
		put(line, leaf, sizeof leaf);
		for (size_t j = 0; j < LEAF_BYTES; j++)
			h.root[j] ^= leaf[j];
	}
	file_key_wrap(keys.archive_wrap, uuid, &h, file_key);
	memset(backing, 0, FILE_HEADER_BYTES);
	header_seal(&keys, uuid, s, &h, backing);
	put(name, backing, backing_size(s, FILE_BLOCK_SIZE, FILE_PLAIN_SIZE));
}

static void make_headers(void)
{
	uint8_t slot[HEADER_SLOT_BYTES], record[DIR_RECORD_BYTES];
	struct file_header h = vector_header();
	struct dir_record d = vector_dir();
	put("header.leaf_key", leaf_key, KEY_BYTES);
	put("header.file_key", file_key, KEY_BYTES);
	file_key_wrap(leaf_key, uuid, &h, file_key);
	header_seal(&keys, uuid, SUITE_AEGIS256, &h, slot);
	put("header.wrapped", h.wrapped, sizeof h.wrapped);
	put_plain("header.plain", &keys.header, "header", slot, sizeof slot);
	put("header.slot", slot, sizeof slot);
	dir_record_seal(&keys, uuid, &d, record);
	put_plain("dir.plain", &keys.directory, "directory", record, sizeof record);
	put("dir.name_key", d.name_key, KEY_BYTES);
	put("dir.record", record, sizeof record);
}

static void make_names(void)
{
	struct dir_record d = vector_dir();
	struct name_keys nk;
	struct sealed_name s;
	char long_name[200];
	name_keys_derive(&nk, d.name_key);
	put_small_key("name.siv_key", &nk.siv);
	name_seal(&nk, "plate-0001.jpg", 14, &s);
	put_text("name.short.plain", "plate-0001.jpg");
	put_text("name.short.backing", s.backing);
	name_seal(&nk, "sixteen bytes ok", 16, &s);
	put_text("name.sixteen.plain", "sixteen bytes ok");
	put_text("name.sixteen.backing", s.backing);
	for (size_t i = 0; i < sizeof long_name; i++)
		long_name[i] = (char)('a' + i % 26);
	name_seal(&nk, long_name, sizeof long_name, &s);
	put("name.long.plain", long_name, sizeof long_name);
	put_text("name.long.backing", s.backing);
	put_text("name.long.companion", s.companion);
	put("name.long.companion_content", s.raw, s.raw_len);
}

static void make_link_and_xattrs(void)
{
	struct dir_record d = vector_dir();
	struct file_header h = vector_header();
	char sealed[128], backing[XATTR_BACKING_MAX + 1];
	uint8_t value[5 + XATTR_OVERHEAD];
	struct xattr_keys xk;
	symlink_seal(&keys, d.dir_id, "latest.jpg", 10, "2024/plate-0001.jpg", 19, sealed);
	put("symlink.dir_id", d.dir_id, DIR_ID_BYTES);
	put_text("symlink.name", "latest.jpg");
	put_text("symlink.target", "2024/plate-0001.jpg");
	put_text("symlink.sealed", sealed);
	put_text("xattr.name", "user.comment");
	put_text("xattr.value", "value");
	xattr_keys_derive(&xk, file_key, h.file_id, false);
	xattr_name_seal(&xk, "user.comment", backing);
	xattr_value_seal(&xk, "user.comment", "value", 5, value);
	put_text("xattr.file.backing_name", backing);
	put("xattr.file.backing_value", value, sizeof value);
	xattr_keys_derive(&xk, d.name_key, d.dir_id, true);
	xattr_name_seal(&xk, "user.comment", backing);
	xattr_value_seal(&xk, "user.comment", "value", 5, value);
	put_text("xattr.dir.backing_name", backing);
	put("xattr.dir.backing_value", value, sizeof value);
}

/* A seal of the two records, as FORMAT.md "Seals" has it, and the file that it begins. */
static void make_seal(const struct audit_chain *c)
{
	uint8_t seed[32], public[32], secret[64], bytes[LOG_SEAL_BYTES], message[18 + UUID_BYTES + 16 + 104];
	struct log_seal s = {.anchor = 9, .first = 1, .last = c->next - 1, .trusted_ns = INT64_C(1700000060000000000)};
	struct seals_head h;
	uint8_t head[SEALS_HEAD_BYTES];
	struct wbuf w;
	memcpy(s.head, c->head, sizeof s.head);
	count_up(seed, sizeof seed, 0x21);
	crypto_sign_seed_keypair(s.next, secret, seed);
	count_up(seed, sizeof seed, 0x20);
	crypto_sign_seed_keypair(public, secret, seed);
	log_seal_encode(&s, bytes);
	wbuf_init(&w, message, sizeof message);
	wbuf_bytes(&w, "lapse 1 audit seal", 18);
	wbuf_bytes(&w, uuid, UUID_BYTES);
	wbuf_bytes(&w, c->log_id, sizeof c->log_id);
	wbuf_bytes(&w, bytes, 104);
	assert(!w.bad && w.len == w.cap);
	crypto_sign_detached(s.signature, NULL, message, w.len, secret);
	log_seal_encode(&s, bytes);
	memcpy(h.uuid, uuid, sizeof h.uuid);
	memcpy(h.log_id, c->log_id, sizeof h.log_id);
	memcpy(h.public_key, public, sizeof h.public_key);
	seals_head_encode(&h, head);
	put("audit.seal.public_key", public, sizeof public);
	put("audit.seal.message", message, w.len);
	put("audit.seal.head", head, sizeof head);
	put("audit.seal.seal", bytes, sizeof bytes);
}

static void make_audit(void)
{
	static uint8_t frames[2 * RECORD_MAX_BYTES];
	uint8_t head[SEGMENT_HEAD_BYTES], sealed[SMALL_TAG_BYTES + 14];
	struct file_header h = vector_header();
	struct audit_chain c = {.next = 1};
	size_t len = 0, used;
	count_up(c.log_id, sizeof c.log_id, 0x70);
	segment_head_seal(&keys.log, uuid, &c, head);
	put("audit.segment_head", head, sizeof head);
	for (int i = 0; i < 2; i++) {
		struct audit_record r = vector_record(i);
		errint_t err = audit_frame_seal(&keys.log, &c, &r, frames + len, &used);
		assert(!err);
		len += used;
	}
	put("audit.frames", frames, len);
	put("audit.chain_head", c.head, sizeof c.head);
	make_seal(&c);
	log_name_seal(leaf_key, h.file_id, "plate-0001.jpg", 14, sealed);
	put_text("audit.name.plain", "plate-0001.jpg");
	put("audit.name.sealed", sealed, sizeof sealed);
}

static void make_policy_and_places(void)
{
	static const char text[] = "[policy]\nexpire-after = 30d\n";
	uint8_t file[sizeof text + SEALED_POLICY_OVERHEAD], digest[DIGEST_BYTES], home[HOME_BYTES], fp[CLASS_FP_BYTES],
		bucket[8];
	struct dir_record d = vector_dir();
	struct wbuf w;
	size_t len;
	sealed_policy_encode(&keys, uuid, 5, 1700000000, text, sizeof text - 1, file, &len, digest);
	put_text("policy.text", text);
	put("policy.file", file, len);
	put("policy.digest", digest, sizeof digest);
	home_compute(home, &keys, d.dir_id, "plate-0001.jpg", 14);
	put("home", home, sizeof home);
	class_fingerprint(fp, &keys, "plates");
	put("class_fingerprint", fp, sizeof fp);
	wbuf_init(&w, bucket, sizeof bucket);
	wbuf_i64(&w, catalogue_bucket(&keys, 28333333));
	put("catalogue_bucket", bucket, sizeof bucket);
}

static void make_hold(void)
{
	const struct hold_object o = vector_hold();
	uint8_t *file;
	size_t len;
	if (hold_object_encode(&keys, uuid, &o, &file, &len))
		abort();
	put("hold.file", file, len);
	free(file);
}

static void make_journal(void)
{
	const struct journal_lap lap = vector_lap();
	uint8_t head[LAP_HEAD_BYTES], record[JOURNAL_RECORD_BYTES];
	uint64_t at = sizeof head;
	journal_lap_seal(&keys.journal, uuid, &lap, head);
	put("journal.lap", head, sizeof head);
	for (int kind = JOURNAL_BLOCK; kind <= JOURNAL_DONE; kind++) {
		const struct journal_record r = vector_journal_record(kind);
		journal_record_seal(&keys.journal, &lap, at, &r, record);
		put(vector_journal_names[kind], record, sizeof record);
		at += sizeof record + (r.len ? r.len + suite_overhead(SUITE_AEGIS256) : 0);
	}
}

int main(void)
{
	static uint8_t plain[FILE_PLAIN_SIZE];
	uint8_t master[KEY_BYTES];
	if (secret_init())
		return 1;
	count_up(master, sizeof master, 0x01);
	count_up(uuid, sizeof uuid, 0xf0);
	count_up(leaf_key, sizeof leaf_key, 0x02);
	count_up(file_key, sizeof file_key, 0x03);
	master_keys_derive(&keys, master, uuid);
	put("master", master, sizeof master);
	put("uuid", uuid, sizeof uuid);
	put_small_key("key.header", &keys.header);
	put_small_key("key.directory", &keys.directory);
	put_small_key("key.symlink", &keys.symlink);
	put_small_key("key.log", &keys.log);
	put_small_key("key.policy", &keys.policy);
	put_small_key("key.journal", &keys.journal);
	put_small_key("key.hold", &keys.hold);
	put("key.archive_wrap", keys.archive_wrap, KEY_BYTES);
	count_up(plain, sizeof plain, 0);
	put("file.plain", plain, sizeof plain);
	make_file(SUITE_AEGIS256, "file.aegis256", plain);
	make_file(SUITE_XCHACHA20POLY1305, "file.xchacha20poly1305", plain);
	make_headers();
	make_names();
	make_link_and_xattrs();
	make_audit();
	make_policy_and_places();
	make_journal();
	make_hold();
	return 0;
}
