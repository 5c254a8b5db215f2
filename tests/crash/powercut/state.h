/* state.h - what may be on the disk after a power cut.
 *
 * Data: each 512-byte sector of a file has, after the cut, what it had at some moment since the file's last sync, independently of all others; a write is
 * torn between sectors, and a write after a truncate is there only if the truncate is. The size follows what is there.
 * Metadata (entries, attributes): a prefix of what was done, for each of the two volumes; fsync of a directory brings it at least to the last change of
 * that directory, fsync of a file its attributes and size, not its entries, fdatasync its data and size. */
#pragma once

#include "trace.h"

#define SECTOR 512u
#define ANY    UINT32_MAX

enum choice_kind {
	CHOICE_ALL,	/* everything that was done */
	CHOICE_NONE,	/* only what was synced */
	CHOICE_NO_DATA, /* all metadata, only synced data */
	CHOICE_NO_META, /* all data, only synced metadata */
	CHOICE_VOLUME,	/* all of one volume (subject), only what was synced of the other */
	CHOICE_WITHOUT_OBJECT,
	CHOICE_ONLY_OBJECT,
	CHOICE_WITHOUT_EVENT,
	CHOICE_ONLY_EVENT,
	CHOICE_FIRST_HALF, /* of the event `subject`; all else is there */
	CHOICE_SECOND_HALF,
	CHOICE_META, /* metadata of the store's volume up to the event `subject`, all data */
	CHOICE_RANDOM,
};

struct choice {
	uint32_t cut; /* events before it were done */
	enum choice_kind kind;
	uint32_t subject;
	uint64_t seed;
	uint32_t deaf; /* a site whose syncs do nothing; ANY: none */
};
void choice_text(const struct choice *c, char *out, size_t cap);
bool choice_parse(const char *text, struct choice *ret);

struct state {
	const struct trace *t;
	struct choice c;
	uint32_t meta[VOLUMES];	/* metadata events before this one are there */
	uint32_t *data_synced;	/* of each object: data events before this one are there */
	uint32_t *attr_synced;
	uint64_t digest; /* equal for equal states */
	bool whole;	 /* nothing that was done is missing */
};
void state_make(const struct trace *t, const struct choice *c, struct state *ret);
void state_free(struct state *s);

/* Does it make a difference at this cut that the site's syncs do nothing? */
bool deaf_matters(const struct trace *t, uint32_t cut, uint32_t deaf);

/* What was not synced at a cut: objects with such data, such data events, and such events of the store's entries. */
struct pending {
	uint32_t *object, objects, *event, events, *entry, entries;
};
void pending_at(const struct trace *t, uint32_t cut, uint32_t deaf, struct pending *ret);
void pending_free(struct pending *p);

/* An object's content, of which only the first bytes are given and the rest is zeros; valid until the next call. */
void state_content(const struct state *s, uint32_t obj, const uint8_t **ret, size_t *ret_used, size_t *ret_len);
/* Is an event that changes entries or attributes there? */
bool state_has(const struct state *s, uint32_t event);
