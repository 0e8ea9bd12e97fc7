/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rules of a policy, compiled: which class a flow belongs to. Built anew for every policy with
 * other rules, asked by the workers for new flows and once more for each flow after a change
 * of policy. The matching itself is rte_acl's, one context for IPv4 and one for IPv6.
 */
#ifndef SLUICE_CLASSIFY_CLASSIFY_H
#define SLUICE_CLASSIFY_CLASSIFY_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "controlplane/policy/policy.h"
#include "dataplane/flow/flow.h"

struct classifier;

/*
 * Compile the rules of `policy`; neither it nor class_ids is needed afterwards. class_ids[i] is the
 * class id (flow.class_id) of policy->classes[i]. NULL with rte_errno: ENOMEM, or what rte_acl
 * says. Any thread, one at a time; takes up to seconds for thousands of rules with ranges in many
 * fields.
 */
struct classifier *classifier_create(
	const struct policy *policy, const uint32_t *class_ids, int socket);

/*
 * Use it for another policy too, which has the same rules for the same class ids: returns it, and
 * it is destroyed when classifier_destroy() was called once more. Any thread.
 */
struct classifier *classifier_share(struct classifier *classifier);

/* True if a classifier made of `a` and its class ids is what `b` and its ids would give. */
bool classifier_is_same(const struct policy *a, const uint32_t *a_class_ids, const struct policy *b,
	const uint32_t *b_class_ids);

/* Free it, once no worker can use it any more. NULL is allowed. Any thread. */
void classifier_destroy(struct classifier *classifier);

/*
 * For each packet whose flow is FLOW_NEW or was classified under another policy than
 * policy_generation: find the first rule that matches, set flow.class_id and
 * flow.policy_generation, clear FLOW_NEW. No match and FLOW_OTHER: the id of class 0. Packets of
 * other flows cost a compare. pkt.flow must be set. Worker thread; any number of workers may share
 * a classifier.
 */
void classify_bulk(const struct classifier *classifier, struct rte_mbuf **pkts, unsigned n,
	uint32_t policy_generation);

/*
 * The index of the rule that such a flow would match, -1: none. initiator: which of the key's two
 * ends opened it (its source); direction: UP if that end is on the LAN; vlan: the innermost VLAN
 * ID, 0: untagged. The bridge is that of key->scope. Any thread.
 */
int classify_explain(const struct classifier *classifier, const struct flow_key *key,
	uint8_t initiator, enum policy_direction direction, uint16_t vlan, uint8_t dscp);

#endif
