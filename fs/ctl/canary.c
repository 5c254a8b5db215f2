/* canary.c - decoys: ordered, cancelled, listed. Nobody but root and the daemon's user may know of them. */
#include "ctl/verb.h"

#include "store/canary_admin.h"

#include <string.h>

errint_t verb_canary_plant(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	int64_t per = 0, most = 0;
	errint_t r = verb_number(c, "per", &per);
	if (!r)
		r = verb_number(c, "most", &most);
	if (r)
		return r;
	if (per <= 0 || per > CANARY_PER_MAX || most < 0 || most > CANARY_PER_DIRECTORY_MAX)
		return verb_fail(c, -EINVAL, "The numbers of an order for decoys are out of range");
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	struct canary_wish w = {.path = ctl_str(c->args, "path"), .per = (uint32_t)per, .most = (uint32_t)most, .series = ctl_str(c->args, "series")};
	return archive_canary_order(c->archive, &w, &o, &c->fault);
}

errint_t verb_canary_remove(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	return archive_canary_cancel(c->archive, ctl_str(c->args, "path"), &o, &c->fault);
}

static errint_t put_places(struct ctl_call *c)
{
	struct canary_place *p;
	size_t count;
	errint_t r = archive_canary_places(c->archive, &p, &count);
	for (size_t i = 0; !r && i < count; i++) {
		ctl_begin(&c->out, "directory");
		if (p[i].path)
			ctl_put(&c->out, "path", p[i].path);
		if (p[i].ordered) {
			ctl_put_u64(&c->out, "per", p[i].per);
			ctl_put_u64(&c->out, "most", p[i].most);
			ctl_put(&c->out, "series", p[i].series);
			ctl_put_u64(&c->out, "seen", p[i].seen);
			ctl_put_i64(&c->out, "unable", -(int64_t)p[i].unable);
		}
		ctl_put_u64(&c->out, "living", p[i].living);
		ctl_put_u64(&c->out, "expired", p[i].expired);
		if ((r = verb_row(c)))
			break;
	}
	if (r != -ENOMEM)
		archive_canary_places_free(p, count);
	return r;
}

static errint_t put_files(struct ctl_call *c)
{
	struct canary_file *p;
	size_t count;
	errint_t r = archive_canary_files(c->archive, &p, &count);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++) {
		ctl_begin(&c->out, "canary");
		ctl_put_hex(&c->out, "id", p[i].file_id, sizeof p[i].file_id);
		ctl_put_i64(&c->out, "expires", p[i].expires_at);
		if (p[i].path)
			ctl_put(&c->out, "path", p[i].path);
		r = verb_row(c);
	}
	archive_canary_files_free(p, count);
	return r;
}

errint_t verb_canary_list(struct ctl_call *c)
{
	errint_t r = put_places(c);
	return r || !verb_flag(c, "files") ? r : put_files(c);
}
