#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Several packets in one link frame: fewer frames, fewer bytes, and the same packets.

    sudo tests/lab/pack_test.py

Many small datagrams of several flows go both ways through two appliances, in bursts, with packing
and without: every one arrives as it was sent and in its flow's order, and the emulator, which knows
nothing of packing, has had fewer frames and fewer bytes. Datagrams that come one by one share frames
where their class has pack_wait. Then the emulator loses, doubles and reorders frames: what arrives is
still what was sent, once, and both appliances' counts of frames are the emulator's. Last a download by kernel TCP, whose acknowledgements share frames on their way back.
"""
import hashlib
import select
import socket
import struct
import time

from lab import (CLIENT, SERVER, Lab, Skipped, check, need, replace_once, run, text_bytes, wait_for)
from peers_test import CLEAR, compare, counted, emulator, impair

FLOWS = 6
PORT = 6000
BURST = 8        # datagrams of each flow in a row
ROUNDS = 150
ONE_BY_ONE = 2000
PACE = 20e-6     # seconds between two datagrams of which none has company
SO_RCVBUFFORCE = 33  # Linux: beyond net.core.rmem_max
IMPAIR = "loss 2% link duplicate 1% link reorder 3% by 5 link"
SIZE = 3 << 20
ENDS = {"a": ("client", SERVER), "b": ("server", CLIENT)}  # site: who sends there, and to whom


def config(_site, text):
    """The datagrams are of a class that is compressed; queues hold a burst of all flows."""
    return replace_once(
        text, r'^(?=  \{ match = \{ dscp = "ef")',
        f'  {{ match = {{ proto = "udp"; dport = "{PORT}-{PORT + 99}"; }}; class = "web"; }},\n')


def payload(flow, number):
    """Datagram `number` of a flow: every one of another length, 20 to 150 bytes, but now and then one
    that does not wait for others."""
    text = f" sensor {flow} reading {number * 7919 % 1000} at {number} of station {flow * 31}; "
    length = 700 if number % 50 == 49 else 20 + (flow * 13 + number * 37) % 131
    return struct.pack("!HI", flow, number) + (text * 20).encode()[:length - 6]


class Datagrams:
    """Sends so many of every flow both ways, and looks at all that come."""

    def __init__(self, lab):
        self.lab = lab
        self.sent = {site: 0 for site in "ab"}
        self.received = {site: 0 for site in "ab"}  # by the site that they were sent through
        self.seen = {site: [set() for _ in range(FLOWS)] for site in "ab"}
        self.newest = {site: [-1] * FLOWS for site in "ab"}
        self.disordered = self.strange = self.doubled = 0
        self.next = 0
        self.senders, self.receivers = {}, {}
        for site, (host, to) in ENDS.items():
            self.senders[site] = []
            for flow in range(FLOWS):
                sender = lab.socket(host, socket.AF_INET, socket.SOCK_DGRAM)
                sender.connect((to, PORT + flow))
                self.senders[site].append(sender)
            far = "server" if host == "client" else "client"
            for flow in range(FLOWS):
                receiver = lab.socket(far, socket.AF_INET, socket.SOCK_DGRAM)
                receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
                receiver.bind((to, PORT + flow))
                receiver.setblocking(False)
                self.receivers[receiver] = site

    def close(self):
        for sockets in self.senders.values():
            for sender in sockets:
                sender.close()
        for receiver in self.receivers:
            receiver.close()

    def _look(self, site, data):
        self.received[site] += 1
        flow, number = struct.unpack("!HI", data[:6]) if len(data) >= 6 else (FLOWS, 0)
        if flow >= FLOWS or data != payload(flow, number):
            self.strange += 1
            return
        self.doubled += number in self.seen[site][flow]
        self.seen[site][flow].add(number)
        self.disordered += number < self.newest[site][flow]
        self.newest[site][flow] = max(number, self.newest[site][flow])

    def drain(self, seconds):
        """Until nothing has come for so long."""
        while True:
            ready = select.select(list(self.receivers), [], [], seconds)[0]
            if not ready:
                return
            for receiver in ready:
                try:
                    while True:
                        self._look(self.receivers[receiver], receiver.recv(2048))
                except BlockingIOError:
                    pass

    def send(self, rounds):
        for _ in range(rounds):
            for site, sockets in self.senders.items():
                for number in range(self.next, self.next + BURST):
                    for flow, sender in enumerate(sockets):
                        sender.send(payload(flow, number))
                        self.sent[site] += 1
            self.next += BURST
            self.drain(0.004)


def packed(lab, site):
    row = next(row for row in lab.ctl(site, "show", "compression")["compression"]
               if row["class"] == "web")
    return {key: row[key] for key in ("packets", "packets_packed", "packed_frames", "busy")}


def wire(lab):
    """Frames and bytes that the emulator has had, both ways together."""
    stats = lab.wanem("stats")
    return [sum(stats[way][key] for way in ("a2b", "b2a"))
            for key in ("received", "received_bytes")]


def apply(lab, pack, wait="none"):
    """The policy with packing switched on or off, and how long packets wait for others."""
    for site in "ab":
        with open(f"{lab.state}/{site}.conf", encoding="ascii") as file:
            text = replace_once(file.read(), '"lab.key"', f'"{lab.state}/lab.key"')
        options = f'pack = {"true" if pack else "false"}; pack_wait = "{wait}";'
        text = replace_once(text, r"    compress = true; \}", f"    compress = true; {options} }}")
        lab.ctl(site, "policy", "apply", lab.write(f"apply-{site}.conf", text))


class Disturbed(Exception):
    """The worker had no time to compress: its governor switches packing off first."""


def undisturbed(function, lab):
    for _ in range(4):
        steps = lab.busy_steps()
        try:
            said = function(lab)
        except Disturbed:
            continue
        if lab.busy_steps() == steps:
            return said
    raise Skipped("the machine was too busy to compress, four times")


def one_run(lab, datagrams, rounds):
    before, steps = wire(lab), lab.busy_steps()
    sent = sum(datagrams.sent.values())
    datagrams.send(rounds)
    datagrams.drain(1)
    after = wire(lab)
    if lab.busy_steps() != steps:
        raise Disturbed
    return sum(datagrams.sent.values()) - sent, *(now - then for now, then in zip(after, before))


def need_whole(datagrams, lossless=True):
    need(datagrams.strange == 0, f"{datagrams.strange} arrived that had not been sent so")
    need(datagrams.doubled == 0, f"{datagrams.doubled} arrived twice")
    if lossless:
        need(datagrams.disordered == 0, f"{datagrams.disordered} overtook others of their flow")
        need(datagrams.received == datagrams.sent,
             f"sent {datagrams.sent}, received {datagrams.received}")


def smaller(lab):
    datagrams = Datagrams(lab)
    try:
        apply(lab, False)
        before = {site: packed(lab, site) for site in "ab"}
        count, frames_alone, bytes_alone = one_run(lab, datagrams, ROUNDS)
        for site in "ab":
            need(packed(lab, site)["packets_packed"] == before[site]["packets_packed"],
                 f"{site} packed with pack = false")
        apply(lab, True)
        count, frames, wire_bytes = one_run(lab, datagrams, ROUNDS)
        need_whole(datagrams)
    finally:
        datagrams.close()
    for site in "ab":
        now = packed(lab, site)
        together = now["packets_packed"] - before[site]["packets_packed"]
        need(together > count / 2 * 0.3, f"{site} packed {together} of {count // 2}")
    need(frames < frames_alone * 0.7, f"{frames} frames for {count} packets, {frames_alone} alone")
    need(wire_bytes < bytes_alone * 0.85, f"{wire_bytes} bytes, {bytes_alone} alone")
    return (f"{count} datagrams: {frames} frames of {wire_bytes} bytes, "
            f"alone {frames_alone} of {bytes_alone}")


def one_by_one(lab, datagrams, count):
    """Sends datagrams both ways, a moment apart; the frames that the emulator has had of them."""
    frames, steps = wire(lab)[0], lab.busy_steps()
    for number in range(count):
        for site, sockets in datagrams.senders.items():
            until = time.perf_counter() + PACE
            flow = number % FLOWS
            sockets[flow].send(payload(flow, datagrams.next))
            datagrams.sent[site] += 1
            while time.perf_counter() < until:
                pass
        datagrams.next += 1
        if number % 50 == 0:
            datagrams.drain(0.001)
    datagrams.drain(1)
    if lab.busy_steps() != steps:
        raise Disturbed
    return wire(lab)[0] - frames


def waits(lab):
    """Datagrams that come one by one share frames where they may wait."""
    datagrams = Datagrams(lab)
    try:
        apply(lab, True)
        alone = one_by_one(lab, datagrams, ONE_BY_ONE)
        apply(lab, True, "200 us")
        together = one_by_one(lab, datagrams, ONE_BY_ONE)
        need_whole(datagrams)
    finally:
        datagrams.close()
        apply(lab, True)
    need(together < alone * 0.8, f"{together} frames, {alone} without waiting")
    return f"{2 * ONE_BY_ONE} datagrams in {together} frames, {alone} without waiting"


def impaired(lab):
    """Loss, duplicates and reordering of frames with many packets."""
    datagrams = Datagrams(lab)
    wan, count = emulator(lab), {site: counted(lab, site) for site in "ab"}
    try:
        impair(lab, IMPAIR)
        datagrams.send(3 * ROUNDS)
        impair(lab, CLEAR)
        datagrams.send(10)  # so that the last frames are known to be lost
        datagrams.drain(1)
        need_whole(datagrams, lossless=False)
    finally:
        impair(lab, CLEAR)
        datagrams.close()
    said = compare(lab, wan, count)
    for site, way in (("a", "a2b"), ("b", "b2a")):
        lost = emulator(lab)[way]["lost"] - wan[way]["lost"]
        missing = datagrams.sent[site] - datagrams.received[site]
        need(missing > lost, f"{way}: {missing} datagrams and {lost} frames lost: nothing was packed")
    bad = {site: {reason: packets for reason, packets in lab.dropped(site).items()
                  if packets and reason.startswith("link-") and reason != "link-duplicate"}
           for site in "ab"}
    need(not any(bad.values()), f"dropped: {bad}")
    return f"{datagrams.sent['a']} datagrams each way in: {said}"


def download(lab):
    """The bytes on the WAN towards the client and back, with packing and without."""
    def fetch(name):
        data = text_bytes(SIZE)
        lab.make_file(name, data)
        steps, before = lab.busy_steps(), lab.wanem("stats")
        got = lab.run("client", "curl", "-sS", "--max-time", "50", f"http://{SERVER}/{name}",
                      timeout=60, text=False)
        after = lab.wanem("stats")
        need(hashlib.sha256(got).digest() == hashlib.sha256(data).digest(),
             "what arrived is not what was sent")
        if lab.busy_steps() != steps:
            raise Disturbed
        return [after[way][key] - before[way][key]
                for way, key in (("b2a", "received_bytes"), ("a2b", "received_bytes"),
                                 ("a2b", "received"))]

    apply(lab, False)
    alone = fetch("alone")
    apply(lab, True)
    before = {site: packed(lab, site) for site in "ab"}
    together = fetch("together")
    acks = {key: value - before["a"][key] for key, value in packed(lab, "a").items()}
    need(acks["packets_packed"] > acks["packets"] * 0.3, f"of the acknowledgements {acks}")
    # How many are there at once is for the machine to say: a busy one has more or fewer of them.
    need(together[0] < alone[0] * 0.97, f"down {together[0]} bytes, {alone[0]} without packing")
    need(together[2] < acks["packets"] * 0.9, f"{together[2]} frames of {acks['packets']} packets")
    return (f"{SIZE} bytes: down {together[0]}, up {together[1]} on the wire; without packing "
            f"{alone[0]}, {alone[1]}")


def lossy_download(lab):
    data = text_bytes(SIZE)
    lab.make_file("lossy", data)
    lab.wanem("set", "both", "loss", "1%")
    try:
        got = lab.run("client", "curl", "-sS", "--max-time", "50", f"http://{SERVER}/lossy",
                      timeout=60, text=False)
    finally:
        lab.wanem("set", "both", "loss", "0")
    need(hashlib.sha256(got).digest() == hashlib.sha256(data).digest(),
         "what arrived is not what was sent")


def main():
    with Lab("--delay", "5ms", config=config) as lab:
        lab.wait_peers_up()
        lab.http_server()
        check("fewer frames and bytes, the same packets", undisturbed, smaller, lab)
        check("packets that wait for others", undisturbed, waits, lab)
        check("lost, doubled and reordered frames", impaired, lab)
        check("a download", undisturbed, download, lab)
        check("a download at 1 % loss", lossy_download, lab)


if __name__ == "__main__":
    run(main)
