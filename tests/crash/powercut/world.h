/* world.h - time and chance as the simulator wants them: a run with one seed does the same things in the same order. */
#pragma once

#include <stdint.h>

/* Takes over the clocks that the store reads and the bytes that it draws. Before anything of the store is used. */
void world_begin(uint64_t seed);
/* The machine's wall clock, in ns; it stands but for what is asked of it. A machine that starts again has a new boot clock. */
int64_t world_now(void);
void world_pass(int64_t ns);
void world_boot(int64_t wall_ns);
uint64_t world_random(uint64_t *state); /* splitmix64 */
