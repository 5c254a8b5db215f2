/* json.h - a reply's row as a JSON object. */
#pragma once

#include "ctl/protocol.h"

#include <jansson.h>
#include <stdio.h>

/* Numbers become numbers, "never" and "none" null, yes and no booleans; keys as in fs/PROTOCOL.md. NULL: out of memory. */
json_t *json_row(const struct ctl_line *l);
/* The text, with bytes that are not UTF-8 as \xNN, and the backslash of what would look like that, too: two names are never one. */
json_t *json_bytes(const char *text);
/* As json_dumpf; what a terminal would act on is \uNNNN. */
int json_put(const json_t *root, FILE *out, size_t how);
/* Prints and drops it. EXIT_DONE, or EXIT_ERROR after a message. */
int json_print(json_t *root);
