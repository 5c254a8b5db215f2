/* make_keys_vectors - prints tests/vectors/keys.txt: "name hex" lines that a second reader of KEYS.md can be tested with. Everything is
 * deterministic: what is random elsewhere is counted up here. Integers among the values are little-endian, as in the formats. */
#include "base/buf.h"
#include "base/secret.h"
#include "crypt/anchor.h"
#include "crypt/slot.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define CREATED       1700000000
#define EPOCH_SECONDS 60
#define FIRST_EPOCH   (CREATED / EPOCH_SECONDS)

static uint8_t uuid[UUID_BYTES];
static struct keyring_secrets secrets;

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

static void put_u32(const char *name, uint32_t v)
{
	uint8_t bytes[4];
	struct wbuf w;
	wbuf_init(&w, bytes, sizeof bytes);
	wbuf_u32(&w, v);
	put(name, bytes, sizeof bytes);
}

static void put_u64(const char *name, uint64_t v)
{
	uint8_t bytes[8];
	struct wbuf w;
	wbuf_init(&w, bytes, sizeof bytes);
	wbuf_u64(&w, v);
	put(name, bytes, sizeof bytes);
}

static void count_up(void *out, size_t len, unsigned first)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)(first + i);
}

static void must(errint_t r)
{
	if (r) {
		fprintf(stderr, "make_keys_vectors: %s\n", strerror(-r));
		exit(1);
	}
}

/* ---- derivation -------------------------------------------------------------------------------------------------------- */

static void put_contexts(void)
{
	uint8_t key[KEY_BYTES], bind[5], out[KEY_BYTES];
	struct small_key pair;
	char name[64];
	count_up(key, sizeof key, 0x20);
	count_up(bind, sizeof bind, 0xb0);
	put("kdf.key", key, sizeof key);
	put("kdf.bind", bind, sizeof bind);
	for (int c = 0; c < KDF_CONTEXT_COUNT; c++) {
		kdf_derive(out, key, (enum kdf_context)c, bind, sizeof bind);
		snprintf(name, sizeof name, "kdf.%d.key", c);
		put(name, out, sizeof out);
		small_key_derive(&pair, key, (enum kdf_context)c, bind, sizeof bind);
		snprintf(name, sizeof name, "kdf.%d.pair", c);
		put(name, &pair, sizeof pair);
	}
}

static void put_master_keys(void)
{
	struct master_keys k;
	struct small_key anchor;
	uint8_t dir[DIR_ID_BYTES], out[16];
	master_keys_derive(&k, secrets.master, uuid);
	put("uuid", uuid, sizeof uuid);
	put("master", secrets.master, KEY_BYTES);
	put("access", secrets.access, KEY_BYTES);
	put("master.keyring", &k.keyring, sizeof k.keyring);
	put("master.header", &k.header, sizeof k.header);
	put("master.directory", &k.directory, sizeof k.directory);
	put("master.catalogue", &k.catalogue, sizeof k.catalogue);
	put("master.log", &k.log, sizeof k.log);
	put("master.policy", &k.policy, sizeof k.policy);
	put("master.journal", &k.journal, sizeof k.journal);
	put("master.hold", &k.hold, sizeof k.hold);
	put("master.symlink", &k.symlink, sizeof k.symlink);
	put("master.catalogue_bucket", k.catalogue_bucket, KEY_BYTES);
	put("master.home", k.home, KEY_BYTES);
	put("master.class", k.class_, KEY_BYTES);
	put("master.archive_wrap", k.archive_wrap, KEY_BYTES);
	anchor_key_derive(&anchor, secrets.master, secrets.access, uuid);
	put("anchor.key", &anchor, sizeof anchor);

	count_up(dir, sizeof dir, 0xd0);
	put("home.directory", dir, sizeof dir);
	put_text("home.name", "IMG_0001.jpg");
	home_compute(out, &k, dir, "IMG_0001.jpg", strlen("IMG_0001.jpg"));
	put("home", out, HOME_BYTES);
	put_text("class.name", "plates");
	class_fingerprint(out, &k, "plates");
	put("class", out, CLASS_FP_BYTES);
	put_u64("bucket.number", 28333333);
	put_u64("bucket", (uint64_t)catalogue_bucket(&k, 28333333));
}

