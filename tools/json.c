#include "tools/json.h"

#include "tools/command.h"
#include "tools/say.h"

#include <stdio.h>
#include <string.h>

/* Keys whose values are text even if they look like numbers, and keys that say yes or no. */
static const char *const texts[] = {"archive", "mountpoint", "path", "class", "class-now", "class-then", "budget",
	"rule", "label", "id", "log-head", "log-key", "text", "unit", "directory", "exe-sha256", "head"};
static const char *const flags[] = {"synchronised", "catalogue-complete", "backing-in-place", "has-header", "own",
	"complete", "wants-write", "unidentified"};

static bool among(const char *key, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(key, list[i]))
			return true;
	return false;
}

json_t *json_bytes(const char *text)
{
	json_t *plain = json_string(text);
	if (plain)
		return plain;
	cleanup_free char *escaped = malloc(strlen(text) * 4 + 1);
	if (!escaped)
		return NULL;
	char *p = escaped;
	for (; *text; text++)
		p += (unsigned char)*text >= 0x80 ? sprintf(p, "\\x%02x", (unsigned char)*text)
						  : sprintf(p, "%c", *text);
	return json_string(escaped);
}

static json_t *value_of(const struct ctl_line *l, const struct ctl_field *f)
{
	int64_t v;
	if (among(f->key, texts, ARRAY_SIZE(texts)) || ctl_i64(l, f->key, &v))
		return json_bytes(f->value);
	if (among(f->key, flags, ARRAY_SIZE(flags)))
		return json_boolean(v);
	return v == INT64_MAX || v == INT64_MIN ? json_null() : json_integer(v);
}

json_t *json_row(const struct ctl_line *l)
{
	json_t *o = json_object();
	for (size_t i = 0; o && i < l->count; i++)
		if (json_object_set_new(o, l->field[i].key, value_of(l, &l->field[i]))) {
			json_decref(o);
			return NULL;
		}
	return o;
}

int json_print(json_t *root)
{
	bool failed = !root || json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	return failed ? say_error("cannot print: out of memory, or the output is closed") : EXIT_DONE;
}
