#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Real hosts talk through the pair of appliances as through a wire.

    sudo tests/lab/transparency_test.py

Ping, path-MTU discovery, HTTP, ssh, DNS, iperf3, VLAN tags, ARP and neighbour discovery between
the lab's client and server, with compression switched on; and the in-path addresses answer.
"""
# tests/run.py: beside others
import hashlib
import os
import re
import socket
import struct
import subprocess
import threading
import time

from lab import (CLIENT, CLIENT6, IN_PATH, SERVER, SERVER6, Lab, check, need, random_bytes,
                 replace_once, run, text_bytes, wait_for)

FAR, FAR6 = "10.78.0.2", "fd78::2"
# What the narrow link behind the server carries; IPv6 wants 1280.
NARROW = 1300


def config(site, text):
    """The lab's own, but all is in a compressing class, and what is behind the server too."""
    text = replace_once(text, r'^(?=  \{ match = \{ dscp = "ef")',
                        '  { match = { proto = "tcp"; dport = "5000-5100"; }; class = "web"; },\n'
                        '  { match = { proto = "udp"; dport = "5000-5100"; }; class = "web"; },\n')
    if site == "a":
        text = replace_once(text, r'networks = \( "10.77.0.2", "fd77::2" \)',
                            'networks = ( "10.77.0.2", "fd77::2", "10.78.0.0/24", "fd78::/64" )')
    return text


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def digest(data):
    return hashlib.sha256(data).hexdigest()


# ---- ping, ARP, neighbour discovery ----

def ping(lab, site, address, *words, count=3, ttl=64):
    said = lab.run(site, "ping", "-n", "-c", count, "-i", "0.05", "-W", "2", *words, address)
    lines = said.strip().splitlines()
    need(f" {count} received" in said, " ".join(lines[-2:]))
    need(said.count(f"ttl={ttl}") == count, f"TTL changed: {lines[1]}")
    return lines[-1]


def resolves(lab, family, address, site, other):
    """From an empty neighbour table to the other host's true MAC address."""
    for each in ("client", "server"):
        lab.run(each, "ip", f"-{family}", "neigh", "flush", "dev", "eth0")
    ping(lab, site, address, count=1)
    mac = re.search(r"link/ether (\S+)", lab.run(other, "ip", "link", "show", "eth0"))[1]
    known = lab.run(site, "ip", f"-{family}", "neigh", "show", address)
    need(mac in known, f"{site} knows {address} as {known.strip()}, it is {mac}")


def ttl_unaffected(lab):
    """Nothing on the way is a router: a packet with one hop to live arrives."""
    ping(lab, "client", SERVER, "-t", "1")
    ping(lab, "client", SERVER6, "-t", "1")


def reassembled(lab, site):
    """Fragments that the site's kernel has seen, IPv4 and IPv6 (0 there: none made either)."""
    total = 0
    for line in lab.run(site, "nstat", "-asz", "IpReasmReqds", "IpFragCreates", "Ip6ReasmReqds",
                        "Ip6FragCreates").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            total += int(words[1])
    return total


def fragmented_udp(lab, to):
    """A datagram that the sender must fragment comes whole."""
    data = text_bytes(9000) + random_bytes(9000)
    with lab.socket("server", family_of(to), socket.SOCK_DGRAM) as there, \
            lab.socket("client", family_of(to), socket.SOCK_DGRAM) as here:
        there.bind((to, 5050))
        there.settimeout(5)
        for _ in range(5):
            here.sendto(data, (to, 5050))
            need(there.recv(65535) == data, "the datagram is not what was sent")


# ---- TCP ----

def send_through(lab, site, other, to, data, port):
    """`data` over one TCP connection from site to other; returns what came."""
    received = []

    def receive():
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(15)
            while chunk := connection.recv(1 << 16):
                received.append(chunk)

    with lab.socket(other, family_of(to), socket.SOCK_STREAM) as listener, \
            lab.socket(site, family_of(to), socket.SOCK_STREAM) as sender:
        listener.settimeout(10)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((to, port))
        listener.listen()
        reader = threading.Thread(target=receive, daemon=True)
        reader.start()
        sender.settimeout(15)
        sender.connect((to, port))
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)
        reader.join(20)
        need(not reader.is_alive(), "the transfer does not end")
    return b"".join(received)