static void put_small(void)
{
	struct small_key k;
	uint8_t plain[100], out[SMALL_TAG_BYTES + sizeof plain];
	count_up(&k, sizeof k, 0x40);
	count_up(plain, sizeof plain, 0);
	put("small.key", &k, sizeof k);
	put_text("small.label", "vector");
	put_text("small.ad", "associated");
	put("small.plain", plain, sizeof plain);
	small_seal(&k, "vector", "associated", strlen("associated"), plain, sizeof plain, out);
	put("small.sealed", out, sizeof out);
	small_seal(&k, "vector", NULL, 0, NULL, 0, out);
	put("small.empty", out, SMALL_TAG_BYTES);
}

/* ---- epoch tree -------------------------------------------------------------------------------------------------------- */

static void put_cover(const char *name, const struct epoch_tree *t)
{
	static uint8_t bytes[4096];
	struct wbuf w;
	wbuf_init(&w, bytes, sizeof bytes);
	for (size_t i = 0; i < t->count; i++) {
		wbuf_u8(&w, t->node[i].depth);
		wbuf_u64(&w, t->node[i].index);
		wbuf_bytes(&w, t->node[i].key, KEY_BYTES);
	}
	assert(!w.bad);
	put(name, bytes, w.len);
}

static void put_leaf(const struct epoch_tree *t, uint32_t epoch, uint16_t id)
{
	uint8_t key[KEY_BYTES];
	char name[64];
	must(epoch_leaf(t, uuid, epoch, id, key));
	snprintf(name, sizeof name, "tree.leaf.%u.%u", epoch, id);
	put(name, key, sizeof key);
}

/* A tree of a given root, alive from epoch 0. */
static void tree_from(struct epoch_tree *t, uint32_t number, unsigned seed)
{
	must(epoch_tree_new(t, uuid, number, 0));
	count_up(t->node[0].key, KEY_BYTES, seed);
}

static void put_tree(void)
{
	struct epoch_tree t;
	uint8_t node[KEY_BYTES];
	tree_from(&t, 3, 0x60);
	put("tree.root", t.node[0].key, KEY_BYTES);
	put_u32("tree.number", 3);
	put_leaf(&t, 0, 0);
	put_leaf(&t, 0, 1);
	put_leaf(&t, FIRST_EPOCH, 0x1234);
	put_leaf(&t, UINT32_MAX, UINT16_MAX);
	must(epoch_node(&t, uuid, FIRST_EPOCH, node));
	put("tree.node.28333333", node, sizeof node);
	must(epoch_tree_advance(&t, uuid, FIRST_EPOCH));
	put_cover("tree.cover.28333333", &t);
	must(epoch_tree_puncture(&t, uuid, FIRST_EPOCH + 5, 0xbeef));
	put_cover("tree.punctured.28333338.48879", &t);
	epoch_tree_clear(&t);
}

/* ---- keyring ------------------------------------------------------------------------------------------------------------ */

static void add_slot(struct keyring *kr, struct slot_secret secret, const char *label, unsigned seed)
{
	struct key_slot *s = &kr->slot[kr->slot_count++];
	struct small_key key;
	uint8_t x25519_secret[KEY_BYTES], ephemeral[KEY_BYTES];
	char name[64];
	*s = (struct key_slot){.number = kr->next_slot++, .kind = secret.kind, .created_at = CREATED + seed};
	strcpy(s->label, label);
	if (secret.kind == SLOT_PASSPHRASE) {
		s->passes = SLOT_PASSES_MIN;
		s->memory = SLOT_MEMORY_MIN;
		count_up(s->salt, sizeof s->salt, seed);
	}
	count_up(x25519_secret, sizeof x25519_secret, seed + 1);
	count_up(ephemeral, sizeof ephemeral, seed + 2);
	must(slot_key(s, kr->uuid, &secret, UINT64_MAX, &key));
	slot_seal_master(s, kr->uuid, &key, secrets.master, x25519_secret);
	must(slot_seal_access(s, kr->uuid, ephemeral, secrets.access));
	snprintf(name, sizeof name, "slot.%u.secret", s->number);
	put(name, secret.bytes, secret.len);
	snprintf(name, sizeof name, "slot.%u.key", s->number);
	put(name, &key, sizeof key);
	snprintf(name, sizeof name, "slot.%u.x25519_secret", s->number);
	put(name, x25519_secret, sizeof x25519_secret);
}

