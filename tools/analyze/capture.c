/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading captures through libpcap. capture.h is the manual. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "tools/analyze/capture.h"
#include "tools/analyze/link_type.h"

#define NS_PER_S UINT64_C(1000000000)
/* Captures of several queues are out of order by less; who goes back further was set. */
#define STEP_NS NS_PER_S
/* A time of 0 means "none" to some of what is measured. */
#define CLOCK_START_NS (3600 * NS_PER_S)

struct capture {
	pcap_t *pcap;
	int link_type;
	char link_type_name[96];
	uint8_t frame[CAPTURE_FRAME_MAX];
};

static int set_filter(pcap_t *pcap, const char *filter, char error[CAPTURE_ERROR_MAX])
{
	struct bpf_program program;

	if (filter == NULL)
		return 0;
	if (pcap_compile(pcap, &program, filter, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		snprintf(error, CAPTURE_ERROR_MAX, "filter '%s': %s", filter, pcap_geterr(pcap));
		return -1;
	}
	int rc = pcap_setfilter(pcap, &program);
	pcap_freecode(&program);
	if (rc != 0)
		snprintf(error, CAPTURE_ERROR_MAX, "filter '%s': %s", filter, pcap_geterr(pcap));
	return rc;
}

struct capture *capture_open(const char *file, const char *filter, char error[CAPTURE_ERROR_MAX])
{
	FILE *stream = strcmp(file, "-") == 0 ? stdin : fopen(file, "rb");

	if (stream == NULL) {
		snprintf(error, CAPTURE_ERROR_MAX, "%s", strerror(errno));
		return NULL;
	}
	return capture_open_stream(stream, filter, error);
}

struct capture *capture_open_stream(FILE *stream, const char *filter, char error[CAPTURE_ERROR_MAX])
{
	char why[PCAP_ERRBUF_SIZE];
	struct capture *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		snprintf(error, CAPTURE_ERROR_MAX, "no memory");
		fclose(stream);
		return NULL;
	}
	c->pcap = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, why);
	if (c->pcap == NULL) {
		snprintf(error, CAPTURE_ERROR_MAX, "%s", why);
		fclose(stream);
		free(c);
		return NULL;
	}
	c->link_type = pcap_datalink(c->pcap);

	const char *name = pcap_datalink_val_to_name(c->link_type);
	const char *text = pcap_datalink_val_to_description(c->link_type);

	snprintf(c->link_type_name, sizeof(c->link_type_name), "%s (%s)",
		name != NULL ? name : "unknown", text != NULL ? text : "no name");
	if (!link_type_known(c->link_type)) {
		snprintf(error, CAPTURE_ERROR_MAX, "link type %d, %s, is not known here; known: %s",
			c->link_type, c->link_type_name, link_type_list());
		capture_close(c);
		return NULL;
	}
	if (set_filter(c->pcap, filter, error) != 0) {
		capture_close(c);
		return NULL;
	}
	return c;
}

/* A frame's time as the file has it, in ns. Seconds and fraction may be anything: modulo 2^64. */
static uint64_t file_time_ns(const struct pcap_pkthdr *header)
{
	return (uint64_t)header->ts.tv_sec * NS_PER_S + (uint64_t)header->ts.tv_usec;
}

uint64_t capture_clock_take(
	struct capture_clock *clock, struct capture_stats *stats, uint64_t file_ns)
{
	int64_t forward;

	if (clock->now_ns == 0) {
		clock->offset_ns = CLOCK_START_NS - file_ns;
		clock->now_ns = clock->start_ns = CLOCK_START_NS;
		return clock->now_ns;
	}
	forward = (int64_t)(file_ns + clock->offset_ns - clock->now_ns);
	if (forward >= 0) {
		clock->now_ns += (uint64_t)forward;
		return clock->now_ns;
	}
	stats->back++;
	if (0 - (uint64_t)forward > stats->back_most_ns)
		stats->back_most_ns = 0 - (uint64_t)forward;
	if (forward < -(int64_t)STEP_NS) {
		stats->steps++;
		clock->offset_ns -= (uint64_t)forward;
	}
	return clock->now_ns;
}

int capture_next(struct capture *c, struct capture_clock *clock, struct capture_stats *stats,
	struct capture_frame *frame, char error[CAPTURE_ERROR_MAX])
{
	struct pcap_pkthdr *header;
	const u_char *bytes;
	int rc = pcap_next_ex(c->pcap, &header, &bytes);

	if (rc == PCAP_ERROR_BREAK)
		return 0;
	if (rc != 1) {
		snprintf(error, CAPTURE_ERROR_MAX, "%s", pcap_geterr(c->pcap));
		return -1;
	}

	/* A length below what was captured is a lie. */
	uint32_t len = header->len < header->caplen ? header->caplen : header->len;
	int32_t change;
	uint64_t file_ns = file_time_ns(header);

	if (stats->frames++ == 0)
		stats->first_ns = file_ns;
	stats->last_ns = file_ns;
	stats->cut += header->caplen < len;
	frame->file_ns = file_ns;
	frame->time_ns = capture_clock_take(clock, stats, file_ns);
	frame->bytes = c->frame;
	frame->caught = link_type_frame(
		c->link_type, bytes, header->caplen, c->frame, sizeof(c->frame), &change);
	stats->no_network_layer += frame->caught == 0;
	frame->len = len > INT32_MAX ? INT32_MAX : len + (uint32_t)change;
	return 1;
}

const char *capture_link_type(const struct capture *c)
{
	return c->link_type_name;
}

void capture_close(struct capture *c)
{
	if (c == NULL)
		return;
	pcap_close(c->pcap);
	free(c);
}
