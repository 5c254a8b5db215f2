#include "tools/command.h"
#include "tools/human.h"
#include "tools/prompt.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/target.h"
#include "tools/unlock.h"

#include "base/secret.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- list ----------------------------------------------------------------------------------------------------------------- */

enum { C_NUMBER, C_KIND, C_LABEL, C_CREATED, C_MEMORY, C_PASSES };

static const struct column columns[] = {
	[C_NUMBER] = {"NUMBER", .right = true, .help = "names the key for remove and change"},
	[C_KIND] = {"KIND", .help = "passphrase, key-file or recovery"},
	[C_LABEL] = {"LABEL", .help = "what it was called"},
	[C_CREATED] = {"CREATED", .help = "when it was added"},
	[C_MEMORY] = {"MEMORY", .right = true, .hidden = true, .help = "Argon2id memory"},
	[C_PASSES] = {"PASSES", .right = true, .hidden = true, .help = "Argon2id passes"},
};

static void key_row(struct table *t, int64_t number, const char *kind, const char *label, int64_t created,
	uint64_t memory, int64_t passes)
{
	char text[HUMAN_BYTES];
	table_row(t);
	table_number(t, C_NUMBER, number, NULL);
	table_text(t, C_KIND, kind);
	table_text(t, C_LABEL, label);
	table_number(t, C_CREATED, created, human_time(created, text));
	table_number(t, C_MEMORY, (int64_t)memory, memory ? human_size(memory, text) : "-");
	table_number(t, C_PASSES, passes, NULL);
}

static errint_t list_row(void *ctx, const struct ctl_line *row)
{
	if (!strcmp(row->word, "key"))
		key_row(ctx, ctl_num(row, "number", 0), ctl_str(row, "kind"), ctl_str(row, "label"),
			ctl_num(row, "created", 0), (uint64_t)ctl_num(row, "memory", 0), ctl_num(row, "passes", 0));
	return 0;
}

static const char *kind_word(enum slot_kind k)
{
	return k == SLOT_PASSPHRASE ? "passphrase" : k == SLOT_KEY_FILE ? "key-file" : "recovery";
}

/* The slots' labels are in clear: an archive that is not mounted needs no key to list them. */
static int list_offline(const char *path, struct table *t, bool *ret_done)
{
	struct key_slot_info slot[KEYRING_SLOTS];
	struct ctl_daemon *d = calloc(1, sizeof *d);
	cleanup_free struct keyring *kr = calloc(1, sizeof *kr);
	char resolved[CTL_PATH_MAX];
	size_t count;
	struct fault f = {0};
	*ret_done = d && kr && path && path_resolve(path, resolved) && ctl_find(resolved, d, NULL, NULL) == -ENOENT;
	free(d);
	if (!*ret_done)
		return EXIT_DONE;
	errint_t r = archive_keys_offline(resolved, slot, &count, kr, &f);
	if (r)
		return say_fault(&f, r, path);
	for (size_t i = 0; i < count; i++)
		key_row(t, slot[i].number, kind_word(slot[i].kind), slot[i].label, slot[i].created_at, slot[i].memory,
			slot[i].passes);
	return EXIT_DONE;
}

static int list_run(const struct args *a)
{
	struct table *t = table_new(a, "keys", columns, ARRAY_SIZE(columns));
	struct ctl_request q;
	struct target target;
	bool done;
	if (!t)
		return EXIT_USAGE;
	int e = list_offline(args_operand(a, 0), t, &done);
	if (!done)
		e = target_open(a, args_operand(a, 0), "key-list", &target);
	if (!done && e == EXIT_DONE) {
		ctl_request_begin(&q, "key-list");
		e = target_ask(&target, &q, list_row, t);
		target_close(&target);
	}
	if (e == EXIT_DONE)
		e = table_print(t);
	table_free(t);
	return e;
}

const struct command command_key_list = {
	.name = "key list",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "List the passphrases, key files and recovery keys that open the archive.",
	.details = "Columns: NUMBER KIND LABEL CREATED, and MEMORY PASSES.",
	.options = {output_options, unlock_options},
	.run = list_run,
};

/* ---- add and change ------------------------------------------------------------------------------------------------------- */

static const struct option_def new_options[] = {
	{"new-key-file", '\0', "FILE", "the new key: a file of 32 random bytes"},
	{"new-passphrase-fd", '\0', "N", "read the new passphrase from file descriptor N"},
	{"label", '\0', "TEXT", "what to call it in lapse key list"},
	OPTIONS_END,
};

static errint_t numbers_row(void *ctx, const struct ctl_line *row)
{
	int64_t *number = ctx;
	if (!strcmp(row->word, "added"))
		number[0] = ctl_num(row, "number", 0);
	if (!strcmp(row->word, "removed"))
		number[1] = ctl_num(row, "number", 0);
	return 0;
}

