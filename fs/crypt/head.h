/* head.h - the 16 clear bytes that begin every sealed file format of this room. Inside fs/crypt only. FORMAT.md "Clear head". */
#pragma once

#include "crypt/types.h"

#define CLEAR_HEAD_BYTES 16
#define CLEAR_MAGIC_BYTES 8

/* `magic` has 8 characters; `suite` is 0 where the format has none. */
void clear_head_write(uint8_t out[static CLEAR_HEAD_BYTES], const char *magic, unsigned suite);
/* -EBADMSG: not this format or not this suite. -EPROTONOSUPPORT: version or feature bit that this lapse does not know. The head is
 * authentic only once the object that it begins has been opened with it as associated data. */
errint_t clear_head_check(const uint8_t in[static CLEAR_HEAD_BYTES], const char *magic, unsigned suite);
/* Associated data of such an object: archive uuid, clear head. */
#define HEAD_AD_BYTES (UUID_BYTES + CLEAR_HEAD_BYTES)
void clear_head_ad(uint8_t out[static HEAD_AD_BYTES], const uint8_t uuid[static UUID_BYTES],
		   const uint8_t head[static CLEAR_HEAD_BYTES]);
