/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables that the .def files of this folder stand for, indexed by their enums: names and texts
 * of stages.def and reasons.def (counters.h), names and sizes of messages.def (messages.h).
 */
#include "controlplane/channel/counters.h"
#include "controlplane/channel/messages.h"

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

const struct message_entry message_table[MESSAGE_COUNT] = {
	[MESSAGE_UPLOAD] = {"upload", 0, 0},
#define MESSAGE(id, name, request, record)                                                         \
	[MESSAGE_##id] = {#name, sizeof(struct request), sizeof(struct record)},
#include "controlplane/channel/messages.def"
#undef MESSAGE
};
