/* program.h - programs that rules name, as they are on this machine's disk. */
#pragma once

#include "tools/target.h"

/* Calls back with a sentence for each program that a rule names and that it will not match as it is now, and what to do. How many there were. */
size_t program_check(const struct policy *p, void (*cb)(void *ctx, unsigned line, const char *what, const char *remedy), void *ctx);
/* The digest of the file at an absolute path, with a warning where no rule matches it whatever the policy says. EXIT_DONE, or how to end, after a message. */
int program_digest(const char *path, uint8_t digest[static POLICY_DIGEST_BYTES]);
/* The policy in force. EXIT_DONE, or how to end, after a message; with `quiet` without one. */
int program_policy(struct target *t, bool quiet, struct policy **ret);