def http(lab, host, name, data, *words):
    got = lab.run("client", "curl", "-sS", "--fail", "--max-time", "30", *words,
                  f"http://{host}/{name}", text=False, timeout=40)
    need(digest(got) == digest(data), f"{len(got)} bytes with another sha256 than the "
         f"{len(data)} sent")


def parallel(lab, count=300):
    said = lab.run("client", "curl", "-sS", "--parallel", "--parallel-max", "150",
                   "--parallel-immediate", "--max-time", "40", "-o", "/dev/null", "-w",
                   "%{http_code} %{size_download}\n", f"http://{SERVER}/small?[1-{count}]",
                   timeout=60)
    good = said.splitlines().count("200 10000")
    need(good == count, f"{good} of {count} requests succeeded")


def ssh(lab, host, data):
    tmp = lab.tmp
    if not os.path.exists(f"{tmp}/id"):
        for name in ("id", "host"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{tmp}/{name}"],
                           check=True, stdin=subprocess.DEVNULL)
        lab.write("sshd.conf", f"""HostKey {tmp}/host
AuthorizedKeysFile {tmp}/id.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
""")
        # sshd does not start without /run/sshd: a /run of its own, for this process alone.
        with open(f"{tmp}/sshd.log", "wb") as log:
            lab.start("server", "sh", "-c", "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && "
                      f"exec /usr/sbin/sshd -D -e -f {tmp}/sshd.conf -p 22", stderr=log)
        lab.wait_listen("server", 22)
    got = lab.run("client", "ssh", "-F", "none", "-i", f"{tmp}/id", "-o", "BatchMode=yes", "-o",
                  "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
                  "LogLevel=ERROR", "-o", "ConnectTimeout=10", f"root@{host}",
                  f"cat {tmp}/www/text", text=False)
    need(digest(got) == digest(data), f"{len(got)} bytes with another sha256 than the "
         f"{len(data)} sent")


# ---- DNS ----

def dns_server(lab):
    texts = "".join(f"txt-record=long.lab.example,{chr(97 + i) * 200}\n" for i in range(6))
    conf = lab.write("dnsmasq.conf", f"""no-resolv
no-hosts
port=53
user=root
group=root
bind-interfaces
interface=eth0
edns-packet-max=4096
pid-file={lab.tmp}/dnsmasq.pid
host-record=www.lab.example,192.0.2.80,2001:db8::80
{texts}""")
    lab.start("server", "dnsmasq", "--keep-in-foreground", f"--conf-file={conf}")
    lab.wait_listen("server", 53, udp=True)


def dig(lab, host, *words):
    for kind, answer in (("A", "192.0.2.80"), ("AAAA", "2001:db8::80")):
        said = lab.run("client", "dig", f"@{host}", "+short", "+time=2", "+tries=1", *words,
                       "www.lab.example", kind).split()
        need(said == [answer], f"{kind} of www.lab.example is {said}")
    said = lab.run("client", "dig", f"@{host}", "+short", "+time=2", "+tries=1", "+bufsize=4096",
                   "+ignore", *words, "long.lab.example", "TXT")
    need(len(said) > 1200, f"the long answer has {len(said)} bytes")


# ---- iperf3 ----

def iperf_tcp(lab, to, *words):
    result = lab.iperf(*words, to=to)
    got = result["end"]["sum_received"]
    need(got["bits_per_second"] > 1e6, f"{got['bits_per_second']:.0f} bit/s only")
    return f"{got['bits_per_second'] / 1e6:.0f} Mbit/s"


def iperf_udp(lab, to, *words):
    result = lab.iperf("-u", "-b", "8M", "-l", "1200", *words, to=to)
    end = result["end"]["sum"]
    need(end["packets"] > 500, f"{end['packets']} packets only")
    need(end["lost_packets"] == 0, f"{end['lost_packets']} of {end['packets']} lost; "
         f"drops: {lost_where(lab)}")
    return f"{end['packets']} packets"


def lost_where(lab):
    return {site: {reason: count for reason, count in lab.dropped(site).items() if count}
            for site in "ab"}


# ---- path MTU ----

