/* SPDX-License-Identifier: BSD-3-Clause */
/* The names and texts of stages.def and reasons.def, indexed by their enums (counters.h). */
#include "controlplane/channel/counters.h"

const struct table_entry stage_table[STAGE_COUNT] = {
#define STAGE(id, name, text) [STAGE_##id] = {name, text, 0},
#include "controlplane/channel/stages.def"
#undef STAGE
};

const struct table_entry reason_table[REASON_COUNT] = {
	[REASON_NONE] = {"none", "nothing to say", 0},
#define DROP(id, name, text) [DROP_##id] = {name, text, 1},
#define PASS(id, name, text) [PASS_##id] = {name, text, 0},
#include "controlplane/channel/reasons.def"
#undef DROP
#undef PASS
};
