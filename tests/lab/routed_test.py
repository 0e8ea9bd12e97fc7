#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The pair of appliances over a routed WAN, with path = "routed": what tools/lab does not have.

    sudo tests/lab/routed_test.py

    client -- lan0 [A] wan0 -- router1 -- WAN emulator -- router2 -- wan0 [B] lan0 -- server

The routers are Linux, the hosts' gateways, and the in-path addresses' too: each appliance stands
between its site's hosts and their router. Peers by IPv4 and by IPv6, small MTUs in the WAN,
restarts, and what the hosts and the routers get to see of it.
"""
# tests/run.py: beside others
import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from lab import (SLUICED, TOP, WANEM, Failed, Lab, Skipped, check, need, random_bytes,
                 replace_once, run, wait_for)

CLIENT, SERVER = {4: "10.1.0.1", 6: "fd01::1"}, {4: "10.2.0.1", 6: "fd02::1"}
IN_PATH = {"a": {4: "10.1.0.11", 6: "fd01::11"}, "b": {4: "10.2.0.11", 6: "fd02::11"}}
GATEWAY = {"a": {4: "10.1.0.254", 6: "fd01::254"}, "b": {4: "10.2.0.254", 6: "fd02::254"}}
SITES = ("client", "a", "r1", "wan", "r2", "b", "server")
ROUTERS = 2  # between client and server
WAN_SMALL_MTU = 1400
UDP_PORT = TCP_PORT = 7000


def table(size):
    """HTML of a table, as web servers send it."""
    rows = []
    for i in range(size // 100):
        key = secrets.token_hex(6)
        rows.append(f'<tr class="row"><td class="n">{i}</td><td class="key">{key}</td>'
                    f'<td class="value">{i * 7919 % 10007}</td><td class="state">ready</td></tr>\n')
    return "".join(rows).encode()[:size]


TEXT = table(4 << 20)
LONG_TEXT = TEXT * 6


class RoutedLab(Lab):
    """Built here: tools/lab has one Ethernet segment only. `family`: of the peers' addresses."""

    def __init__(self, family=4, wan_mtu=1500, path_mtu=1500, mss_clamp=True, flows_b=65536):
        super().__init__()
        self.family, self.wan_mtu, self.path_mtu = family, wan_mtu, path_mtu
        self.mss_clamp, self.flows_b = mss_clamp, flows_b
        self._made = []
        self._sluiced = {}

    # -- up and down --

    def __enter__(self):
        self.tmp = self.state = tempfile.mkdtemp(prefix="sluice-routed-")
        os.chmod(self.tmp, 0o755)
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        kept = {n: signal.signal(n, signal.SIG_IGN)
                for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        for process in reversed(self._processes):
            self.stop(process)
        for site in self._made:
            subprocess.run(["ip", "netns", "del", self.namespace(site)], check=False,
                           stderr=subprocess.DEVNULL)
        for site in "ab":
            for name in ("", "-counters", "-lock"):
                with contextlib.suppress(OSError):
                    os.unlink(f"/dev/shm/sluice-{self.instance(site)}{name}")
        shutil.rmtree(self.tmp, ignore_errors=True)
        for number, handler in kept.items():
            signal.signal(number, handler)

    def _ip(self, site, *words):
        subprocess.run(["ip", "-n", self.namespace(site), *words], check=True,
                       stdin=subprocess.DEVNULL)

    def _wire(self, site, dev, other_site, other_dev):
        ends = ((site, dev), (other_site, other_dev))
        subprocess.run(["ip", "link", "add", dev, "netns", self.namespace(site), "type", "veth",
                        "peer", "name", other_dev, "netns", self.namespace(other_site)],
                       check=True)
        for at, name in ends:
            self.no_offloads(at, name)
            self._ip(at, "link", "set", "dev", name, "up")

    def _address(self, site, dev, *addresses):
        for address in addresses:
            self._ip(site, "addr", "add", address, "dev", dev,
                     *(["nodad"] if ":" in address else []))

    def _build(self):
        for site in SITES:
            subprocess.run(["ip", "netns", "add", self.namespace(site)], check=True)
            self._made.append(site)
            self._ip(site, "link", "set", "dev", "lo", "up")
            settings = ["net.ipv6.conf.default.accept_ra=0",
                        "net.ipv6.conf.default.dad_transmits=0"]
            if site in ("a", "wan", "b"):
                settings = ["net.ipv6.conf.all.disable_ipv6=1",
                            "net.ipv6.conf.default.disable_ipv6=1"]
            elif site in ("r1", "r2"):
                settings += ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]
            self.run(site, "sysctl", "-qw", *settings)
        self._wire("client", "eth0", "a", "lan0")
        self._wire("a", "wan0", "r1", "lan0")
        self._wire("r1", "wan0", "wan", "wan-a")
        self._wire("wan", "wan-b", "r2", "wan0")
        self._wire("r2", "lan0", "b", "wan0")
        self._wire("b", "lan0", "server", "eth0")
        self.wait_links_up(*SITES)
        for router in ("r1", "r2"):
            self._ip(router, "link", "set", "dev", "wan0", "mtu", str(self.wan_mtu))
        self._address("client", "eth0", CLIENT[4] + "/24", CLIENT[6] + "/64")
        self._address("server", "eth0", SERVER[4] + "/24", SERVER[6] + "/64")
        self._address("r1", "lan0", GATEWAY["a"][4] + "/24", GATEWAY["a"][6] + "/64")
        self._address("r2", "lan0", GATEWAY["b"][4] + "/24", GATEWAY["b"][6] + "/64")
        self._address("r1", "wan0", "10.9.0.1/24", "fd09::1/64")
        self._address("r2", "wan0", "10.9.0.2/24", "fd09::2/64")
        for site, via in (("client", GATEWAY["a"]), ("server", GATEWAY["b"]),
                          ("r1", {4: "10.9.0.2", 6: "fd09::2"}),
                          ("r2", {4: "10.9.0.1", 6: "fd09::1"})):
            self._ip(site, "route", "add", "default", "via", via[4])
            self._ip(site, "-6", "route", "add", "default", "via", via[6])
        emulator = self.start("wan", WANEM, "--socket", f"{self.state}/wanem.sock", "--link-port",
                              5820, "--realtime", "--both", "delay 5ms", "wan-a", "wan-b")
        wait_for(5, "the WAN emulator answers",
                 lambda: emulator.poll() is not None
                 or os.path.exists(f"{self.state}/wanem.sock"))
        os.chmod(self.write("lab.key", secrets.token_hex(32)), 0o600)
        for site, other in (("a", "b"), ("b", "a")):
            self.write(f"{site}.conf", self._config(site, other))
            self.start_sluiced(site)
        self.wait_peers_up(10)

    def _config(self, site, other):
        with open(f"{TOP}/conf/examples/lab-{site}.conf", encoding="ascii") as file:
            text = file.read()
        ours, gateway = IN_PATH[site], GATEWAY[site]
        text = replace_once(text, r'address = "10[^"]*/24";',
                            f'address = "{ours[4]}/24"; gateway = "{gateway[4]}";')
        text = replace_once(text, r'address6 = "[^"]*";',
                            f'address6 = "{ours[6]}/64"; gateway6 = "{gateway[6]}";')
        text = replace_once(text, r'address = "10[.0-9]*";',
                            f'address = "{IN_PATH[other][self.family]}";')
        networks = ('"10.2.0.0/24", "fd02::/64"' if site == "a"
                    else '"10.1.0.0/24", "fd01::/64"')
        text = replace_once(text, r"networks = \([^)]*\);", f"networks = ( {networks} );")
        text = replace_once(text, r'path = "bridged";',
                            f'path = "routed"; path_mtu = {self.path_mtu}; '
                            f'mss_clamp = {str(self.mss_clamp).lower()};')
        text = replace_once(text, r"(?<=rules = \()$",
                            f'\n  {{ match = {{ proto = "udp"; dport = {UDP_PORT}; }}; '
                            'class = "web"; },'
                            f'\n  {{ match = {{ proto = "tcp"; dport = {TCP_PORT}; }}; '
                            'class = "web"; },')
        if site == "b":
            text = replace_once(text, r"flows = \d+;", f"flows = {self.flows_b};")
        if os.cpu_count() == 1:
            text = re.sub(r'workers = "1"|control_cpu = 1',
                          lambda found: found[0].replace("1", "0"), text)
        return text

    def start_sluiced(self, site):
        with open(f"{self.state}/{site}.log", "ab") as log:
            process = self.start(site, SLUICED, "--config", f"{self.tmp}/{site}.conf",
                                 "--instance", self.instance(site), stdout=log, stderr=log)
        self._sluiced[site] = process

        def answers():
            need(process.poll() is None, f"sluiced {site} ended: {self.log(site)[-400:]}")
            with contextlib.suppress(Failed):
                return self.status(site)
            return None
        wait_for(20, f"sluiced {site} answers", answers, 0.05)

    def kill_and_restart(self, site):
        """As after a crash: nothing said, nothing kept."""
        process = self._sluiced[site]
        process.kill()
        process.wait(5)
        self.start_sluiced(site)

    # -- what is seen --

    def mac(self, site, dev):
        return json.loads(self.run(site, "ip", "-j", "link", "show", dev))[0]["address"]

    def wan_bytes(self):
        """Sent towards the client, over the WAN."""
        stats = json.loads(self.run("r2", "ip", "-s", "-j", "link", "show", "wan0"))
        return stats[0]["stats64"]["tx"]["bytes"]

    @contextlib.contextmanager
    def captured(self, site, dev, filter_):
        """Lines of tcpdump at a site, complete behind the block."""
        lines = []
        with open(f"{self.tmp}/{site}.tcpdump", "wb+") as out:
            process = self.start(site, "tcpdump", "-nelvtt", "-s", "128", "-i", dev, filter_,
                                 stdout=out, stderr=subprocess.STDOUT)
            wait_for(5, "tcpdump listens",
                     lambda: b"listening" in open(out.name, "rb").read())
            yield lines
            time.sleep(0.3)
            self.stop(process)
            out.seek(0)
            # One packet is a line and others that begin with a blank.
            lines += out.read().decode(errors="replace").replace("\n    ", " ").splitlines()

    def get(self, name, data, family, *options, timeout=60):
        """Downloads a file of http_server() at the client; checks it, returns the seconds."""
        url = SERVER[family] if family == 4 else f"[{SERVER[6]}]"
        start = time.monotonic()
        got = self.run("client", "curl", "-sS", "--max-time", timeout, *options,
                       f"http://{url}/{name}", timeout=timeout + 5, text=False)
        seconds = time.monotonic() - start
        need(hashlib.sha256(got).digest() == hashlib.sha256(data).digest(),
             f"{len(got)} of {len(data)} bytes came, or others")
        return seconds

    def peer_path_mtu(self, site):
        return self.peer(site)["path_mtu"]