def build_far(lab):
    """client -- pair -- server == 1300 bytes == mid -- far: both middle ones are routers."""
    for site in ("mid", "far"):
        name = lab.namespace(site)
        lab.extra_namespaces.append(name)
        subprocess.run(["ip", "netns", "add", name], check=True)
    sysctls = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
               "net.ipv6.conf.default.accept_dad=0")
    for site in ("server", "mid"):
        lab.run(site, "sysctl", "-qw", *sysctls)
    lab.run("far", "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")

    def link(site, device, other, device2, mtu):
        lab.run(site, "ip", "link", "add", device, "mtu", mtu, "type", "veth", "peer", "name",
                device2, "mtu", mtu, "netns", lab.namespace(other))
        for where, dev in ((site, device), (other, device2)):
            lab.run(where, "ethtool", "-K", dev, "tso", "off", "gso", "off", "gro", "off", "tx",
                    "off")
            lab.run(where, "ip", "link", "set", dev, "up")

    def address(site, device, v4, v6):
        lab.run(site, "ip", "addr", "add", v4, "dev", device)
        lab.run(site, "ip", "addr", "add", v6, "dev", device, "nodad")

    link("server", "narrow", "mid", "narrow", NARROW)
    link("mid", "wide", "far", "eth0", 1500)
    lab.wait_links_up("server", "mid", "far")
    address("server", "narrow", "10.79.0.1/24", "fd79::1/64")
    address("mid", "narrow", "10.79.0.2/24", "fd79::2/64")
    address("mid", "wide", "10.78.0.1/24", "fd78::1/64")
    address("far", "eth0", f"{FAR}/24", f"{FAR6}/64")
    for site, target, via in (
            ("client", "10.78.0.0/24", SERVER), ("client", "fd78::/64", SERVER6),
            ("client", "10.79.0.0/24", SERVER), ("client", "fd79::/64", SERVER6),
            ("server", "10.78.0.0/24", "10.79.0.2"), ("server", "fd78::/64", "fd79::2"),
            ("mid", "10.77.0.0/24", "10.79.0.1"), ("mid", "fd77::/64", "fd79::1"),
            ("far", "default", "10.78.0.1"), ("far", "default", "fd78::1")):
        lab.run(site, "ip", "-6" if ":" in via else "-4", "route", "add", target, "via", via)


def forget_mtu(lab, to):
    """At both ends: a host that knows the path MTU also asks for smaller segments."""
    for site in ("client", "far"):
        lab.run(site, "ip", "-6" if ":" in to else "-4", "route", "flush", "cache")


def too_big_heard(lab, to):
    """A full-size ping with don't-fragment gets the router's answer, and the kernel believes it."""
    overhead = 48 if ":" in to else 28
    forget_mtu(lab, to)
    wait_for(5, f"{to} answers", lambda: not lab.try_run(
        "client", "ping", "-n", "-c", "1", "-W", "1", to).returncode)
    said = lab.try_run("client", "ping", "-n", "-M", "do", "-c", "1", "-W", "2", "-s",
                       1500 - overhead, to).stdout
    need(str(NARROW) in said, f"no word of {NARROW} in: {said.strip()}")
    need(f"mtu {NARROW}" in lab.run("client", "ip", "route", "get", to),
         "the client's kernel did not take the path MTU")
    ping(lab, "client", to, "-M", "do", "-s", NARROW - overhead, ttl=62)


def discovers_mtu(lab, site, other, to, port, data):
    """TCP through the narrow link arrives whole, and the sender had to learn the path MTU."""
    forget_mtu(lab, to)
    lab.run(site, "sysctl", "-qw", "net.ipv4.tcp_mtu_probing=0")
    got = send_through(lab, site, other, to, data, port)
    need(got == data, f"{len(got)} bytes came of {len(data)}, or they differ")
    need(f"mtu {NARROW}" in lab.run(site, "ip", "route", "get", to),
         f"the kernel of {site} did not learn the path MTU: the test tests nothing")


# ---- VLAN ----

# No VLAN device is needed: raw sockets at both ends. The kernel keeps a received tag apart.
PACKET_AUXDATA, SOL_PACKET, ETH_P_ALL = 8, 263, 3
VLAN_VALID, TPID_VALID = 1 << 4, 1 << 6


