#include "store/approval.h"
#include "store/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool wants_approver(struct archive *a)
{
	struct policy *p = gate_policy(a);
	bool wants = policy_settings(p)->approve != POLICY_APPROVE_NONE;

	policy_unref(p);
	return wants;
}

errint_t archive_export_ask(struct archive *a, const struct export_ask *ask, char ret_waits[static 17], struct fault *f)
{
	const char *class_ = ask->class_ ? ask->class_ : "";
	const struct approval_ask what = {.text = class_, .len = strlen(class_), .reason = ask->reason, .who = ask->who, .alone = ask->alone};
	struct waiting new = {.is_export = true};
	errint_t r = 0;

	*ret_waits = '\0';
	if (*class_)
		snprintf(new.why, sizeof new.why, "an export of class %s", class_);
	else
		snprintf(new.why, sizeof new.why, "an export of everything");
	pthread_mutex_lock(&a->gate->apply_lock);
	if (wants_approver(a) && !(r = approval_keep(a, &new, &what, f)))
		memcpy(ret_waits, new.id, sizeof new.id);
	pthread_mutex_unlock(&a->gate->apply_lock);
	return r;
}

errint_t approval_allow(struct archive *a, struct waiting *w, const struct policy_change *change, struct policy_plan *ret)
{
	char reason[RECORD_TEXT_MAX];
	errint_t r;

	approval_reason(w, change, reason);
	r = approval_record(a, w, change->who, "approved", reason);
	if (r)
		return r;
	w->approved = true;
	w->approved_by = change->who->login_uid;
	ret->export = true;
	return 0;
}

/* Whether this is the export that was approved. */
static errint_t check(struct archive *a, const struct waiting *w, const struct export_options *o, struct fault *f)
{
	if (!w || !w->is_export)
		return fault_set(f, -ENOENT, "no export waits under %s: it is asked for without an id, and begins once when it is approved", o->approved);
	if (w->by.login_uid != o->who->login_uid)
		return fault_set(f, -EACCES, "another person asked for this export, and has to begin it");
	if (strcmp(w->text, o->class_ ? o->class_ : ""))
		return fault_set(f, -EACCES, "it was asked for %s, not for %s", *w->text ? w->text : "everything", o->class_ ? o->class_ : "everything");
	if (!w->approved)
		return fault_set(f, -EACCES, "nobody has approved it yet");
	if (w->generation != atomic_load(&a->gate->generation))
		return fault_set(f, -ESTALE, "the policy has changed since this was asked for; it has to be asked for anew");
	return 0;
}

static errint_t begin(struct archive *a, const struct export_options *o, char ret_text[static RECORD_TEXT_MAX], struct fault *f)
{
	const struct waiting *w = approval_find(a, o->approved);
	char text[RECORD_TEXT_MAX - sizeof "exported: "];
	errint_t r = check(a, w, o, f);

	if (r)
		return r;
	snprintf(text, sizeof text, "id %s, approved by login uid %" PRIu32 ": %s", w->id, w->approved_by, w->reason);
	if (approval_record(a, w, o->who, "begins", text))
		return -EIO;
	snprintf(ret_text, RECORD_TEXT_MAX, "exported: %s", text);
	approval_forget(a, o->approved);
	return 0;
}

errint_t approval_begin_export(struct archive *a, const struct export_options *o, char ret_text[static RECORD_TEXT_MAX], struct fault *f)
{
	errint_t r = 0;

	pthread_mutex_lock(&a->gate->apply_lock);
	if (o->approved)
		r = begin(a, o, ret_text, f);
	else if (wants_approver(a))
		r = fault_set(f, -EACCES, "the policy in force wants an approver for an export: ask for it first");
	else
		snprintf(ret_text, RECORD_TEXT_MAX, "exported: %s", o->reason);
	pthread_mutex_unlock(&a->gate->apply_lock);
	return r;
}
