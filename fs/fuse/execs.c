#include "fuse/execs.h"

#include <linux/bpf.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

static const _Atomic uint64_t *counted;
static int attached = -1; /* counts as long as it is open */

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* A number that both the kernel's program and a mapping reach. */
static int number_make(void)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_ARRAY;
	a.key_size = sizeof(uint32_t);
	a.value_size = sizeof(uint64_t);
	a.max_entries = 1;
	a.map_flags = BPF_F_MMAPABLE;
	strcpy(a.map_name, "lapse_execs");
	return bpf(BPF_MAP_CREATE, &a);
}

/* Adds one to it. */
static int program_make(int number)
{
	const struct bpf_insn code[] = {
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_VALUE, .imm = number},
		{.code = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 1},
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_2, .imm = BPF_ADD},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
	a.insns = (uintptr_t)code;
	a.insn_cnt = ARRAY_SIZE(code);
	a.license = (uintptr_t)"";
	strcpy(a.prog_name, "lapse_execs");
	return bpf(BPF_PROG_LOAD, &a);
}

static int attach(int program)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.raw_tracepoint.name = (uintptr_t)"sched_process_exec";
	a.raw_tracepoint.prog_fd = (uint32_t)program;
	return bpf(BPF_RAW_TRACEPOINT_OPEN, &a);
}

/* A program of BPF is passed over where it is running already on that processor. At a tracepoint nothing else runs meanwhile, but in a kernel for real time. */
static bool may_miss(void)
{
	struct utsname u;

	return uname(&u) < 0 || strstr(u.version, "PREEMPT_RT");
}

void execs_watch(void)
{
	cleanup_fd int number = may_miss() ? -1 : number_make();
	cleanup_fd int program = number < 0 ? -1 : program_make(number);
	void *p = program < 0 ? MAP_FAILED : mmap(NULL, sizeof(*counted), PROT_READ, MAP_SHARED, number, 0);

	if (p == MAP_FAILED)
		return;
	counted = p;
	attached = attach(program);
	if (attached < 0)
		execs_forget();
}

uint64_t execs_count(void)
{
	return counted ? atomic_load_explicit(counted, memory_order_acquire) + 1 : 0;
}

void execs_forget(void)
{
	if (counted)
		munmap((void *)counted, sizeof(*counted));
	counted = NULL;
	cleanup_closep(&attached);
}
