/* copy.h - what guard_copy.c writes and guard_restore.c reads. fs/FORMAT.md "The guard's snapshot". */
#pragma once

/* Items, each begun by its tag. Integers are little-endian; a text is its length, u16, at most 511, and its bytes; var is LEB128. */
enum copy_tag {
	COPY_BUDGET = 1, /* text name, u8 per, u64 reach in files and bytes, u64 in names: counted completely so far back */
	COPY_COUNTER,	 /* text budget, u64 payer, u32 uid, text label, u64 horizon */
	COPY_NAMES,	 /* of that counter: u64 sequence, u8 rings, each u64 window, u64 first span, u16 spans, each u16 behind the first, u32 names */
	COPY_ENTRIES,	 /* of that counter or grant, or own: u16 entries, each 16 bytes id, var time since the one before, var bytes */
	COPY_LOCKOUT,	 /* u32 uid, u64 since, u64 until, text budget, text window */
	COPY_CLOSURE,	 /* u64 since, u64 until, text reason, text except */
	COPY_GRANTS,	 /* u64 sequence: reads and names are counted up to there */
	COPY_GRANT,	 /* … */
	COPY_READ,	 /* u64 grant: its entries follow */
	COPY_OWN,	 /* its entries follow */
	COPY_END,
};

#define COPY_ENTRIES_MAX 1024u
