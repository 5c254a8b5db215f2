/* verb.h - what the files of verbs share. Included by nobody else. */
#pragma once

#include "ctl/verbs.h"

/* Ends the row begun in c->out and hands rows on when enough have gathered. */
errint_t verb_row(struct ctl_call *c);
/* As fault_set on the call. */
#define verb_fail(c, error, ...) fault_set(&(c)->fault, (error), __VA_ARGS__)
/* A number argument: 0 with *ret unchanged if it was not given; -EINVAL with a sentence if it is malformed. */
errint_t verb_number(struct ctl_call *c, const char *key, int64_t *ret);
bool verb_flag(const struct ctl_call *c, const char *key);
/* A directory that came from the peer, for the daemon to write in: with the daemon's rights only if it is the peer's own, or root asks. */
errint_t verb_own_directory(struct ctl_call *c, int fd);

/* What people call a header's state and the kind of its key. */
const char *verb_state_word(unsigned state);
const char *verb_key_word(unsigned kind);

/* The subject that the peer is, as the kernel tells it; its groups lie in `groups`. */
void verb_subject(const struct ctl_call *c, struct subject *ret, uint32_t groups[static CTL_GROUPS_MAX]);

/* What it would run in, for the rules: the arguments program, sha256, service of the request; of what is not given, nothing that a rule names. They live as long
 * as the request. */
errint_t verb_asker(struct ctl_call *c, struct subject *who);

errint_t verb_status(struct ctl_call *c);
errint_t verb_put_anchor(struct ctl_call *c); /* the rows of anchor-status */
errint_t verb_anchor_status(struct ctl_call *c);
errint_t verb_anchor_add(struct ctl_call *c);
errint_t verb_anchor_backup(struct ctl_call *c);
errint_t verb_anchor_drop(struct ctl_call *c);
errint_t verb_anchor_reseed(struct ctl_call *c);
errint_t verb_audit_destroyed(struct ctl_call *c);
errint_t verb_audit_export(struct ctl_call *c);
errint_t verb_audit_exposure(struct ctl_call *c);
errint_t verb_audit_read(struct ctl_call *c);
errint_t verb_audit_tail(struct ctl_call *c);
errint_t verb_audit_verify(struct ctl_call *c);
errint_t verb_audit_who(struct ctl_call *c);
/* A file's id in hexadecimal digits. */
errint_t verb_file_id(struct ctl_call *c, const char *text, uint8_t ret[static 16]);
errint_t verb_canary_list(struct ctl_call *c);
errint_t verb_canary_plant(struct ctl_call *c);
errint_t verb_canary_remove(struct ctl_call *c);
errint_t verb_clock_status(struct ctl_call *c);
errint_t verb_clock_confirm(struct ctl_call *c);
errint_t verb_denied(struct ctl_call *c);
errint_t verb_destroy(struct ctl_call *c);
errint_t verb_stats(struct ctl_call *c);
errint_t verb_metrics(struct ctl_call *c);
errint_t verb_queue(struct ctl_call *c);
errint_t verb_grant_approve(struct ctl_call *c);
errint_t verb_grant_list(struct ctl_call *c);
errint_t verb_grant_request(struct ctl_call *c);
errint_t verb_grant_revoke(struct ctl_call *c);
errint_t verb_guard_close(struct ctl_call *c);
errint_t verb_guard_learn(struct ctl_call *c);
errint_t verb_guard_open(struct ctl_call *c);
errint_t verb_guard_status(struct ctl_call *c);
errint_t verb_guard_unlock(struct ctl_call *c);
errint_t verb_put_fullest(struct ctl_call *c); /* rows of the status */
errint_t verb_put_shut(struct ctl_call *c);    /* … */
errint_t verb_put_grants_for(struct ctl_call *c, int64_t uid); /* rows `grant` of those in force, with what is used of them; -1: for anybody */
errint_t verb_explain(struct ctl_call *c);
errint_t verb_policy_show(struct ctl_call *c);
errint_t verb_policy_plan(struct ctl_call *c);
errint_t verb_policy_apply(struct ctl_call *c);
errint_t verb_policy_approve(struct ctl_call *c);
errint_t verb_policy_pending(struct ctl_call *c);
errint_t verb_put_text(struct ctl_call *c, const char *text, size_t len); /* rows `text` */
errint_t verb_policy_undo(struct ctl_call *c);
errint_t verb_retain(struct ctl_call *c);
errint_t verb_hold_add(struct ctl_call *c);
errint_t verb_hold_list(struct ctl_call *c);
errint_t verb_hold_release(struct ctl_call *c);
errint_t verb_export(struct ctl_call *c);
errint_t verb_export_ask(struct ctl_call *c);
errint_t verb_import(struct ctl_call *c);
errint_t verb_restore(struct ctl_call *c);
errint_t verb_scrub(struct ctl_call *c);
errint_t verb_plain_forget(struct ctl_call *c);
errint_t verb_put_once_plain(struct ctl_call *c); /* rows of the status */
errint_t verb_key_list(struct ctl_call *c);
errint_t verb_key_add(struct ctl_call *c);
errint_t verb_key_change(struct ctl_call *c);
errint_t verb_key_remove(struct ctl_call *c);