def raw(lab, site):
    ear = lab.socket(site, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    ear.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    ear.bind(("eth0", ETH_P_ALL))
    return ear


def receive_frame(ear, wanted, seconds=3):
    """Until `wanted` came, tag and all."""
    end = time.monotonic() + seconds
    seen = []
    while (left := end - time.monotonic()) > 0:
        ear.settimeout(left)
        try:
            frame, extra, _, _ = ear.recvmsg(2000, socket.CMSG_SPACE(20))
        except TimeoutError:
            break
        for level, kind, data in extra:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
                if status & VLAN_VALID:
                    tpid = tpid if status & TPID_VALID else 0x8100
                    frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
        if frame == wanted:
            return
        seen.append(frame[:40].hex())
    need(False, f"did not come: {wanted[:40].hex()}; came: {seen[:3]}")


def internet_checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def tagged_hosts(lab, tag):
    """Two hosts in a VLAN: ARP, neighbour discovery and ping there and back."""
    mac = {"client": bytes.fromhex("02000000c001"), "server": bytes.fromhex("02000000c002")}
    ip4 = {"client": bytes([10, 99, 0, 1]), "server": bytes([10, 99, 0, 2])}
    ip6 = {site: bytes.fromhex("fd99" + "00" * 13 + f"0{i}")
           for i, site in enumerate(("client", "server"), 1)}

    def arp(source, target, operation):
        return b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, operation) + mac[source] + \
            ip4[source] + (mac[target] if operation == 2 else bytes(6)) + ip4[target] + bytes(18)

    def echo4(source, target, kind, size):
        body = text_bytes(size)
        icmp = struct.pack("!BBHHH", kind, 0, 0, 77, 1) + body
        icmp = icmp[:2] + struct.pack("!H", internet_checksum(icmp)) + icmp[4:]
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 9, 0x4000, 64, 1, 0) + \
            ip4[source] + ip4[target]
        header = header[:10] + struct.pack("!H", internet_checksum(header)) + header[12:]
        return b"\x08\0" + header + icmp

    def icmp6(source, destination, kind, body, hops):
        pseudo = ip6[source] + destination + struct.pack("!II", len(body) + 4, 58)
        total = internet_checksum(pseudo + struct.pack("!BBH", kind, 0, 0) + body)
        return b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(body) + 4, 58, hops) + \
            ip6[source] + destination + struct.pack("!BBH", kind, 0, total) + body

    def solicit(source, target):
        group = bytes.fromhex("ff02" + "00" * 9 + "01ff") + ip6[target][13:]
        return icmp6(source, group, 135, bytes(4) + ip6[target] + b"\1\1" + mac[source], 255)

    # Raw sockets let frames exceed the MTU by a tag of 0x8100 only.
    full = 1500 if tag[:2] == b"\x81\0" else 1500 - len(tag)
    broadcast, group_mac = b"\xff" * 6, bytes.fromhex("3333ff000002")
    echo6 = b"\0\7\0\1" + text_bytes(full - 48)
    exchange = [
        ("client", broadcast, arp("client", "server", 1)),
        ("server", None, arp("server", "client", 2)),
        ("client", None, echo4("client", "server", 8, 56)),
        ("server", None, echo4("server", "client", 0, 56)),
        ("client", None, echo4("client", "server", 8, full - 28)),
        ("server", None, echo4("server", "client", 0, full - 28)),
        ("client", group_mac, solicit("client", "server")),
        ("server", None, icmp6("server", ip6["client"], 136, struct.pack("!I", 3 << 29) +
                               ip6["server"] + b"\2\1" + mac["server"], 255)),
        ("client", None, icmp6("client", ip6["server"], 128, echo6, 64)),
        ("server", None, icmp6("server", ip6["client"], 129, echo6, 64)),
    ]
    with raw(lab, "client") as client, raw(lab, "server") as server:
        for source, destination, packet in exchange:
            here, there = (client, server) if source == "client" else (server, client)
            other = "server" if source == "client" else "client"
            frame = (destination or mac[other]) + mac[source] + tag + packet
            here.send(frame)
            receive_frame(there, frame)


# ---- all of it ----

def full_pings(lab):
    check("ping of 1,500 bytes with don't-fragment, IPv4", ping, lab, "client", SERVER, "-M", "do",
          "-s", "1472")
    check("ping of 1,500 bytes with don't-fragment, IPv6", ping, lab, "client", SERVER6, "-M", "do",
          "-s", "1452")
    check("the same from the server", ping, lab, "server", CLIENT, "-M", "do", "-s", "1472")


