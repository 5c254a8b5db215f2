/* denied.h - lapse explain --denied. */
#pragma once

#include "tools/command.h"

int denied_run(const struct args *a);
