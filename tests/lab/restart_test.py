#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Appliances that are killed in turn under load: no wrong byte, and compression is soon back.

    sudo tests/lab/restart_test.py [SECONDS [EVERY]]

Over 40 ms of WAN two TCP streams go each way, whose bytes follow from their place, and numbered
datagrams, whose bytes follow from their number. Every EVERY seconds (6) one of the two daemons,
in turn, is killed by SIGKILL and started again, for SECONDS (24). Everything that arrives is
compared. The ten minutes of a thorough run are

    sudo tests/lab/restart_test.py 600 20

Compression is back when both ends send data through the link again. That is taken from captures at
both ends of the WAN, with the kernel's time stamps, and counted from the first hello of the
restarted end: three messages for the end that stayed, four for the one that is new, so two round
trips, and ALLOWANCE_MS for the threads' turns and the time between two datagrams. That hello goes
out as soon as the restarted end knows its next hop: here both ends are in one Ethernet segment, so
that this takes an ARP request across the WAN, one round trip more. Hosts, emulator and appliances
share the CPUs, which only ever adds to a time: of the restarts of an end the shortest is judged, and
the median printed; link-session's unit test holds every phase of the timers against two round
trips.
"""
import hashlib
import os
import signal
import socket
import statistics
import struct
import sys
import threading
import time

from lab import (CLIENT, IN_PATH, LINK_PORT, SANITIZED, SERVER, Lab, check, need,
                 replace_once, report, run, text_bytes, wait_for)
from peers_test import has_ended

DELAY_MS = 20
RTT_MS = 2 * DELAY_MS
ALLOWANCE_MS = 20
RATE = "200mbit"          # more than the appliances shape to: nothing is lost in the WAN
TCP_PORTS = {"server": (7000, 7001), "client": (7002, 7003)}  # by receiving site
TCP_BPS = 8e6            # of each stream, so that hosts and appliances have CPU to spare
CHUNK = 65536
NEW_BYTES = 8192         # of each chunk: never sent before, half of it noise
UDP_PORT, UDP_PPS, UDP_BYTES = 6000, 250, 700
STORE = "32 MiB"
CONTROL_PORT, LANE_PORTS = 49151, 49152  # source ports of hellos, and of data from there on
ADDRESS = {"client": CLIENT, "server": SERVER}
OTHER = {"client": "server", "server": "client", "a": "b", "b": "a"}
MORE = 4                 # restarts at most beyond those asked for, where none was fast enough
LOST_SHARE_MAX = 0.01    # of datagrams, with both appliances up: hosts that have no CPU lose some


def config(_site, text):
    text = replace_once(text, r'path = "bridged";', f'path = "bridged"; store = "{STORE}";')
    return replace_once(
        text, r'^(?=  \{ match = \{ dscp = "ef")',
        '  { match = { proto = "tcp"; dport = "7000-7099"; }; class = "web"; },\n'
        '  { match = { proto = "udp"; dport = "6000-6099"; }; class = "web"; },\n')


# ---- load ----

class Load:
    """Both kinds of streams, both ways, in the background of the `with` block."""

    def __init__(self, lab):
        self.lab = lab
        self.text = text_bytes(1 << 20)
        self.wrong = []            # what was not as sent, said once a stream
        self.tcp = {port: {"sent": 0, "received": 0, "ended": False}
                    for ports in TCP_PORTS.values() for port in ports}
        self.udp = {site: Datagrams(self, site) for site in ADDRESS}
        self._stop = threading.Event()
        self._threads = []

    def stopped(self):
        return self._stop.is_set()

    def chunk(self, port, number):
        """The bytes of a stream from number * CHUNK on."""
        seed = struct.pack("!HQ", port, number)
        new = hashlib.shake_128(seed).hexdigest(NEW_BYTES // 2).encode()
        at = number * 49999 % (len(self.text) - CHUNK)
        return new + self.text[at:at + CHUNK - NEW_BYTES]

    def _start(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self):
        for site, ports in TCP_PORTS.items():
            for port in ports:
                listener = self.lab.socket(site, socket.AF_INET, socket.SOCK_STREAM)
                listener.bind((ADDRESS[site], port))
                listener.listen()
                self._start(self._receive, listener, port)
                sender = self.lab.socket(OTHER[site], socket.AF_INET, socket.SOCK_STREAM)
                # The kernel paces it: SO_MAX_PACING_RATE, bytes a second.
                sender.setsockopt(socket.SOL_SOCKET, 47, int(TCP_BPS / 8))
                self._start(self._send, sender, (ADDRESS[site], port), port)
        for datagrams in self.udp.values():
            self._start(datagrams.send)
            self._start(datagrams.receive)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self, sender, to, port):
        stream, number = self.tcp[port], 0
        with sender:
            sender.settimeout(60)
            sender.connect(to)
            while not self.stopped():
                sender.sendall(self.chunk(port, number))
                number += 1
                stream["sent"] += CHUNK
            sender.shutdown(socket.SHUT_WR)
            stream["ended"] = sender.recv(1) == b""  # the receiver has it all

    def _receive(self, listener, port):
        stream, number = self.tcp[port], 0
        with listener:
            listener.settimeout(60)
            connection, _ = listener.accept()
        with connection:
            connection.settimeout(60)
            while True:
                got = bytearray()
                while len(got) < CHUNK and (part := connection.recv(CHUNK - len(got))):
                    got += part
                    stream["received"] += len(part)
                if got != self.chunk(port, number)[:len(got)]:
                    self.wrong.append(f"TCP to port {port}: other bytes in the {CHUNK} from "
                                      f"{number * CHUNK} on")
                    return
                if len(got) < CHUNK:
                    return
                number += 1

    def need_right(self):
        for datagrams in self.udp.values():
            datagrams.check_wrong()
        need(not self.wrong, "; ".join(self.wrong[:5]))

    def received(self):
        return {port: stream["received"] for port, stream in self.tcp.items()}

    def need_whole(self):
        """When all is over: every stream came to its end, every datagram that came was right."""
        self.need_right()
        for port, stream in self.tcp.items():
            need(stream["ended"] and stream["received"] == stream["sent"],
                 f"TCP to port {port}: {stream}")
        return sum(self.received().values())


class Datagrams:
    """Numbered datagrams towards a site."""

    def __init__(self, load, site):
        self.load, self.site = load, site
        self.sent_at = []  # by number: time of day
        self.came = set()
        self.bad = self.twice = 0
        self._in = load.lab.socket(site, socket.AF_INET, socket.SOCK_DGRAM)
        self._in.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self._in.bind((ADDRESS[site], UDP_PORT))
        self._in.settimeout(0.2)
        self._out = load.lab.socket(OTHER[site], socket.AF_INET, socket.SOCK_DGRAM)

    def _data(self, number):
        at = number * 97 % (len(self.load.text) - UDP_BYTES)
        return struct.pack("!Q", number) + self.load.text[at:at + UDP_BYTES]

    def send(self):
        start = time.monotonic()
        with self._out:
            while not self.load.stopped():
                number = len(self.sent_at)
                time.sleep(max(0, start + number / UDP_PPS - time.monotonic()))
                self.sent_at.append(time.time())
                self._out.sendto(self._data(number), (ADDRESS[self.site], UDP_PORT))

    def receive(self):
        with self._in:
            while True:
                try:
                    data = self._in.recv(4096)
                except TimeoutError:
                    if self.load.stopped():
                        return
                    continue
                number = struct.unpack("!Q", data[:8])[0] if len(data) >= 8 else -1
                if not 0 <= number < len(self.sent_at) or data != self._data(number):
                    self.bad += 1
                elif number in self.came:
                    self.twice += 1
                else:
                    self.came.add(number)

    def check_wrong(self):
        need(not self.bad, f"{self.bad} datagrams to the {self.site} came that nobody sent")
        need(not self.twice, f"{self.twice} datagrams to the {self.site} came twice")

    def lost(self):
        """When those were sent that did not come."""
        return [at for number, at in enumerate(self.sent_at) if number not in self.came]


# ---- what the WAN sees ----

class Capture:
    """tcpdump at one end of the WAN."""

    def __init__(self, lab, site):
        self.address = socket.inet_aton(IN_PATH[site][0])
        self.peer = socket.inet_aton(IN_PATH[OTHER[site]][0])
        self.path = f"{lab.tmp}/wan-{site}.pcap"
        self._log = f"{lab.tmp}/wan-{site}.log"
        if os.path.exists(self.path):
            os.unlink(self.path)
        with open(self._log, "wb") as log:
            # What the appliance sends; the emulator's frames to it are going out here.
            self._process = lab.start("wan", "tcpdump", "-ni", f"wan-{site}", "-Q", "in", "-s", "64",
                                      "--immediate-mode", "-U", "-Z", "root", "-B", "8192", "-w",
                                      self.path, "udp or arp", stderr=log)
        wait_for(5, "tcpdump listens", lambda: b"listening" in open(self._log, "rb").read())

    def finish(self, until):
        """[(time of day, kind, sequence number)]: arp, hello, data, other; all up to `until`."""
        try:
            wait_for(10, "tcpdump has written it", lambda: (self._rows() or [(0,)])[-1][0] > until,
                     0.2)
        finally:
            Lab.stop(self._process)
        return self._rows()

    def _rows(self):
        with open(self.path, "rb") as file:
            data = file.read()
        rows, at = [], 24
        while at + 16 <= len(data):
            seconds, micros, kept, _ = struct.unpack("<IIII", data[at:at + 16])
            frame = data[at + 16:at + 16 + kept]
            if len(frame) == kept:
                rows.append((seconds + micros / 1e6, *self._kind(frame)))
            at += 16 + kept
        return rows

    def _kind(self, frame):
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1" and \
                frame[28:32] == self.address and frame[38:42] == self.peer:
            return "arp", 0
        if frame[12:14] != b"\x08\0" or frame[23] != 17 or frame[26:30] != self.address or \
                frame[36:38] != struct.pack("!H", LINK_PORT) or len(frame) < 58:
            return "other", 0
        source, = struct.unpack("!H", frame[34:36])
        first, number = struct.unpack("!II", frame[42:50])
        if source == CONTROL_PORT:
            return "hello", number
        # Without an original length it acknowledges, and carries no data (link/shim.h).
        return ("data" if source >= LANE_PORTS and first & 0x3fff else "other"), number


class Restart:
    """One kill and what came of it; times in seconds."""

    def __init__(self, lab, load, site):
        self.site = site
        before = load.received()
        captures = {each: Capture(lab, each) for each in "ab"}
        pid = lab.pid(site)
        self.killed = time.time()
        os.kill(pid, signal.SIGKILL)
        wait_for(5, "the killed sluiced is gone", lambda: has_ended(pid), 0.002)
        gone = time.time()
        lab.restart(site)
        lab.wait_peers_up(10)
        counts = {each: lab.compressed_packets(each) for each in "ab"}
        wait_for(10, "both compress again", lambda: all(
            lab.compressed_packets(each) > counts[each] + 20 for each in "ab"))
        rows = {each: capture.finish(time.time()) for each, capture in captures.items()}
        self._read(rows, gone)
        wait_for(40, "every TCP stream goes on",
                 lambda: all(now > before[port] + 4 * CHUNK
                             for port, now in load.received().items()), 0.1)
        load.need_right()

    def _read(self, rows, gone):
        own = [row for row in rows[self.site] if row[0] > gone]
        need(own, f"{self.site} sends nothing after its restart")
        self.first = own[0][0]
        self.hello = next((at for at, kind, _ in own if kind == "hello"), None)
        back = next((at for at, kind, _ in own if kind == "data"), None)
        need(self.hello and back, f"no hello or no data from {self.site} after its restart")
        # Numbers begin anew with the new keys: from there on it is data that can be decoded.
        newest, other = -1, None
        for at, kind, number in rows[OTHER[self.site]]:
            if kind == "data" and at > self.hello and number < newest:
                other = at
                break
            if kind == "data":
                newest = max(newest, number)
        need(other is not None, f"no data of the new session from {OTHER[self.site]}")
        self.both = max(back, other)
        self.ms = {"restarted": (back - self.hello) * 1e3, "other": (other - self.hello) * 1e3}
        self.back_ms = (self.both - self.hello) * 1e3
        asked = next((at for at, kind, _ in own if kind == "arp"), self.first)
        self.hello_ms = (self.hello - asked) * 1e3

    def is_soon(self):
        return self.back_ms <= 2 * RTT_MS + ALLOWANCE_MS and self.hello_ms <= RTT_MS + ALLOWANCE_MS

    def __str__(self):
        return (f"{self.site}: first frame {(self.first - self.killed) * 1e3:.0f} ms after the kill, "
                f"first hello {(self.hello - self.first) * 1e3:.0f} ms later, {self.hello_ms:.1f} ms after "
                f"asking for its next hop; from there data from "
                f"{OTHER[self.site]} after {self.ms['other']:.1f} ms, from {self.site} after "
                f"{self.ms['restarted']:.1f} ms")


# ---- checks ----

def kill_in_turn(lab, load, seconds, every, restarts):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        one_restart(lab, load, "ab"[len(restarts) % 2], restarts)
        time.sleep(max(0, min(every - (time.monotonic() - begin), end - time.monotonic())))
    for _ in range(0 if SANITIZED else MORE):
        sites = [site for site in "ab" if not any(
            each.is_soon() for each in restarts if each.site == site)]
        if sites:
            one_restart(lab, load, sites[0], restarts)
            time.sleep(2)
    sites = {site: sum(restart.site == site for restart in restarts) for site in "ab"}
    return f"{sites['a']} times a, {sites['b']} times b"


def one_restart(lab, load, site, restarts):
    restarts.append(Restart(lab, load, site))
    print(f"# {restarts[-1]}", flush=True)


def soon_back(restarts, site):
    rows = [each for each in restarts if each.site == site]
    need(rows, f"{site} was never restarted")
    back, hello = (sorted(getattr(each, name) for each in rows) for name in ("back_ms", "hello_ms"))
    text = (f"{back[0]:.1f} ms from the first hello (median of {len(rows)}: "
            f"{statistics.median(back):.1f}, longest {back[-1]:.1f}), which came {hello[0]:.1f} ms "
            f"(median {statistics.median(hello):.1f}) after asking for the next hop; a round trip "
            f"takes {RTT_MS} ms")
    need(any(each.is_soon() for each in rows), text)
    return text


def outages(load, restarts):
    """What was lost was lost between a kill and the return of compression."""
    said = []
    for site, datagrams in load.udp.items():
        lost = datagrams.lost()
        others = [at for at in lost if not any(
            each.killed - 0.1 <= at <= each.both + 0.1 for each in restarts)]
        need(len(others) <= LOST_SHARE_MAX * len(datagrams.sent_at),
             f"{len(others)} datagrams to the {site} were lost with both appliances up")
        need(len(datagrams.came) > 0.2 * len(datagrams.sent_at), f"{site}: hardly any datagram came")
        said.append(f"{len(datagrams.came)} of {len(datagrams.sent_at)} datagrams to the {site} "
                    f"came, {len(lost) - len(others)} were lost during restarts, {len(others)} else")
    return ", ".join(said)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 24
    every = float(sys.argv[2]) if len(sys.argv) > 2 else (20 if seconds >= 120 else 6)
    restarts = []
    with Lab("--delay", f"{DELAY_MS}ms", "--rate", RATE, config=config) as lab:
        lab.wait_peers_up()
        with Load(lab) as load:
            wait_for(20, "all streams are under way and compressed", lambda: all(
                bytes_ > 8 * CHUNK for bytes_ in load.received().values())
                and all(lab.compressed_packets(site) > 200 for site in "ab"), 0.1)
            check("killed in turn, and TCP goes on", kill_in_turn, lab, load, seconds, every,
                  restarts)
        check("no wrong byte, every stream whole",
              lambda: f"{load.need_whole() / 1e6:.0f} MB by TCP")
        check("datagrams are missing of restarts only", outages, load, restarts)
        for site in "ab":
            if SANITIZED:
                report("skip", f"compression is back after {site}", "sanitizers take their time")
            else:
                check(f"compression is back after {site}", soon_back, restarts, site)


if __name__ == "__main__":
    run(main)
