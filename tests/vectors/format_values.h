/* format_values.h - what the vectors of format.txt say when they are opened: shared by their maker and by the test that reads them. */
#pragma once

#include "crypt/header.h"
#include "crypt/hold.h"
#include "crypt/journal.h"
#include "crypt/name.h"
#include "crypt/log_seal.h"
#include "crypt/record.h"

#include <string.h>

/* Bytes seed, seed + 1, …, so that a reader of the file sees what is what. */
static inline void count_up(void *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)p)[i] = (uint8_t)(seed + i);
}

#define FILE_BLOCK_SIZE 4096u
#define FILE_PLAIN_SIZE 5000u

/* Of the header vector; wrapped is filled by the maker. */
static inline struct file_header vector_header(void)
{
	struct file_header h = {
		.state = HEADER_COMMITTED, .type = HEADER_REGULAR, .flags = HEADER_FLAG_TWO_HOMES, .generation = 7,
		.basis_kind = 3, .created_at = 1700000000, .basis_at = 1699999000, .modified_at = 1700000060,
		.retain_until = 1700600000, .expires_at = INT64_C(4070908800), .settles_at = 1700000180,
		.commits_at = 1700000360, .holds = {3, 1}, .key_kind = KEY_KIND_EPOCH, .tree = 2, .epoch = 67848479,
		.size = 184000,
	};
	count_up(h.file_id, sizeof h.file_id, 0x10);
	count_up(h.dir_id, sizeof h.dir_id, 0x30);
	count_up(h.class_fp, sizeof h.class_fp, 0x50);
	count_up(h.root, sizeof h.root, 0x60);
	count_up(h.home[0], HOME_BYTES, 0x80);
	count_up(h.home[1], HOME_BYTES, 0x90);
	return h;
}

/* Of the whole backing files: closed, no ceiling. Size, root and wrapped are filled by the maker. */
static inline struct file_header vector_file_header(void)
{
	struct file_header h = {
		.state = HEADER_CLOSED, .type = HEADER_REGULAR, .generation = 2, .basis_kind = 1, .created_at = 1700000000,
		.basis_at = 1700000000, .modified_at = 1700000000, .retain_until = INT64_MIN, .expires_at = INT64_MAX,
		.settles_at = 1700000120, .key_kind = KEY_KIND_ARCHIVE, .size = FILE_PLAIN_SIZE,
	};
	count_up(h.file_id, sizeof h.file_id, 0x10);
	count_up(h.dir_id, sizeof h.dir_id, 0x30);
	return h;
}

static inline struct dir_record vector_dir(void)
{
	struct dir_record d = {
		.flags = DIR_FLAG_TWO_HOMES | DIR_FLAG_VIEW, .generation = 4, .mode = 02775, .uid = 1000, .gid = 1001,
		.key_kind = KEY_KIND_ARCHIVE,
	};
	count_up(d.dir_id, sizeof d.dir_id, 0x30);
	count_up(d.name_key, sizeof d.name_key, 0xa0);
	count_up(d.parent_id, sizeof d.parent_id, 0x40);
	count_up(d.home[0], HOME_BYTES, 0x80);
	count_up(d.home[1], HOME_BYTES, 0x90);
	return d;
}

/* The first two records of the log: nearly every field, and as few as can be. The third is a seal, signed by the maker. */
static inline struct audit_record vector_record(int i)
{
	struct audit_record r;
	audit_record_clear(&r);
	if (i == 1) {
		r.kind = RECORD_UMOUNT;
		return r;
	}
	r.kind = RECORD_OPEN;
	r.decision = DECISION_DENY;
	r.flags = RECORD_FLAG_WANTS_WRITE;
	r.trusted_ns = INT64_C(1700000000123456789);
	r.wall_ns = INT64_C(1700000001000000000);
	r.error = -13;
	r.line = 41;
	r.policy_generation = 5;
	r.uid = 1000;
	r.login_uid = 1001;
	r.real_uid = 1002;
	r.gid = 1003;
	r.pid = 4242;
	r.session = 77;
	r.exe_dev = 0xfd01;
	r.exe_ino = 123456789;
	count_up(r.exe_sha256, sizeof r.exe_sha256, 0xc0);
	strcpy(r.unit, "viewer.service");
	count_up(r.file_id, sizeof r.file_id, 0x10);
	count_up(r.dir_id, sizeof r.dir_id, 0x30);
	count_up(r.class_fp, sizeof r.class_fp, 0x50);
	count_up(r.place, sizeof r.place, 0x80);
	r.generation = 7;
	r.expires_at = INT64_C(4070908800);
	r.bytes = 184000;
	strcpy(r.rule, "analysts");
	strcpy(r.budget, "desk");
	strcpy(r.text, "500/10min");
	r.name_tree = 2;
	r.name_epoch = 67848479;
	r.name_len = 32 + 14;
	count_up(r.name, r.name_len, 0xd0);
	return r;
}

static const char *const vector_journal_names[] = {
	[JOURNAL_BLOCK] = "journal.block", [JOURNAL_SIZE] = "journal.size", [JOURNAL_DONE] = "journal.done"};

static inline struct journal_lap vector_lap(void)
{
	struct journal_lap l = {.number = 9};
	count_up(l.id, sizeof l.id, 0x60);
	return l;
}

static inline struct journal_record vector_journal_record(enum journal_kind kind)
{
	struct journal_record r = {.kind = kind, .generation = 7};
	r.len = kind == JOURNAL_BLOCK ? 4096 : 0;
	r.at = kind == JOURNAL_DONE ? 0 : kind == JOURNAL_SIZE ? 70000 : 3;
	count_up(r.file_id, sizeof r.file_id, 0x10);
	return r;
}

/* Its globs and ids are static. */
static inline struct hold_object vector_hold(void)
{
	static char globs[] = "case 17/**\n**/0815.jpg\n";
	static uint8_t ids[2 * FILE_ID_BYTES];
	struct hold_object o = {.number = 3, .state = HOLD_PLACED, .since = 1700000000, .review_at = 1800000000, .reader_count = 2};
	strcpy(o.name, "case-17");
	strcpy(o.reason, "file 17/2023");
	o.reader[0] = 1000;
	o.reader[1] = 1002;
	count_up(ids, sizeof ids, 0x10);
	o.globs = globs;
	o.globs_len = sizeof globs - 1;
	o.id = ids;
	o.id_count = 2;
	return o;
}
