/* payer.c - whom a budget counts together: a user, a session, a program, a service, everyone. */
#include <stdio.h>
#include <string.h>

#include "policy/guard_internal.h"

#define KIND_SHIFT 61
#define UNTOLD     ((UINT64_C(1) << KIND_SHIFT) - 1) /* of what cannot be told: one of its own for each kind */

static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static bool told_session(const struct subject *s)
{
	return !s->unidentified && s->session && s->session != POLICY_NO_UID;
}

/* One that a rule would not believe could be made to look like many. */
static bool told_program(const struct subject *s)
{
	return !s->unidentified && s->program.state == PROGRAM_VALID;
}

static bool told_service(const struct subject *s)
{
	return !s->unidentified && s->service && *s->service;
}

uint64_t payer_of(const struct budget_section *b, const struct subject *s, uint32_t uid)
{
	uint64_t key = UNTOLD;

	switch (b->per) {
	case PER_SESSION:
		key = told_session(s) ? s->session : key;
		break;
	case PER_PROGRAM:
		key = told_program(s) ? mix(mix(s->program.device) ^ s->program.inode) % UNTOLD : key;
		break;
	case PER_SERVICE:
		if (!told_service(s))
			break;
		key = 0;
		for (const char *c = s->service; *c; c++)
			key = mix(key ^ (uint8_t)*c);
		key %= UNTOLD;
		break;
	case PER_EVERYONE:
		key = 0;
		break;
	default:
		key = uid;
	}
	return (uint64_t)b->per << KIND_SHIFT | key;
}

bool payer_is_of(const struct budget_section *b, uint64_t payer)
{
	return payer >> KIND_SHIFT == (uint64_t)b->per;
}

void payer_label(const struct budget_section *b, const struct subject *s, char out[static PAYER_LABEL_MAX])
{
	*out = '\0';
	if (b->per == PER_SESSION && told_session(s))
		snprintf(out, PAYER_LABEL_MAX, "session %u", s->session);
	else if (b->per == PER_PROGRAM && told_program(s) && s->program.known[0])
		snprintf(out, PAYER_LABEL_MAX, "%s", s->program.known[0]);
	else if (b->per == PER_PROGRAM && told_program(s))
		snprintf(out, PAYER_LABEL_MAX, "program %llu on device %llu", (unsigned long long)s->program.inode, (unsigned long long)s->program.device);
	else if (b->per == PER_SERVICE && told_service(s))
		snprintf(out, PAYER_LABEL_MAX, "%s", s->service);
	else if (b->per == PER_SESSION || b->per == PER_PROGRAM || b->per == PER_SERVICE)
		snprintf(out, PAYER_LABEL_MAX, "unidentified");
}
