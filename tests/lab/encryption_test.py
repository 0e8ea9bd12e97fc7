#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""With encryption nothing of the hosts' crosses the WAN in the clear, and nothing forged comes in.

    sudo tests/lab/encryption_test.py

Files go through two appliances by kernel TCP while tcpdump listens on the WAN. Without encryption it
finds their text there; with each cipher it finds neither that nor any IP packet but the tunnel's.
Bits that flip on the WAN, frames that are sent again and packets sent in the clear are refused and
counted; packets too long for the tunnel are cut or their sender is told; an appliance that is killed
comes back without a packet in the clear. Ends with different settings say so.
"""
import hashlib
import os
import re
import socket
import struct
import subprocess
import time

import routed_test
from lab import CLIENT, IN_PATH, SERVER, SERVER6, Failed, Lab, check, need, random_bytes, \
    replace_once, run, text_bytes, wait_for

MARKER = b"<the secret of the house>"
SIZE = 1 << 20
LINK_SHIM_AT = 14 + 20 + 8
LANES_FROM = 49152
CIPHERS = ("aes-256-gcm", "chacha20-poly1305")
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86dd
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 0, 2


def config(**encryption):
    """Of both ends, or of one: what stands behind `path`."""
    def change(site, text):
        words = encryption.get(site, encryption.get("both", ""))
        return replace_once(text, r'path = "bridged";', f'path = "bridged"; {words}')

    return change


def marked(data):
    """Data with the marker in every packet of it."""
    return b"".join(MARKER + data[at:at + 400] for at in range(0, len(data), 400))


class Ear:
    """tcpdump on the WAN side of b, both ways."""

    def __init__(self, lab):
        self.lab = lab
        self.path = os.path.join(lab.tmp, f"wan-{time.monotonic_ns()}.pcap")
        self.process = lab.start("wan", "tcpdump", "-i", "wan-b", "-w", self.path, "-U", "-s", "0",
                                 "-B", "65536", "-Z", "root", stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        need(b"listening on" in line, f"tcpdump: {line}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lab.stop(self.process)

    def frames(self):
        """Ends the listening; every frame."""
        self.lab.stop(self.process)
        said = self.process.stderr.read().decode()
        need(re.search(r"^0 packets dropped by kernel", said, re.M),
             f"tcpdump has not heard everything: {said}")
        with open(self.path, "rb") as file:
            data = file.read()
        need(data[:4] == b"\xd4\xc3\xb2\xa1", "not a capture file")
        frames = []
        at = 24
        while at + 16 <= len(data):
            length = struct.unpack_from("<I", data, at + 8)[0]
            frames.append(data[at + 16:at + 16 + length])
            at += 16 + length
        return frames


def kind(frame):
    """What a frame is to the listener: "tunnel", "plain" (any other IP packet) or "other"."""
    ethertype = struct.unpack_from("!H", frame, 12)[0]
    if ethertype == ETH_P_IPV6:
        # Neighbour discovery and who listens to what (RFC 3810) have no router to cross. The latter
        # a kernel says whenever it likes.
        to_all_here = frame[38:40] == b"\xff\x02"
        is_neighbour_discovery = frame[20] == 58 and 133 <= frame[54] <= 137
        return "other" if to_all_here or is_neighbour_discovery else "plain"
    if ethertype != ETH_P_IP:
        return "other"
    ends = {socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])}
    return "tunnel" if ends == {IN_PATH["a"][0], IN_PATH["b"][0]} else "plain"


def data_frames(frames, to):
    """Link frames of data lanes to that in-path address."""
    return [frame for frame in frames if kind(frame) == "tunnel" and
            frame[30:34] == socket.inet_aton(to) and
            struct.unpack_from("!H", frame, 34)[0] >= LANES_FROM]


def need_secret(frames):
    plain = [frame for frame in frames if kind(frame) == "plain"]
    need(not plain, f"{len(plain)} packets in the clear, the first: {plain[:1]}")
    need(not any(MARKER[:12] in frame for frame in frames), "the WAN carries the text")


def download(lab, name, data, seconds=40):
    got = lab.run("client", "curl", "-sS", "--max-time", seconds, f"http://{SERVER}/{name}",
                  timeout=seconds + 10, text=False)
    need(hashlib.sha256(got).digest() == hashlib.sha256(data).digest(),
         f"{name}: what arrived is not what was sent")


def ping(lab, to, *words):
    lab.run("client", "ping", "-c", 2, "-i", "0.2", "-W", 3, *words, to)


# ---- checks ----

def is_seen(lab, data):
    """The test hears what there is to hear."""
    with Ear(lab) as ear:
        download(lab, "mixed", data)
        frames = ear.frames()
    need(sum(MARKER in frame for frame in frames) > 100, "the text is not found even so")
    need(lab.peer("a")["encryption"] == "none", f"{lab.peer('a')}")
    return f"{len(frames)} frames"


def is_hidden(lab, data, text, cipher):
    for site in "ab":
        need(lab.peer(site)["encryption"] == cipher, f"{lab.peer(site)}")
    with Ear(lab) as ear:
        download(lab, "mixed", data)  # does not compress
        download(lab, "text", text)
        ping(lab, SERVER)
        ping(lab, SERVER6)
        frames = ear.frames()
    need_secret(frames)
    need(len(data_frames(frames, IN_PATH["a"][0])) > SIZE / 1500, f"only {len(frames)} frames")
    need(lab.compressed_packets("b") > 100, "nothing was compressed")
    longest = max(len(frame) for frame in frames)
    need(longest <= 1514, f"a frame of {longest} bytes")
    return f"{len(frames)} frames, none longer than {longest}"


def is_refused_damaged(lab, data):
    """Flipped bits anywhere behind the outer headers."""
    before = {site: lab.peer(site)["rx_forged"] for site in "ab"}
    lab.wanem("set", "both", "corrupt", "2%", "from", str(LINK_SHIM_AT), "link")
    try:
        download(lab, "mixed", data)
    finally:
        lab.wanem("set", "both", "corrupt", "0")
    forged = {site: lab.peer(site)["rx_forged"] - before[site] for site in "ab"}
    need(forged["a"] > 0, f"refused: {forged}")
    return f"{forged['a']} frames refused at a, {forged['b']} at b"


def inject(lab, frames):
    """Into the appliance b, from the WAN."""
    with lab.socket("wan", socket.AF_PACKET, socket.SOCK_RAW) as mouth:
        mouth.bind(("wan-b", 0))
        for frame in frames:
            mouth.send(frame)


def is_refused_again(lab):
    """Recorded frames, hellos of the session among them, sent again."""
    with Ear(lab) as ear:
        ping(lab, SERVER, "-c", 20)
        time.sleep(0.5)
        frames = [frame for frame in ear.frames()
                  if kind(frame) == "tunnel" and frame[30:34] == socket.inet_aton(IN_PATH["b"][0])]
    data = data_frames(frames, IN_PATH["b"][0])
    need(len(data) >= 20 and len(frames) > len(data), f"{len(data)} of {len(frames)} frames")
    before, session = lab.reasons("b"), lab.peer("b")["session"]
    received = lab.ctl("b", "show", "ports")["ports"]
    inject(lab, frames)
    wait_for(5, f"{len(data)} frames are refused", lambda: lab.reasons("b")["link-duplicate"] -
             before["link-duplicate"] == len(data))
    need(lab.reasons("b")["link-bad-tag"] == before["link-bad-tag"], "taken for forged")
    # And changed in their first byte, middle and last.
    for at in (LINK_SHIM_AT + 4, LINK_SHIM_AT + 16, -1):
        changed = bytearray(data[0])
        changed[at] ^= 0x10
        inject(lab, [bytes(changed)])
    wait_for(5, "forged frames are refused", lambda: lab.reasons("b")["link-bad-tag"] -
             before["link-bad-tag"] == 3)
    time.sleep(1)
    peer = lab.peer("b")
    need(peer["state"] == "up" and peer["session"] == session, f"{peer}")
    need(len(received) == 2, "ports")
    return f"{len(data)} frames and {len(frames) - len(data)} hellos"


def is_refused_plain(lab):
    """Datagrams in the clear in the client's name."""
    count = 20
    with lab.socket("server", socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((SERVER, 7000))
        server.settimeout(0.5)
        mac = lab.run("server", "cat", "/sys/class/net/eth0/address").strip()
        payload = b"not from the client"
        udp = struct.pack("!4H", 7001, 7000, 8 + len(payload), 0)
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 1, 0, 64, 17, 0,
                           socket.inet_aton(CLIENT), socket.inet_aton(SERVER))
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xffff) + (total >> 16)
        head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + head[12:]
        frame = bytes.fromhex(mac.replace(":", "")) + b"\x02\0\0\0\0\x63\x08\0" + head + udp + \
            payload
        before = lab.reasons("b")["link-must-encrypt"]
        inject(lab, [frame] * count)

        def refused():
            return lab.reasons("b")["link-must-encrypt"] - before

        # Other packets in the clear may be refused in the same time.
        try:
            wait_for(5, "they are refused", lambda: refused() >= count)
        except Failed as e:
            raise Failed(f"{e}: {refused()} of {count}, {lab.dropped('b')}") from e
        try:
            need(False, f"one was delivered: {server.recv(100)}")
        except TimeoutError:
            pass
    return f"{refused()} refused"


