/* approval.h - changes of the policy, and exports, that wait for a second person. Private to the store; gate->apply_lock is held. */
#pragma once

#include "store/gate_internal.h"

/* Whether the policy in force makes this change wait: then it is kept, recorded, and ret->waits says its id. -EACCES: it would wait, and nobody could approve it. */
errint_t approval_wait(struct archive *a, const struct in_force *next, const struct policy_change *change, struct policy_plan *ret, struct fault *f);
struct approval_ask {
	const char *text, *reason; /* NULL: not said */
	size_t len;
	const struct subject *who;
	bool alone; /* nobody could approve it */
};
/* Keeps and records it. new: what it is; its `why`, half a sentence, and the numbers to show are set. -EACCES: nobody could approve it; -ENOSPC. */
errint_t approval_keep(struct archive *a, struct waiting *new, const struct approval_ask *ask, struct fault *f);
/* NULL: none, or its time has passed. Good until the next call. */
struct waiting *approval_find(struct archive *a, const char *id);
/* May that subject approve it; reject: turn it down, which who asked may, too. */
errint_t approval_check(struct archive *a, const struct waiting *w, const struct subject *who, bool reject, struct fault *f);
/* For the record of the change: who asked, why, and why it was approved. */
void approval_reason(const struct waiting *w, const struct policy_change *change, char out[static RECORD_TEXT_MAX]);
errint_t approval_record(struct archive *a, const struct waiting *w, const struct subject *who, const char *what, const char *text);
void approval_forget(struct archive *a, const char *id);
void approvals_free(struct gate *g);
/* An export that `who` has said yes to may begin, once. */
errint_t approval_allow(struct archive *a, struct waiting *w, const struct policy_change *change, struct policy_plan *ret);
struct export_options;
/* approval_export.c: one may begin, on the record; the text for the record of each file. An approval is used up by it. */
errint_t approval_begin_export(struct archive *a, const struct export_options *o, char ret_text[static RECORD_TEXT_MAX], struct fault *f);
