/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes that sluicectl asks for. Each makes a changed copy of the policy in force, checks it as a
 * whole, and puts it in force as the next plan: a change never half applies. Control thread only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/control/show.h"

#define CONFIRM_MAX_S (24 * 3600)

/* Check and apply a changed copy; the answer goes into the reply. Takes over `next`. */
static int put_in_force(struct control *c, struct policy *next, struct channel_reply *reply)
{
	struct policy_problems problems = {0};
	struct publish_result result = {0};
	char error[256] = "";
	int rc = policy_check(next, &problems);

	if (rc == 0)
		rc = policy_check_live(c->daemon->plan->policy, next, &problems);
	if (rc != 0) {
		for (uint32_t i = 0; i < problems.count; i++) {
			if (problems.list[i].is_warning)
				continue;
			channel_reply_error(
				reply, "%s: %s", problems.list[i].option, problems.list[i].text);
			break;
		}
		policy_free(next);
	} else {
		rc = control_apply(c, next, &result, error, sizeof(error));
		if (rc != 0)
			channel_reply_error(reply, "%s", error);
		else
			channel_reply_applied(reply, c->generation, result.workers,
				result.workers_all, result.duration_ns);
	}
	policy_problems_free(&problems);
	return rc;
}

static struct policy *changed_copy(struct control *c, struct channel_reply *reply)
{
	struct policy *next = policy_copy(c->daemon->plan->policy);

	if (next == NULL)
		channel_reply_error(reply, "no memory for a changed policy");
	return next;
}

/* "default, voice, bulk": what there is instead of an unknown name. */
static void list_classes(const struct policy *policy, char *text, size_t len)
{
	size_t at = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < policy->class_count && at + POLICY_NAME_MAX + 2 < len; i++)
		at += (size_t)snprintf(
			text + at, len - at, "%s%s", i ? ", " : "", policy->classes[i].name);
}

static int set_class(
	void *context, const struct set_class_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	struct policy *next = changed_copy(c, reply);

	if (next == NULL)
		return -ENOMEM;
	int i = policy_find_class(next, request->name);
	if (i < 0) {
		char names[300];
		list_classes(next, names, sizeof(names));
		channel_reply_error(
			reply, "unknown class '%s': classes are %s", request->name, names);
		policy_free(next);
		return -ENOENT;
	}
	struct policy_class *class = &next->classes[i];
	if (request->fields & SET_RATE)
		class->rate_bps = request->rate_bps;
	if (request->fields & SET_CEIL)
		class->ceil_bps = request->ceil_bps;
	if (request->fields & SET_FLOW_RATE)
		class->flow_rate_bps = request->flow_rate_bps;
	/* Out of range values must not wrap into the range. */
	if (request->fields & SET_WEIGHT)
		class->weight =
			request->weight > UINT32_MAX ? UINT32_MAX : (uint32_t)request->weight;
	if (request->fields & SET_PRIORITY)
		class->priority =
			request->priority > UINT8_MAX ? UINT8_MAX : (uint8_t)request->priority;
	return put_in_force(c, next, reply);
}

static int set_link(
	void *context, const struct set_link_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	struct policy *next = changed_copy(c, reply);

	if (next == NULL)
		return -ENOMEM;
	int i = policy_find_bridge(next, request->bridge);
	if (i < 0) {
		channel_reply_error(reply, "unknown bridge '%s': the first is '%s'",
			request->bridge, next->bridges[0].name);
		policy_free(next);
		return -ENOENT;
	}
	if (request->fields & SET_UP)
		next->bridges[i].up_bps = request->up_bps;
	if (request->fields & SET_DOWN)
		next->bridges[i].down_bps = request->down_bps;
	return put_in_force(c, next, reply);
}

static int set_compression(
	void *context, const struct set_compression_request *request, struct channel_reply *reply)
{
	struct control *c = context;

	if (request->mode > COMPRESS_DRY_RUN) {
		channel_reply_error(reply, "unknown mode: on, off or dry-run");
		return -EINVAL;
	}
	struct policy *next = changed_copy(c, reply);
	if (next == NULL)
		return -ENOMEM;
	next->compress = (enum policy_compress)request->mode;
	return put_in_force(c, next, reply);
}

