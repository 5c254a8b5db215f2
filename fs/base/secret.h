/* secret.h - memory for keys: locked, not dumped, wiped on fork and when freed. */
#pragma once

#include "base/base.h"

/* Starts libsodium. Once, before any other call of crypt or secret. -EIO if that fails. */
errint_t secret_init(void);
/* Zeroed memory from locked slabs; NULL with errno ENOMEM. Thread-safe. Sizes up to 64 KiB come from slabs, larger ones from
 * pages of their own. Where RLIMIT_MEMLOCK ends, memory is given unlocked and secret_unlocked() counts it. */
void *secret_alloc(size_t size);
/* Wipes and frees; NULL is fine. `size` as allocated. */
void secret_free(void *p, size_t size);
size_t secret_unlocked(void);
void secret_wipe(void *p, size_t size);
/* Wipes what the functions that the caller has called left below its own frame: a keyed hash spills its key there, and a thread that then waits for work
 * would keep it. To be called after the last use of a key that is not to be kept; some 30 ns. */
void secret_wipe_stack(void);
