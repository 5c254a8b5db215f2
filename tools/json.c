#include "tools/json.h"

#include "tools/command.h"
#include "tools/paths.h"
#include "tools/say.h"

#include <stdio.h>
#include <string.h>

/* Keys whose values are text even if they look like numbers, and keys that say yes or no. */
static const char *const texts[] = {"archive", "mountpoint", "path", "class", "class-now", "class-then", "budget",
	"rule", "name", "reason", "ticket", "paths", "label", "id", "log-head", "log-key", "text", "unit", "directory", "exe-sha256", "head"};
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
	cleanup_free char *escaped = malloc(strlen(text) * 4 + 1);
	uint32_t c;
	char *p = escaped;
	for (size_t len; p && *text; text += len) {
		len = path_like_escape(text) ? 0 : path_char(text, &c);
		if (len)
			p = mempcpy(p, text, len);
		else
			p += sprintf(p, "\\x%02x", (unsigned char)*text);
		len = len ? len : 1;
	}
	if (!p)
		return NULL;
	*p = 0;
	return json_string(escaped);
}

/* Within strings only there is anything else than ASCII. */
static int put_plain(const char *buffer, size_t size, void *out)
{
	uint32_t c;
	for (size_t i = 0, len; i < size; i += len) {
		char one[5] = {0};
		memcpy(one, buffer + i, size - i < 4 ? size - i : 4);
		len = (unsigned char)one[0] >= 0x7f ? path_char(one, &c) : 0;
		const bool escape = len && path_control(one);
		len = len ? len : 1;
		if (escape ? fprintf(out, "\\u%04x", c) < 0 : fwrite(buffer + i, len, 1, out) != 1)
			return -1;
	}
	return 0;
}

int json_put(const json_t *root, FILE *out, size_t how)
{
	return json_dump_callback(root, put_plain, out, how);
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
	bool failed = !root || json_put(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	return failed ? say_error("cannot print: out of memory, or the output is closed") : EXIT_DONE;
}
