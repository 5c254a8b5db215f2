/* dispatch_fuzz.h - what the fuzzer of the control socket's verbs and its run within the unit tests share. */
#pragma once

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Closes the archive and removes it. */
void dispatch_end(void);