# ---- UDP ----

class Udp:
    """A socket at the client and one at the server, which sends back what comes if `echo`."""

    def __init__(self, lab, family=4, echo=True, ttl=None):
        af = socket.AF_INET if family == 4 else socket.AF_INET6
        self.to = (SERVER[family], UDP_PORT)
        self.client, self.server = (lab.socket(site, af, socket.SOCK_DGRAM)
                                    for site in ("client", "server"))
        self.echo = echo
        self.server.bind(("", UDP_PORT))
        for end in (self.client, self.server):
            end.settimeout(1)
            if family == 4:  # what is too long for the WAN is the routers' to fragment
                end.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, DONT

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.close()

    def exchange(self, count, make, pause=0.002):
        """Sends make(i) to the server, and back; returns how many came at (server, client)."""
        there = back = 0
        for i in range(count):
            data = make(i)
            self.client.sendto(data, self.to)
            with contextlib.suppress(TimeoutError):
                got, sender = self.server.recvfrom(4096)
                need(got == data, "the server received a datagram that was not sent")
                there += 1
                if self.echo:
                    self.server.sendto(got, sender)
                    need(self.client.recv(4096) == data, "the client received another datagram")
                    back += 1
            time.sleep(pause)
        return there, back


def datagram(i, size=1000):
    return TEXT[i * 700:i * 700 + size]


