/* fresh_dir.c - the same of directories: their `.lapse-dir` has an id and a generation, as a file's header has. It is on disk before it is noted. */
#include "store/fresh_internal.h"

#include "store/gate_internal.h"
#include "store/ofile.h"

#include "base/log.h"

bool fresh_dir_is_old(struct archive *a, const struct dir_record *d)
{
	const struct fresh_item i = fresh_item(d->dir_id, d->generation);
	return fresh_table_floor(a->fresh->table, i.key) > i.floor;
}

void fresh_dir_raised(struct archive *a, const struct dir_record *d)
{
	fresh_raised_to(a, d->dir_id, d->generation);
}

void fresh_dir_seen(struct archive *a, const struct dir_record *d)
{
	fresh_seen_at(a, d->dir_id, d->generation);
}

void fresh_dir_take(struct archive *a, const struct dir_record *d)
{
	if (!a->observe && d->generation > 1 && fresh_floor(a, d->dir_id) < d->generation)
		fresh_dir_raised(a, d);
}

void fresh_dir_gone(struct archive *a, const struct dir_record *d)
{
	const struct fresh_item i = fresh_item(d->dir_id, 0);
	uint8_t item[FRESH_ITEM_BYTES];
	if (!fresh_table_floor(a->fresh->table, i.key))
		return;
	fresh_table_remove(a->fresh->table, i.key);
	fresh_item_put(&i, item);
	audit_raised(a->audit, item, sizeof item, tclock_trusted_ns(a->clock), tclock_wall_ns(a->clock));
}

void fresh_root(struct archive *a)
{
	struct dir_record *d = &a->root->dir->record;
	if (!fresh_dir_is_old(a, d)) {
		fresh_dir_seen(a, d);
		return;
	}
	gate_damage(a, d->dir_id, DIR_FILE_NAME, NULL, -1, -EBADMSG, "of the archive's root: " FRESH_OLD);
	log_line(LOG_LEVEL_ERROR, "%s/" DIR_FILE_NAME " was put back from an earlier time: nobody but its owner may enter the archive until mode and owner of its root are set again", a->path);
	d->mode &= 0700;
	d->generation = fresh_floor(a, d->dir_id);
}
