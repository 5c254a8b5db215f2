/* run_internal.h - between run.c and run_admin.c. */
#pragma once

#include "run.h"

extern const struct subject run_subject;
/* Ends the program if `r` is an error. */
void run_must(const char *what, long r);
uint32_t run_here(struct run *r); /* the position in the trace */
uint32_t run_file_at(struct run *r, const char *path); /* the story's file that has this name now */
