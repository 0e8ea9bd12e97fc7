#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Passive measurement of kernel TCP against captures at both ends of the path.

    sudo tests/lab/passive_test.py [all | NAME...]

client - appliance a - emulated WAN - appliance b - server, without compression. Uploads and
downloads run at once while four captures are taken: at the client, at the server, and at the two
ports of a, of what a receives. Those of a, put together, are what a measures: pcap_check runs the
same code over them, so that the load of this machine does not matter. Their packets are matched one
by one with those of the ends: that is the truth of losses, of reordering, and of the round-trip
time: the way there, what the host took to answer, and the way back. tcptrace tells which samples are to
be had. And a's own figures must be those of pcap_check.

Limits: median of the WAN's round-trip time within 10 us or 1 %; 99 % of tcptrace's samples; loss
within 0.02 points up to 1 % and within 5 % of it above, or three packets where that is more than
the limit; at most 1 % of what was reordered counted as lost. Data that was not acknowledged when the
capture ended is no loss behind the box: only what follows would tell.
"""
import collections
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys

from lab import (BUILD, CLIENT, CLIENT6, SANITIZED, SERVER, SERVER6, Lab, Skipped, check, need,
                 report, run, wait_for)

PCAP_CHECK = os.path.join(BUILD, "tests/unit/measure/pcap_check")
PORTS = (5001, 5002)  # upload, download
Case = collections.namedtuple("Case", "name words family flows mbit seconds full")
CASES = [
    Case("5 ms", "delay 2500us", 4, 2, 20, 3, False),
    Case("40 ms, jitter, IPv6", "delay 20ms jitter 4ms", 6, 2, 20, 3, False),
    Case("200 ms", "delay 100ms", 4, 2, 20, 4, False),
    Case("0.1 % random", "delay 2500us loss 0.1%", 4, 2, 40, 5, False),
    Case("1 % random, IPv6", "delay 2500us loss 1%", 6, 4, 40, 5, False),
    Case("5 % in bursts", "delay 2500us ge 1.3% 25%", 4, 8, 20, 5, False),
    Case("reordering", "delay 20ms reorder 1% by 3ms", 4, 4, 20, 4, False),
    Case("5 ms, IPv6", "delay 2500us", 6, 2, 20, 3, True),
    Case("40 ms", "delay 20ms", 4, 2, 20, 3, True),
    Case("200 ms, jitter, IPv6", "delay 100ms jitter 10ms", 6, 4, 20, 6, True),
    Case("40 ms, 0.1 % in bursts", "delay 20ms ge 0.05% 50%", 4, 8, 40, 10, True),
    Case("40 ms, 1 % random", "delay 20ms loss 1%", 4, 16, 40, 10, True),
    Case("40 ms, 1 % in bursts, IPv6", "delay 20ms ge 0.25% 25%", 6, 16, 40, 10, True),
    Case("40 ms, 5 % random, IPv6", "delay 20ms loss 5%", 6, 16, 20, 15, True),
    Case("200 ms, 1 % random", "delay 100ms loss 1%", 4, 32, 40, 20, True),
    Case("200 ms, reordering, IPv6", "delay 100ms reorder 1% by 10ms", 6, 4, 20, 10, True),
    Case("40 ms, unordered jitter", "delay 20ms jitter 2ms unordered", 4, 4, 20, 6, True),
    Case("loss and reordering", "delay 20ms loss 1% reorder 1% by 3ms", 4, 16, 40, 10, True),
]
SANITIZED_CASES = ("40 ms, jitter, IPv6", "5 % in bursts", "reordering")

Packet = collections.namedtuple("Packet", "at src dst sport dport seq ack len flags tsval ident")


def parse(path):
    """The TCP packets of a capture of Ethernet frames, with their raw records."""
    with open(path, "rb") as file:
        data = file.read()
    header, at, packets = data[:24], 24, []
    unit = {0xa1b2c3d4: 1000, 0xa1b23c4d: 1}[struct.unpack_from("<I", data)[0]]
    while at + 16 <= len(data):
        seconds, parts, caught, _ = struct.unpack_from("<IIII", data, at)
        if at + 16 + caught > len(data):
            break
        packet = parse_frame(data, at + 16, seconds * 10**9 + parts * unit)
        if packet:
            packets.append((packet, data[at:at + 16 + caught]))
        at += 16 + caught
    return header, packets


def parse_frame(data, at, when):
    kind = data[at + 12] << 8 | data[at + 13]
    ip = at + 14
    if kind == 0x0800 and data[ip + 9] == 6:
        total, = struct.unpack_from("!H", data, ip + 2)
        ident, = struct.unpack_from("!H", data, ip + 4)
        src, dst = data[ip + 12:ip + 16], data[ip + 16:ip + 20]
        tcp = ip + (data[ip] & 15) * 4
        size = total - (tcp - ip)
    elif kind == 0x86dd and data[ip + 6] == 6:
        size, = struct.unpack_from("!H", data, ip + 4)
        ident, src, dst, tcp = 0, data[ip + 8:ip + 24], data[ip + 24:ip + 40], ip + 40
    else:
        return None
    sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", data, tcp)
    length = size - (offset >> 4) * 4
    tsval = 0
    if (offset >> 4) >= 8 and data[tcp + 20:tcp + 24] == b"\x01\x01\x08\x0a":
        tsval, = struct.unpack_from("!I", data, tcp + 24)
    return Packet(when, src, dst, sport, dport, seq, ack, length, flags, tsval, ident)


def takes_numbers(p):
    return p.len > 0 or p.flags & 3 != 0


def key_of(p):
    return (p.sport, p.dport, p.seq, p.ack, p.len, p.flags, p.tsval, p.ident)


def end_of(p):
    return (p.seq + p.len + (p.flags & 1) + (p.flags >> 1 & 1)) & 0xffffffff


def by_key(packets):
    """Times of each packet of a capture. What looks the same keeps its order."""
    times = collections.defaultdict(collections.deque)
    for p in packets:
        times[key_of(p)].append(p.at)
    return times


# ---- what was measured ----

class Measured:
    """What pcap_check says of a capture."""

    def __init__(self, capture, lan):
        self.rtt, self.again, self.late, self.sums = [], {}, set(), {}
        said = subprocess.run([PCAP_CHECK, capture, lan], check=True, capture_output=True,
                              text=True).stdout
        for line in said.splitlines():
            word = line.split()
            if word[0] == "rtt":
                self.rtt.append((int(word[1]), word[2], int(word[3])))
            elif word[0] == "again":
                self.again[int(word[1])] = word[2]
            elif word[0] == "late":
                self.late.add(int(word[1]))
            elif word[0] == "sum":
                self.sums[word[1]] = {word[i]: float(word[i + 1]) for i in range(2, len(word), 2)}


def tcptrace_samples(capture):
    """How many RTT samples tcptrace takes of answers by the WAN's host, and by the LAN's."""
    said = subprocess.run(["tcptrace", "-n", "-l", "-r", capture], check=True, capture_output=True,
                          text=True, errors="replace").stdout
    return sum(int(a) + int(b) for a, b in
               re.findall(r"RTT samples: +(\d+) +RTT samples: +(\d+)", said))


def daemon_sums(lab):
    """What appliance a has counted."""
    sums = collections.Counter()
    for row in lab.ctl("a", "show", "rtt")["rtt"]:
        sums["rtt_" + row["half"]] += row["samples"]
    for row in lab.ctl("a", "show", "loss")["loss"]:
        for name in ("packets", "lost_before", "lost_after", "reordered", "duplicate"):
            sums[f"{name}_{row['way']}"] += row[name]
    return sums


# ---- one case ----

def capture(lab, site, device, name, *words):
    path = f"{lab.tmp}/{name}.pcap"
    log = open(f"{lab.tmp}/{name}.log", "wb")  # pylint: disable=consider-using-with
    process = lab.start(site, "tcpdump", "-i", device, "-s", 128, "-B", 32768, "-U",
                        "--immediate-mode", *words, "-w",
                        path, f"tcp and (port {PORTS[0]} or port {PORTS[1]})", stderr=log)
    wait_for(10, f"tcpdump at {site}", lambda: b"listening" in open(log.name, "rb").read())
    return path, process, log


def end_captures(captures):
    """Ends them once nothing comes any more; Skipped if one has missed packets."""
    sizes = []

    def quiet():
        sizes.append([os.path.getsize(path) for path, _, _ in captures])
        return len(sizes) > 2 and sizes[-1] == sizes[-2] == sizes[-3]

    wait_for(15, "the captures end", quiet, 0.3)
    for _, process, log in captures:
        Lab.stop(process)
        log.close()
        with open(log.name, encoding="ascii", errors="replace") as file:
            said = file.read()
        missed = re.search(r"(\d+) packets? dropped by kernel", said)
        if not missed or int(missed.group(1)) > 0:
            raise Skipped(f"a capture is not complete: {said.strip()[-120:]}")


def traffic(lab, case):
    """An upload and a download at once, paced by the senders' kernels."""
    loads = []
    for port, site, to, to6 in ((PORTS[0], "client", SERVER, SERVER6),
                                (PORTS[1], "server", CLIENT, CLIENT6)):
        loads.append(lab.start(site, "iperf3", "-c", to if case.family == 4 else to6, "-p", port,
                               "-P", case.flows, "-t", case.seconds, "--fq-rate",
                               f"{case.mbit / case.flows}M"))
    for load in loads:
        load.wait(case.seconds + 60)


