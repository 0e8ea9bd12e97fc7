/* SPDX-License-Identifier: BSD-3-Clause */
/* What fake_daemon.c answers to questions about active measurement: fixed and plausible. */
#ifndef SLUICE_TESTS_FAKE_ACTIVE_H
#define SLUICE_TESTS_FAKE_ACTIVE_H

#include "controlplane/channel/server.h"

int fake_stamp(void *, const struct page_request *, struct channel_reply *);
int fake_ping(void *, const struct ping_request *, struct channel_reply *);
int fake_trace(void *, const struct trace_request *, struct channel_reply *);
int fake_speedtest(void *, const struct speedtest_request *, struct channel_reply *);

#endif
