#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""DNS as `show transactions` counts it, against what a resolver sees: over UDP and over TCP.

    sudo tests/lab/dns_test.py

A resolver and a server of this process at the lab's hosts: queries that are answered, with the
times that the resolver measured, queries that nobody answers and nothing follows, and pipelined
queries over TCP, of which only the first of a breath has a figure.
"""
import socket
import struct
import time

from lab import SERVER, Lab, check, need, run, wait_for

PORT = 53
ANSWERED, LOST, STREAMS, EACH = 20, 7, 3, 5
DELAY_MS = 20  # of the path, one way


def message(ident, response=False):
    """One question, for the address of a.example."""
    header = struct.pack("!HHHHHH", ident, 0x8180 if response else 0x0100, 1, 0, 0, 0)
    return header + b"\x01a\x07example\x00" + struct.pack("!HH", 1, 1)


def framed(ident, response=False):
    text = message(ident, response)
    return struct.pack("!H", len(text)) + text


def row(lab, site):
    """Of all classes; zeros where nothing was asked yet."""
    rows = lab.ctl(site, "show", "transactions")["transactions"]
    found = [r for r in rows if r["class"] == "(all)" and r["kind"] == "dns"]
    return found[0] if found else {"count": 0, "dns_answers": 0, "dns_timeouts": 0,
                                   "dns_tcp_queries": 0, "whole": {"samples": 0}}


def over_udp(lab, server):
    """Each from a port of its own: flows that end with their answer."""
    times = []
    before = {site: row(lab, site) for site in "ab"}
    for i in range(ANSWERED):
        with lab.socket("client", socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            start = time.monotonic()
            client.sendto(message(i), (SERVER, PORT))
            text, peer = server.recvfrom(512)
            need(text == message(i), "another query came")
            server.sendto(message(i, True), peer)
            need(client.recv(512) == message(i, True), "another answer came")
            times.append(time.monotonic() - start)
    for site in "ab":
        wait_for(10, f"{ANSWERED} answers are counted at {site}", lambda site=site:
                 row(lab, site)["dns_answers"] - before[site]["dns_answers"] == ANSWERED)
        need(row(lab, site)["dns_timeouts"] == before[site]["dns_timeouts"], "timeouts")
    shown = row(lab, "a")["whole"]
    need(shown["samples"] == ANSWERED, f"{shown['samples']} times")
    # At the LAN of the resolver nearly all of the path is seen.
    theirs = sorted(times)[len(times) // 2] * 1000
    need(2 * DELAY_MS <= shown["p50_ns"] / 1e6 <= theirs + 1,
         f"median {shown['p50_ns'] / 1e6:.1f} ms, the resolver's {theirs:.1f} ms")
    return f"median {shown['p50_ns'] / 1e6:.1f} ms, the resolver's {theirs:.1f} ms"


def without_answer(lab, server):
    """Nothing follows on these flows: silence alone must tell."""
    before = {site: row(lab, site)["dns_timeouts"] for site in "ab"}
    start = time.monotonic()
    with lab.socket("client", socket.AF_INET, socket.SOCK_DGRAM) as client:
        for i in range(LOST):
            client.sendto(message(1000 + i), (SERVER, PORT))
        took = {}
        for site in "ab":
            wait_for(40, f"{LOST} timeouts are counted at {site}", lambda site=site:
                     row(lab, site)["dns_timeouts"] - before[site] == LOST, 0.1)
            took[site] = time.monotonic() - start
    need(min(took.values()) > 4.9, f"noticed after {min(took.values()):.1f} s")
    return f"{LOST} of {LOST}, noticed after {took['a']:.1f} s"


def over_tcp(lab, listening):
    before = row(lab, "a")
    for _ in range(STREAMS):
        with lab.socket("client", socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(10)
            client.connect((SERVER, PORT))
            with listening.accept()[0] as end:
                end.settimeout(10)
                for i in range(EACH):
                    # The last time two in one breath.
                    idents = (i,) if i < EACH - 1 else (i, i + 1)
                    client.sendall(b"".join(map(framed, idents)))
                    size = len(framed(0)) * len(idents)
                    need(end.recv(size, socket.MSG_WAITALL) ==
                         b"".join(map(framed, idents)), "another query came")
                    end.sendall(b"".join(framed(ident, True) for ident in idents))
                    need(len(client.recv(size, socket.MSG_WAITALL)) == size, "another answer")
    wanted = STREAMS * EACH
    for name, count in (("dns_tcp_queries", wanted), ("dns_answers", wanted)):
        wait_for(10, f"{name}: {count}", lambda name=name, count=count:
                 row(lab, "a")[name] - before[name] == count)
    return f"{wanted} queries and answers"


def main():
    with Lab("--delay", f"{DELAY_MS}ms") as lab:
        lab.wait_peers_up(20)
        server = lab.socket("server", socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("0.0.0.0", PORT))
        server.settimeout(10)
        listening = lab.socket("server", socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("0.0.0.0", PORT))
        listening.listen(8)
        listening.settimeout(10)
        check("over UDP", over_udp, lab, server)
        check("without an answer", without_answer, lab, server)
        check("over TCP", over_tcp, lab, listening)


if __name__ == "__main__":
    run(main)