static int set_bypass(
	void *context, const struct set_bypass_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	struct policy *next = changed_copy(c, reply);

	if (next == NULL)
		return -ENOMEM;
	next->bypass = request->on != 0;
	return put_in_force(c, next, reply);
}

/* Problems from `from` on, as far as they fit the page. */
static void send_problems(
	struct channel_reply *reply, const struct policy_problems *problems, uint64_t from)
{
	for (uint64_t i = from; i < problems->count; i++) {
		const struct policy_problem *p = &problems->list[i];
		struct problem_record r = {.line = p->line, .is_warning = p->is_warning};
		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, i, problems->count);
			return;
		}
		snprintf(r.option, sizeof(r.option), "%s", p->option);
		snprintf(r.text, sizeof(r.text), "%s", p->text);
		channel_send_policy_apply(reply, &r);
	}
}

static int policy_apply(
	void *context, const struct policy_apply_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	struct policy_problems problems = {0};
	uint64_t len;
	const char *text = channel_reply_upload(reply, &len);
	int rc = 0;

	if (text == NULL) {
		channel_reply_error(reply, "no policy text was sent");
		return -EINVAL;
	}
	if (request->confirm_seconds > CONFIRM_MAX_S) {
		channel_reply_error(reply, "--confirm takes 1 to %d seconds", CONFIRM_MAX_S);
		return -EINVAL;
	}
	const char *file = *request->file ? request->file : "(sluicectl)";
	struct policy *next = policy_read_text(text, len, file, true, &problems);
	if (next != NULL)
		rc = policy_check_live(c->daemon->plan->policy, next, &problems);
	send_problems(reply, &problems, request->from);
	if (next == NULL || rc != 0) {
		channel_reply_error(reply, "%s: %u error(s), the policy in force is unchanged",
			file, problems.errors);
		rc = next == NULL ? -EINVAL : rc;
		policy_free(next);
	} else if (request->check_only) {
		channel_reply_error(reply, "%s: ok", file);
		policy_free(next);
	} else {
		rc = put_in_force(c, next, reply);
		if (rc == 0)
			c->confirm_deadline_ns =
				request->confirm_seconds == 0
					? 0
					: clock_now_ns() + request->confirm_seconds * 1000000000u;
	}
	policy_problems_free(&problems);
	return rc;
}

static int policy_confirm(
	void *context, const struct channel_nothing *request, struct channel_reply *reply)
{
	struct control *c = context;

	if (c->confirm_deadline_ns == 0) {
		channel_reply_error(reply, "nothing waits for confirmation");
		return -ENOENT;
	}
	c->confirm_deadline_ns = 0;
	channel_reply_error(reply, "policy %u confirmed", c->generation);
	return 0;
}

static int policy_rollback(
	void *context, const struct channel_nothing *request, struct channel_reply *reply)
{
	struct control *c = context;

	if (c->previous == NULL) {
		channel_reply_error(reply, "there is no earlier policy to go back to");
		return -ENOENT;
	}
	struct policy *back = policy_copy(c->previous);
	if (back == NULL) {
		channel_reply_error(reply, "no memory for the earlier policy");
		return -ENOMEM;
	}
	uint64_t deadline_ns = c->confirm_deadline_ns;
	c->confirm_deadline_ns = 0;
	int rc = put_in_force(c, back, reply);
	if (rc != 0)
		c->confirm_deadline_ns = deadline_ns;
	return rc;
}

static void closed(void *context, uint64_t client)
{
	show_flows_closed(client);
}

const struct channel_handlers control_handlers = {
	.status = show_status,
	.links = show_links,
	.classes = show_classes,
	.flows = show_flows,
	.peers = show_peers,
	.rtt = show_rtt,
	.loss = show_loss,
	.compression = show_compression,
	.policy = show_policy,
	.policy_text = show_policy_text,
	.policy_apply = policy_apply,
	.policy_confirm = policy_confirm,
	.policy_rollback = policy_rollback,
	.set_class = set_class,
	.set_link = set_link,
	.set_compression = set_compression,
	.set_bypass = set_bypass,
	.explain = show_explain,
	.closed = closed,
};
