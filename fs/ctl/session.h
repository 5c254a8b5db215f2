/* session.h - asking a verb that goes on for long and has a connection to itself. PROTOCOL.md "Streams". */
#pragma once

#include "ctl/client.h"
#include "ctl/stream.h"

struct ctl_session;

/* Asks over a daemon's socket (borrowed) or, `a` not NULL, of an archive that is open here, by a thread of its own. Returns when the verb has said that it
 * is ready. */
errint_t ctl_session_open(int socket, struct archive *a, struct ctl_request *q, struct ctl_session **ret, struct fault *f);
/* Ends a verb that has not ended; NULL is fine. */
void ctl_session_close(struct ctl_session *s);
/* The next row, valid until the next call; the last one is `ok`. An `error` is returned as such. */
errint_t ctl_session_row(struct ctl_session *s, struct ctl_line *ret, struct fault *f);
/* Borrowed. */
int ctl_session_socket(const struct ctl_session *s);
struct ctl_stream *ctl_session_stream(struct ctl_session *s);
