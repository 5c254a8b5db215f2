/* log_names.h - names of files in the log, sealed so that they die with the file, or [audit] keep-names later. FORMAT.md "Names in the log". */
#pragma once

#include "store/internal.h"

/* Takes from a policy what it asks for. */
struct gate;
void log_names_ask(struct gate *g, const struct policy *p);
bool log_names_kept(const struct archive *a);
/* Seals the name (of a path: its last part) into the record of a file with that header, if the policy has them kept. */
void log_name_put(struct archive *a, struct audit_record *r, const struct file_header *h, const char *path);
/* The file's deadline or holds are others now: a record that has its name under the key of now, so that it stays as long as the file does. */
void log_name_again(struct archive *a, const struct file_header *before, const struct file_header *h, const char *name);
/* -ENOENT: the record has none; -EKEYEXPIRED: its key is gone. */
errint_t log_name_of(struct archive *a, const struct audit_record *r, char out[static RECORD_NAME_MAX]);
