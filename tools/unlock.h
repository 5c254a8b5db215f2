/* unlock.h - where a passphrase or key comes from: an option, a systemd credential, the person. */
#pragma once

#include "store/archive.h"
#include "tools/command.h"

/* Zeroed: none. Its bytes are secret memory. */
struct unlock {
	struct slot_secret secret;
	uint8_t *bytes; /* of PASSPHRASE_MAX */
};
void unlock_free(struct unlock *u);

enum unlock_purpose {
	UNLOCK_OPEN, /* an existing archive: a recovery key is taken where a passphrase or a key file is */
	UNLOCK_NEW,  /* a new secret: a passphrase is asked for twice */
};
/* --key-file FILE, else --passphrase-fd N, else (to open) $CREDENTIALS_DIRECTORY/lapse.key or lapse.passphrase, else the terminal, else
 * systemd-ask-password. Any option may be NULL. EXIT_DONE, or how to end, after a message. */
int unlock_get(const char *archive, const char *key_file, const char *passphrase_fd, enum unlock_purpose purpose,
	struct unlock *ret);
/* The cost of a new passphrase: about a second of this machine's work. */
int unlock_cost(const struct unlock *u, struct slot_cost *ret);
/* The protocol's word for its kind. */
const char *unlock_kind(const struct unlock *u);