def merge(first, second, path):
    """One capture of both, in order of time."""
    header, packets = parse(first)
    packets += parse(second)[1]
    packets.sort(key=lambda p: p[0].at)
    with open(path, "wb") as file:
        file.write(header)
        for _, record in packets:
            file.write(record)
    return [p for p, _ in packets]


class Truth:
    """The three views of the packets that one side sends: sent, at the box, arrived."""

    def __init__(self, sender, box, receiver, address):
        self.sent = [p for p in sender if p.src == address]
        self.box = [(number, p) for number, p in enumerate(box, 1) if p.src == address]
        self.arrived = [p for p in receiver if p.src == address]
        known = known_at_the_end(box, address)
        data = [p for p in self.sent if takes_numbers(p)]
        at_box = [p for _, p in self.box if takes_numbers(p) and known(p)]
        got = sum(takes_numbers(p) and known(p) for p in self.arrived)
        self.sent_data = len(data)
        self.box_data = sum(takes_numbers(p) for _, p in self.box)
        self.before = (len(data) - self.box_data) / max(len(data), 1)
        self.after = (len(at_box) - got) / max(len(at_box), 1)
        # Sent again: the same numbers had been sent before.
        seen, self.again, order = set(), set(), {}
        for i, p in enumerate(data):
            key = (p.sport, p.dport, p.seq)
            if key in seen:
                self.again.add(key_of(p))
            seen.add(key)
            order.setdefault(key_of(p), i)
        # Reordered at the box (RFC 4737): something sent later came earlier.
        self.reordered, newest = set(), collections.defaultdict(int)
        for number, p in self.box:
            if not takes_numbers(p) or key_of(p) not in order:
                continue
            flow, i = (p.sport, p.dport), order[key_of(p)]
            if i < newest[flow]:
                self.reordered.add(number)
            newest[flow] = max(newest[flow], i)