# ---- checks: a plain WAN ----

def resolves(lab):
    """Each appliance found its peer by its gateway: by ARP or neighbour discovery."""
    for site in "ab":
        peer = lab.peer(site)
        need(peer["state"] == "up" and peer["path_mtu"] == lab.path_mtu, f"{site}: {peer}")
    lab.run("client", "ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", IN_PATH["a"][4])
    lab.run("server", "ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", IN_PATH["a"][6])
    lab.run("client", "ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", IN_PATH["b"][4])


def download(lab, family):
    """Right, and compressed: at most 55 % of the bytes on the WAN. Not judged where a worker had no
    time and compressed less."""
    for _ in range(5):
        before, busy = lab.wan_bytes(), lab.busy_steps()
        seconds = lab.get("text", TEXT, family)
        share = (lab.wan_bytes() - before) / len(TEXT)
        if share > 0.55 and lab.busy_steps() > busy:
            continue
        need(share <= 0.55, f"{share:.0%} of the bytes on the WAN")
        return f"{share:.0%} of the bytes on the WAN, {seconds:.1f} s"
    raise Skipped("the machine was too busy to compress, five times")


def fields(line):
    """(source MAC, destination MAC, TTL) of a line of tcpdump; None if it is none."""
    found = re.search(r"([0-9a-f:]{17}) > ([0-9a-f:]{17}).*?(?:ttl|hlim) (\d+)", line)
    return found and (found[1], found[2], int(found[3]))


