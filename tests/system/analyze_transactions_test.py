#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What sluice-analyze says of transactions, against tshark, on every flow of the captures.

    tests/system/analyze_transactions_test.py SLUICE_ANALYZE [FOLDER]

The folder is as in analyze_test.py. tshark dissects the packets (HTTP requests and responses, TLS
records, who sends something again); by its frames, with their times and lengths, the rules of the
README are followed here once more: requests, responses, their bytes, the time to the first byte,
the time of the whole, the TLS handshake. HTTP is held against tshark's own http.time besides, which
is the time to the first byte without reassembly, and that of the whole with it (of requests of one
packet). The tables say where the two differ and who is right; the test fails on a difference that
is not listed and on a listed one that is gone. Exit code 77: no captures, or no tshark.
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile

from analyze_cases import TRANSACTION_CASES
from analyze_test import (CLOSE_NS, ONCE, SKIPPED, TOP, Flow, captures_once, end, find,
                          innermost_is_six, ns, run)

CLOSE = CLOSE_NS["tshark"]
FIELDS = ["tcp.stream", "frame.protocols", "frame.time_epoch", "ip.src", "ip.dst", "ipv6.src",
          "ipv6.dst", "tcp.srcport", "tcp.dstport", "tcp.len", "tcp.flags",
          "tcp.analysis.retransmission", "tcp.analysis.fast_retransmission",
          "tcp.analysis.spurious_retransmission", "tcp.analysis.out_of_order", "http.request",
          "http.response.code", "tls.record.content_type", "tls.record.opaque_type", "tls.record.length",
          "tls.handshake.type", "http.time"]
FIN, SYN, RST = 1, 2, 4
CHANGE_CIPHER_SPEC, ALERT, DATA = "20", "21", "23"
CLIENT_HELLO, SERVER_HELLO = "1", "2"
# No reassembly: what begins in a packet is said of that packet.
APART = ["-o", "tcp.desegment_tcp_streams:FALSE", "-o", "http.desegment_headers:FALSE",
         "-o", "http.desegment_body:FALSE"]


class Packet:
    def __init__(self, v):
        six = innermost_is_six(v["frame.protocols"])
        last = lambda text: text.split(",")[-1]
        src, dst = (v["ipv6.src"], v["ipv6.dst"]) if six else (v["ip.src"], v["ip.dst"])
        self.src = end(last(src), last(v["tcp.srcport"]))
        self.dst = end(last(dst), last(v["tcp.dstport"]))
        self.time_ns = ns(v["frame.time_epoch"])
        self.len = int(last(v["tcp.len"]) or 0)
        self.flags = int(last(v["tcp.flags"]) or "0", 0)
        self.again = any(v[f"tcp.analysis.{kind}"] for kind in (
            "retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order"))
        self.http_request = bool(v["http.request"])
        self.http_status = v["http.response.code"].split(",")[0]
        records = (v["tls.record.content_type"] or v["tls.record.opaque_type"]).split(",")
        lengths = v["tls.record.length"].split(",")
        # Sealed by TLS 1.3, an alert is known by its length.
        self.records = [ALERT if (r, n) == (DATA, "19") else r
                        for r, n in zip(records, lengths) if r]
        self.messages = [m for m in v["tls.handshake.type"].split(",") if m]
        self.http_time_ns = ns(v["http.time"]) if v["http.time"] else None


def packets_of(capture, *options):
    fields = [a for f in FIELDS for a in ("-e", f)]
    streams = {}
    for line in run("tshark", "-n", "-r", capture, *options, "-Y", "tcp && !icmp && !icmpv6", "-T",
                    "fields", *fields).splitlines():
        v = dict(zip(FIELDS, (line + "\t" * len(FIELDS)).split("\t")))
        streams.setdefault(v["tcp.stream"].split(",")[-1], []).append(Packet(v))
    return streams