def no_fragments(lab):
    need(reassembled(lab, "client") + reassembled(lab, "server") == 0, "the hosts saw fragments")


def compressed(lab, site, before):
    count = lab.compressed_packets(site) - before
    need(count > 100, f"{count} packets only: these tests have not tested the link")
    return f"{count} packets"


def main():
    text, noise = text_bytes(3_000_000), random_bytes(1_000_000)
    with Lab("--delay", "5ms", "--rate", "100mbit", config=config) as lab:
        lab.wait_peers_up()
        check("ping, IPv4", ping, lab, "client", SERVER)
        check("ping, IPv6", ping, lab, "client", SERVER6)
        check("ARP, client to server", resolves, lab, 4, SERVER, "client", "server")
        check("ARP, server to client", resolves, lab, 4, CLIENT, "server", "client")
        check("neighbour discovery, client to server", resolves, lab, 6, SERVER6, "client",
              "server")
        check("neighbour discovery, server to client", resolves, lab, 6, CLIENT6, "server",
              "client")
        full_pings(lab)
        check("TTL and hop limit pass as they are", ttl_unaffected, lab)
        for owner, addresses in IN_PATH.items():
            for address in addresses:
                for site in ("client", "server"):
                    check(f"in-path address {address} of {owner} answers the {site}", ping, lab,
                          site, address)

        lab.make_file("text", text)
        lab.make_file("noise", noise)
        lab.make_file("small", text[:10000])
        lab.http_server()
        for host in (SERVER, f"[{SERVER6}]"):
            before = lab.compressed_packets("b")
            check(f"HTTP from {host}, text", http, lab, host, "text", text)
            check(f"HTTP from {host}, it crossed the link compressed", compressed, lab, "b", before)
            check(f"HTTP from {host}, random", http, lab, host, "noise", noise)
        check("300 HTTP requests, 150 at a time", parallel, lab)
        check("ssh cat, IPv4", ssh, lab, SERVER, text)
        check("ssh cat, IPv6", ssh, lab, SERVER6, text)
        dns_server(lab)
        for host in (SERVER, SERVER6):
            check(f"DNS over UDP from {host}", dig, lab, host)
            check(f"DNS over TCP from {host}", dig, lab, host, "+tcp")
        lab.iperf_server()
        for host in (SERVER, SERVER6):
            check(f"iperf3 TCP to {host}", iperf_tcp, lab, host)
            check(f"iperf3 TCP from {host}", iperf_tcp, lab, host, "-R")
        check(f"iperf3 UDP to {SERVER}, none lost", iperf_udp, lab, SERVER)
        check(f"iperf3 UDP from {SERVER}, none lost", iperf_udp, lab, SERVER, "-R")
        check("iperf3 TCP, 32 connections at once", iperf_tcp, lab, SERVER, "-P", "32")
        check("the hosts saw no fragment so far", no_fragments, lab)

        check("fragmented UDP, IPv4", fragmented_udp, lab, SERVER)
        check("fragmented UDP, IPv6", fragmented_udp, lab, SERVER6)
        for name, tag in (("802.1Q", "81000064"), ("802.1Q with priority", "8100e064"),
                          ("802.1ad", "88a80064"), ("QinQ", "88a8006481000065")):
            check(f"hosts in a VLAN, {name}", tagged_hosts, lab, bytes.fromhex(tag))

        build_far(lab)
        check("fragmentation needed reaches the client, IPv4", too_big_heard, lab, FAR)
        check("packet too big reaches the client, IPv6", too_big_heard, lab, FAR6)
        for name, data in (("text", text), ("random", noise)):
            for to, port in ((FAR, 5060), (FAR6, 5061)):
                family = "IPv6" if ":" in to else "IPv4"
                check(f"path-MTU discovery, {family}, {name} up", discovers_mtu, lab, "client",
                      "far", to, port, data)
        for to, port in ((CLIENT, 5062), (CLIENT6, 5063)):
            check(f"path-MTU discovery, {'IPv6' if ':' in to else 'IPv4'}, text down",
                  discovers_mtu, lab, "far", "client", to, port, text)


if __name__ == "__main__":
    run(main)
