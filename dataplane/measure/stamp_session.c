/* SPDX-License-Identifier: BSD-3-Clause */
/* The book-keeping of a STAMP session: stamp_session.h. */
#include "dataplane/measure/stamp_session.h"

#include <errno.h>
#include <string.h>

enum { FREE, UNDER_WAY, ANSWERED, LOST };

static struct stamp_window *running(struct stamp_session *s)
{
	return &s->windows[s->window];
}

void stamp_session_init(struct stamp_session *s, uint64_t now_ns)
{
	memset(s, 0, sizeof(*s));
	s->window_ns = now_ns;
}

/* Times come from several places: one may lie a little before another that was told earlier. */
static bool has_passed(uint64_t now_ns, uint64_t since_ns, uint64_t span_ns)
{
	return (int64_t)(now_ns - since_ns) >= (int64_t)span_ns;
}

static void turn_window(struct stamp_session *s, uint64_t now_ns)
{
	/* After a long time without a tick all windows are empty, whenever they would have been. */
	if (has_passed(now_ns, s->window_ns, 2 * STAMP_WINDOWS * STAMP_WINDOW_NS))
		s->window_ns = now_ns - STAMP_WINDOWS * STAMP_WINDOW_NS;
	while (has_passed(now_ns, s->window_ns, STAMP_WINDOW_NS)) {
		s->window_ns += STAMP_WINDOW_NS;
		s->window = (s->window + 1) % STAMP_WINDOWS;
		memset(running(s), 0, sizeof(*running(s)));
		s->least[1] = s->least[0];
		s->least[0].known = false;
	}
}

void stamp_session_tick(struct stamp_session *s, uint64_t now_ns)
{
	turn_window(s, now_ns);
	for (; s->oldest != s->next_seq; s->oldest++) {
		uint32_t at = s->oldest % STAMP_PENDING;

		if (s->pending[at].state == UNDER_WAY) {
			if (!has_passed(now_ns, s->pending[at].sent_ns, STAMP_LOST_NS))
				return;
			s->pending[at].state = LOST;
			running(s)->lost++;
			s->total.lost++;
		}
	}
}

uint32_t stamp_session_send(struct stamp_session *s, uint64_t now_ns, uint64_t sent)
{
	uint32_t seq = s->next_seq, at = seq % STAMP_PENDING;

	turn_window(s, now_ns);
	/* Sent too fast to be remembered: judged before its time. */
	if (seq - s->oldest == STAMP_PENDING) {
		if (s->pending[at].state == UNDER_WAY) {
			running(s)->lost++;
			s->total.lost++;
		}
		s->oldest++;
	}
	s->pending[at].seq = seq;
	s->pending[at].state = UNDER_WAY;
	s->pending[at].sent_ns = now_ns;
	s->pending[at].sent = sent;
	s->next_seq++;
	running(s)->sent++;
	s->total.sent++;
	return seq;
}

/* Which way was lost since the newest answer before this one. What the network duplicates on the
 * way there counts as the opposite of a loss. */
static void attribute(struct stamp_session *s, const struct stamp_answer *a)
{
	uint32_t received = a->reflector_received, sent = a->reflector_sent;
	uint32_t sent_count = a->sender_seq + 1;

	if (!a->has_counts) {
		/* A stateful reflector numbers its answers; a stateless one repeats our numbers. */
		if (a->seq != a->sender_seq)
			s->is_attributed = true;
		received = sent = a->seq + 1;
	} else {
		s->is_attributed = true;
	}
	int32_t more_received = (int32_t)(received - s->reflector_received);
	int32_t more_sent = (int32_t)(sent - s->reflector_sent);
	/* A reflector that began anew knows nothing of what was before. */
	bool is_continued = more_received > 0 && more_sent > 0 && s->has_counts == a->has_counts;
	bool is_first = s->newest == 0;
	int64_t up = 0, down = 0;

	if (is_continued || (is_first && received <= sent_count)) {
		up = (int64_t)(sent_count - s->sent_count) - more_received;
		down = (int64_t)more_sent - (int64_t)(s->arrived - s->arrived_then);
	}
	running(s)->lost_up += up;
	running(s)->lost_down += down;
	s->total.lost_up += up;
	s->total.lost_down += down;
	s->has_counts = a->has_counts;
	s->sent_count = sent_count;
	s->reflector_received = received;
	s->reflector_sent = sent;
	s->arrived_then = s->arrived;
}

