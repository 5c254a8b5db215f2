/* helper_acts.h - what the helper can do of itself. Private to base. */
#pragma once

#include "base/helper.h"

helper_function helper_act_account;
