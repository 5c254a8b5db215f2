#include "ctl/verb.h"

#include "base/io.h"
#include "store/anchor.h" /* and what headers say */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FLUSH_BYTES 32768

static errint_t verb_ping(struct ctl_call *c)
{
	uint8_t uuid[UUID_BYTES];
	char text[37];
	archive_uuid(c->archive, uuid);
	uuid_text(uuid, text);
	ctl_begin(&c->out, "pong");
	ctl_put(&c->out, "version", LAPSE_VERSION);
	ctl_put(&c->out, "archive", archive_path(c->archive));
	ctl_put(&c->out, "mountpoint", c->hooks ? c->hooks->mountpoint : "");
	ctl_put(&c->out, "uuid", text);
	ctl_put_i64(&c->out, "pid", getpid());
	return verb_row(c);
}

static errint_t verb_umount(struct ctl_call *c)
{
	if (!c->hooks || !c->hooks->umount)
		return verb_fail(c, -EOPNOTSUPP, "This archive is not mounted");
	c->hooks->umount(c->hooks->ctx);
	return 0;
}

/* Who may ask: whoever has one of these roles (policy/role.c). */
#define OPERATOR ROLE_OPERATOR
#define OFFICER  ROLE_OFFICER
#define AUDITOR  ROLE_AUDITOR
#define APPROVER ROLE_APPROVER
#define ANY_ROLE (OPERATOR | OFFICER | AUDITOR | APPROVER)
#define ANYONE   0u /* also who has none */

#define OBSERVES 2u /* changes nothing: may run on an archive opened with `observe` */
#define PAYLOAD  4u /* needs one; no other verb takes one */
#define STREAMS  8u /* goes on for long, with a thread and its connection to itself */

static const struct verb {
	const char *name;
	unsigned roles, flags;
	errint_t (*run)(struct ctl_call *c);
} verbs[] = {
	{"anchor-add", OPERATOR, 0, verb_anchor_add},
	{"anchor-backup", OPERATOR, 0, verb_anchor_backup},
	{"anchor-drop", OPERATOR, 0, verb_anchor_drop},
	{"anchor-reseed", OPERATOR, 0, verb_anchor_reseed},
	{"anchor-status", ANY_ROLE, OBSERVES, verb_anchor_status},
	{"audit-destroyed", AUDITOR | OFFICER, OBSERVES, verb_audit_destroyed},
	{"audit-export", AUDITOR, STREAMS, verb_audit_export},
	{"audit-exposure", AUDITOR, OBSERVES | STREAMS, verb_audit_exposure},
	{"audit-read", AUDITOR, OBSERVES | STREAMS, verb_audit_read},
	{"audit-tail", AUDITOR, OBSERVES | STREAMS, verb_audit_tail},
	{"audit-verify", AUDITOR | OPERATOR, OBSERVES | STREAMS, verb_audit_verify},
	{"audit-who", AUDITOR, OBSERVES | STREAMS, verb_audit_who},
	{"canary-list", OFFICER, OBSERVES, verb_canary_list},
	{"canary-plant", OFFICER, 0, verb_canary_plant},
	{"canary-remove", OFFICER, 0, verb_canary_remove},
	{"clock-confirm", OFFICER, 0, verb_clock_confirm},
	{"clock-status", ANY_ROLE, OBSERVES, verb_clock_status},
	{"denied", ANYONE, OBSERVES, verb_denied},
	{"destroy", OFFICER, PAYLOAD, verb_destroy},
	{"explain", ANY_ROLE, OBSERVES, verb_explain},
	{"grant-approve", APPROVER | OFFICER, 0, verb_grant_approve},
	{"grant-list", OFFICER | AUDITOR | APPROVER, OBSERVES, verb_grant_list},
	{"grant-request", OFFICER, 0, verb_grant_request},
	{"grant-revoke", OFFICER, 0, verb_grant_revoke},
	{"guard-close", OFFICER, 0, verb_guard_close},
	{"guard-learn", OFFICER | AUDITOR, OBSERVES, verb_guard_learn},
	{"guard-open", OFFICER, 0, verb_guard_open},
	{"guard-status", OFFICER | AUDITOR, OBSERVES, verb_guard_status},
	{"guard-unlock", OFFICER, 0, verb_guard_unlock},
	{"hold-add", OFFICER, PAYLOAD, verb_hold_add},
	{"hold-list", ANY_ROLE, OBSERVES, verb_hold_list},
	{"hold-release", OFFICER, 0, verb_hold_release},
	{"export", OFFICER, STREAMS, verb_export},
	{"export-ask", OFFICER, 0, verb_export_ask},
	{"import", OPERATOR, STREAMS, verb_import},
	{"key-add", OPERATOR, PAYLOAD, verb_key_add},
	{"key-change", OPERATOR, PAYLOAD, verb_key_change},
	{"key-list", ANY_ROLE, OBSERVES, verb_key_list},
	{"key-remove", OPERATOR, 0, verb_key_remove},
	{"metrics", ANY_ROLE, OBSERVES, verb_metrics},
	{"ping", ANYONE, OBSERVES, verb_ping},
	{"plain-forget", OFFICER, 0, verb_plain_forget},
	{"policy-approve", APPROVER | OFFICER, 0, verb_policy_approve},
	{"policy-pending", OFFICER | APPROVER, 0, verb_policy_pending},
	{"policy-apply", OFFICER, PAYLOAD, verb_policy_apply},
	{"policy-plan", OFFICER, PAYLOAD | OBSERVES, verb_policy_plan},
	{"policy-show", ANY_ROLE, OBSERVES, verb_policy_show},
	{"policy-undo", OFFICER, 0, verb_policy_undo},
	{"queue", OPERATOR | OFFICER | AUDITOR, OBSERVES, verb_queue},
	{"restore", OPERATOR, STREAMS, verb_restore},
	{"scrub", OPERATOR, OBSERVES | STREAMS, verb_scrub},
	{"retain", OFFICER, 0, verb_retain},
	{"stats", ANY_ROLE, OBSERVES, verb_stats},
	{"status", ANY_ROLE, OBSERVES, verb_status},
	{"umount", OPERATOR, 0, verb_umount},
};