def path_times(measured, box, there, back):
    """Samples of the WAN half whose packet passed the box once; for each the time that the captures
    of both ends and the box tell, with and without that which the host took to answer. there: data
    of the LAN's host, back: the answers."""
    arrived, sent = by_key(there.arrived), by_key(back.sent)
    ends = collections.defaultdict(list)
    for _, p in there.box:
        if takes_numbers(p):
            ends[(p.sport, p.dport, end_of(p))].append(p)
    samples, truths, paths = [], [], []
    for number, half, ns in measured.rtt:
        answer = box[number - 1]
        passed = ends[(answer.dport, answer.sport, answer.ack)]
        if half != "wan" or len(passed) != 1 or not arrived[key_of(passed[0])] or \
                not sent[key_of(answer)]:
            continue
        got, answered = arrived[key_of(passed[0])][0], sent[key_of(answer)][0]
        samples.append(ns)
        paths.append(got - passed[0].at + answer.at - answered)
        truths.append(paths[-1] + answered - got)
    return samples, truths, paths


def answers(measured, box):
    """How many samples are of ACKs of exactly one segment, as tcptrace takes them: without those by
    the echo of a timestamp."""
    ends = {(p.sport, p.dport, end_of(p)) for p in box if takes_numbers(p)}
    return len({number for number, _, _ in measured.rtt
                if (box[number - 1].dport, box[number - 1].sport, box[number - 1].ack) in ends})


def known_at_the_end(box, address):
    """A function that says of a packet of `address` whether its data has been acknowledged by the
    end of the capture at the box. What has not may have been lost behind it, and nobody there can
    know."""
    first, acked = {}, collections.defaultdict(int)
    for p in box:
        if p.src == address:
            first.setdefault((p.sport, p.dport), p.seq)
        elif (p.dport, p.sport) in first and p.flags & 16:
            flow = (p.dport, p.sport)
            acked[flow] = max(acked[flow], (p.ack - first[flow]) & 0xffffffff)
    def known(p):
        flow = (p.sport, p.dport)
        return flow in first and (end_of(p) - first[flow]) & 0xffffffff <= acked[flow]
    return known


def check_loss(what, got, truth, packets):
    """Within the limits of the goals, or three packets."""
    limit = 0.0002 if truth <= 0.0105 else 0.05 * truth
    limit = max(limit, 3 / max(packets, 1))
    need(abs(got - truth) <= limit,
         f"{what}: {100 * got:.3f} % measured, {100 * truth:.3f} % in truth, of {packets} packets")


