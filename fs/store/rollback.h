/* rollback.h - a part of the archive that is not of the time that the others know: refused, noted by lapse fsck, or accepted by it. Private to the
 * opening of an archive. */
#pragma once

#include "store/internal.h"

#define ROLLBACK_ACCEPTED "rollback accepted: " /* how the text of its record begins */
/* Whether it can stand in a record as the reason for something: one line of 1 to ROLLBACK_REASON_MAX bytes. */
bool reason_is_text(const char *reason);
/* Whether to go on although this part is behind. */
bool rollback_goes_on(struct archive *a, enum archive_part part);
/* Whether it was accepted that this part is behind. */
bool rollback_accepted(const struct archive *a, enum archive_part part);
/* Before anything is read but keyring and anchor: the reason can be recorded, and the archive is as it was shown. */
errint_t rollback_begin(struct archive *a, struct fault *f);
/* The record of it, at the log's own end. */
errint_t rollback_record(struct archive *a);
/* The anchor names log, policy and keyring as they are now. It is not brought back: what had expired stays shredded. */
errint_t rollback_finish(struct archive *a, struct fault *f);