static const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

bool ctl_verb_observes(const char *name)
{
	const struct verb *v = verb_find(name);
	return v && (v->flags & OBSERVES);
}

bool ctl_verb_streams(const char *name)
{
	const struct verb *v = verb_find(name);
	return v && (v->flags & STREAMS);
}

unsigned ctl_peer_roles(struct archive *a, const struct ctl_peer *p)
{
	struct policy *policy = a ? archive_policy(a) : NULL;
	unsigned roles = policy_roles(policy, p->uid == 0 || p->uid == p->owner, p->gid, p->groups, p->group_count);
	policy_unref(policy);
	return roles;
}

static bool permits(const struct verb *v, struct archive *a, const struct ctl_peer *p)
{
	return !v->roles || p->has_key || (ctl_peer_roles(a, p) & v->roles);
}

bool ctl_verb_permits(const char *name, struct archive *a, const struct ctl_peer *p)
{
	const struct verb *v = verb_find(name);
	return v && permits(v, a, p);
}

static errint_t permit(struct ctl_call *c, const struct verb *v)
{
	static const struct ctl_peer root = {.pid = 1};
	char who[128] = "";
	if (permits(v, c->archive, &c->peer))
		return 0;
	if (ctl_peer_roles(c->archive, &root) & v->roles)
		return verb_fail(c, -EACCES, "Only root and the user who mounted the archive may do this (%s)", v->name);
	for (unsigned role = 1; role <= ROLE_APPROVER; role *= 2)
		if (v->roles & role)
			snprintf(who + strlen(who), sizeof who - strlen(who), "%s%s", *who ? ", " : "", policy_role_word((enum policy_role)role));
	return verb_fail(c, -EACCES, "Only members of the groups that the policy names as %s may do this (%s)", who, v->name);
}

static errint_t verb_dispatch(struct ctl_call *c)
{
	const struct verb *v = verb_find(c->args->word);
	if (!v)
		return verb_fail(c, -EOPNOTSUPP, "This daemon does not know the verb '%s'", c->args->word);
	errint_t r = permit(c, v);
	if (r)
		return r;
	if (!(v->flags & PAYLOAD) != !c->payload_len)
		return verb_fail(c, -EINVAL, "The verb '%s' %s", v->name,
			c->payload_len ? "takes no payload" : "needs a payload");
	if ((v->flags & STREAMS) && !c->stream)
		return verb_fail(c, -EINVAL, "The verb '%s' needs a connection to itself", v->name);
	return v->run(c);
}

errint_t ctl_run(struct ctl_call *c)
{
	errint_t r = verb_dispatch(c);
	if (r == -EPIPE)
		return r;
	if (c->out.bad) /* what was gathered may end inside a line */
		return -EPIPE;
	if (r) {
		c->failed = true;
		ctl_begin(&c->out, "error");
		ctl_put_i64(&c->out, "errno", -r);
		ctl_put(&c->out, "text", c->fault.text[0] ? c->fault.text : strerror(-r));
	} else {
		ctl_begin(&c->out, "ok");
	}
	ctl_end(&c->out);
	return c->out.bad ? -EPIPE : c->flush(c);
}

errint_t verb_row(struct ctl_call *c)
{
	ctl_end(&c->out);
	if (c->out.bad)
		return -EPIPE;
	return c->out.len >= FLUSH_BYTES ? c->flush(c) : 0;
}

errint_t verb_number(struct ctl_call *c, const char *key, int64_t *ret)
{
	errint_t r = ctl_i64(c->args, key, ret);
	return r == 0 || r == -ENOENT ? 0 : verb_fail(c, -EINVAL, "The argument '%s' is no number", key);
}

const char *verb_state_word(unsigned state)
{
	static const char *const word[] = {
		[HEADER_OPEN] = "open", [HEADER_CLOSED] = "closed", [HEADER_COMMITTED] = "committed"};
	return state < ARRAY_SIZE(word) && word[state] ? word[state] : "unknown";
}

const char *verb_key_word(unsigned kind)
{
	static const char *const word[] = {
		[KEY_KIND_ARCHIVE] = "archive", [KEY_KIND_EPOCH] = "epoch", [KEY_KIND_HOLD] = "hold"};
	return kind < ARRAY_SIZE(word) && word[kind] ? word[kind] : "unknown";
}

bool verb_flag(const struct ctl_call *c, const char *key)
{
	return !strcmp(ctl_str(c->args, key), "1");
}
