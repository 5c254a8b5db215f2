/* run_admin.c - acts on time, holds, policy and keys. */
#include "run_internal.h"

#include "world.h"

#include "store/anchor.h"
#include "store/catalogue_internal.h"
#include "store/hold.h"
#include "store/holds.h"

#include <stdio.h>
#include <string.h>

#define SECOND	  INT64_C(1000000000)
#define WRITEBACK 60 /* seconds after which Linux has written back what nobody synced */

void do_pass(struct run *r, int64_t seconds)
{
	struct anchor_status s;
	struct text t = {.when.begin = run_here(r)};
	if (seconds >= WRITEBACK)
		trace_written_back(&r->trace);
	world_pass(seconds * SECOND);
	story_moment(&r->story, run_here(r), world_now());
	run_must("catch up", archive_catch_up(r->archive));
	archive_anchor_status(r->archive, &s);
	t.when.end = run_here(r);
	t.number = s.sequence;
	story_text(&r->story.shred, &r->story.shreds, &t);
}

/* Its readers are who looks at the state: what is past its date can be read by them. */
void do_hold(struct run *r, const char *name, const char *path)
{
	char glob[STORY_PATH + 2];
	struct fault f = {{0}};
	struct holding h = {.on.begin = run_here(r), .off = {UINT32_MAX, UINT32_MAX}, .file = run_file_at(r, path)};
	int n = snprintf(glob, sizeof glob, "%s\n", path);
	struct hold_request q = {.name = name, .reason = "a case", .review_at = INT64_MAX, .reader_count = 1, .globs = glob, .globs_len = (size_t)n};
	run_must("hold add", archive_hold_add(r->archive, &q, &run_subject, &f));
	h.on.end = run_here(r);
	story_holding(&r->story, &h);
}

/* No scan runs here: what the catalogue has is all that there is. */
static void catalogue_is_whole(struct run *r)
{
	atomic_store(&r->archive->catalogue->complete, true);
}

void do_hold_work(struct run *r)
{
	catalogue_is_whole(r);
	run_must("hold", holds_run_once(r->archive) ? -EAGAIN : 0);
}

void do_release(struct run *r, const char *name, const char *path)
{
	struct hold_plan plan;
	struct fault f = {{0}};
	uint32_t file = run_file_at(r, path), begin = run_here(r);
	catalogue_is_whole(r);
	run_must("hold plan", archive_hold_plan(r->archive, name, &plan, &f));
	run_must("hold release", archive_hold_release(r->archive, name, "closed", plan.id, &run_subject, &f));
	for (uint32_t i = 0; i < r->story.holdings; i++)
		if (r->story.holding[i].file == file && r->story.holding[i].off.begin == UINT32_MAX) {
			r->story.holding[i].off = (struct span){begin, run_here(r)};
			break; /* they are released in the order in which they came */
		}
}

void do_policy(struct run *r, const char *text)
{
	struct policy_diags diags = {0};
	struct fault f = {{0}};
	struct policy_plan plan;
	struct text t = {.when.begin = run_here(r), .text = text};
	catalogue_is_whole(r);
	run_must("policy apply", archive_policy_apply(r->archive, text, strlen(text), &(struct policy_change){.who = &run_subject}, &plan, &diags, &f));
	policy_plan_free(&plan);
	policy_diags_free(&diags);
	t.when.end = run_here(r);
	story_text(&r->story.policy, &r->story.policies, &t);
}

void do_key_add(struct run *r)
{
	static const struct slot_cost cost;
	struct fault f = {{0}};
	struct text t = {.when.begin = run_here(r), .number = 1};
	uint32_t number;
	run_must("key add", archive_key_add(r->archive, &key_first, &key_second, "second", &cost, &number, &f));
	t.when.end = run_here(r);
	story_text(&r->story.key, &r->story.keys, &t);
}

void do_key_remove(struct run *r)
{
	struct key_slot_info slot[KEYRING_SLOTS];
	struct fault f = {{0}};
	struct text t = {.when.begin = run_here(r)};
	size_t n = archive_keys(r->archive, slot);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(slot[i].label, "second"))
			run_must("key remove", archive_key_remove(r->archive, slot[i].number, &f));
	t.when.end = run_here(r);
	story_text(&r->story.key, &r->story.keys, &t);
}