def one_case(lab, case):
    lab.wanem("set", "both", "clear", *f"{case.words} seed 7".split())
    before = daemon_sums(lab)
    captures = [capture(lab, "client", "eth0", "client"), capture(lab, "server", "eth0", "server"),
                capture(lab, "a", "lan0", "lan", "-Q", "in"),
                capture(lab, "a", "wan0", "wan", "-Q", "in")]
    traffic(lab, case)
    end_captures(captures)
    after = daemon_sums(lab)
    box_file = f"{lab.tmp}/box.pcap"
    box = merge(captures[2][0], captures[3][0], box_file)
    client = [p for p, _ in parse(captures[0][0])[1]]
    server = [p for p, _ in parse(captures[1][0])[1]]
    lan, wan = (box_side(box, address) for address in
                ((CLIENT, SERVER) if case.family == 4 else (CLIENT6, SERVER6)))
    up = Truth(client, box, server, lan)
    down = Truth(server, box, client, wan)
    measured = Measured(box_file, CLIENT if case.family == 4 else CLIENT6)
    there, found = tcptrace_samples(box_file), answers(measured, box)
    samples, truths, paths = path_times(measured, box, up, down)
    need(len(samples) > 100, f"only {len(samples)} samples could be matched")
    rtt, truth = statistics.median(samples), statistics.median(truths)
    error = statistics.median(abs(a - b) for a, b in zip(samples, truths))
    reordered = up.reordered | down.reordered
    wrong = [n for n in measured.again if n in reordered and
             key_of(box[n - 1]) not in up.again | down.again]
    sums = measured.sums
    path = statistics.median(paths)
    row = f"RTT {rtt / 1e6:.3f} ms ({truth / 1e6:.3f}, path alone {path / 1e6:.3f}), error {error / 1e3:.1f} us, " \
          f"samples {found} of {len(measured.rtt)} " \
          f"(tcptrace {there}), up lost behind {100 * sums['lan']['loss_after']:.3f} % " \
          f"({100 * up.after:.3f}) of {up.box_data}, down before " \
          f"{100 * sums['wan']['loss_before']:.3f} % ({100 * down.before:.3f}) of " \
          f"{down.sent_data}, reordered {len(measured.late)} ({len(reordered)}, as lost {len(wrong)})"
    report("ok", f"{case.name}: table", row)
    need(error <= max(10e3, 0.01 * truth), f"RTT: {row}")
    need(found >= 0.99 * there, f"too few samples: {row}")
    check_loss(f"up, behind the box ({row})", sums["lan"]["loss_after"], up.after, up.box_data)
    check_loss(f"up, before the box ({row})", sums["lan"]["loss_before"], up.before, up.sent_data)
    check_loss(f"down, before the box ({row})", sums["wan"]["loss_before"], down.before,
               down.sent_data)
    check_loss(f"down, behind the box ({row})", sums["wan"]["loss_after"], down.after,
               down.box_data)
    need(len(wrong) <= max(1, 0.01 * len(reordered)), f"reordered counted as lost: {row}")
    check_daemon(before, after, measured, sums)


def box_side(box, address):
    """The address as it stands in packets."""
    import socket  # pylint: disable=import-outside-toplevel
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    need(any(p.src == packed for p in box), f"nothing from {address} at the box")
    return packed


def check_daemon(before, after, measured, sums):
    """The daemon saw the same packets, at nearly the same times."""
    seen = {name: after[name] - before[name] for name in after}
    want = {"rtt_lan": sum(half == "lan" for _, half, _ in measured.rtt),
            "rtt_wan": sum(half == "wan" for _, half, _ in measured.rtt)}
    for way, side in (("up", "lan"), ("down", "wan")):
        want[f"packets_{way}"] = sums[side]["data"]
        want[f"lost_before_{way}"] = sums[side]["before"]
        known = sums[side]["needless"] + sums[side]["duplicate"]
        spurious = max(0, sums[side]["dsack"] - known)
        want[f"lost_after_{way}"] = max(0, sums[side]["after"] - spurious)
    for name, value in want.items():
        need(abs(seen[name] - value) <= 3 + 0.03 * value,
             f"the daemon counted {seen[name]} {name}, the same code over the capture {value:.0f}")


def main():
    words = sys.argv[1:]
    for tool in ("tcpdump", "tcptrace", "iperf3"):
        if shutil.which(tool) is None:
            report("skip", "passive", f"{tool} is not installed")
            return
    cases = [c for c in CASES if ("all" in words or c.name in words or (not words and not c.full))]
    need(cases, f"no such case; there are: {', '.join(c.name for c in CASES)}")
    if SANITIZED and not words:
        # The daemon's code with loss, reordering and both families; accuracy is the same code's.
        for case in cases:
            if case.name not in SANITIZED_CASES:
                report("skip", case.name, "not under sanitizers")
        cases = [c for c in cases if c.name in SANITIZED_CASES]
    with Lab("--delay", "2500us", "--rate", "0") as lab:
        for site in "ab":
            lab.ctl(site, "set", "compression", "off")
        for site, port in zip(("server", "client"), PORTS):
            lab.iperf_server(site=site, port=port)
        for case in cases:
            check(case.name, one_case, lab, case)


if __name__ == "__main__":
    run(main)
