#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Transparent framing over a routed WAN (the lab of routed_test.py): what routers and hosts see.

    sudo tests/lab/transparent_test.py

The WAN sees the hosts' addresses, DSCP and TTL and protocol 108; the hosts see what they would
without Sluice, marks of congestion included; others' IPComp passes; and where the WAN lets no
protocol 108 through the link takes the tunnel.
"""
import contextlib
import re
import socket
import struct
import time

import routed_test
from lab import check, need, replace_once, run, wait_for
from routed_test import (CLIENT, SERVER, TEXT, RoutedLab, Udp, datagram,
                         download, looks_routed, restart_in_download, serve, udp_both_ways)

IPCOMP = 108
ECT0, CE = 2, 3
EF = 46


class TransparentLab(RoutedLab):
    def _config(self, site, other):
        return replace_once(super()._config(site, other), r'path = "routed";',
                            'path = "routed"; framing = "transparent";')


def agreed(lab):
    for site in "ab":
        need(lab.peer(site)["framing"] == "transparent", f"{site}: {lab.peer(site)}")


def udp_one_way(lab):
    """Frames are the routers': nothing of the flow's other half need be known."""
    before = lab.compressed_packets("a")
    with Udp(lab, echo=False) as udp:
        need(udp.exchange(50, datagram)[0] == 50, "datagrams are missing")
    need(lab.compressed_packets("a") - before >= 45, "went beside the link")


def seen_in_the_wan(lab, family):
    """Between the routers: hosts' addresses, DSCP, a TTL lower by one, and no payload of UDP."""
    option = (socket.IPPROTO_IP, socket.IP_TOS) if family == 4 else (
        socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
    hosts = f"src host {CLIENT[family]} and dst host {SERVER[family]}"
    with Udp(lab, family, echo=False) as udp:
        udp.client.setsockopt(*option, EF << 2 | ECT0)
        with lab.captured("r1", "wan0", hosts) as lines:
            need(udp.exchange(20, datagram)[0] == 20, "datagrams are missing")
    frames = [line for line in lines if re.search(r"(proto|next-header) [^,]*\(108\)", line)]
    need(len(frames) >= 19, f"{len(frames)} frames of protocol 108: {lines[-2:]}")
    for line in frames:
        need(re.search(r"(tos 0xba|class 0xba),", line) and re.search(r"(ttl|hlim) 63,", line),
             f"seen in the WAN: {line}")
        length = int(re.search(r", length:? (\d+)", line)[1])
        need(length < 700, f"an IP packet of {length} bytes of a datagram of 1,000: {line}")


def marked_on_the_way(lab, family):
    """A router marks congestion on the frame: the host reads it on the packet."""
    level, option, receive = (
        (socket.IPPROTO_IP, socket.IP_TOS, socket.IP_RECVTOS) if family == 4 else
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, socket.IPV6_RECVTCLASS))
    what = "ip protocol" if family == 4 else "ip6 nexthdr"
    ecn = "ip" if family == 4 else "ip6"
    before = lab.compressed_packets("a")
    lab.run("r1", "nft", "add table inet marks; add chain inet marks on_way "
            "{ type filter hook forward priority 0; }; "
            f"add rule inet marks on_way {what} {IPCOMP} {ecn} ecn set ce")
    try:
        with Udp(lab, family, echo=False) as udp:
            udp.client.setsockopt(level, option, EF << 2 | ECT0)
            udp.server.setsockopt(level, receive, 1)
            for i in range(20):
                udp.client.sendto(datagram(i), udp.to)
                data, control, _, _ = udp.server.recvmsg(4096, 64)
                need(data == datagram(i), "another datagram came")
                tos = control[0][2][0]
                need(tos == EF << 2 | CE, f"came with traffic class {tos:#x}")
    finally:
        lab.run("r1", "nft", "delete table inet marks")
    need(lab.compressed_packets("a") - before >= 20, "A did not compress")


def others_ipcomp(lab):
    """With a well-known CPI, and with private-use ones that are not the session's. (One of three may
    happen to be.)"""
    before = lab.reasons("b")["link-foreign"]
    with contextlib.ExitStack() as stack:
        sender, receiver = (stack.enter_context(
            lab.socket(site, socket.AF_INET, socket.SOCK_RAW, IPCOMP))
            for site in ("client", "server"))
        receiver.settimeout(2)
        sent = {cpi: struct.pack("!BBH", 6, 0, cpi) + bytes([cpi & 255]) * 500
                for cpi in (2, 61440, 62002, 65535)}
        for data in sent.values():
            sender.sendto(data, (SERVER[4], 0))
        got = []
        with contextlib.suppress(TimeoutError):
            while len(got) < len(sent):
                got.append(receiver.recv(4096)[20:])
    need(len(got) >= 3 and sent[2] in got and set(got) <= set(sent.values()),
         f"{len(got)} of {len(sent)} came as they were sent")
    need(lab.reasons("b")["link-foreign"] - before >= 2, "not counted as link-foreign")


def dropped_on_the_way(lab):
    """A firewall that knows no protocol 108: what it drops comes again beside the link, and soon all
    goes through the tunnel."""
    lab.run("r2", "nft", "add table inet wall; add chain inet wall on_way "
            "{ type filter hook forward priority 0; }; "
            f"add rule inet wall on_way meta l4proto {IPCOMP} drop")
    start = time.monotonic()

    def fell_back():
        lab.get("small-text", TEXT[:200_000], 4)
        return lab.peer("b")["framing"] == "tunnel"
    wait_for(30, "B takes the tunnel", fell_back, 0.1)
    seconds = time.monotonic() - start
    need("tunnel for ten minutes" in lab.log("b"), lab.log("b")[-200:])
    before = lab.compressed_packets("b")
    said = download(lab, 4)
    need(lab.compressed_packets("b") > before, "B does not compress")
    return f"after {seconds:.1f} s; then {said}"


def main():
    with TransparentLab() as lab:
        serve(lab)
        lab.make_file("small-text", TEXT[:200_000])
        check("both ends agree", agreed, lab)
        for inner in (4, 6):
            check(f"IPv{inner} download", download, lab, inner)
            check(f"IPv{inner} MAC addresses and TTL", looks_routed, lab, inner)
            check(f"IPv{inner} UDP both ways", udp_both_ways, lab, inner)
            check(f"IPv{inner} as the WAN sees it", seen_in_the_wan, lab, inner)
            check(f"IPv{inner} congestion marked on the way", marked_on_the_way, lab, inner)
        check("UDP one way", udp_one_way, lab)
        check("TTL that ends on the way", routed_test.traceroute, lab)
        check("others' IPComp", others_ipcomp, lab)
        for site in "ba":
            check(f"{site.upper()} restarted in a download", restart_in_download, lab, site)
        check("protocol 108 dropped on the way", dropped_on_the_way, lab)


if __name__ == "__main__":
    run(main)
