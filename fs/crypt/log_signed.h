/* log_signed.h - what the log's key of a time signs (RFC 8032): context ‖ archive uuid ‖ log id ‖ the bytes of a seal or tombstone before its signature. FORMAT.md
 * "Seals", "Tombstones". */
#pragma once

#include "crypt/anchor.h"

#define LOG_SIGNED_CONTEXT_MAX 32
#define LOG_SIGNED_MAX	       184

struct log_signed {
	const char *context; /* one for each kind of object */
	const uint8_t *uuid, *log_id, *bytes;
	size_t len; /* at most LOG_SIGNED_MAX */
};
void log_sign(const struct log_signed *s, const uint8_t *secret_key, uint8_t ret_signature[static 64]);
bool log_signed_is_of(const struct log_signed *s, const uint8_t signature[static 64], const uint8_t public_key[static LOG_PUBLIC_BYTES]);
