/* alert_wire.h - what the daemon sends to the process that delivers its alerts, one packet each. */
#pragma once

#include "policy/alert.h"

#include <stdint.h>

#define WIRE_ARGUMENTS 33 /* with the NULL at their end */
#define WIRE_COMMAND   8192

enum wire_kind { WIRE_SETUP = 1, WIRE_ALERT };

/* Once, first. */
struct wire_setup {
	uint32_t kind, uid, arguments; /* 0: no command */
	char archive[256], uuid[37];
	char command[WIRE_COMMAND]; /* the arguments, each with its NUL */
};

#define WIRE_JOURNAL   1u
#define WIRE_SYSLOG    2u
#define WIRE_FALLBACK  4u /* to syslog, if the journal does not take it */
#define WIRE_RUN       8u

struct wire_alert {
	uint32_t kind, flags;
	uint32_t journal, syslog, json; /* bytes of each, in this order in `text` */
	char text[3 * ALERT_BYTES_MAX];
};

/* The process; returns when the other end of the socket is closed and what it had to do is done. */
void alert_deliver(int socket);