def is_cut(lab):
    """Datagrams as long as the hosts' MTU: without DF they arrive, with DF the sender learns."""
    with lab.socket("server", socket.AF_INET, socket.SOCK_DGRAM) as server, \
            lab.socket("client", socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.bind((SERVER, 7000))
        server.settimeout(5)
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        with Ear(lab) as ear:
            for length in (1472, 1400, 4000, 1473):
                sent = random_bytes(length)
                client.sendto(sent, (SERVER, 7000))
                need(server.recv(65536) == sent, f"{length} bytes arrived changed")
            frames = ear.frames()
        need_secret(frames)
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        client.connect((SERVER, 7000))

        def sends(data):
            """Reports of earlier datagrams may be waiting in the socket."""
            try:
                return client.send(data) == len(data)
            except OSError:
                return False

        wait_for(5, "the client is told of the MTU", lambda: not sends(bytes(1472)), 0.1)
        mtu = client.getsockopt(socket.IPPROTO_IP, 14)  # IP_MTU
        need(1300 < mtu < 1500, f"MTU {mtu}")
        # Just what it was told gets through in one piece.
        sent = random_bytes(mtu - 28)
        wait_for(5, "the client may send so much", lambda: sends(sent), 0.05)
        need(server.recv(65536) == sent, "a datagram of that MTU was lost")
    need(lab.reasons("a")["link-too-big"] > 0, "nothing was too big")
    # IPv6: the same by its own ICMP.
    lab.run("client", "ping", "-6", "-c", 3, "-i", "0.5", "-s", 1452, "-M", "want", "-W", 5,
            SERVER6)
    return f"MTU {mtu}"


def comes_back(lab, data):
    """b dies and starts again, in the middle of a download."""
    session = lab.peer("a")["session"]
    with Ear(lab) as ear:
        client = lab.start("client", "curl", "-sS", "--max-time", 50, "--limit-rate", "600k",
                           "-o", f"{lab.tmp}/got", f"http://{SERVER}/mixed")
        time.sleep(0.5)
        lab.restart("b")
        lab.wait_peers_up(10)
        need(client.wait(60) == 0, "the download was broken off")
        frames = ear.frames()
    need_secret(frames)
    with open(f"{lab.tmp}/got", "rb") as file:
        need(file.read() == data, "what arrived is not what was sent")
    need(lab.peer("a")["session"] > session, "the session is the old one")


def differ(lab):
    """Ends that want different things."""
    with open(f"{lab.state}/b.conf", encoding="ascii") as file:
        text = file.read()
    with open(f"{lab.state}/b.conf", "w", encoding="ascii") as file:
        file.write(text.replace(CIPHERS[0], CIPHERS[1]))
    lab.restart("b")
    for site, other in (("a", CIPHERS[1]), ("b", CIPHERS[0])):
        peer = wait_for(5, f"{site} says why", lambda site=site: lab.peer(site)
                        if "encryption" in lab.peer(site)["error"] else None, 0.1)
        need(peer["state"] != "up" and other in peer["error"], f"{peer}")
    with Ear(lab) as ear:
        done = lab.try_run("client", "ping", "-c", 2, "-i", "0.2", "-W", 1, SERVER)
        need(done.returncode != 0, "a ping got through")
        need_secret(ear.frames())
    need(lab.reasons("a")["link-must-encrypt"] > 0, f"{lab.dropped('a')}")
    return lab.peer("a")["error"]


def passes(lab):
    """unencrypted = "pass": without a session everything goes as it came."""
    need(lab.peer("a")["state"] != "up", "the peers understand each other")
    ping(lab, SERVER)
    need(lab.reasons("a")["link-unencrypted"] > 0, "nothing was counted")


def one_cipher(cipher, data, text):
    with Lab("--delay", "5ms", config=config(both=f'encryption = "{cipher}";')) as lab:
        lab.wait_peers_up()
        lab.make_file("mixed", data)
        lab.make_file("text", text)
        lab.http_server()
        check(f"{cipher}: nothing in the clear on the WAN", is_hidden, lab, data, text, cipher)
        check(f"{cipher}: damaged frames", is_refused_damaged, lab, data)
        check(f"{cipher}: frames sent again", is_refused_again, lab)
        check(f"{cipher}: packets in the clear", is_refused_plain, lab)
        check(f"{cipher}: too long for the tunnel", is_cut, lab)
        check(f"{cipher}: an appliance killed", comes_back, lab, data)
        bad = {site: lab.dropped(site).get("link-bad-check", 0) for site in "ab"}
        if any(bad.values()):
            raise Failed(f"link-bad-check: {bad}")


class RoutedLab(routed_test.RoutedLab):
    """Two sites with routers between them; what cannot be encrypted passes."""

    def _config(self, site, other):
        return replace_once(super()._config(site, other), r'path = "routed";',
                            f'path = "routed"; encryption = "{CIPHERS[0]}"; '
                            'unencrypted = "pass";')


def routed(lab, data):
    """A flow's first packets go in the clear, all others do not."""
    before = {site: lab.peer(site)["tx_frames"] for site in "ab"}
    lab.get("mixed", data, 4)
    sent = {site: lab.peer(site)["tx_frames"] - before[site] for site in "ab"}
    plain = {site: lab.reasons(site)["link-unencrypted"] for site in "ab"}
    need(sent["b"] > len(data) / 1500, f"sent through the link: {sent}")
    need(plain["b"] < len(data) / 1500 / 20, f"in the clear: {plain}")
    need(not any(lab.dropped(site).get("link-bad-tag", 0) for site in "ab"), "refused")
    return f"{plain['b']} of b's packets in the clear, {sent['b']} not"


def main():
    data, text = marked(random_bytes(SIZE)), marked(text_bytes(SIZE))
    with Lab("--delay", "5ms") as lab:
        lab.wait_peers_up()
        lab.make_file("mixed", data)
        lab.http_server()
        check("without encryption the WAN carries the text", is_seen, lab, data)
    for cipher in CIPHERS:
        one_cipher(cipher, data, text)
    with Lab("--delay", "5ms", config=config(both=f'encryption = "{CIPHERS[0]}";')) as lab:
        check("different ciphers are refused, and said", differ, lab)
    with Lab("--delay", "5ms", config=config(
            a=f'encryption = "{CIPHERS[0]}"; unencrypted = "pass";')) as lab:
        check("only one end encrypts, and may pass", passes, lab)
    with RoutedLab() as lab:
        lab.make_file("mixed", data)
        lab.http_server()
        check("on a routed path", routed, lab, data)


run(main)