static void put_keyring(uint8_t digest[static DIGEST_BYTES])
{
	static uint8_t image[KEYRING_MAX_BYTES];
	uint8_t key_file[KEY_BYTES], recovery[KEY_BYTES];
	char text[RECOVERY_TEXT_BYTES];
	size_t len;
	struct keyring kr = {
		.version = FORMAT_VERSION,
		.suite = SUITE_XCHACHA20POLY1305,
		.block_size = 32768,
		.epoch_seconds = EPOCH_SECONDS,
		.created_at = CREATED,
		.needs = "0.1",
		.generation = 6,
		.next_slot = 1,
	};
	memcpy(kr.uuid, uuid, sizeof uuid);
	count_up(kr.log_public_key, sizeof kr.log_public_key, 0xa0);
	count_up(key_file, sizeof key_file, 0x33);
	count_up(recovery, sizeof recovery, 0x77);
	add_slot(&kr, (struct slot_secret){SLOT_PASSPHRASE, (const uint8_t *)"correct horse", 13}, "Ulrike", 0x10);
	kr.next_slot = 4;
	add_slot(&kr, (struct slot_secret){SLOT_KEY_FILE, key_file, sizeof key_file}, "lapse@plates.service", 0x11);
	add_slot(&kr, (struct slot_secret){SLOT_RECOVERY, recovery, sizeof recovery}, "", 0x12);
	must(keyring_encode(&kr, &secrets, image, sizeof image, &len));
	must(keyring_verify(image, len, &secrets, digest));
	put("keyring.image", image, len);
	put("keyring.digest", digest, DIGEST_BYTES);
	recovery_text(recovery, text);
	put_text("recovery.text", text);
}

/* ---- anchor ------------------------------------------------------------------------------------------------------------- */

static void fill_anchor(struct anchor_state *a, const uint8_t keyring_digest[static DIGEST_BYTES])
{
	a->features = 0;
	a->sequence = 4242;
	a->trusted_ns = CREATED * 1000000000ll + 123456789;
	epoch_tree_clear(&a->tree[0]);
	tree_from(&a->tree[0], 1, 0x60);
	must(epoch_tree_advance(&a->tree[0], uuid, FIRST_EPOCH));
	tree_from(&a->tree[1], 2, 0x90);
	must(epoch_tree_advance(&a->tree[1], uuid, FIRST_EPOCH + 1));
	must(epoch_tree_puncture(&a->tree[1], uuid, FIRST_EPOCH + 1, 7));
	a->tree_count = 2;
	a->current_tree = 2;
	a->next_hold = 9;
	a->hold[a->hold_count++] = (struct anchor_hold){.number = 8, .since = CREATED - 1, .name = "case 17/2026"};
	count_up(a->hold[0].key, KEY_BYTES, 0x15);
	a->barrier[a->barrier_count++] = (struct anchor_barrier){
		.tree = 1, .epoch = FIRST_EPOCH + 3, .reason = 1, .since = CREATED - 2};
	count_up(a->log_id, sizeof a->log_id, 0x01);
	a->log_sequence = 1001;
	count_up(a->log_head, sizeof a->log_head, 0x02);
	count_up(a->sign_seed, sizeof a->sign_seed, 0x03);
	count_up(a->sign_public, sizeof a->sign_public, 0x04);
	a->keyring_generation = 7;
	memcpy(a->keyring_digest, keyring_digest, DIGEST_BYTES);
	a->policy_generation = 2;
	count_up(a->policy_digest, sizeof a->policy_digest, 0x05);
}

static void put_anchor(const uint8_t keyring_digest[static DIGEST_BYTES])
{
	static uint8_t image[ANCHOR_SLOT_BYTES];
	struct anchor_state *a;
	struct small_key key;
	size_t len;
	must(anchor_state_new(&a, uuid, EPOCH_SECONDS, CREATED));
	fill_anchor(a, keyring_digest);
	anchor_key_derive(&key, secrets.master, secrets.access, uuid);
	must(anchor_encode(a, &key, image, &len));
	put("anchor.image", image, len);
	anchor_state_free(a);
}

int main(void)
{
	uint8_t keyring_digest[DIGEST_BYTES];
	must(secret_init());
	count_up(uuid, sizeof uuid, 0xf0);
	count_up(secrets.master, KEY_BYTES, 0x01);
	count_up(secrets.access, KEY_BYTES, 0x81);
	put_contexts();
	put_small();
	put_master_keys();
	put_tree();
	put_keyring(keyring_digest);
	put_anchor(keyring_digest);
	return fflush(stdout) ? 1 : 0;
}
