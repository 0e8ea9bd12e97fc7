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

/* The first error, as the reader of the configuration words it. */
static void tell_first(const struct policy_problems *problems, struct channel_reply *reply)
{
	for (uint32_t i = 0; i < problems->count; i++) {
		if (problems->list[i].is_warning)
			continue;
		channel_reply_error(
			reply, "%s: %s", problems->list[i].option, problems->list[i].text);
		return;
	}
}

/* Warnings about `about`, a path like "classes[3]", which was changed nevertheless. */
static void tell_warnings(
	const struct policy_problems *problems, const char *about, struct channel_reply *reply)
{
	char text[CHANNEL_ERROR_MAX] = "";
	size_t at = 0;

	for (uint32_t i = 0; i < problems->count && at < sizeof(text); i++)
		if (strncmp(problems->list[i].option, about, strlen(about)) == 0)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%swarning: %s: %s",
				at > 0 ? "\n" : "", problems->list[i].option,
				problems->list[i].text);
	if (at > 0)
		channel_reply_error(reply, "%s", text);
}

/* Check and apply a changed copy; the answer goes into the reply, warnings only where they are
 * about what was changed (NULL: none). Takes over `next`. */
static int put_in_force(
	struct control *c, struct policy *next, const char *about, struct channel_reply *reply)
{
	struct policy_problems problems = {0};
	struct publish_result result = {0};
	char error[256] = "";
	int rc = policy_check(next, &problems);

	if (rc == 0)
		rc = policy_check_live(c->daemon->plan->policy, next, &problems);
	if (rc == 0 && publish_pending(c->daemon) >= PUBLISH_PENDING_MAX) {
		channel_reply_error(reply,
			"workers have not taken up the %u changes before this one: see show "
			"workers, and try again",
			PUBLISH_PENDING_MAX);
		policy_free(next);
		rc = -EBUSY;
	} else if (rc != 0) {
		tell_first(&problems, reply);
		policy_free(next);
	} else {
		rc = control_apply(c, next, &result, error, sizeof(error));
		if (rc != 0) {
			channel_reply_error(reply, "%s", error);
		} else {
			channel_reply_applied(reply, c->generation, result.workers,
				result.workers_all, result.duration_ns);
			if (about != NULL)
				tell_warnings(&problems, about, reply);
			if (result.workers < result.workers_all)
				channel_reply_error(reply,
					"%u of %u workers still use an earlier policy: they take "
					"this one up as soon as they run, see show workers",
					result.workers_all - result.workers, result.workers_all);
		}
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

/* Change the options of class `index` (or bridge `index`) of a copy, and put it in force. */
static int set_options(struct control *c, bool is_class, unsigned index,
	const struct setting *settings, uint64_t count, struct channel_reply *reply)
{
	struct policy *next = changed_copy(c, reply);
	char error[POLICY_ERROR_MAX] = "", about[32];
	int rc = 0;

	if (next == NULL)
		return -ENOMEM;
	if (count == 0 || count > SETTINGS_MAX) {
		snprintf(error, sizeof(error), "%lu settings: 1 to %d are taken",
			(unsigned long)count, SETTINGS_MAX);
		rc = -EINVAL;
	}
	for (uint64_t i = 0; rc == 0 && i < count; i++)
		rc = is_class ? policy_set_class(
					next, index, settings[i].option, settings[i].value, error)
			      : policy_set_bridge(
					next, index, settings[i].option, settings[i].value, error);
	if (rc != 0) {
		channel_reply_error(reply, "%s", error);
		policy_free(next);
		return rc;
	}
	snprintf(about, sizeof(about), "%s[%u]", is_class ? "classes" : "bridges", index);
	return put_in_force(c, next, about, reply);
}

static int set_class(
	void *context, const struct set_class_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	int i = policy_find_class(c->daemon->plan->policy, request->name);

	if (i < 0)
		return show_unknown_class(c->daemon->plan->policy, request->name, reply);
	return set_options(c, true, (unsigned)i, request->settings, request->count, reply);
}

static int set_link(
	void *context, const struct set_link_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct policy *now = c->daemon->plan->policy;
	int i = policy_find_bridge(now, request->bridge);

	if (i < 0) {
		channel_reply_error(reply, "unknown bridge '%s': the first is '%s'",
			request->bridge, now->bridges[0].name);
		return -ENOENT;
	}
	return set_options(c, false, (unsigned)i, request->settings, request->count, reply);
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
	return put_in_force(c, next, NULL, reply);
}

static int set_bypass(
	void *context, const struct set_bypass_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	struct policy *next = changed_copy(c, reply);

	if (next == NULL)
		return -ENOMEM;
	next->bypass = request->on != 0;
	return put_in_force(c, next, NULL, reply);
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
		rc = put_in_force(c, next, NULL, reply);
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
	int rc = put_in_force(c, back, NULL, reply);
	if (rc != 0)
		c->confirm_deadline_ns = deadline_ns;
	return rc;
}

static void closed(void *context, uint64_t client)
{
	show_flows_closed(client);
	show_compression_closed(client);
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
	.shaper = show_shaper,
	.paths = show_paths,
	.peer_classes = show_peer_classes,
	.box = show_box,
	.history = show_history,
	.closed = closed,
};
