/* What tests/vectors/keys.txt says, derived and opened by this implementation from the inputs that stand there beside it. */
#include "base/buf.h"
#include "base/secret.h"
#include "crypt/anchor.h"
#include "crypt/slot.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define RAM (8ull << 30)

static struct vector {
	char name[64];
	uint8_t bytes[8192];
	size_t len;
} vectors[160];
static size_t count;

static void parse_line(char *line)
{
	struct vector *v = &vectors[count++];
	char *hex = strchr(line, ' ');
	cr_assert(hex && (size_t)(hex - line) < sizeof v->name, "%s", line);
	memcpy(v->name, line, (size_t)(hex - line));
	for (hex++; *hex && *hex != '\n'; hex += 2) {
		char two[3] = {hex[0], hex[1], 0}, *end;
		cr_assert_lt(v->len, sizeof v->bytes);
		v->bytes[v->len++] = (uint8_t)strtoul(two, &end, 16);
		cr_assert_eq(*end, 0, "%s", v->name);
	}
}

static void setup(void)
{
	static char line[2 * 8192 + 66];
	cr_assert_eq(secret_init(), 0);
	FILE *f = fopen(LAPSE_SOURCE_DIR "/tests/vectors/keys.txt", "r");
	cr_assert_not_null(f);
	while (fgets(line, sizeof line, f)) {
		cr_assert_lt(count, ARRAY_SIZE(vectors));
		parse_line(line);
	}
	fclose(f);
}

TestSuite(keys_vectors, .init = setup);

static const struct vector *find(const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(vectors[i].name, name))
			return &vectors[i];
	cr_assert_fail("no vector %s", name);
	return NULL;
}

static const uint8_t *bytes(const char *name, size_t len)
{
	const struct vector *v = find(name);
	cr_assert_eq(v->len, len, "%s", name);
	return v->bytes;
}

static void same(const char *name, const void *is, size_t len)
{
	cr_assert_eq(memcmp(bytes(name, len), is, len), 0, "%s", name);
}

static uint64_t number(const char *name)
{
	struct rbuf r;
	rbuf_init(&r, bytes(name, 8), 8);
	return rbuf_u64(&r);
}

Test(keys_vectors, contexts)
{
	uint8_t out[KEY_BYTES];
	struct small_key pair;
	char name[64];
	for (int c = 0; c < KDF_CONTEXT_COUNT; c++) {
		kdf_derive(out, bytes("kdf.key", KEY_BYTES), (enum kdf_context)c, bytes("kdf.bind", 5), 5);
		snprintf(name, sizeof name, "kdf.%d.key", c);
		same(name, out, sizeof out);
		small_key_derive(&pair, bytes("kdf.key", KEY_BYTES), (enum kdf_context)c, bytes("kdf.bind", 5), 5);
		snprintf(name, sizeof name, "kdf.%d.pair", c);
		same(name, &pair, sizeof pair);
	}
}

static struct small_key pair_of(const char *name)
{
	struct small_key k;
	memcpy(k.mac, bytes(name, 64), KEY_BYTES);
	memcpy(k.enc, bytes(name, 64) + KEY_BYTES, KEY_BYTES);
	return k;
}

Test(keys_vectors, small_objects)
{
	struct small_key k = pair_of("small.key");
	uint8_t plain[100];
	cr_assert_eq(small_open(&k, "vector", "associated", 10, bytes("small.sealed", 132), 100, plain), 0);
	same("small.plain", plain, 100);
	same("small.label", "vector", 6);
	same("small.ad", "associated", 10);
	cr_assert_eq(small_open(&k, "vector", NULL, 0, bytes("small.empty", 32), 0, NULL), 0);
}

Test(keys_vectors, master_keys)
{
	struct master_keys k;
	struct small_key anchor;
	uint8_t out[16];
	master_keys_derive(&k, bytes("master", KEY_BYTES), bytes("uuid", UUID_BYTES));
	same("master.keyring", &k.keyring, sizeof k.keyring);
	same("master.header", &k.header, sizeof k.header);
	same("master.directory", &k.directory, sizeof k.directory);
	same("master.catalogue", &k.catalogue, sizeof k.catalogue);
	same("master.log", &k.log, sizeof k.log);
	same("master.policy", &k.policy, sizeof k.policy);
	same("master.journal", &k.journal, sizeof k.journal);
	same("master.symlink", &k.symlink, sizeof k.symlink);
	same("master.catalogue_bucket", k.catalogue_bucket, KEY_BYTES);
	same("master.home", k.home, KEY_BYTES);
	same("master.class", k.class_, KEY_BYTES);
	same("master.archive_wrap", k.archive_wrap, KEY_BYTES);
	anchor_key_derive(&anchor, bytes("master", KEY_BYTES), bytes("access", KEY_BYTES), bytes("uuid", UUID_BYTES));
	same("anchor.key", &anchor, sizeof anchor);
	home_compute(out, &k, bytes("home.directory", DIR_ID_BYTES), "IMG_0001.jpg", 12);
	same("home", out, HOME_BYTES);
	class_fingerprint(out, &k, "plates");
	same("class", out, CLASS_FP_BYTES);
	cr_assert_eq((uint64_t)catalogue_bucket(&k, (int64_t)number("bucket.number")), number("bucket"));
}

