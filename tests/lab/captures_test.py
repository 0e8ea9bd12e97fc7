#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every frame through the pair of appliances, bit-identical, none missing, none added, in order.

    sudo tests/lab/captures_test.py [FOLDER-OR-FILE...]

Sends capture files (the arguments, else $CAPTURES, else ../shared/captures beside the checkout;
skipped where that is missing) and frames made here into one appliance's LAN port and compares what
leaves the other's, by tools/replay: with one worker and with two, with everything compressed that
can be, in jumbo frames too.
"""
# tests/run.py: beside others
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time

from lab import (BUILD, REPLAY, SANITIZED, TOP, Lab, Skipped, check, need, random_bytes,
                 replace_once, report, run, text_bytes, wait_for)

MTU = 9000
ETH_P_ALL = 3

CLASSES = """classes = (
  { name = "default"; compress = true; aqm = "none"; queue_size = "8 MB"; }
);
rules = ();
"""


def config(_site, text):
    """Everything may be compressed; nothing is altered on purpose (MSS) or dropped (AQM)."""
    text = replace_once(text, r"^classes = \(.*?^\);", CLASSES)
    text = replace_once(text, r"^rules = \(.*?^\);\n(?=\n+peers)", "")
    text = replace_once(text, r"networks = \([^)]*\);",
                        'networks = ( "0.0.0.0/0", "::/0" ); mss_clamp = false;')
    return re.sub(r'(up|down) = "[^"]*";', r'\1 = "2 Gbit/s";', text)


# ---- frames made here ----

MACS = bytes.fromhex("020000000001" "020000000002")


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(payload, proto=17, fragment=0, options=b"", number=1, src="198.51.100.1",
         dst="203.0.113.9"):
    def header(check):
        return struct.pack("!BBHHHBBH4s4s", 0x40 | (5 + len(options) // 4), 0,
                           20 + len(options) + len(payload), number, fragment, 61, proto, check,
                           bytes(map(int, src.split("."))),
                           bytes(map(int, dst.split(".")))) + options
    return header(checksum(header(0))) + payload


def ipv6(payload, proto=17, extensions=b""):
    source = bytes.fromhex("20010db8000100000000000000000001")
    destination = bytes.fromhex("20010db8000200000000000000000002")
    return struct.pack("!IHBB", 6 << 28, len(extensions) + len(payload), proto,
                       61) + source + destination + extensions + payload


def udp(data, sport=4444, dport=5555):
    # Without a checksum over IPv4, and with a wrong one over IPv6: to be passed as it is.
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def tcp(data, number, sport=4445, dport=8080, flags=0x18, options=b""):
    return struct.pack("!HHIIBBHHH", sport, dport, number, 1, (5 + len(options) // 4) << 4, flags,
                       500, 0, 0) + options + data


def eth(kind, data):
    return MACS + struct.pack("!H", kind) + data


def tags(*list_of_tags):
    """What stands between the MAC addresses and the ethertype."""
    return b"".join(struct.pack("!HH", tpid, tci) for tpid, tci in list_of_tags)


def tagged(tag_bytes, kind, data):
    return MACS + tag_bytes + struct.pack("!H", kind) + data


def from_host(number, frame):
    """From a MAC address of its own: replay looks no deeper for what must stay in order, in frames
    that carry more than Ethernet and IP."""
    return frame[:10] + struct.pack("!H", number) + frame[12:]


def own_captures(port=4444):
    """name -> frames. port: one below those of the flows in them, one a capture."""
    text = text_bytes(200_000)
    at = 0

    def some(size):
        nonlocal at
        at = (at + size) % (len(text) - 10_000)
        return text[at:at + size]

    def flow(wrap, sizes=(40, 300, 700, 1100, 1300, 1400) * 4):
        """A flow of compressible UDP and one of TCP in the same wrapping, IPv4 and IPv6."""
        nonlocal port
        port += 1  # so that every worker owns some flows
        frames, number = [], 1000
        for size in sizes:
            data = some(size)
            packets = [wrap(0x0800, ipv4(udp(data, port))), wrap(0x86dd, ipv6(udp(data, port))),
                       wrap(0x0800, ipv4(tcp(data, number, port), 6)),
                       wrap(0x86dd, ipv6(tcp(data, number, port), 6))]
            frames += [from_host(i, frame) for i, frame in enumerate(packets)]
            number += size
        return frames

    vlan = {"vlan-8100": tags((0x8100, 0x2064)), "vlan-88a8": tags((0x88a8, 100)),
            "vlan-0-priority": tags((0x8100, 0xe000)),
            "qinq-88a8-8100": tags((0x88a8, 0x6064), (0x8100, 200)),
            "qinq-8100-8100": tags((0x8100, 0x1064), (0x8100, 4094)),
            "qinq-9100": tags((0x9100, 100), (0x8100, 200)),
            "three-tags": tags((0x88a8, 1), (0x8100, 2), (0x8100, 3))}
    captures = {"untagged": flow(eth)}
    for name, tag in vlan.items():
        captures[name] = flow(lambda kind, data, tag=tag: tagged(tag, kind, data))

    def mpls(kind, data):
        return eth(0x8847, struct.pack("!II", 100 << 12 | 64, 200 << 12 | 1 << 8 | 64) + data)

    def pppoe(kind, data, tag=b""):
        protocol = 0x0021 if kind == 0x0800 else 0x0057
        header = struct.pack("!BBHHH", 0x11, 0, 7, len(data) + 2, protocol)
        return tagged(tag, 0x8864, header + data)

    captures["mpls"] = flow(mpls)
    captures["pppoe"] = flow(pppoe) + [
        tagged(b"", 0x8863, struct.pack("!BBHH", 0x11, 9, 0, 4) + bytes(44))]
    captures["vlan-pppoe"] = flow(
        lambda kind, data: pppoe(kind, data, tags((0x8100, 7))))

    arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, MACS[6:], bytes(4), bytes(6),
                      bytes([198, 51, 100, 7]))
    lldp = bytes.fromhex("0207040200000000020403050000060200780000")
    captures["not-ip"] = [
        eth(0x0806, arp), eth(0x0806, arp + bytes(18)),
        b"\xff" * 6 + eth(0x0806, arp)[6:],
        tagged(tags((0x8100, 5)), 0x0806, arp + bytes(14)),
        bytes.fromhex("0180c200000e") + MACS[6:] + b"\x88\xcc" + lldp + bytes(26),
        # Spanning tree: an 802.3 length and LLC; also SNAP, and a jumbo length field.
        bytes.fromhex("0180c2000000") + MACS[6:] + bytes.fromhex("0026424203000000") + bytes(40),
        bytes.fromhex("01000ccccccd") + MACS[6:] + bytes.fromhex("0032aaaa0300000c010b") +
        bytes(42),
        eth(0x0000, bytes(46)), eth(0x05dc, some(1500)), eth(0xffff, some(200)),
        eth(0x88b5, some(1500)), eth(0x8870, some(3000)), eth(0x8100, bytes(6)),
        eth(0x88f7, bytes(60)), eth(0x8809, bytes(110)), eth(0x888e, bytes(50)),
        eth(0x8808, bytes(46))]

    # Fragments: whole datagrams in order, backwards, and ends without a beginning.
    whole = udp(some(6000))
    pieces = [whole[i:i + 1480] for i in range(0, len(whole), 1480)]
    ids = 300

    def fragments(number):
        return [eth(0x0800, ipv4(piece, 17, i * 185 | (0x2000 if i < len(pieces) - 1 else 0),
                                 number=number)) for i, piece in enumerate(pieces)]

    def fragments6(number):
        return [eth(0x86dd, ipv6(piece, 44, struct.pack(
            "!BBHI", 17, 0, i * 1480 | (i < len(pieces) - 1), number)))
            for i, piece in enumerate(pieces)]

    captures["fragments"] = [frame for i in range(6) for frame in fragments(ids + i)]
    captures["fragments"] += fragments(400)[::-1] + fragments(401)[2:]
    captures["fragments6"] = [frame for i in range(6) for frame in fragments6(i)]
    captures["fragments6"] += fragments6(400)[::-1] + fragments6(401)[2:]

    hop_by_hop = bytes.fromhex("3c00050200000100")
    captures["odd-ip"] = [
        eth(0x0800, ipv4(udp(some(900)), options=bytes.fromhex("94040000"))),
        eth(0x0800, ipv4(udp(some(900)), options=bytes.fromhex("0727040a") + bytes(36))),
        eth(0x86dd, ipv6(udp(some(900)), 0, hop_by_hop + bytes.fromhex("1100010400000000"))),
        eth(0x0800, ipv4(bytes(20) + some(600), 50)), eth(0x0800, ipv4(bytes(4) + some(600), 47)),
        eth(0x0800, ipv4(bytes(12) + some(600), 51)), eth(0x0800, ipv4(some(600), 253)),
        eth(0x0800, ipv4(bytes.fromhex("0800000000010001") + some(700), 1)),
        eth(0x0800, ipv4(ipv4(udp(some(600))), 4)), eth(0x0800, ipv4(ipv6(udp(some(600))), 41)),
        # IP total length short of the frame: the rest is padding and must stay what it was.
        eth(0x0800, ipv4(udp(some(600))) + b"padding that is not zero"),
        eth(0x86dd, ipv6(udp(some(600))) + b"padding that is not zero"),
        # Total length beyond the frame, version and header length that cannot be.
        eth(0x0800, ipv4(udp(some(600)))[:-7]), eth(0x0800, b"\x4f" + ipv4(udp(some(99)))[1:]),
        eth(0x0800, b"\x41" + ipv4(udp(some(99)))[1:]), eth(0x0800, b"\x65" + bytes(60)),
        eth(0x86dd, b"\x45" + bytes(60)),
        # UDP lengths that lie, both ways; a broken header checksum; TTL 0.
        eth(0x0800, ipv4(struct.pack("!HHHH", 1, 2, 4, 9) + some(600))),
        eth(0x0800, ipv4(struct.pack("!HHHH", 1, 2, 4000, 9) + some(600))),
        eth(0x0800, ipv4(udp(some(600)))[:10] + b"\0\0" + ipv4(udp(some(600)))[12:]),
        # A Sluice link port between strangers is nothing of ours.
        eth(0x0800, ipv4(udp(some(800), 49152, 5820))),
        eth(0x86dd, ipv6(udp(some(800), 49152, 5820)))]
    captures["tcp-syn"] = [
        eth(0x0800, ipv4(tcp(b"", 1, 5000 + i, 80, 0x02, struct.pack("!BBH", 2, 4, mss)), 6))
        for i, mss in enumerate((536, 1460, 8960, 16396, 65495))]

    captures["jumbo"] = [frame for i in range(8) for frame in (
        eth(0x0800, ipv4(udp(some(MTU - 28)))), eth(0x0800, ipv4(udp(random_bytes(MTU - 28)))),
        eth(0x0800, ipv4(tcp(some(8000), 1 + 8000 * i), 6)), eth(0x86dd, ipv6(udp(some(MTU - 48)))),
        eth(0x0800, ipv4(udp(some(2000)))), eth(0x0800, ipv4(udp(some(4000)))),
        tagged(tags((0x8100, 9)), 0x0800, ipv4(udp(some(MTU - 28)))))]
    captures["jumbo-not-ip"] = [eth(0x88b5, some(MTU)), eth(0x88b5, random_bytes(MTU))]
    # Shorter than Ethernet allows, which software interfaces carry: every prefix of some frames.
    # (The kernel itself drops a frame that ends within its VLAN tag.)
    shorts = (eth(0x0800, ipv4(tcp(b"", 1), 6)), eth(0x86dd, ipv6(udp(b"x"))),
              tagged(tags((0x8100, 5)), 0x0800, ipv4(udp(b""))), pppoe(0x0800, ipv4(udp(b""))),
              mpls(0x0800, ipv4(udp(b""))), eth(0x0806, arp), eth(0x88b5, bytes(46)))
    captures["short"] = [from_host(size, frame[:size]) for frame in shorts
                         for size in range(20 if frame[12:14] == b"\x81\0" else 15,
                                           min(len(frame), 60) + 1)]
    captures["random"] = [MACS + random_bytes(3 + i * 37 % 1480) for i in range(200)]
    # Packets that do not shrink must not grow either; full ones beside small ones, one flow.
    captures["incompressible"] = [eth(0x0800, ipv4(udp(random_bytes(size))))
                                  for size in (10, 100, 1400, 1472, 3000) * 10]
    mixed = ((some if i % 3 else random_bytes)(64 + i * 53 % 1400) for i in range(150))
    captures["mixed"] = [eth(0x0800, ipv4(udp(data))) for data in mixed]
    return captures


def write_pcap(lab, name, frames):
    data = [struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)]
    for i, frame in enumerate(frames):
        data.append(struct.pack("<IIII", i // 1000, i % 1000 * 1000, len(frame), len(frame)))
        data.append(frame)
    return lab.write(f"{name}.pcap", b"".join(data))


# ---- the runs ----

def captures_given(arguments):
    """The capture files, or a sentence why there are none."""
    places = arguments or [os.environ.get("CAPTURES")
                              or os.path.join(os.path.dirname(TOP), "shared", "captures")]
    files = []
    for place in places:
        if os.path.isdir(place):
            files += sorted(os.path.join(place, name) for name in os.listdir(place)
                            if name.endswith((".pcap", ".pcapng", ".cap")))
        elif os.path.exists(place):
            files.append(place)
        else:
            return [], f"there is no {place}"
    return files, "" if files else f"no captures in {places[0]}"


def quieten(lab):
    """No frame but ours: the hosts have no address to speak with."""
    for site in ("client", "server"):
        for words in (["addr", "flush", "dev", "eth0"], ["link", "set", "eth0", "arp", "off"],
                      ["link", "set", "eth0", "multicast", "off"]):
            lab.run(site, "ip", *words)
        lab.run(site, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    # The appliances announce their in-path addresses for some seconds after their start.
    ears = []
    for site in ("client", "server"):
        ear = lab.socket(site, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        ear.bind(("eth0", ETH_P_ALL))
        ears.append(ear)
    end = time.monotonic() + 20
    while select.select(ears, [], [], 1.5)[0]:
        for ear in ears:
            drain(ear)
        need(time.monotonic() < end, "the LANs do not fall silent: somebody speaks all the time")
    for ear in ears:
        ear.close()


def drain(ear):
    try:
        while True:
            ear.recv(65535, socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass


def replay(lab, title, from_site, to_site, files):
    """Each file one check."""
    process = subprocess.Popen(
        [REPLAY, "--pps", "2500", "--settle", "250", "--verbose",
         f"{lab.namespace(from_site)}:eth0", f"{lab.namespace(to_site)}:eth0", *files],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    details, reported = [], 0
    try:
        output, _ = process.communicate(timeout=100)
    except BaseException:
        process.kill()
        process.wait()
        raise
    for line in output.splitlines():
        match = re.match(r"(ok|FAIL) +(\S+): (.*)", line)
        if not match:
            details.append(line.strip())
            continue
        word, name, text = match.groups()
        reported += 1
        if word == "FAIL" and details:
            text += "; first: " + details[0][:160]
        report(word, f"{title} {os.path.basename(name)}", text)
        details = []
    if reported != len(files):
        report("FAIL", title, f"replay said of {reported} files only: {output[-300:]}")


# What each site compresses with, by number of workers: so every capture passes both.
CODECS = {1: {"a": "lz4", "b": "zstd"}, 2: {"a": "zstd", "b": "lz4"}}


def force_codecs(lab, codecs):
    for site, codec in codecs.items():
        lab.ctl(site, "set", "class", "default", "codec", codec, "zstd-level", 3)


def codecs_used(lab, codecs):
    """Only what was asked for; LZ4 with and without a dictionary. What hosts say of themselves may
    have been tried with another before that, and was not worth it."""
    for site, codec in codecs.items():
        used = {row["codec"]: row["packets_compressed"]
                for row in lab.ctl(site, "show", "compression")["codecs"]
                if row["packets_compressed"] > 0}
        need(used and all(name.split("-")[0] == codec for name in used) and
             sum(used.values()) == lab.compressed_packets(site), f"{site} used {used}")
        need(codec != "lz4" or all(used.get(name, 0) > 0 for name in ("lz4", "lz4-dict")),
             f"{site} used {used}")


def one_lab(workers, files, missing):
    with Lab("--mtu", MTU, "--delay", "1ms", "--rate", "0", "--workers", workers,
             config=config) as lab:
        title = f"{workers} worker{'s' if workers > 1 else ''},"
        quieten(lab)
        lab.wait_peers_up()
        force_codecs(lab, CODECS[workers])
        own = [write_pcap(lab, name, frames) for name, frames in own_captures().items()]
        before = {site: lab.dropped(site) for site in "ab"}

        if files:
            replay(lab, f"{title} A to B:", "client", "server", files)
            check(f"{title} captures crossed the link compressed", compressed_since, lab, "a", 0)
        else:
            report("skip", f"{title} captures", missing)
        sent = lab.compressed_packets("a")
        replay(lab, f"{title} A to B, own:", "client", "server", own)
        check(f"{title} own frames crossed the link compressed", compressed_since, lab, "a", sent)

        replay(lab, f"{title} B to A:", "server", "client",
               [file for file in files if os.path.basename(file) in BACKWARDS] + own)
        check(f"{title} frames of B crossed the link compressed", compressed_since, lab, "b", 0)
        check(f"{title} with the codecs asked for", codecs_used, lab, CODECS[workers])
        check(f"{title} no drop counted", nothing_dropped, lab, before)
        if workers > 1:
            check(f"{title} each had work", all_worked, lab)


# Of the captures, those sent from B to A too.
BACKWARDS = ("http_ipv6.pcap", "smtp.pcap", "pgsql.pcap", "fuzz-2006-06-26-2594.pcap",
             "dns_fragmented.pcap", "rtsp.pcap")


def compressed_since(lab, site, before):
    other = "b" if site == "a" else "a"
    count = lab.compressed_packets(site) - before
    need(count > 20, f"only {count} packets of {site} were compressed")

    def received():
        return lab.peer(other)["rx_frames"] >= lab.link_frames(site)
    wait_for(3, f"{other} counts all link frames of {site}", received, 0.1)
    return f"{count} packets"


def nothing_dropped(lab, before):
    for site in "ab":
        new = {reason: count - before[site].get(reason, 0)
               for reason, count in lab.dropped(site).items()
               if count != before[site].get(reason, 0)}
        need(not new, f"{site} dropped {new}")


def all_worked(lab):
    for site in "ab":
        for worker in lab.ctl(site, "show", "workers", "--interval", "0")["workers"]:
            rows = {row["stage"]: row["packets"] for row in worker["stages"]}
            need(rows["flow"] > 200, f"worker {worker['worker']} of {site} had {rows['flow']}")


def main():
    need(os.access(REPLAY, os.X_OK), f"{REPLAY} is not built; run: ninja -C {BUILD}")
    files, missing = captures_given(sys.argv[1:])
    for workers in (1, 2):
        if workers > (os.cpu_count() or 1):
            check(f"{workers} workers", too_few_cpus)
        elif workers == 1 and SANITIZED and os.cpu_count() > 1:
            # Two of them run all that one does, and the hand-over between them.
            report("skip", "1 worker", "under sanitizers with two only")
        else:
            one_lab(workers, files, missing)


def too_few_cpus():
    raise Skipped("this machine has one CPU")


if __name__ == "__main__":
    run(main)
