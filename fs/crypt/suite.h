/* suite.h - the two suites for file blocks, and blocks. FORMAT.md "Blocks". */
#pragma once

#include "crypt/types.h"

enum suite { SUITE_AEGIS256 = 1, SUITE_XCHACHA20POLY1305 = 2 };

#define BLOCK_NONCE_MAX 32
#define BLOCK_TAG_MAX 32
#define LEAF_BYTES 32 /* one block's part of the content root */

bool suite_known(unsigned suite);
enum suite suite_best(void); /* AEGIS-256 where the CPU has AES instructions */
const char *suite_name(enum suite s);
errint_t suite_by_name(const char *name, enum suite *ret); /* -EINVAL */
size_t suite_nonce_bytes(enum suite s);
size_t suite_tag_bytes(enum suite s);
static inline size_t suite_overhead(enum suite s) { return suite_nonce_bytes(s) + suite_tag_bytes(s); }

/* Keys of one open file; in secret memory. */
struct content_keys {
	enum suite suite;
	uint8_t file_id[FILE_ID_BYTES];
	uint8_t block[KEY_BYTES], root[KEY_BYTES];
};
void content_keys_derive(struct content_keys *out, enum suite s, const uint8_t file_key[static KEY_BYTES],
			 const uint8_t file_id[static FILE_ID_BYTES]);

/* Seals len bytes (1 … block size) as block `index`. nonce and tag have the suite's sizes; the nonce is drawn here, fresh. `cipher` may
 * be == plain. leaf: this block's part of the content root. */
void block_seal(const struct content_keys *k, uint64_t index, const uint8_t *plain, size_t len, uint8_t *nonce,
		uint8_t *cipher, uint8_t *tag, uint8_t leaf[static LEAF_BYTES]);
/* -EBADMSG, and then `plain` is all zero. May work in place. */
errint_t block_open(const struct content_keys *k, uint64_t index, const uint8_t *nonce, const uint8_t *cipher, size_t len,
		    const uint8_t *tag, uint8_t *plain);
void block_leaf(const struct content_keys *k, uint64_t index, const uint8_t *nonce, const uint8_t *tag,
		uint8_t leaf[static LEAF_BYTES]);

/* Geometry of a backing file: two header slots, then blocks of nonce, ciphertext, tag. */
#define HEADER_SLOT_BYTES 512
#define FILE_HEADER_BYTES (2 * HEADER_SLOT_BYTES)
#define BLOCK_SIZE_MIN 4096u
#define BLOCK_SIZE_MAX (1u << 20)
/* No file has more plaintext. Beyond it backing_size and block_offset give UINT64_MAX, plain_size -EBADMSG. */
#define FILE_SIZE_MAX (UINT64_C(1) << 62)
uint64_t backing_size(enum suite s, uint32_t block_size, uint64_t plain);
/* -EBADMSG if no plaintext size gives this backing size. A backing file shorter than its header has plaintext size 0 and gives
 * -ENODATA with *ret = 0. */
errint_t plain_size(enum suite s, uint32_t block_size, uint64_t backing, uint64_t *ret);
uint64_t block_offset(enum suite s, uint32_t block_size, uint64_t index); /* of the nonce in the backing file */