def looks_routed(lab, family):
    """What the link delivers looks as the routers would have delivered it: addresses and TTL."""
    ends = {site: (lab.mac(router, "lan0"), lab.mac(site, "eth0"), 64 - ROUTERS)
            for site, router in (("client", "r1"), ("server", "r2"))}
    filter_ = f"udp port {UDP_PORT} and dst host "
    with Udp(lab, family) as udp:
        udp.exchange(3, datagram)  # from now on each end knows the other's half
        before = lab.compressed_packets("a"), lab.compressed_packets("b")
        with lab.captured("server", "eth0", filter_ + SERVER[family]) as at_server, \
                lab.captured("client", "eth0", filter_ + CLIENT[family]) as at_client:
            need(udp.exchange(20, datagram) == (20, 20), "datagrams are missing")
        for site, was in zip("ab", before):
            need(lab.compressed_packets(site) - was >= 20, f"{site} did not compress")
    for site, lines in (("server", at_server), ("client", at_client)):
        seen = [fields(line) for line in lines if fields(line)]
        need(len(seen) == 20, f"{len(seen)} packets captured at the {site}: {lines[-3:]}")
        need(set(seen) == {ends[site]}, f"at the {site}: {set(seen)}, not {ends[site]}")


def traceroute(lab):
    """A packet whose TTL ends on the way never crosses in the tunnel: its router answers it."""
    with Udp(lab) as udp:
        udp.exchange(3, datagram)
        filter_ = "icmp[icmptype] = icmp-timxceed"
        with lab.captured("client", "eth0", filter_) as lines:
            for ttl in (1, 2):
                udp.client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
                for i in range(3):
                    udp.client.sendto(datagram(i), udp.to)
        udp.server.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            udp.server.recv(4096)
            raise Failed("a packet with a TTL too small reached the server")
    for router in (GATEWAY["a"][4], "10.9.0.2"):
        need(any(f" {router} > {CLIENT[4]}: ICMP time exceeded" in line for line in lines),
             f"no answer of {router}: {lines[-3:]}")


def clamped(lab, family):
    """The MSS in the SYN that reaches the server."""
    address = SERVER[4] if family == 4 else f"[{SERVER[6]}]"
    taken = (44 if lab.family == 4 else 64) + (40 if family == 4 else 60)
    want = min(lab.path_mtu - taken, 1500 - (40 if family == 4 else 60))
    if not lab.mss_clamp:
        want = 1500 - (40 if family == 4 else 60)
    with lab.captured("server", "eth0", "tcp dst port 80") as lines:
        lab.run("client", "curl", "-sS", "-o", "/dev/null", f"http://{address}/small")
    found = re.search(r"mss (\d+)", " ".join(lines))
    need(found and int(found[1]) == want, f"mss {found and found[1]}, not {want}")
    return f"mss {want}"


