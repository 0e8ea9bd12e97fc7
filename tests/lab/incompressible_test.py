#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Encrypted and video-like traffic leaves a compressing pair as it came: no byte more, no later.

    sudo tests/lab/incompressible_test.py

A TLS download, ssh and paced RTP-like datagrams go both ways through two appliances that compress
every class and keep a store. What the hosts give to their appliance and what that puts on the WAN is
captured, all of it: each frame must leave bit-identical and in order, or, where it shrank (a
certificate does), as one link frame that is shorter. What Sluice says by itself (hellos,
acknowledgements of the store) is counted apart. From the same captures comes the time that each
frame took through the box, by the kernel's time stamps: its median with compression is held against
that without, in turn, and may differ by no more than the latter does among itself.
"""
import collections
import os
import socket
import ssl
import statistics
import struct
import threading
import time

from lab import (CLIENT, IN_PATH, LINK_PORT, SANITIZED, SERVER, Failed, Lab, check, need, random_bytes,
                 replace_once, report, run, text_bytes, wait_for)
from transparency_test import ssh

STORE = "32 MiB"
TLS_PORT, SSH_PORT, RTP_PORT = 443, 22, 5040
RTP_BYTES, RTP_PPS = 1200, 400
SIZE = 3_000_000
ROUNDS, ROUND_SECONDS = 5, 1.0
ATTEMPTS = 3
NOISE_MIN_US = 20        # medians closer than this are equal, however still the machine is
ADDRESS = {"client": CLIENT, "server": SERVER}
BOX = {"client": "a", "server": "b"}

# Packs would have the hosts' acknowledgements in fewer frames than they sent.
CLASSES = """classes = (
  { name = "default"; compress = true; pack = false; aqm = "none"; queue_size = "8 MB"; }
);"""


def config(_site, text):
    """Everything may be compressed."""
    text = replace_once(text, r'path = "bridged";', f'path = "bridged"; store = "{STORE}";')
    text = replace_once(text, r"^classes = \(.*?^\);", CLASSES)
    return replace_once(text, r"^rules = \(.*?^\);\n(?=\n+peers)", "")


# ---- captures ----

class Capture:
    """Frames that pass an interface one way, complete behind the `with` block."""

    def __init__(self, lab, site, device, way):
        self.frames = []  # (time of day, bytes)
        self._path = f"{lab.tmp}/{site}-{device}.pcap"
        self._said = f"{self._path}.log"
        with open(self._said, "wb") as log:
            self._process = lab.start(
                site, "tcpdump", "-ni", device, "-Q", way, "-s", "0", "--immediate-mode", "-U", "-Z",
                "root", "-B", "65536", "-w", self._path, "ip", stderr=log)
        wait_for(5, "tcpdump listens", lambda: b"listening" in self._log())

    def _log(self):
        with open(self._said, "rb") as file:
            return file.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # What is still on its way to the file: hellos alone make it grow by less than that.
        for _ in range(20):
            size = os.path.getsize(self._path)
            time.sleep(0.3)
            if os.path.getsize(self._path) < size + 4096:
                break
        Lab.stop(self._process)
        said = self._log()
        need(b"\n0 packets dropped by kernel" in said, f"tcpdump: {said[-200:]}")
        with open(self._path, "rb") as file:
            data = file.read()
        at = 24
        while at + 16 <= len(data):
            seconds, micros, kept, _ = struct.unpack("<IIII", data[at:at + 16])
            self.frames.append((seconds + micros / 1e6, data[at + 16:at + 16 + kept]))
            at += 16 + kept


def is_link(frame):
    return frame[23] == 17 and frame[36:38] == struct.pack("!H", LINK_PORT) and \
        frame[26:30] in [socket.inet_aton(addresses[0]) for addresses in IN_PATH.values()]


def carries_data(frame):
    """A link frame that is neither a hello nor an acknowledgement (link/shim.h)."""
    first, = struct.unpack("!I", frame[42:46])
    return first >> 27 & 7 != 7 and first & 0x3fff != 0


class Way:
    """What a host sent, and what its appliance made of it."""

    def __init__(self, lab, site):
        self.site = site
        self._captures = [Capture(lab, site, "eth0", "out"),
                          Capture(lab, "wan", f"wan-{BOX[site]}", "in")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for capture in self._captures:
            capture.__exit__()
        sent, left = (capture.frames for capture in self._captures)
        self.sent = [row for row in sent if row[1][26:30] == socket.inet_aton(ADDRESS[self.site])]
        self.plain = [row for row in left if not is_link(row[1])]
        self.linked = [frame for _, frame in left if is_link(frame) and carries_data(frame)]
        self.own = [frame for _, frame in left if is_link(frame) and not carries_data(frame)]

    def need_untouched(self, compressed_max):
        """Every frame as it was, or shorter; compressed_max: share of the frames that may be."""
        missing, at = [], 0
        delays = []
        for when, frame in self.plain:
            while at < len(self.sent) and self.sent[at][1] != frame:
                missing.append(self.sent[at][1])
                at += 1
            need(at < len(self.sent), f"to the WAN went a frame that the {self.site} did not send, "
                 f"or not in this order: {frame[:80].hex()}")
            delays.append(when - self.sent[at][0])
            at += 1
        missing += [frame for _, frame in self.sent[at:]]
        need(len(missing) == len(self.linked),
             f"{len(missing)} frames are not on the WAN, but {len(self.linked)} link frames")
        need(len(missing) <= compressed_max * len(self.sent),
             f"{len(missing)} of {len(self.sent)} were compressed: this tests something else")
        before, behind = (sum(map(len, frames)) for frames in (missing, self.linked))
        need(before == 0 or behind < before, f"{before} bytes became {behind}")
        self.delays = delays
        return (f"{self.site}: {len(self.plain)} of {len(self.sent)} frames as they were, "
                f"{len(missing)} with {before} bytes compressed to {behind}, beside them "
                f"{len(self.own)} hellos and acknowledgements of {sum(map(len, self.own))} bytes")


def untouched(lab, traffic, compressed_max):
    """Runs `traffic` and looks at both ways."""
    with Way(lab, "client") as up, Way(lab, "server") as down:
        traffic(lab)
    need(len(down.sent) > 100, f"the server sent {len(down.sent)} frames only")
    return "; ".join(way.need_untouched(compressed_max) for way in (up, down))


# ---- traffic ----

def certificate(lab):
    lab.run("server", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=lab.example", "-days", "2",
            "-keyout", f"{lab.tmp}/tls.key", "-out", f"{lab.tmp}/tls.crt")


def tls(lab):
    """Text, which would compress well, encrypted by the server."""
    data = text_bytes(SIZE)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(f"{lab.tmp}/tls.crt", f"{lab.tmp}/tls.key")
    client = ssl.create_default_context(cafile=f"{lab.tmp}/tls.crt")

    def serve():
        connection, _ = listener.accept()
        connection.settimeout(30)
        with server.wrap_socket(connection, server_side=True) as secure:
            secure.sendall(data)

    with lab.socket("server", socket.AF_INET, socket.SOCK_STREAM) as listener, \
            lab.socket("client", socket.AF_INET, socket.SOCK_STREAM) as plain:
        listener.settimeout(10)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SERVER, TLS_PORT))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        plain.settimeout(30)
        plain.connect((SERVER, TLS_PORT))
        got = bytearray()
        with client.wrap_socket(plain, server_hostname="lab.example") as secure:
            while part := secure.recv(1 << 16):
                got += part
        thread.join(10)
    need(got == data, "what arrived is not what was sent")


def rtp(lab, seconds=2.0):
    """Random bytes behind RTP's header, paced, to the client; a few reports the other way."""
    with lab.socket("server", socket.AF_INET, socket.SOCK_DGRAM) as server, \
            lab.socket("client", socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((CLIENT, RTP_PORT))
        client.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        client.settimeout(1)
        server.bind((SERVER, RTP_PORT))
        sent, start = [], time.monotonic()
        for number in range(round(seconds * RTP_PPS)):
            time.sleep(max(0, start + number / RTP_PPS - time.monotonic()))
            data = struct.pack("!BBHII", 0x80, 96, number & 0xffff, number * 225, 7) + \
                random_bytes(RTP_BYTES)
            server.sendto(data, (CLIENT, RTP_PORT))
            sent.append(data)
            if number % 100 == 50:
                client.sendto(random_bytes(200), (SERVER, RTP_PORT))
        for number, data in enumerate(sent):
            need(client.recv(2000) == data, f"datagram {number} is another, or not in its place")


# ---- delay ----

def box_delay_us(lab, word):
    """The median of what RTP's frames took through the server's appliance."""
    for site in "ab":
        lab.ctl(site, "set", "compression", word)
    with Way(lab, "server") as way:
        rtp(lab, ROUND_SECONDS)
    way.need_untouched(0)
    return statistics.median(way.delays) * 1e6


def added_delay(lab):
    """(us that compression adds, how much the medians without it differ, text)"""
    figures = collections.defaultdict(list)
    try:
        for _ in range(ROUNDS):
            for word in ("off", "on"):
                figures[word].append(box_delay_us(lab, word))
    finally:
        for site in "ab":
            lab.ctl(site, "set", "compression", "on")
    off, on = sorted(figures["off"]), sorted(figures["on"])
    added = statistics.median(on) - statistics.median(off)
    # Without the extremes: one round that something disturbed would hide everything.
    return added, max(off[-2] - off[1], NOISE_MIN_US), (
        f"{added:+.1f} us: medians without compression {', '.join(f'{v:.1f}' for v in off)}, with "
        f"it {', '.join(f'{v:.1f}' for v in on)}")


def no_later(lab):
    """Not measurable at all, or not once in ATTEMPTS times: what is there shows each time."""
    for _ in range(ATTEMPTS):
        added, noise, text = added_delay(lab)
        if added <= noise:
            return text
    raise Failed(f"{text}; and so {ATTEMPTS} times")


def main():
    with Lab("--delay", "5ms", "--rate", "100mbit", config=config) as lab:
        lab.wait_peers_up()
        certificate(lab)
        text = text_bytes(SIZE)
        lab.make_file("text", text)
        check("TLS", untouched, lab, tls, 0.02)
        check("ssh", untouched, lab, lambda lab: ssh(lab, SERVER, text), 0.02)
        check("RTP", untouched, lab, rtp, 0)
        if SANITIZED:
            report("skip", "added delay", "sanitizers take their time")
        else:
            check("added delay", no_later, lab)


if __name__ == "__main__":
    run(main)
