/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the workers work by: the plan (a policy, made ready for use) and the links (the peers as
 * they are right now). Both are built whole (a plan by a thread of control/build.c), published as
 * one pointer each, never changed, and freed once every worker has let go of them
 * (control/publish.c).
 */
#ifndef SLUICE_PLAN_H
#define SLUICE_PLAN_H

#include "controlplane/policy/policy.h"
#include "dataplane/classify/classify.h"
#include "dataplane/compress/decide.h"
#include "dataplane/link/frame.h"
#include "dataplane/packet/packet.h"
#include "dataplane/shape/shaper.h"

struct plan {
	uint32_t generation;	   /* 1, 2, 3...: `policy 42` in the CLI */
	uint32_t flows_generation; /* of the plan since which flows have had their class and peer */
	struct policy *policy;
	struct classifier *classifier; /* shared by plans with the same rules */
	struct shaper_config *shaper[POLICY_BRIDGES_MAX][WAYS];
	/* A class keeps its id from plan to plan for as long as its name exists. */
	uint32_t classes_max;	      /* class ids, appliance.classes */
	uint32_t *class_id_of;	      /* policy index -> class id */
	int32_t *class_index_of;      /* class id -> policy index, -1: unused; [classes_max] */
	uint32_t class_ids_given;     /* ids from here on were never any class's */
	bool *class_compress;	      /* by class id; [classes_max] */
	bool *class_private;	      /* the same: its data is in no store */
	bool *class_pack;	      /* the same: its packets may share frames */
	uint32_t *class_pack_wait_ns; /* the same: and wait so long for others */
	struct compress_class *class_codec; /* by class id, as configured; [classes_max] */
	enum policy_compress compress;
	bool dry_runs;	 /* some class, or all of them */
	bool store_all;	 /* some class */
	bool pack_waits; /* some class */
	bool bypass;
};

/* The peers, in the order of the policy. */
struct links {
	uint32_t count;
	struct link_path path[POLICY_PEERS_MAX];
	uint16_t clamp_mss[POLICY_PEERS_MAX][2]; /* over IPv4, over IPv6; 0: leave the MSS alone */
};

/*
 * Make a plan of `policy`, with `generation`. Classes that `previous` (may be NULL) has by the same
 * name keep their ids; `previous` is the plan that the workers use or change to. The plan owns the
 * policy from then on. NULL without memory, with `error` saying so; the policy is then still the
 * caller's. Any thread, one at a time.
 */
struct plan *plan_build(struct policy *policy, const struct plan *previous, uint32_t generation,
	char *error, size_t error_len);
void plan_free(void *plan);

/* The peer of a bridge behind which an address (IPv4 as ::ffff:a.b.c.d) lies by its `networks`, or
 * -1. Any thread; meant for new flows. */
int plan_find_peer(const struct plan *plan, unsigned bridge, const uint8_t address[16]);

#endif
