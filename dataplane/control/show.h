/* SPDX-License-Identifier: BSD-3-Clause */
/* The read-only handlers of the channel: show.c and show_*.c. Control thread only. */
#ifndef SLUICE_CONTROL_SHOW_H
#define SLUICE_CONTROL_SHOW_H

#include "dataplane/control/control.h"

int show_status(void *, const struct channel_nothing *, struct channel_reply *);
int show_links(void *, const struct page_request *, struct channel_reply *);
int show_classes(void *, const struct classes_request *, struct channel_reply *);
int show_shaper(void *, const struct page_request *, struct channel_reply *);
int show_flows(void *, const struct flows_request *, struct channel_reply *);
int show_peers(void *, const struct page_request *, struct channel_reply *);
int show_rtt(void *, const struct window_request *, struct channel_reply *);
int show_loss(void *, const struct window_request *, struct channel_reply *);
int show_box(void *, const struct window_request *, struct channel_reply *);
int show_paths(void *, const struct window_request *, struct channel_reply *);
int show_peer_classes(void *, const struct page_request *, struct channel_reply *);
int show_history(void *, const struct history_request *, struct channel_reply *);
int show_transactions(void *, const struct page_request *, struct channel_reply *);
int show_compression(void *, const struct page_request *, struct channel_reply *);
int show_codecs(void *, const struct page_request *, struct channel_reply *);
int show_governors(void *, const struct page_request *, struct channel_reply *);
int show_stores(void *, const struct page_request *, struct channel_reply *);
int show_policy(void *, const struct channel_nothing *, struct channel_reply *);
int show_policy_text(void *, const struct page_request *, struct channel_reply *);
int show_explain(void *, const struct explain_request *, struct channel_reply *);
/* A client went: drop what show_flows() keeps between its pages, or show_compression() between the
 * parts of a sum. */
void show_flows_closed(uint64_t client);
void show_compression_closed(uint64_t client);

/* Long lists end a page when it has taken so long, wherever they are: the control thread has other
 * things to do. */
#define SHOW_PAGE_NS UINT64_C(2000000)

/* 0, or -EINVAL after saying that there is no such window. */
int show_check_window(uint64_t window, struct channel_reply *reply);


/* "unknown class 'vioce': classes are default, voice, bulk"; returns -ENOENT. */
int show_unknown_class(const struct policy *policy, const char *name, struct channel_reply *reply);

/* Copy a name into a message, cut to fit and terminated. */
void show_name(char to[CHANNEL_NAME_MAX], const char *from);

#endif