class Conversation:
    """The rules of `show transactions` (README), over what tshark says of one stream."""

    def __init__(self, client):
        self.client = client
        self.requests = self.responses = self.http = 0
        self.request_bytes = self.response_bytes = 0
        self.first_byte, self.whole, self.tls = [], [], []
        self.speaker = None
        self.last_ns = {}  # when the newest data of an end passed
        self.asked = None  # [when, bytes, answered, bytes of the response]
        self.hello_ns, self.handshake = None, None  # "client", "server", "client again", None

    def finish(self):
        if self.asked is not None and self.asked[2]:
            server = next(e for e in self.last_ns if e != self.client)
            self.whole.append(self.last_ns[server] - self.asked[0])
            self.response_bytes += self.asked[3]
        self.asked = None

    def in_handshake(self, p):
        """One flight of it. True: it is part of the handshake and nothing else."""
        by_client = p.src == self.client
        if by_client and CLIENT_HELLO in p.messages and self.handshake in (None, "server"):
            self.hello_ns = self.hello_ns if self.handshake else p.time_ns
            self.handshake = "client"
            return True
        if self.handshake is None:
            return False
        if not by_client:
            if self.handshake == "client again":  # TLS 1.2 in full: its second flight ends it
                self.tls.append(p.time_ns - self.hello_ns)
                self.handshake = None
            else:
                self.handshake = "server" if SERVER_HELLO in p.messages else None
            return True
        if p.records and p.records[0] in (CHANGE_CIPHER_SPEC, DATA):
            self.tls.append(p.time_ns - self.hello_ns)
            self.handshake = None
            return False  # and perhaps the first request
        if p.records and p.records[0] == ALERT:
            self.handshake = None
        else:
            self.handshake = "client again"
        return True

    def turn(self, p):
        if p.src == self.client:
            if self.asked is not None and not self.asked[2]:
                return
            self.finish()
            if self.in_handshake(p) or p.records and p.records[0] == ALERT:
                return
            self.asked = [p.time_ns, 0, False, 0]
            self.requests += 1
            self.http += p.http_request
        elif not self.in_handshake(p) and self.asked is not None:
            if p.http_status.startswith("1"):
                return
            self.asked[2] = True
            self.responses += 1
            self.request_bytes += self.asked[1]
            self.first_byte.append(p.time_ns - self.last_ns[self.client])

    def packet(self, p):
        if p.len > 0 and not p.again:
            if p.src != self.speaker:
                self.speaker = p.src
                self.turn(p)
            if self.asked is not None:
                self.asked[1 if p.src == self.client else 3] += p.len
        if p.len > 0:  # "last" is the last sending
            self.last_ns[p.src] = p.time_ns
        if p.flags & (FIN | RST):
            if self.asked is not None and self.asked[2] and not p.flags & RST:
                self.finish()
            elif p.src != self.client or p.flags & RST:
                self.asked = None if not (self.asked and self.asked[2]) else self.asked