static void record_variation(struct stamp_session *s, int64_t up_ns, int64_t down_ns)
{
	int64_t least_up = up_ns, least_down = down_ns;

	if (!s->least[0].known || up_ns < s->least[0].up_ns)
		s->least[0].up_ns = up_ns;
	if (!s->least[0].known || down_ns < s->least[0].down_ns)
		s->least[0].down_ns = down_ns;
	s->least[0].known = true;
	for (unsigned i = 0; i < 2; i++) {
		if (s->least[i].known && s->least[i].up_ns < least_up)
			least_up = s->least[i].up_ns;
		if (s->least[i].known && s->least[i].down_ns < least_down)
			least_down = s->least[i].down_ns;
	}
	histogram_record(&running(s)->up_variation, (uint64_t)(up_ns - least_up));
	histogram_record(&running(s)->down_variation, (uint64_t)(down_ns - least_down));
	histogram_record(&s->total.up_variation, (uint64_t)(up_ns - least_up));
	histogram_record(&s->total.down_variation, (uint64_t)(down_ns - least_down));
}

int stamp_session_receive(struct stamp_session *s, const struct stamp_answer *a, uint8_t ttl,
	uint64_t now_ns, uint64_t arrived)
{
	uint32_t seq = a->sender_seq, at = seq % STAMP_PENDING;

	turn_window(s, now_ns);
	if (s->next_seq - seq - 1 >= STAMP_PENDING || s->pending[at].seq != seq ||
		s->pending[at].state == FREE)
		return -ENOENT;
	s->arrived++;
	if (s->pending[at].state == ANSWERED) {
		running(s)->duplicate++;
		s->total.duplicate++;
		return -EALREADY;
	}
	if (s->pending[at].state == LOST) {
		running(s)->late++;
		s->total.late++;
		return -ETIME;
	}
	s->pending[at].state = ANSWERED;
	running(s)->received++;
	s->total.received++;
	s->ttl_down = ttl;
	s->ttl_up = a->sender_ttl;
	s->has_cos = a->has_cos;
	s->cos_refused = a->cos_refused;
	s->dscp_received = a->dscp_received;
	s->ecn_received = a->ecn_received;

	int64_t rtt_ns = (int64_t)(now_ns - s->pending[at].sent_ns) -
			 stamp_ntp_diff_ns(a->sent, a->received);
	uint64_t recorded_ns = rtt_ns > 0 ? (uint64_t)rtt_ns : 0;
	histogram_record(&running(s)->rtt, recorded_ns);
	histogram_record(&s->total.rtt, recorded_ns);
	s->delay_up_ns = stamp_ntp_diff_ns(a->received, s->pending[at].sent);
	s->delay_down_ns = stamp_ntp_diff_ns(arrived, a->sent);
	s->is_synchronized = stamp_error_is_synchronized(a->error) &&
			     stamp_error_is_synchronized(a->sender_error);
	s->clock_error_ns = stamp_error_ns(a->error) + stamp_error_ns(a->sender_error);
	record_variation(s, s->delay_up_ns, s->delay_down_ns);

	if (s->newest != 0 && (int32_t)(seq - s->newest) < 0) {
		running(s)->reordered++;
		s->total.reordered++;
		return 0;
	}
	attribute(s, a);
	s->newest = seq + 1;
	return 0;
}

void stamp_session_minute(const struct stamp_session *s, struct stamp_window *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < STAMP_WINDOWS; i++) {
		const struct stamp_window *w = &s->windows[i];

		sum->sent += w->sent;
		sum->received += w->received;
		sum->lost += w->lost;
		sum->duplicate += w->duplicate;
		sum->reordered += w->reordered;
		sum->late += w->late;
		sum->lost_up += w->lost_up;
		sum->lost_down += w->lost_down;
		histogram_merge(&sum->rtt, &w->rtt);
		histogram_merge(&sum->up_variation, &w->up_variation);
		histogram_merge(&sum->down_variation, &w->down_variation);
	}
}
