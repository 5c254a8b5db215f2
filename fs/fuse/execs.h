/* execs.h - how often a program has been executed on this machine: as long as that is the same number, whoever has asked runs what he ran then.
 *
 * The kernel counts, by five instructions of BPF at its tracepoint for a successful execve(2), which runs in the thread that executes and before the program's first
 * instruction, in memory that the daemon reads; no call to the system is needed to ask. */
#pragma once

#include "base/base.h"

/* Before the process is confined and has threads; once. Where the kernel does not let it (no root, no BPF, a lockdown), nothing is counted. */
void execs_watch(void);
/* Never 0 where it is counted, else always. Thread-safe. What is looked at after asking for it holds until the number is another one. */
uint64_t execs_count(void);
/* Nothing is counted any more. */
void execs_forget(void);
