/* alert.h - alerts on their way out of the daemon: a small process without keys writes them to the journal and to syslog, and runs the policy's command. */
#pragma once

#include "base/helper.h"
#include "store/alert.h"

struct alert_out;

/* What the helper does for HELPER_ALERTS. */
helper_function alert_act;
/* Has the helper start that process. It ends when the daemon does, whatever ends that. */
errint_t alert_out_start(struct alert_out **ret);
/* Takes the alerts of an archive from now on, until it is closed. The command and the user that its policy names now are what the process will run, and nothing
 * else, for as long as it lives. `lines`: nobody else writes lines for people. */
void alert_out_use(struct alert_out *o, struct archive *a, bool lines);
/* Waits a while for commands that are still running. NULL is fine. */
void alert_out_end(struct alert_out *o);