def figures(times):
    times = sorted(times)
    return (len(times), times[(len(times) - 1) // 2], times[-1]) if times else (0, 0, 0)


def ours(program, capture):
    report = json.loads(run(program, "--inside", "--any-vlan", "--flows", "--by", "start", "--json",
                            capture))
    for f in report["flows"]:
        if f["proto"] != "tcp" or f["lan_port"] == f["wan_port"] == 0:
            continue
        lan, wan = end(f["lan"], f["lan_port"]), end(f["wan"], f["wan_port"])
        flow = Flow(lan, wan, f["first_ns"])
        flow.client = lan if f["opened_by"] == "lan" else wan
        dist = lambda name: (f[name]["samples"], f[name]["p50_ns"], f[name]["max_ns"])
        flow.said = {"requests": f["requests"], "responses": f["responses"],
                     "http": f["http_requests"], "request bytes": f["request_bytes"],
                     "response bytes": f["response_bytes"], "TLS": f["tls_ns"] or 0,
                     "first byte": dist("first_byte"), "whole": dist("whole")}
        yield flow


def said_by_tshark(packets, client):
    c = Conversation(client)
    for p in packets:
        c.packet(p)
    return {"requests": c.requests, "responses": c.responses, "http": c.http,
            "request bytes": c.request_bytes, "response bytes": c.response_bytes,
            "TLS": c.tls[0] if c.tls else 0, "first byte": figures(c.first_byte),
            "whole": figures(c.whole)}


def is_same(metric, a, b):
    """Counts are exact, times as far as they are kept."""
    if isinstance(a, tuple):
        return a[0] == b[0] and all(abs(x - y) <= CLOSE for x, y in zip(a[1:], b[1:]))
    return a == b or metric == "TLS" and abs(a - b) <= CLOSE


def http_times(flow, apart, joined):
    """tshark's own: {metric: figures} of a stream in which each request is one packet."""
    sizes = [p for p in apart if p.src == flow.client and p.len > 0 and not p.again]
    if not sizes or not all(p.http_request for p in sizes):
        return {}
    return {"first byte": figures([p.http_time_ns for p in apart if p.http_time_ns is not None]),
            "whole": figures([p.http_time_ns for p in joined if p.http_time_ns is not None])}


def compare(program, capture):
    """(flows, requests, HTTP times compared, {key: (here, there)})."""
    apart, joined = packets_of(capture, *APART), packets_of(capture)
    streams = []
    for number, packets in apart.items():
        stream = Flow(packets[0].src, packets[0].dst, packets[0].time_ns)
        stream.number, stream.packets = number, packets
        streams.append(stream)
    flows = requests = times = 0
    wrong = {}
    for flow in ours(program, capture):
        stream = find(flow, streams)
        if stream is None:
            continue  # analyze_test.py's business
        flows += 1
        there = said_by_tshark(stream.packets, flow.client)
        requests += there["requests"]
        for metric, value in there.items():
            if not is_same(metric, flow.said[metric], value):
                wrong[capture.name, flow.name(), metric] = (flow.said[metric], value)
        for metric, value in http_times(flow, stream.packets, joined[stream.number]).items():
            times += value[0]
            if not is_same(metric, flow.said[metric], value):
                wrong[capture.name, flow.name(), f"http.time {metric}"] = (flow.said[metric], value)
    return flows, requests, times, wrong


def dns_over_tcp(program, capture):
    """tshark's dns.time of answers over TCP: (here, there), each (queries, (times, the longest))."""
    there = []
    queries = 0
    for line in run("tshark", "-n", "-r", capture, "-Y", "dns && tcp.port == 53 && !icmp", "-T",
                    "fields", "-e", "dns.flags.response", "-e", "dns.time").splitlines():
        response, time = (line + "\t").split("\t")[:2]
        queries += response in ("0", "False")
        if time:
            there.append(ns(time))
    rows = json.loads(run(program, "--filter", "tcp", "--json", capture))["transactions"]
    row = next((row for row in rows if row["kind"] == "dns"), None)
    here = (0, (0, 0)) if row is None else \
        (row["dns_tcp_queries"], (row["whole"]["samples"], row["whole"]["max_ns"]))
    return here, (queries, (len(there), max(there, default=0)))


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else
                          os.environ.get("SLUICE_CAPTURES", TOP.parent / "shared/captures"))
    if not folder.is_dir() or shutil.which("tshark") is None:
        print(f"skipped: no captures in {folder}, or no tshark")
        return SKIPPED
    passed = failed = dns = 0
    sums = [0, 0, 0]
    left = dict(TRANSACTION_CASES)
    with tempfile.TemporaryDirectory() as scratch:
        once = captures_once(folder, scratch)
        # The copies in the others are analyze_test.py's business.
        captures = [c for c in sorted(folder.glob("*.pcap*")) if c.name not in ONCE] + once
        for capture in captures:
            *counts, found = compare(sys.argv[1], capture)
            here, there = dns_over_tcp(sys.argv[1], capture)
            if here[0] != there[0] or not is_same("DNS", here[1], there[1]):
                found[capture.name, "DNS over TCP"] = (here, there)
            dns += there[1][0]
            sums = [a + b for a, b in zip(sums, counts)]
            bad = [f"FAIL {key}: here {a}, there {b}" for key, (a, b) in found.items()
                   if (left.pop(key, None) or (None, None))[:2] != (a, b)]
            for line in bad:
                print(line)
            failed += bool(bad)
            passed += not bad
            if counts[0]:
                print(f"{'FAIL' if bad else 'ok  '} {capture.name}: {counts[0]} TCP flows, "
                      f"{counts[1]} requests, {counts[2]} HTTP times, {len(found)} differences")
    for key in left:
        print(f"FAIL {key}: listed, but there is no such difference any more")
        failed += 1
    print(f"{sums[0]} TCP flows, {sums[1]} requests, {sums[2]} times of tshark's HTTP dissector, {dns} of DNS over TCP, "
          f"{len(TRANSACTION_CASES)} explained differences")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not sums[2] or not dns else 0


if __name__ == "__main__":
    sys.exit(main())
