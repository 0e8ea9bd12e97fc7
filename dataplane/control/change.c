/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes that sluicectl asks for. Each makes a changed copy of the policy in force, checks it as a
 * whole, and puts it in force as the next plan: a change never half applies. What takes long is
 * done by the thread of build.c, one change at a time; others wait in line. Control thread, but for
 * the make_...() functions, which are that thread's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/control/active.h"
#include "dataplane/control/build.h"
#include "dataplane/control/show.h"
#include "dataplane/control/speedtest.h"
#include "dataplane/control/stamp.h"

#define CONFIRM_MAX_S (24 * 3600)
/* A change waits so long in line behind others before it is refused: shorter than sluicectl waits.
 */
#define LINE_NS UINT64_C(10000000000)

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

/* ---- one at a time ---- */

static int answer(struct control *c, struct channel_reply *reply)
{
	const struct change *change = c->change;
	const struct publish_result *result = &change->result;
	int rc = change->rc;

	if (change->text != NULL)
		send_problems(reply, &change->problems, change->problems_from);
	if (rc != 0 && change->text != NULL && change->problems.errors > 0) {
		channel_reply_error(reply, "%s: %u error(s), the policy in force is unchanged",
			change->file, change->problems.errors);
	} else if (rc != 0) {
		channel_reply_error(reply, "%s", change->error);
	} else if (change->check_only) {
		channel_reply_error(reply, "%s: ok", change->file);
	} else {
		channel_reply_applied(reply, c->generation, result->workers, result->workers_all,
			result->duration_ns);
		if (change->about[0] != '\0')
			tell_warnings(&change->problems, change->about, reply);
		if (result->workers < result->workers_all)
			channel_reply_error(reply,
				"%u of %u workers still use an earlier policy: they take this one "
				"up as soon as they run, see show workers",
				result->workers_all - result->workers, result->workers_all);
	}
	build_free(c);
	return rc;
}

/* True if the handler shall return *rc: the client's own change is under way, or done and answered;
 * or it is not its turn yet. False: it may start one. */
static bool must_return(struct control *c, struct channel_reply *reply, int *rc)
{
	const struct change *change = c->change;
	uint64_t now_ns = clock_now_ns();

	*rc = -EINPROGRESS;
	if (change != NULL && change->client == channel_reply_client(reply)) {
		if (change->state == CHANGE_DONE)
			*rc = answer(c, reply);
		return true;
	}
	/* A rollback that is due goes before those who wait. */
	if (change == NULL && (c->confirm_deadline_ns == 0 || now_ns < c->confirm_deadline_ns))
		return false;
	if (change != NULL && channel_reply_waited_ns(reply) >= LINE_NS) {
		channel_reply_error(reply,
			"another change (%s) has been at work for %u s: try again when it is done",
			change->what, (unsigned)((now_ns - change->started_ns) / 1000000000u));
		*rc = -EBUSY;
	}
	return true;
}

/* Start on a change; it is answered when the request is handed in again. */
static int start(struct control *c, const struct change *asked, struct channel_reply *reply)
{
	struct change *change;
	char error[128];
	int rc;

	if (!asked->check_only && publish_pending(c->daemon) >= PUBLISH_PENDING_MAX) {
		channel_reply_error(reply,
			"workers have not taken up the %u changes before this one: see show "
			"workers, and try again",
			PUBLISH_PENDING_MAX);
		free(asked->text);
		return -EBUSY;
	}
	change = malloc(sizeof(*change));
	if (change == NULL) {
		free(asked->text);
		return -ENOMEM;
	}
	*change = *asked;
	change->client = channel_reply_client(reply);
	rc = build_start(c, change, error, sizeof(error));
	if (rc != 0)
		channel_reply_error(reply, "%s", error);
	return rc == 0 ? -EINPROGRESS : rc;
}

/* ---- set ---- */

static struct policy *make_settings(struct change *change, bool is_class)
{
	struct policy *next = build_copy(change);

	for (uint64_t i = 0; next != NULL && change->rc == 0 && i < change->count; i++) {
		const struct setting *s = &change->settings[i];
		change->rc = is_class ? policy_set_class(next, change->index, s->option, s->value,
						change->error)
				      : policy_set_bridge(next, change->index, s->option, s->value,
						change->error);
	}
	if (next != NULL && change->rc != 0) {
		policy_free(next);
		return NULL;
	}
	return next;
}

static struct policy *make_class(struct change *change)
{
	return make_settings(change, true);
}

static struct policy *make_bridge(struct change *change)
{
	return make_settings(change, false);
}

