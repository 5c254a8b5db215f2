/* command.h - a command is a const table entry: its options are data, from which parsing, --help and completion come. */
#pragma once

#include "base/base.h"

enum {
	EXIT_DONE = 0,
	EXIT_FINDING = 1, /* done, and something needs attention */
	EXIT_USAGE = 2,
	EXIT_ERROR = 3,
};

struct option_def {
	const char *name;     /* without the dashes */
	char letter;          /* '\0': none */
	const char *argument; /* "FILE", "DIR", "DURATION", "a|b"…: what completion offers; "[N]": may be left out (--watch or --watch=5); NULL: takes none */
	const char *help;
};
#define OPTIONS_END                    \
	{                              \
		NULL, '\0', NULL, NULL \
	}

struct args;

struct command {
	const char *name; /* one or two words */
	const char *operands;
	size_t min, max; /* how many operands */
	const char *summary;
	const char *details;                 /* shown by --help below the options */
	const struct option_def *options[4]; /* groups, each closed by OPTIONS_END */
	int (*run)(const struct args *a);
};

#define OPERANDS_MAX 64
#define GIVEN_MAX    64

struct given {
	const struct option_def *option;
	const char *value;
};

/* A parsed command line. */
struct args {
	const struct command *command;
	const char *operand[OPERANDS_MAX];
	size_t operands;
	struct given given[GIVEN_MAX];
	size_t given_count;
};

/* Parses what follows the command's words. EXIT_DONE to go on; otherwise it has said why, or shown --help, and *ret_exit is how to end. */
bool args_parse(const struct command *c, int argc, char *const *argv, struct args *ret, int *ret_exit);
/* The option's value, the last if it was given several times; NULL if it was not. The name must be one of the command's. */
const char *args_value(const struct args *a, const char *name);
const char *args_nth(const struct args *a, const char *name, size_t n);
bool args_has(const struct args *a, const char *name);
/* The operand, or NULL. */
const char *args_operand(const struct args *a, size_t n);

void command_help(const struct command *c);

/* Every command, ended by NULL (lapse.c). */
extern const struct command *const commands[];
/* The command that argv begins with, and how many words its name has; NULL if there is none. */
const struct command *command_find(int argc, char *const *argv, int *ret_words);
int command_main(int argc, char *const *argv);
/* For packaging/completions: prints what may follow the words given. */
int complete_main(int argc, char *const *argv);
int mount_helper_main(int argc, char *const *argv);

extern const struct command command_anchor_add;
extern const struct command command_anchor_backup;
extern const struct command command_anchor_drop;
extern const struct command command_anchor_reseed;
extern const struct command command_anchor_restore;
extern const struct command command_anchor_status;
extern const struct command command_audit_destroyed;
extern const struct command command_audit_export;
extern const struct command command_audit_exposure;
extern const struct command command_audit_read;
extern const struct command command_audit_tail;
extern const struct command command_audit_verify;
extern const struct command command_audit_who;
extern const struct command command_canary_list;
extern const struct command command_canary_plant;
extern const struct command command_canary_remove;
extern const struct command command_clock_confirm;
extern const struct command command_clock_status;
extern const struct command command_destroy;
extern const struct command command_explain;
extern const struct command command_export;
extern const struct command command_fsck;
extern const struct command command_grant_approve;
extern const struct command command_grant_list;
extern const struct command command_grant_request;
extern const struct command command_grant_revoke;
extern const struct command command_guard_close;
extern const struct command command_guard_learn;
extern const struct command command_guard_open;
extern const struct command command_guard_status;
extern const struct command command_guard_trust;
extern const struct command command_guard_unlock;
extern const struct command command_hold_add;
extern const struct command command_hold_list;
extern const struct command command_hold_release;
extern const struct command command_import;
extern const struct command command_init;
extern const struct command command_key_add;
extern const struct command command_key_change;
extern const struct command command_key_list;
extern const struct command command_key_remove;
extern const struct command command_mount;
extern const struct command command_policy_apply;
extern const struct command command_policy_approve;
extern const struct command command_policy_check;
extern const struct command command_policy_diff;
extern const struct command command_policy_pending;
extern const struct command command_policy_plan;
extern const struct command command_policy_show;
extern const struct command command_policy_undo;
extern const struct command command_queue;
extern const struct command command_retain;
extern const struct command command_restore;
extern const struct command command_scrub;
extern const struct command command_status;
extern const struct command command_umount;

/* Groups of options that several commands share. */
extern const struct option_def unlock_options[]; /* --key-file, --passphrase-fd */
extern const struct option_def output_options[]; /* -o, --json, --raw, --noheadings */