static int send_keys(struct target *t, struct ctl_request *q, const struct unlock *auth, const struct unlock *added,
	int64_t number[static 2])
{
	struct slot_cost cost;
	struct fault f = {0};
	size_t len = auth->secret.len + added->secret.len;
	int e = unlock_cost(added, &cost);
	uint8_t *payload = secret_alloc(len);
	if (e == EXIT_DONE && !payload)
		e = say_error("out of memory");
	if (e != EXIT_DONE) {
		secret_free(payload, len);
		ctl_request_free(q);
		return e;
	}
	memcpy(payload, auth->secret.bytes, auth->secret.len);
	memcpy(payload + auth->secret.len, added->secret.bytes, added->secret.len);
	ctl_put(&q->line, "auth-kind", unlock_kind(auth));
	ctl_put_u64(&q->line, "auth-bytes", auth->secret.len);
	ctl_put(&q->line, "kind", unlock_kind(added));
	ctl_put_u64(&q->line, "passes", cost.passes);
	ctl_put_u64(&q->line, "memory", cost.memory);
	q->payload = payload;
	q->payload_len = len;
	errint_t r = target_try(t, q, numbers_row, number, &f);
	secret_free(payload, len);
	if (r && number[0])
		say_warning("key %" PRId64
			    " was added, but the old one is still there; remove it with lapse key remove",
			number[0]);
	return r ? say_fault(&f, r, t->daemon.archive) : EXIT_DONE;
}

/* What opened the archive here authorises; a daemon needs to be told. */
static int secrets_get(const struct args *a, struct target *t, struct unlock *added)
{
	const char *archive = t->daemon.archive;
	int e = t->archive ? EXIT_DONE
			   : unlock_get(archive, args_value(a, "key-file"), args_value(a, "passphrase-fd"), UNLOCK_OPEN,
				     &t->unlock);
	return e == EXIT_DONE ? unlock_get(archive, args_value(a, "new-key-file"), args_value(a, "new-passphrase-fd"),
					UNLOCK_NEW, added)
			      : e;
}

static int add_or_change(const struct args *a, const char *verb, int64_t number[static 2])
{
	struct target t;
	struct ctl_request q;
	struct unlock added = {0};
	const char *label = args_value(a, "label"), *slot = args_operand(a, 1);
	int e = target_open(a, a->operand[0], verb, &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, verb);
	if (label)
		ctl_put(&q.line, "label", label);
	if (slot)
		ctl_put(&q.line, "number", slot);
	e = secrets_get(a, &t, &added);
	if (e == EXIT_DONE)
		e = send_keys(&t, &q, &t.unlock, &added, number);
	else
		ctl_request_free(&q);
	unlock_free(&added);
	target_close(&t);
	return e;
}

static int add_run(const struct args *a)
{
	int64_t number[2] = {0};
	int e = add_or_change(a, "key-add", number);
	if (e == EXIT_DONE)
		printf("Added key %" PRId64 ". It has been read back and opens the archive.\n", number[0]);
	return e;
}

const struct command command_key_add = {
	.name = "key add",
	.operands = "ARCHIVE",
	.min = 1,
	.max = 1,
	.summary = "Add a passphrase or key file that opens the archive; --key-file or --passphrase-fd name one that "
		   "does already.",
	.options = {new_options, unlock_options},
	.run = add_run,
};

static int change_run(const struct args *a)
{
	int64_t number[2] = {0};
	int e = add_or_change(a, "key-change", number);
	if (e == EXIT_DONE)
		printf("Key %" PRId64 " takes the place of key %" PRId64
		       ", which opens nothing any more, not even from an old copy of the keyring.\n",
			number[0], number[1]);
	return e;
}

const struct command command_key_change = {
	.name = "key change",
	.operands = "ARCHIVE [NUMBER]",
	.min = 1,
	.max = 2,
	.summary = "Put a new passphrase or key file in the place of an old one: of key NUMBER, else of the only one "
		   "of the kind you open with.",
	.options = {new_options, unlock_options},
	.run = change_run,
};

/* ---- remove --------------------------------------------------------------------------------------------------------------- */

static int confirm(const struct args *a, const char *number)
{
	char question[256], answer[32];
	if (args_has(a, "yes") || !prompt_possible())
		return EXIT_DONE;
	snprintf(question, sizeof question,
		"Key %.20s will open nothing any more, not even together with an old copy of the store.\nType its "
		"number to go on: ",
		number);
	if (prompt_line(question, answer, sizeof answer) || strcmp(answer, number))
		return say_error("not confirmed; nothing was changed");
	return EXIT_DONE;
}

static int remove_run(const struct args *a)
{
	struct target t;
	struct ctl_request q;
	const char *number = a->operand[1];
	int64_t numbers[2] = {0};
	if (strspn(number, "0123456789") != strlen(number))
		return say_usage("'%s' is no key's number; lapse key list shows them", number);
	int e = confirm(a, number);
	if (e == EXIT_DONE)
		e = target_open(a, a->operand[0], "key-remove", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "key-remove");
	ctl_put(&q.line, "number", number);
	e = target_ask(&t, &q, numbers_row, numbers);
	target_close(&t);
	if (e == EXIT_DONE)
		printf("Removed key %" PRId64 ".\n", numbers[1]);
	return e;
}

static const struct option_def remove_options[] = {
	{"yes", 'y', NULL, "do not ask for the number again"},
	OPTIONS_END,
};

const struct command command_key_remove = {
	.name = "key remove",
	.operands = "ARCHIVE NUMBER",
	.min = 2,
	.max = 2,
	.summary = "Remove a passphrase, key file or recovery key. The last one cannot be removed.",
	.options = {remove_options, unlock_options},
	.run = remove_run,
};