/* Change the options of class `index` (or bridge `index`), and put it in force. */
static int set_options(struct control *c, bool is_class, unsigned index,
	const struct setting *settings, uint64_t count, struct channel_reply *reply)
{
	struct change change = {.what = is_class ? "set class" : "set link",
		.make = is_class ? make_class : make_bridge,
		.basis = c->daemon->plan->policy,
		.index = index,
		.count = count};

	if (count == 0 || count > SETTINGS_MAX) {
		channel_reply_error(reply, "%lu settings: 1 to %d are taken", (unsigned long)count,
			SETTINGS_MAX);
		return -EINVAL;
	}
	memcpy(change.settings, settings, count * sizeof(settings[0]));
	snprintf(change.about, sizeof(change.about), "%s[%u]", is_class ? "classes" : "bridges",
		index);
	return start(c, &change, reply);
}

static int set_class(
	void *context, const struct set_class_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	int rc, i;

	if (must_return(c, reply, &rc))
		return rc;
	i = policy_find_class(c->daemon->plan->policy, request->name);
	if (i < 0)
		return show_unknown_class(c->daemon->plan->policy, request->name, reply);
	return set_options(c, true, (unsigned)i, request->settings, request->count, reply);
}

static int set_link(
	void *context, const struct set_link_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct policy *now = c->daemon->plan->policy;
	int i = policy_find_bridge(now, request->bridge), rc;

	if (must_return(c, reply, &rc))
		return rc;
	if (i < 0) {
		channel_reply_error(reply, "unknown bridge '%s': the first is '%s'",
			request->bridge, now->bridges[0].name);
		return -ENOENT;
	}
	return set_options(c, false, (unsigned)i, request->settings, request->count, reply);
}

static struct policy *make_compression(struct change *change)
{
	struct policy *next = build_copy(change);

	if (next != NULL)
		next->compress = (enum policy_compress)change->value;
	return next;
}

static int set_compression(
	void *context, const struct set_compression_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	struct change change = {.what = "set compression",
		.make = make_compression,
		.basis = c->daemon->plan->policy,
		.value = request->mode};
	int rc;

	if (must_return(c, reply, &rc))
		return rc;
	if (request->mode > COMPRESS_DRY_RUN) {
		channel_reply_error(reply, "unknown mode: on, off or dry-run");
		return -EINVAL;
	}
	return start(c, &change, reply);
}

static struct policy *make_bypass(struct change *change)
{
	struct policy *next = build_copy(change);

	if (next != NULL)
		next->bypass = change->value != 0;
	return next;
}

static int set_bypass(
	void *context, const struct set_bypass_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	struct change change = {.what = "set bypass",
		.make = make_bypass,
		.basis = c->daemon->plan->policy,
		.value = request->on};
	int rc;

	return must_return(c, reply, &rc) ? rc : start(c, &change, reply);
}

/* ---- policy ---- */

static struct policy *make_from_text(struct change *change)
{
	struct policy *next = policy_read_text(
		change->text, change->text_len, change->file, true, &change->problems);

	if (next == NULL)
		change->rc = -EINVAL;
	return next;
}

static int policy_apply(
	void *context, const struct policy_apply_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	struct change change = {.what = request->check_only ? "policy check" : "policy apply",
		.make = make_from_text,
		.is_checked = true,
		.check_only = request->check_only != 0,
		.problems_from = request->from,
		.sets_confirm = true,
		.confirm_seconds = request->confirm_seconds};
	const char *text;
	int rc;

	if (must_return(c, reply, &rc))
		return rc;
	text = channel_reply_upload(reply, &change.text_len);
	if (text == NULL) {
		channel_reply_error(reply, "no policy text was sent");
		return -EINVAL;
	}
	if (request->confirm_seconds > CONFIRM_MAX_S) {
		channel_reply_error(reply, "--confirm takes 1 to %d seconds", CONFIRM_MAX_S);
		return -EINVAL;
	}
	/* The session may end, and the upload with it, while it is read. */
	change.text = malloc(change.text_len + 1);
	if (change.text == NULL)
		return -ENOMEM;
	memcpy(change.text, text, change.text_len + 1);
	snprintf(change.file, sizeof(change.file), "%s",
		*request->file ? request->file : "(sluicectl)");
	return start(c, &change, reply);
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
	struct change change = {.what = "policy rollback",
		.make = build_copy,
		.basis = c->previous,
		.is_rollback = true};
	int rc;

	if (must_return(c, reply, &rc))
		return rc;
	if (c->previous == NULL) {
		channel_reply_error(reply, "there is no earlier policy to go back to");
		return -ENOENT;
	}
	return start(c, &change, reply);
}

static void closed(void *context, uint64_t client)
{
	build_closed(context, client);
	show_flows_closed(client);
	show_compression_closed(client);
	active_closed(context, client);
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
	.stamp = stamp_show,
	.ping = active_ping,
	.trace = trace_run,
	.speedtest = speedtest_run,
	.transactions = show_transactions,
	.paths = show_paths,
	.peer_classes = show_peer_classes,
	.stores = show_stores,
	.box = show_box,
	.history = show_history,
	.codecs = show_codecs,
	.governors = show_governors,
	.closed = closed,
};