def udp_both_ways(lab, family):
    before = [lab.compressed_packets(site) for site in "ab"]
    with Udp(lab, family) as udp:
        need(udp.exchange(50, datagram) == (50, 50), "datagrams are missing")
    gained = [lab.compressed_packets(site) - was for site, was in zip("ab", before)]
    need(min(gained) >= 45, f"compressed of 50 at A and B: {gained}")


def udp_one_way(lab):
    """The far end cannot know who the server's neighbour is: so it goes beside the tunnel."""
    before, unproven = lab.compressed_packets("a"), lab.reasons("a")["link-unproven"]
    with Udp(lab, echo=False) as udp:
        need(udp.exchange(50, datagram)[0] == 50, "datagrams are missing")
    need(lab.compressed_packets("a") == before, "went through the link")
    need(lab.reasons("a")["link-unproven"] - unproven >= 50, "not counted as link-unproven")


def udp_goes_quiet(lab):
    """A flow whose far half has fallen silent leaves the tunnel: the peer may have forgotten it."""
    with Udp(lab) as udp:
        udp.exchange(5, datagram)
        udp.echo = False
        need(udp.exchange(20, datagram)[0] == 20, "datagrams are missing")
        time.sleep(10.5)
        before = lab.compressed_packets("a")
        need(udp.exchange(20, datagram)[0] == 20, "datagrams are missing")
        need(lab.compressed_packets("a") == before, "still through the link")
        udp.echo = True
        need(udp.exchange(20, datagram) == (20, 20), "datagrams are missing")
        need(lab.compressed_packets("a") > before, "never through the link again")


def restart_in_download(lab, site):
    """Killed and started again in the middle of it, everything forgotten."""
    failed = []

    def work():
        try:
            lab.get("long", LONG_TEXT, 4, "--limit-rate", "4M")
        except (Failed, OSError, subprocess.SubprocessError) as reason:
            failed.append(str(reason))

    start = time.monotonic()
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.8)
    before = time.monotonic()
    lab.kill_and_restart(site)
    away = time.monotonic() - before
    need(thread.is_alive(), "the download was over before the restart")
    lab.wait_peers_up(10)
    compressed, reasons = lab.compressed_packets("b"), lab.reasons("b")
    thread.join(90)
    need(not failed, failed and failed[0])
    more = lab.compressed_packets("b") - compressed
    passed = {reason: count - reasons[reason] for reason, count in lab.reasons("b").items()
              if count > reasons[reason]}
    if more <= 100 < passed.get("link-busy", 0):
        raise Skipped("the worker had no time to compress")
    need(more > 100, f"compressed behind it: {more} packets; {passed}")
    return (f"{time.monotonic() - start:.1f} s in all, sluiced away for {away:.1f} s, refused as "
            f"link-no-l2: {lab.reasons('a')['link-no-l2']} at A, "
            f"{lab.reasons('b')['link-no-l2']} at B")


