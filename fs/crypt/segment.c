#include "crypt/record.h"

#include "crypt/head.h"
#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* ---- segment head ------------------------------------------------------------------------------------------------------- */

#define MAGIC          "LAPSELOG"
#define LABEL          "segment"
#define RESERVED_BYTES 8
#define CLEAR_BYTES    (SEGMENT_HEAD_BYTES - SMALL_TAG_BYTES)

static bool chain_valid(const struct audit_chain *c)
{
	return c->next > 1 || (c->next == 1 && sodium_is_zero(c->head, DIGEST_BYTES));
}

void segment_head_seal(const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
	const struct audit_chain *c, uint8_t out[static SEGMENT_HEAD_BYTES])
{
	assert(chain_valid(c));
	struct wbuf w;
	clear_head_write(out, MAGIC, 0);
	wbuf_init(&w, out + CLEAR_HEAD_BYTES, CLEAR_BYTES - CLEAR_HEAD_BYTES);
	wbuf_bytes(&w, uuid, UUID_BYTES);
	wbuf_bytes(&w, c->log_id, sizeof c->log_id);
	wbuf_u64(&w, c->next);
	wbuf_bytes(&w, c->head, DIGEST_BYTES);
	wbuf_zeros(&w, RESERVED_BYTES);
	assert(!w.bad && w.len == w.cap);
	small_seal(log_key, LABEL, out, CLEAR_BYTES, NULL, 0, out + CLEAR_BYTES);
}

errint_t segment_head_open(const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
	const uint8_t in[static SEGMENT_HEAD_BYTES], struct audit_chain *ret)
{
	errint_t err = clear_head_check(in, MAGIC, 0);
	if (err)
		return err;
	err = small_open(log_key, LABEL, in, CLEAR_BYTES, in + CLEAR_BYTES, 0, NULL);
	return err ? err : segment_head_peek(uuid, in, ret);
}

errint_t segment_head_peek(const uint8_t uuid[static UUID_BYTES], const uint8_t in[static SEGMENT_HEAD_BYTES], struct audit_chain *ret)
{
	errint_t err = clear_head_check(in, MAGIC, 0);
	if (err)
		return err;
	struct audit_chain c;
	struct rbuf r;
	rbuf_init(&r, in + CLEAR_HEAD_BYTES, CLEAR_BYTES - CLEAR_HEAD_BYTES);
	bool uuid_ok = memcmp(rbuf_take(&r, UUID_BYTES), uuid, UUID_BYTES) == 0;
	rbuf_bytes(&r, c.log_id, sizeof c.log_id);
	c.next = rbuf_u64(&r);
	rbuf_bytes(&r, c.head, DIGEST_BYTES);
	rbuf_zeros(&r, RESERVED_BYTES);
	if (!rbuf_done(&r) || !uuid_ok || !chain_valid(&c))
		return -EBADMSG;
	*ret = c;
	return 0;
}

/* ---- names in the log ----------------------------------------------------------------------------------------------------- */

#define NAME_LABEL "log name"

void log_name_seal(const uint8_t under[static KEY_BYTES], const uint8_t file_id[static 16], const char *name,
	size_t len, uint8_t *out)
{
	struct small_key key;
	small_key_derive(&key, under, KDF_LOG_NAME, NULL, 0);
	small_seal(&key, NAME_LABEL, file_id, 16, name, len, out);
	secret_wipe(&key, sizeof key);
	secret_wipe_stack();
}

errint_t log_name_open(const uint8_t under[static KEY_BYTES], const uint8_t file_id[static 16], const uint8_t *in,
	size_t len, char *out)
{
	if (len < SMALL_TAG_BYTES)
		return -EBADMSG;
	size_t name_len = len - SMALL_TAG_BYTES;
	struct small_key key;
	small_key_derive(&key, under, KDF_LOG_NAME, NULL, 0);
	errint_t err = small_open(&key, NAME_LABEL, file_id, 16, in, name_len, out);
	secret_wipe(&key, sizeof key);
	secret_wipe_stack();
	if (err)
		return err;
	if (memchr(out, 0, name_len)) {
		secret_wipe(out, name_len);
		return -EBADMSG;
	}
	out[name_len] = 0;
	return 0;
}
