/* closer.h - closes descriptors of removed files: giving back what a large one occupied takes long, and nobody has to wait for it. */
#pragma once

#include "base/base.h"

struct closer;

errint_t closer_start(struct closer **ret);
void closer_stop(struct closer *c); /* closes what is left; NULL is fine */
/* Takes over fd. Closed soon by another thread; at once with `c` NULL, or if that has too many to close already. Thread-safe. */
void closer_put(struct closer *c, int fd);
