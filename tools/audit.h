/* audit.h - what the commands that ask the log share. */
#pragma once

#include "ctl/session.h"
#include "tools/command.h"
#include "tools/human.h"
#include "tools/table.h"
#include "tools/target.h"

/* The option's time, if it was given, in seconds under its name: a date, a date and time, or a span ago. EXIT_DONE, or EXIT_USAGE after a message. */
int audit_put_time(const struct args *a, const char *option, struct ctl_request *q);
/* --since and --until, which is to be later. */
int audit_put_times(const struct args *a, struct ctl_request *q);
/* since, until, user, kinds and decisions, as far as the command has these options and they were given. */
int audit_put_filters(const struct args *a, struct ctl_request *q);
/* A number in plain digits, 0 too. */
bool audit_digits(const char *text, uint64_t most, uint64_t *ret);
/* Asks a verb that streams, each row to `row` up to the last; what it returns other than 0 ends it. `fd`, if not -1, is handed over first, on a line `fd_word`. */
errint_t audit_ask(struct target *t, struct ctl_request *q, const char *fd_word, int fd, ctl_row_cb row, void *ctx, struct fault *f);
/* Cells that may be absent from the row. Times are nanoseconds there, seconds in the table. */
void audit_time_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key);
void audit_seconds_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key);
void audit_user_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key);
void audit_text_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key);
void audit_number_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key);
void audit_size_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key);

/* What a `flaw` row says, as a sentence. */
#define AUDIT_FLAW_BYTES 256
void audit_flaw_text(const struct ctl_line *flaw, char out[static AUDIT_FLAW_BYTES]);
/* Of a row that says since when the log is kept, if something was asked for before that: half a sentence for people, and true. */
bool audit_begins_text(const struct ctl_line *l, int64_t since, char out[static 2 * HUMAN_BYTES]);
/* What is proven, in a paragraph. */
void audit_print_verdict(const struct ctl_line *verdict, const char *what);