class Echo:
    """A TCP connection of the client to a server that sends everything back."""

    def __init__(self, lab):
        listener = lab.socket("server", socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", TCP_PORT))
        listener.listen()
        self.client = lab.socket("client", socket.AF_INET, socket.SOCK_STREAM)
        self.client.connect((SERVER[4], TCP_PORT))
        self.server, _ = listener.accept()
        listener.close()
        for end in (self.client, self.server):
            end.settimeout(10)

    def close(self):
        self.client.close()
        self.server.close()

    def ask(self, data):
        """Sends, and waits for the same back; the seconds it took."""
        start = time.monotonic()
        self.client.sendall(data)
        for end in (self.server, self.client):
            got = b""
            while len(got) < len(data):
                got += end.recv(65536)
            need(got == data, "other bytes came")
            if end is self.server:
                end.sendall(got)
        return time.monotonic() - start


def restart_while_idle(lab, site):
    """An idle connection wakes up behind a restart: no longer than a retransmission or two."""
    echo = Echo(lab)
    try:
        for i in range(5):
            echo.ask(datagram(i))
        lab.kill_and_restart(site)
        lab.wait_peers_up(10)
        took = [echo.ask(datagram(i)) for i in range(5)]
    finally:
        echo.close()
    need(max(took) < 1, f"requests took {took}")
    return f"at most {max(took) * 1000:.0f} ms"


def evicted(lab):
    """B has thrown out a flow of which A thinks that B knows it: one retransmission, no more."""
    echo = Echo(lab)
    sink = lab.socket("server", socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("", UDP_PORT))
    try:
        for i in range(5):
            echo.ask(datagram(i))
        for i in range(4 * lab.flows_b):
            with lab.socket("client", socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.sendto(b"new flow", (SERVER[4], UDP_PORT))
            if i % 50 == 49:
                time.sleep(0.01)
        took = [echo.ask(datagram(i)) for i in range(5)]
    finally:
        echo.close()
        sink.close()
    refused = lab.reasons("b")["link-no-l2"]
    need(refused > 0, "B did not forget the flow: nothing tested")
    need(max(took) < 1, f"requests took {took}")
    return f"{refused} refused as link-no-l2, requests took at most {max(took) * 1000:.0f} ms"


def priority_tagged(lab):
    """A server whose frames have a priority tag (VLAN 0): it gets its packets, tagged so too."""
    macs = bytes.fromhex((lab.mac("r2", "lan0") + lab.mac("server", "eth0")).replace(":", ""))
    addresses = socket.inet_aton(SERVER[4]) + socket.inet_aton(CLIENT[4])
    raw = lab.socket("server", socket.AF_PACKET, socket.SOCK_RAW)
    with Udp(lab, echo=False) as udp:
        raw.bind(("eth0", 0))

        def answer():
            data = datagram(1)
            head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(data), 1, 0, 64, 17, 0) + addresses
            total = sum(struct.unpack("!10H", head))
            total = ~((total & 0xffff) + (total >> 16)) & 0xffff
            head = head[:10] + struct.pack("!H", total) + head[12:]
            ports = struct.pack("!HHHH", UDP_PORT, udp.client.getsockname()[1], 8 + len(data), 0)
            raw.send(macs + b"\x81\0\xa0\0\x08\0" + head + ports + data)
            need(udp.client.recv(4096) == data, "the client received another datagram")

        udp.exchange(1, datagram)
        answer()
        before = lab.compressed_packets("a")
        with lab.captured("server", "eth0", f"udp dst port {UDP_PORT} or vlan") as lines:
            need(udp.exchange(20, datagram)[0] == 20, "datagrams are missing")
        need(lab.compressed_packets("a") - before == 20, "did not go through the link")
        tagged = [line for line in lines if "vlan 0" in line]
        need(len(tagged) == 20, f"{len(tagged)} of 20 tagged: {lines[-2:]}")
        answer()
    raw.close()


# ---- checks: a WAN with a smaller MTU ----

def half_random(i):
    """1,500 bytes as an IP packet, compressed it is between the small MTU and that."""
    return bytes([i]) * 125 + random_bytes(1472 - 125)


def native_too_big(lab):
    """What goes beside the tunnel meets the router that says so, as without Sluice."""
    done = lab.try_run("client", "ping", "-n", "-M", "do", "-s", "1472", "-c", "3", "-i", "0.2",
                       "-W", "1", SERVER[4])
    need(re.search(f"[Ff]rag needed.*{WAN_SMALL_MTU}|mtu[ =]+{WAN_SMALL_MTU}",
                   done.stdout + done.stderr), f"ping said {done.stdout + done.stderr}")
    lab.run("client", "ping", "-n", "-M", "do", "-s", WAN_SMALL_MTU - 28, "-c", "2", "-i", "0.2",
            "-W", "1", SERVER[4])


def learns_path_mtu(lab):
    """Link frames that a router cannot carry make their sender use shorter ones."""
    need(lab.peer_path_mtu("a") == 1500, f"path MTU {lab.peer_path_mtu('a')} before")
    with Udp(lab) as udp:
        udp.exchange(5, datagram)
        udp.echo = False
        udp.server.settimeout(0.2)
        lost = 20 - udp.exchange(20, half_random)[0]
        need(0 < lost <= 5, f"{lost} of 20 datagrams lost")
        need(lab.peer_path_mtu("a") == WAN_SMALL_MTU, f"path MTU {lab.peer_path_mtu('a')} behind")
        udp.server.settimeout(1)
        need(udp.exchange(20, half_random)[0] == 20, "more datagrams lost")
    need(f"path MTU {WAN_SMALL_MTU}" in lab.log("a"), "the log does not say so")
    return f"{lost} datagrams lost until then"


def hard_download(lab):
    """Segments that shrink a little, but not below the MTU that is not known."""
    data = b"".join(random_bytes(1300) + bytes(120) for _ in range(1500))
    lab.make_file("hard", data)
    seconds = lab.get("hard", data, 4)
    need(seconds < 5, f"took {seconds:.1f} s")
    return f"{seconds:.1f} s, path MTU then {lab.peer_path_mtu('b')} at B"


def fits_path_mtu(lab):
    """With path_mtu set, nothing is lost at all."""
    with Udp(lab) as udp:
        udp.exchange(5, datagram)
        need(udp.exchange(30, half_random) == (30, 30), "datagrams are missing")
    for site in "ab":
        need(lab.peer_path_mtu(site) == WAN_SMALL_MTU, f"{site}: {lab.peer(site)}")


def small_mtu(family, path_mtu):
    name = f"peers by IPv{family}, WAN of {WAN_SMALL_MTU}, path_mtu {path_mtu}: "
    with RoutedLab(family, WAN_SMALL_MTU, path_mtu) as lab:
        serve(lab)
        # The client's kernel does not know the WAN's MTU yet.
        if path_mtu > WAN_SMALL_MTU:
            check(name + "learnt from ICMP", learns_path_mtu, lab)
        else:
            check(name + "UDP", fits_path_mtu, lab)
        check(name + "a ping too big is answered by the router", native_too_big, lab)
        for inner in (4, 6):
            check(name + f"IPv{inner} download", download, lab, inner)


# ---- the run ----

def serve(lab):
    lab.make_file("text", TEXT)
    lab.make_file("long", LONG_TEXT)
    lab.make_file("small", TEXT[:200])
    lab.http_server()


def plain_wan(family):
    name = f"peers by IPv{family}: "
    with RoutedLab(family) as lab:
        serve(lab)
        check(name + "the gateways are found", resolves, lab)
        for inner in (4, 6):
            check(name + f"IPv{inner} download", download, lab, inner)
            check(name + f"IPv{inner} MAC addresses and TTL", looks_routed, lab, inner)
            check(name + f"IPv{inner} UDP both ways", udp_both_ways, lab, inner)
            check(name + f"IPv{inner} MSS clamped", clamped, lab, inner)
        if family == 6:
            return
        check("UDP one way", udp_one_way, lab)
        check("UDP that becomes one way", udp_goes_quiet, lab)
        check("TTL that ends on the way", traceroute, lab)
        check("priority tags", priority_tagged, lab)
        for site in "ba":
            check(f"{site.upper()} restarted in a download", restart_in_download, lab, site)
            check(f"{site.upper()} restarted, idle connection", restart_while_idle, lab, site)


def main():
    for family in (4, 6):
        plain_wan(family)
    small_mtu(4, WAN_SMALL_MTU)
    for family in (4, 6):
        small_mtu(family, 1500)
    with RoutedLab(mss_clamp=False, wan_mtu=WAN_SMALL_MTU) as lab:
        serve(lab)
        check("without mss_clamp: MSS", clamped, lab, 4)
        check("without mss_clamp, WAN of 1400: hardly compressible download", hard_download, lab)
        check("without mss_clamp, WAN of 1400: download", download, lab, 4)
    with RoutedLab(flows_b=1024) as lab:
        check("flow evicted at B", evicted, lab)


if __name__ == "__main__":
    run(main)
