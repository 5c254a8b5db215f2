/* server.h - the daemon's end of the control socket: one thread, a bounded number of clients. */
#pragma once

#include "ctl/runtime.h"
#include "ctl/verbs.h"

struct ctl_server;

/* Takes over the place's descriptors (not the struct) for as long as it runs; `hooks` and the archive must outlive it. No thread is started: this
 * can be called before the process confines itself. -ENOMEM. */
errint_t ctl_server_new(
	struct ctl_place *place, struct archive *a, const struct ctl_hooks *hooks, struct ctl_server **ret);
errint_t ctl_server_start(struct ctl_server *s);
/* Ends the thread, drops the clients, frees. The place stays the caller's to release. NULL is fine. */
void ctl_server_stop(struct ctl_server *s);
