#include "ctl/verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_name[] = {
	[SLOT_PASSPHRASE] = "passphrase",
	[SLOT_KEY_FILE] = "key-file",
	[SLOT_RECOVERY] = "recovery",
};

static errint_t kind_parse(struct ctl_call *c, const char *key, enum slot_kind *ret)
{
	const char *name = ctl_str(c->args, key);
	for (size_t i = 0; i < ARRAY_SIZE(kind_name); i++)
		if (kind_name[i] && !strcmp(kind_name[i], name)) {
			*ret = (enum slot_kind)i;
			return 0;
		}
	return verb_fail(c, -EINVAL, "The argument '%s' names no kind of key", key);
}

errint_t verb_key_list(struct ctl_call *c)
{
	struct key_slot_info slot[KEYRING_SLOTS];
	size_t count = archive_keys(c->archive, slot);
	errint_t r = 0;
	for (size_t i = 0; !r && i < count; i++) {
		ctl_begin(&c->out, "key");
		ctl_put_u64(&c->out, "number", slot[i].number);
		ctl_put(&c->out, "kind", (size_t)slot[i].kind < ARRAY_SIZE(kind_name) ? kind_name[slot[i].kind] : "?");
		ctl_put(&c->out, "label", slot[i].label);
		ctl_put_i64(&c->out, "created", slot[i].created_at);
		ctl_put_u64(&c->out, "passes", slot[i].passes);
		ctl_put_u64(&c->out, "memory", slot[i].memory);
		r = verb_row(c);
	}
	return r;
}

struct key_request {
	struct slot_secret authorisation, added;
	struct slot_cost cost;
	const char *label;
};

/* The payload is the authorising secret, then the new one. */
static errint_t key_request_parse(struct ctl_call *c, struct key_request *q)
{
	int64_t first = 0, passes = 0, memory = 0;
	errint_t r = kind_parse(c, "auth-kind", &q->authorisation.kind);
	if (!r)
		r = kind_parse(c, "kind", &q->added.kind);
	if (!r)
		r = verb_number(c, "auth-bytes", &first);
	if (!r)
		r = verb_number(c, "passes", &passes);
	if (!r)
		r = verb_number(c, "memory", &memory);
	if (r)
		return r;
	q->label = ctl_str(c->args, "label");
	if (strlen(q->label) > SLOT_LABEL_MAX)
		return verb_fail(c, -EINVAL, "The label is longer than %d bytes", SLOT_LABEL_MAX);
	if (first <= 0 || (uint64_t)first >= c->payload_len)
		return verb_fail(c, -EINVAL, "The payload does not hold two secrets");
	bool costs = q->added.kind == SLOT_PASSPHRASE;
	if (costs && (passes < SLOT_PASSES_MIN || passes > SLOT_PASSES_MAX || memory < (int64_t)SLOT_MEMORY_MIN ||
			     memory > (int64_t)SLOT_MEMORY_MAX))
		return verb_fail(c, -EINVAL, "The cost of the new passphrase is out of bounds");
	q->cost = (struct slot_cost){.passes = (uint32_t)passes, .memory = (uint64_t)memory};
	q->authorisation.bytes = c->payload;
	q->authorisation.len = (size_t)first;
	q->added.bytes = c->payload + first;
	q->added.len = c->payload_len - (size_t)first;
	return 0;
}

static errint_t key_add(struct ctl_call *c, const struct key_request *q)
{
	uint32_t number;
	errint_t r = archive_key_add(c->archive, &q->authorisation, &q->added, q->label, &q->cost, &number, &c->fault);
	if (r)
		return r;
	ctl_begin(&c->out, "added");
	ctl_put_u64(&c->out, "number", number);
	return verb_row(c);
}

errint_t verb_key_add(struct ctl_call *c)
{
	struct key_request q;
	errint_t r = key_request_parse(c, &q);
	return r ? r : key_add(c, &q);
}

/* The slot that is to go: the one named, else the only one of the authorising kind. */
static errint_t slot_to_replace(
	struct ctl_call *c, enum slot_kind kind, uint32_t *ret, char label[static SLOT_LABEL_MAX + 1])
{
	struct key_slot_info slot[KEYRING_SLOTS];
	size_t count = archive_keys(c->archive, slot), found = 0;
	int64_t number = 0;
	errint_t r = verb_number(c, "number", &number);
	for (size_t i = 0; !r && i < count; i++)
		if (number ? slot[i].number == number : slot[i].kind == kind) {
			*ret = slot[i].number;
			strcpy(label, slot[i].label);
			found++;
		}
	if (r || found == 1)
		return r;
	if (number)
		return verb_fail(c, -ENOENT, "There is no key %" PRId64 "; lapse key list shows them", number);
	return verb_fail(c, -ENOTUNIQ,
		"There are %zu keys of this kind: name the one to change by its number (lapse key list)", found);
}

static errint_t key_remove(struct ctl_call *c, uint32_t number)
{
	errint_t r = archive_key_remove(c->archive, number, &c->fault);
	if (r)
		return r;
	ctl_begin(&c->out, "removed");
	ctl_put_u64(&c->out, "number", number);
	return verb_row(c);
}

errint_t verb_key_change(struct ctl_call *c)
{
	struct key_request q;
	uint32_t old;
	char label[SLOT_LABEL_MAX + 1];
	errint_t r = key_request_parse(c, &q);
	if (!r)
		r = slot_to_replace(c, q.authorisation.kind, &old, label);
	if (r)
		return r;
	if (!q.label[0])
		q.label = label;
	r = key_add(c, &q);
	return r ? r : key_remove(c, old);
}

errint_t verb_key_remove(struct ctl_call *c)
{
	int64_t number = 0;
	errint_t r = verb_number(c, "number", &number);
	if (r)
		return r;
	if (number <= 0 || number > UINT32_MAX)
		return verb_fail(c, -EINVAL, "key-remove needs the number of a key");
	return key_remove(c, (uint32_t)number);
}
