/* metrics.h - lapse status --metrics: the Prometheus text format, version 0.0.4. The names are an interface: they stay. */
#pragma once

#include "tools/command.h"

int metrics_run(const struct args *a);
