/* once_plain.h - the list of paths that held files in plain. FORMAT.md "Once plain". */
#pragma once

#include "crypt/kdf.h"

#define ONCE_PLAIN_ENTRIES  64
#define ONCE_PLAIN_PATH_MAX 4095
#define ONCE_PLAIN_FILE_MAX (64 + ONCE_PLAIN_ENTRIES * (ONCE_PLAIN_PATH_MAX + 16))

struct once_plain_entry {
	int64_t since;
	bool in_place;
	char path[ONCE_PLAIN_PATH_MAX + 1];
};
size_t once_plain_bytes(const struct once_plain_entry *e, size_t count); /* of the sealed list */
void once_plain_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct once_plain_entry *e, size_t count,
		     uint8_t *out);
/* -EBADMSG, -EPROTONOSUPPORT. */
errint_t once_plain_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in, size_t len,
			 struct once_plain_entry out[static ONCE_PLAIN_ENTRIES], size_t *ret_count);
