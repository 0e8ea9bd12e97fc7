#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The whole daemon between capture files: every frame that goes in comes out, byte for byte.

    sudo tests/system/forward_test.py [FOLDER-OR-FILE...]

Both ports are net_pcap vdevs, and both directions run at once: with one worker and with two,
unshaped, shaped and in bypass. The frames are those of tests/lab/captures_test.py, some of this
test's own, and the captures of the arguments, else of $CAPTURES, else of ../shared/captures.
"""
# tests/run.py: beside others
import os
import struct
import sys
from collections import Counter, defaultdict

from daemon import (CPUS, Failed, Folder, check, config, need, read_capture, report,
                    run, wait_for, write_pcap)
from captures_test import (MACS, captures_given, checksum, eth, ipv4, ipv6, own_captures, tagged,
                           tags, tcp, udp)

MTU = 9000
# What is in the files comes as fast as it can be read: no more at once than the rings between two
# workers hold if one of them is away.
AT_ONCE = 1500
UNLIMITED_QUEUE = 'aqm = "none"; queue_size = "16 MB";'


# ---- what must stay in order ----

EXTENSIONS = (0, 43, 51, 60)


def flow_of(frame):
    """What tells flows apart, written without Sluice's parser. Frames that carry no whole IP packet
    are of one flow; those with odd headers within it (None) have no order to keep."""
    macs = frame[:12]
    if len(frame) < 14:
        return "other", macs
    kind, at, end, seen, label = frame[12:14], 14, len(frame), b"", False
    while kind not in (b"\x08\x00", b"\x86\xdd"):
        if kind in (b"\x81\x00", b"\x88\xa8", b"\x91\x00") and end - at >= 4:
            seen += frame[at:at + 2]
            kind, at = frame[at + 2:at + 4], at + 4
        elif kind == b"\x88\x64" and end - at >= 8:
            end = min(end, at + 6 + struct.unpack_from("!H", frame, at + 4)[0])
            kind = {b"\0\x21": b"\x08\x00", b"\0\x57": b"\x86\xdd"}.get(frame[at + 6:at + 8], b"")
            at += 8
        elif kind in (b"\x88\x47", b"\x88\x48") and end - at >= 5:
            if frame[at + 2] & 1:
                kind = {4: b"\x08\x00", 6: b"\x86\xdd"}.get(frame[at + 4] >> 4, b"")
                label = True
            at += 4
        else:
            return "other", macs
    if kind == b"\x08\x00":
        return flow_of_ipv4(frame[at:end], label) or ("other", macs), macs, seen
    return flow_of_ipv6(frame[at:end]) or ("other", macs), macs, seen


def flow_of_ipv4(ip, label):
    if len(ip) < 20:
        return None
    header, total = (ip[0] & 15) * 4, struct.unpack_from("!H", ip, 2)[0]
    if ip[0] >> 4 != 4 or not 20 <= header <= total <= len(ip):
        return None
    if label and checksum(ip[:header]) != 0:
        return None
    if struct.unpack_from("!H", ip, 6)[0] & 0x3fff:
        return "fragment", ip[9], ip[12:20]
    return ports_of(ip[9], ip[header:total]) + (ip[9], ip[12:20])


def flow_of_ipv6(ip):
    if len(ip) < 40 or ip[0] >> 4 != 6 or struct.unpack_from("!H", ip, 4)[0] > len(ip) - 40:
        return None
    proto, at, end = ip[6], 40, 40 + struct.unpack_from("!H", ip, 4)[0]
    for _ in range(3):
        if proto not in EXTENSIONS or end - at < 8:
            break
        size = (ip[at + 1] + 2) * 4 if proto == 51 else (ip[at + 1] + 1) * 8
        proto, at = ip[at], at + size
    if proto in EXTENSIONS or at > end:
        return "odd", ip
    if proto == 44:
        return ("fragment", ip[at:at + 1], ip[8:40]) if end - at >= 8 else ("odd", ip)
    return ports_of(proto, ip[at:end]) + (proto, ip[8:40])


def ports_of(proto, l4):
    """Of whole TCP and UDP headers; what lies about its length is a flow of its own."""
    if proto == 17:
        whole = len(l4) >= 8 and 8 <= struct.unpack_from("!H", l4, 4)[0] <= len(l4)
    elif proto == 6:
        whole = len(l4) >= 20 and 20 <= (l4[12] >> 4) * 4 <= len(l4)
    else:
        # ICMP echoes, SCTP: finer than any flow.
        return ("whole", l4[:8])
    return ("whole", l4[:4]) if whole else ("lies",)


# ---- one run ----

def compare(sent, got, whole_order):
    """Failed unless exactly the frames that were sent came, in order within each flow."""
    missing, added = Counter(sent) - Counter(got), Counter(got) - Counter(sent)
    need(not missing and not added,
         f"of {len(sent)} frames {missing.total()} are missing and {added.total()} were added"
         + "".join(f"; {word} {len(frame)} bytes: {frame[:60].hex()}"
                   for word, some in (("missing", missing), ("added", added))
                   for frame in list(some)[:2]))
    if whole_order:
        need(sent == got, "the order is another")
    flows = defaultdict(list), defaultdict(list)
    for frames, by_flow in ((sent, flows[0]), (got, flows[1])):
        for frame in frames:
            by_flow[flow_of(frame)].append(frame)
    for flow, frames in flows[0].items():
        need(flows[1][flow] == frames, f"the order within flow {flow} is another")
    return len(flows[0])


def forward(folder, up, down, workers, expect=None, **options):
    """Through one daemon, both ways at once. `expect`: what comes out upwards, if not all of it.
    Returns (frames out of WAN, out of LAN, reasons passed, reasons dropped, the daemon's ports)."""
    expect = up if expect is None else expect
    files = {name: os.path.join(folder.path, f"{name}.pcap")
             for name in ("lan_in", "lan_out", "wan_in", "wan_out")}
    write_pcap(files["lan_in"], up)
    write_pcap(files["wan_in"], down)
    text = config(lan=f"net_pcap0,rx_pcap={files['lan_in']},tx_pcap={files['lan_out']}",
                  wan=f"net_pcap1,rx_pcap={files['wan_in']},tx_pcap={files['wan_out']}",
                  workers=workers, **{"mtu": MTU, **options})
    daemon = folder.ready(text)
    late = ""
    try:
        wait_for(20, "all frames are sent",
                 lambda: daemon.sent() >= len(expect) + len(down), 0.02)
    except Failed as reason:
        late = str(reason)  # what is missing says more
    passed, dropped = daemon.reasons("passed"), daemon.reasons("dropped")
    ports = daemon.ctl("show", "ports")["ports"]
    steered = [row["steered_out"] for row in
               daemon.ctl("show", "workers", "--interval", 0)["workers"]]
    code = daemon.stop()
    need(code == 0, f"sluiced ended with {code}: {daemon.log()[-600:]}")
    result = {"up": read_capture(files["wan_out"]), "down": read_capture(files["lan_out"]),
              "passed": passed, "dropped": dropped, "ports": ports, "steered": steered}
    if late and len(result["up"]) + len(result["down"]) >= len(expect) + len(down):
        raise Failed(f"the frames came, but `show ports` does not count them: {ports}")
    return result


def all_pass(folder, up, down, workers, whole_order, **options):
    """Every frame through, with no drop counted."""
    flows = 0
    for i in range(0, max(len(up), len(down)), AT_ONCE):
        part = up[i:i + AT_ONCE], down[i:i + AT_ONCE]
        result = forward(folder, *part, workers, **options)
        need(not result["dropped"], f"drops are counted: {result['dropped']}")
        for way, sent in zip(("up", "down"), part):
            try:
                flows += compare(sent, result[way], whole_order)
            except Failed as reason:
                raise Failed(f"{way}: {reason}") from None
        lan, wan = result["ports"]
        for side, rx, tx in ((lan, *part), (wan, *part[::-1])):
            counted = [side[key] for key in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")]
            true = [len(rx), sum(map(len, rx)), len(tx), sum(map(len, tx))]
            need(counted == true, f"`show ports` of {side['name']} says {counted}, not {true}")
        need(workers == 1 or any(result["steered"]), "no frame was steered to the other worker")
    return f"{len(up)} frames up, {len(down)} down, {flows} flows"


# ---- frames ----

def every_kind():
    """One list of every kind of frame that there is: captures_test's and the shortest."""
    frames = [frame for frames in own_captures().values() for frame in frames]
    frames += [(MACS + b"\x08\x00" + bytes(range(64)))[:size] for size in range(1, 60)]
    frames += [eth(0x0800, ipv4(udp(bytes(size)))) for size in range(0, 1473, 61)]
    return frames


def backwards(frames):
    """The same from the other side."""
    return [frame[6:12] + frame[:6] + frame[12:] for frame in frames]


def known_reasons():
    """reason -> frames that are passed on for it, one by one counted by hand."""
    arp = eth(0x0806, bytes.fromhex("0001080006040001") + bytes(38))
    lldp = bytes.fromhex("0180c200000e") + MACS[6:] + b"\x88\xcc" + bytes(46)
    stp = bytes.fromhex("0180c2000000") + MACS[6:] + bytes.fromhex("0026424203000000") + bytes(40)
    whole = ipv4(udp(bytes(100)))
    whole6 = ipv6(udp(bytes(100)))
    deep = b"".join(struct.pack("!BBHI", 60, 0, 0x0104, 0) for _ in range(30))
    return {
        "not-ip": [arp] * 7 + [lldp] * 5 + [stp] * 2,
        "truncated": [eth(0x0800, whole[:-1]), eth(0x86dd, whole6[:-1]), eth(0x0800, whole[:19]),
                      tagged(tags((0x8100, 5)), 0x0800, whole[:60]), MACS],
        "bad-ip": [eth(0x0800, b"\x65" + whole[1:]), eth(0x0800, b"\x44" + whole[1:]),
                   eth(0x86dd, b"\x45" + whole6[1:])],
        "bad-l4": [eth(0x0800, ipv4(struct.pack("!HHHH", 1, 2, 4, 0))),
                   eth(0x0800, ipv4(struct.pack("!HHHH", 1, 2, 4000, 0) + bytes(90))),
                   eth(0x0800, ipv4(tcp(b"", 1)[:12] + b"\xf0" + bytes(7), 6)),
                   eth(0x86dd, ipv6(tcp(b"", 1)[:16], 6))],
        "fragment": [eth(0x0800, ipv4(bytes(64), 17, at)) for at in (0x2000, 0x2008, 0x0010)]
                    + [eth(0x86dd, ipv6(bytes(64), 44, struct.pack("!BBHI", 17, 0, at, 9)))
                       for at in (1, 65, 128)],
        "encap-depth": [tagged(tags(*[(0x8100, 5)] * 30), 0x0800, whole),
                        eth(0x86dd, ipv6(udp(bytes(9)), 60, deep[:-8]
                                         + struct.pack("!BBHI", 17, 0, 0x0104, 0)))],
    }


# ---- checks ----

SHAPED = {"bridge": 'up = "100 Mbit/s"; down = "80 Mbit/s";',
          "rest": f"""classes = (
  {{ name = "default"; {UNLIMITED_QUEUE} ceil = "60 Mbit/s"; flow_rate = "40 Mbit/s"; }},
  {{ name = "tcp"; {UNLIMITED_QUEUE} priority = 1; rate = "10 Mbit/s"; flow_rate = "30 Mbit/s"; }}
);
rules = ( {{ match = {{ proto = "tcp"; }}; class = "tcp"; }} );"""}


def shaped(folder, workers):
    """Held back, and yet each frame comes, in order within its flow."""
    frames = every_kind()[:1000]  # all may have to wait at once, and must find buffers
    return all_pass(folder, frames, backwards(frames), workers, False, **SHAPED)


def bypassed(folder, workers):
    frames = every_kind()[:AT_ONCE]
    result = forward(folder, frames, backwards(frames), workers, rest="bypass = true;",
                     bridge='up = "1 Mbit/s"; down = "1 Mbit/s";')
    need(not result["dropped"], f"drops are counted: {result['dropped']}")
    compare(frames, result["up"], workers == 1)
    compare(backwards(frames), result["down"], workers == 1)
    need(result["passed"].get("bypass") == 2 * len(frames),
         f"{result['passed'].get('bypass')} of {2 * len(frames)} frames are counted as bypass")


def reasons_match(folder, workers):
    known = known_reasons()
    frames = [frame for some in known.values() for frame in some]
    result = forward(folder, frames, backwards(frames)[:10], workers)
    compare(frames, result["up"], workers == 1)
    expected = {reason: len(some) for reason, some in known.items()}
    expected["not-ip"] += 10  # the first ten, once more from the other side
    need(result["passed"] == expected, f"counted {result['passed']}, sent {expected}")
    need(not result["dropped"], f"drops are counted: {result['dropped']}")
    return str(expected)


def oversize(folder, workers):
    """Beyond the MTU and two tags: dropped under its name, the rest goes on."""
    short, long = 1500 + 14 + 8, 1500 + 14 + 8 + 1
    kept = [eth(0x88b5, bytes(short - 14)), eth(0x88b5, bytes(46))]
    frames = [kept[0]] + [eth(0x88b5, bytes(size - 14)) for size in (long, 3000, 9000, 20000)]
    frames.append(kept[1])
    result = forward(folder, frames, kept, workers, expect=kept, mtu=1500)
    compare(kept, result["up"], workers == 1)
    compare(kept, result["down"], workers == 1)
    need(result["dropped"] == {"oversize": 4}, f"counted {result['dropped']}, not 4 oversize")


TWO_CLASSES = """classes = ( { name = "default"; }, { name = "web"; } );
rules = ( { match = { dport = 80; }; class = "web"; } );"""


def cycles_by_class(folder):
    """Of bursts of one class alone, show box has the cycles that show workers has of all; of mixed
    ones it has none."""
    def frames(*ports):
        return [eth(0x0800, ipv4(udp(b"x" * 30, 4000 + i % 50, ports[i % len(ports)])))
                for i in range(20000)]

    def cost(sent):
        some = write_pcap(os.path.join(folder.path, "some.pcap"), sent)
        none = write_pcap(os.path.join(folder.path, "none.pcap"), [])
        daemon = folder.ready(config(lan=f"net_pcap0,rx_pcap={some},tx_pcap={some}.out",
                                     wan=f"net_pcap1,rx_pcap={none},tx_pcap={none}.out",
                                     rest=TWO_CLASSES))
        wait_for(30, "all frames are sent", lambda: daemon.sent() >= len(sent), 0.02)
        box = {(row["class"], row["way"]): row for row in daemon.ctl("show", "box")["box"]}
        worker = daemon.ctl("show", "workers", "--interval", 0)["workers"][0]
        need(daemon.stop() == 0, f"sluiced: {daemon.log()[-600:]}")
        return box, {stage["stage"]: stage["cycles_per_packet"] for stage in worker["stages"]}

    box, stages = cost(frames(80))
    row = box["web", "up"]
    for stage in ("rx", "parse", "flow", "classify", "measure", "queue"):
        need(abs(row[f"cycles_{stage}"] - stages[stage]) < 1e-6,
             f"{stage}: {row[f'cycles_{stage}']} of the class, {stages[stage]} of all")
    need(row["cycles_tx"] and row["cycles"] > row["cycles_measure"], row)
    need(box["web", "down"]["cycles"] is None and box["default", "up"]["cycles"] is None, box)
    mixed, _ = cost(frames(80, 81))
    need(mixed["web", "up"]["cycles"] is None and mixed["default", "up"]["cycles"] is None, mixed)
    return f"{row['cycles']:.0f} cycles a packet, of {row['cycles_packets']}"


def capture_files(folder, workers, files):
    frames = [frame for file in files for frame in read_capture(file) if frame]
    half = len(frames) // 2
    return f"{len(files)} files, " + all_pass(folder, frames[:half], frames[half:], workers,
                                              workers == 1)


def main():
    files, missing = captures_given(sys.argv[1:])
    own = every_kind()
    with Folder() as folder:
        for workers in (1, 2):
            title = f"{workers} worker{'s' if workers > 1 else ''}:"
            if workers > len(CPUS):
                report("skip", title, "this machine has one CPU")
                continue
            check(f"{title} frames of every kind", all_pass, folder, own, backwards(own), workers,
                  workers == 1)
            if files:
                check(f"{title} captures", capture_files, folder, workers, files)
            else:
                report("skip", f"{title} captures", missing)
            check(f"{title} shaped, every frame comes", shaped, folder, workers)
            check(f"{title} in bypass, every frame comes", bypassed, folder, workers)
            check(f"{title} reasons are what was sent", reasons_match, folder, workers)
            check(f"{title} longer than the MTU", oversize, folder, workers)
        check("cycles by class", cycles_by_class, folder)


if __name__ == "__main__":
    run(main)
