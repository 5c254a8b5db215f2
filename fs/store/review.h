/* review.h - headers and rows follow the policy in force, and directories that were moved: in the background, by a thread of its own.
 *
 * What counts is decided at each open (gate_review), so nothing waits for this. It wraps keys anew before their epoch ends where a file is to live longer
 * (a barrier in the anchor keeps them until then), writes shorter deadlines once `undo` has passed, and tells the queue. */
#pragma once

#include "store/internal.h"

errint_t review_new(struct archive *a); /* before any thread that may ask for a pass */
errint_t review_start(struct archive *a);
void review_stop(struct archive *a); /* its thread; what is asked for from then on is nobody's */
void review_free(struct archive *a); /* once no other thread is left */
/* A change is about to be made that the files have to follow; on record, so that the next mount goes on with it. `longer`: some will live longer: no epoch is
 * passed until they have been looked at. An error of the anchor or the disk: nothing may be changed. In any
 * case review_made has to follow. */
errint_t review_expect(struct archive *a, bool longer);
/* The same for a directory that is about to be moved: what is below it and has not settled by now is of the class that it comes to, whenever it is looked at. */
errint_t review_expect_move(struct archive *a);
/* It has been made, or not: look at every file. Any lock may be held but the reviewer's. */
void review_made(struct archive *a);
/* Look at every file. */
void review_kick(struct archive *a);
/* A file was left with a later deadline than counts: look at every file once a shorter one may be written. */
void review_shorter(struct archive *a);
/* The catalogue is about to be made from the headers, which may not follow the policy: look at every file once it is complete; on record. */
void review_remade(struct archive *a);
void review_complete(struct archive *a); /* the catalogue is */

/* Waits until the files follow what was asked for so far: where directories were moved, the next policy finds each file in the class that it came to. -EAGAIN: not
 * within a minute. No lock is held but apply_lock. */
errint_t review_settle(struct archive *a);
/* A row was put of a file whose deadlines were decided under those terms (gate_terms): if they have changed since, the pass may have come before the row. */
void review_late(struct archive *a, uint64_t terms);
/* Fills in what it says of the review. */
void review_status(struct archive *a, struct archive_status *ret);
