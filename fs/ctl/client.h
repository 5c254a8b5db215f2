/* client.h - asking: the same request and the same rows, over the socket or within the process. */
#pragma once

#include "ctl/protocol.h"
#include "ctl/verbs.h"

/* A request being built: ctl_request_begin, ctl_put… on `line`, then one of the two calls below. The payload is borrowed. */
struct ctl_request {
	struct ctl_text line;
	const void *payload;
	size_t payload_len;
	int dir_fd; /* a directory that goes with it, for the daemon to see; the caller's. 0: none */
};
void ctl_request_begin(struct ctl_request *q, const char *verb);
void ctl_request_free(struct ctl_request *q);

/* Called for each row, in order; a result other than 0 ends the call with it. The row's strings live until it returns. */
typedef errint_t (*ctl_row_cb)(void *ctx, const struct ctl_line *row);

/* Sends the request and takes its rows. The verb's own error with its sentence in *f; -ECONNRESET or -ETIMEDOUT with a sentence when the daemon went
 * away or does not answer; -EBADMSG for a malformed reply. */
errint_t ctl_ask(int fd, struct ctl_request *q, ctl_row_cb row, void *ctx, struct fault *f);
/* Runs the verb here, on an archive that this process has opened. */
errint_t ctl_ask_local(struct archive *a, struct ctl_request *q, ctl_row_cb row, void *ctx, struct fault *f);