/* A tree out of (depth, index, key) triples, as an anchor holds them. */
static void tree_of_cover(struct epoch_tree *t, const char *name, uint32_t next)
{
	const struct vector *v = find(name);
	struct rbuf r;
	rbuf_init(&r, v->bytes, v->len);
	*t = (struct epoch_tree){.number = 3, .next = next, .count = v->len / 41, .cap = v->len / 41};
	t->node = secret_alloc(t->cap * sizeof *t->node);
	for (size_t i = 0; i < t->count; i++) {
		t->node[i].depth = rbuf_u8(&r);
		t->node[i].index = rbuf_u64(&r);
		rbuf_bytes(&r, t->node[i].key, KEY_BYTES);
	}
	cr_assert(rbuf_done(&r));
}

static void check_leaf(const struct epoch_tree *t, uint32_t epoch, uint16_t id)
{
	char name[64];
	uint8_t key[KEY_BYTES];
	snprintf(name, sizeof name, "tree.leaf.%u.%u", epoch, id);
	cr_assert_eq(epoch_leaf(t, bytes("uuid", UUID_BYTES), epoch, id, key), 0, "%s", name);
	same(name, key, sizeof key);
}

Test(keys_vectors, tree)
{
	struct epoch_tree t;
	uint8_t key[KEY_BYTES];
	const uint8_t *uuid = bytes("uuid", UUID_BYTES);
	cr_assert_eq(epoch_tree_new(&t, uuid, 3, 0), 0);
	memcpy(t.node[0].key, bytes("tree.root", KEY_BYTES), KEY_BYTES);
	check_leaf(&t, 0, 0);
	check_leaf(&t, 0, 1);
	check_leaf(&t, 28333333, 0x1234);
	check_leaf(&t, UINT32_MAX, UINT16_MAX);
	epoch_tree_clear(&t);

	tree_of_cover(&t, "tree.cover.28333333", 28333333);
	check_leaf(&t, 28333333, 0x1234);
	check_leaf(&t, UINT32_MAX, UINT16_MAX);
	cr_assert_eq(epoch_leaf(&t, uuid, 28333332, 0, key), -EKEYEXPIRED);
	cr_assert_eq(epoch_node(&t, uuid, 28333333, key), 0);
	same("tree.node.28333333", key, sizeof key);
	epoch_tree_clear(&t);

	tree_of_cover(&t, "tree.punctured.28333338.48879", 28333333);
	check_leaf(&t, 28333333, 0x1234);
	cr_assert_eq(epoch_leaf(&t, uuid, 28333338, 48879, key), -EKEYEXPIRED);
	cr_assert_eq(epoch_leaf(&t, uuid, 28333338, 48878, key), 0);
	epoch_tree_clear(&t);
}

static void check_slot(const struct keyring *kr, enum slot_kind kind, uint32_t slot)
{
	char name[64];
	struct keyring_secrets out;
	uint32_t opened = 0;
	snprintf(name, sizeof name, "slot.%u.secret", slot);
	const struct vector *v = find(name);
	struct slot_secret secret = {.kind = kind, .bytes = v->bytes, .len = v->len};
	cr_assert_eq(keyring_unlock(kr, &secret, RAM, &out, &opened), 0);
	cr_assert_eq(opened, slot);
	same("master", out.master, KEY_BYTES);
	same("access", out.access, KEY_BYTES);
}

Test(keys_vectors, keyring)
{
	const struct vector *v = find("keyring.image");
	struct keyring kr;
	struct keyring_secrets secrets;
	uint8_t digest[DIGEST_BYTES], key[KEY_BYTES];
	char text[RECOVERY_TEXT_BYTES + 1] = "";
	cr_assert_eq(keyring_decode(v->bytes, v->len, &kr), 0);
	same("uuid", kr.uuid, UUID_BYTES);
	cr_assert_eq(kr.suite, SUITE_XCHACHA20POLY1305);
	cr_assert_eq(kr.generation, 7);
	cr_assert_eq(kr.slot_count, 3);
	cr_assert_str_eq(kr.slot[1].label, "lapse@plates.service");
	check_slot(&kr, SLOT_PASSPHRASE, 1);
	check_slot(&kr, SLOT_KEY_FILE, 4);
	check_slot(&kr, SLOT_RECOVERY, 5);
	memcpy(secrets.master, bytes("master", KEY_BYTES), KEY_BYTES);
	cr_assert_eq(keyring_verify(v->bytes, v->len, &secrets, digest), 0);
	same("keyring.digest", digest, DIGEST_BYTES);

	memcpy(text, find("recovery.text")->bytes, find("recovery.text")->len);
	cr_assert_eq(recovery_parse(text, key), 0);
	same("slot.5.secret", key, KEY_BYTES);
}

Test(keys_vectors, anchor)
{
	const struct vector *v = find("anchor.image");
	struct small_key key = pair_of("anchor.key");
	struct anchor_state *a;
	uint8_t again[8192];
	size_t len;
	cr_assert_eq(anchor_decode(v->bytes, v->len, bytes("uuid", UUID_BYTES), &key, &a), 0);
	cr_assert_eq(a->sequence, 4242);
	cr_assert_eq(a->trusted_ns, 1700000000123456789);
	cr_assert_eq(a->tree_count, 2);
	cr_assert_eq(a->hold[0].number, 8);
	cr_assert_str_eq(a->hold[0].name, "case 17/2026");
	cr_assert_eq(a->barrier[0].epoch, 28333336);
	cr_assert_eq(a->log_sequence, 1001);
	cr_assert_eq(a->keyring_generation, 7);
	same("keyring.digest", a->keyring_digest, DIGEST_BYTES);
	cr_assert_leq(v->len, sizeof again);
	cr_assert_eq(anchor_encode(a, &key, again, &len), 0);
	same("anchor.image", again, len);
	anchor_state_free(a);
}
