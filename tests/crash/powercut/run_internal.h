/* run_internal.h - between run.c and the files of its acts, run_*.c. */
#pragma once

#include "run.h"

extern const struct subject run_subject;
/* Ends the program if `r` is an error. */
void run_must(const char *what, long r);
uint32_t run_here(struct run *r); /* the position in the trace */
uint32_t run_file_at(struct run *r, const char *path); /* the story's file that has this name now */

/* The inode of the directory that a path lies in, and the path's last part. give_back is for what has been looked up. */
struct inode *run_parent_of(struct run *r, const char *path, const char **ret_name);
void run_give_back(struct run *r, struct inode *i);
/* A step of the tree, from before it is done until it is. */
struct step run_step_begin(struct run *r, enum step_kind kind, const char *path, const char *path2);
void run_step_end(struct run *r, struct step *s);
/* The attributes that an act gave a file, which began at `begin`. */
void run_look_now(struct run *r, uint32_t file, uint32_t begin, mode_t mode, const char *tag);
