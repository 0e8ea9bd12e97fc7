#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""
The WAN emulator against frames that this test sends and receives itself: usage wanem_test.py WANEM
Three network namespaces of its own, host - emulator - host over veth; needs root, skips without.
What tools/wanem says in JSON is compared with what raw sockets saw, frame by frame.
"""
import atexit
import ctypes
import json
import math
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

WANEM = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "build/tools/wanem"
BASE = f"wt{os.getpid()}"
SOCKET = f"/tmp/{BASE}.sock"
LINK_PORT = 5820
ETHERTYPE = 0x88B5  # IEEE: for local experiments; no kernel answers it
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE = 263, 8, 23, 33
SO_TIMESTAMPNS = 35
libc = ctypes.CDLL(None, use_errno=True)
emulator = None


# The bench: namespaces, emulator, sockets.


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL)


def cleanup():
    if emulator and emulator.poll() is None:
        emulator.kill()
        emulator.wait()
    for ns in ("h1", "wan", "h2"):
        subprocess.run(["ip", "netns", "del", f"{BASE}-{ns}"], stderr=subprocess.DEVNULL)
    if os.path.exists(SOCKET):
        os.unlink(SOCKET)


def in_ns(ns, call):
    """Runs call() with this thread inside a namespace: sockets made there stay there."""
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{BASE}-{ns}") as there:
        if libc.setns(there.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            return call()
        finally:
            libc.setns(home.fileno(), 0)


def build_bench():
    for ns in ("h1", "wan", "h2"):
        ip("netns", "add", f"{BASE}-{ns}")
        # New interfaces are silent: no IPv6 neighbour discovery among the counted frames.
        subprocess.run(
            ["ip", "netns", "exec", f"{BASE}-{ns}", "sysctl", "-qw",
             "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"],
            check=True)
    for host, inner in (("h1", "wan1"), ("h2", "wan2")):
        ip("link", "add", "eth0", "mtu", "9200", "netns", f"{BASE}-{host}", "type", "veth",
           "peer", "name", inner, "mtu", "9200", "netns", f"{BASE}-wan")
        for ns, dev in ((host, "eth0"), ("wan", inner)):
            subprocess.run(
                ["ip", "netns", "exec", f"{BASE}-{ns}", "ethtool", "-K", dev, "tx", "off", "rx",
                 "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off"],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            ip("-n", f"{BASE}-{ns}", "link", "set", "dev", dev, "up")
    wait_for(lambda: all(operates(ns, dev) for ns, dev in (
        ("h1", "eth0"), ("wan", "wan1"), ("wan", "wan2"), ("h2", "eth0"))), "link that is up")


def operates(ns, dev):
    """The end of a cable that was set up first is told of its carrier a little later; until then
    its kernel drops what it is to send, without an error."""
    said = subprocess.run(["ip", "-n", f"{BASE}-{ns}", "-j", "link", "show", "dev", dev],
                          check=True, capture_output=True).stdout
    return json.loads(said)[0]["operstate"] == "UP"


def start_emulator(*options):
    global emulator
    emulator = subprocess.Popen(
        ["ip", "netns", "exec", f"{BASE}-wan", WANEM, "--socket", SOCKET, "--link-port",
         str(LINK_PORT), "--realtime", *options, "wan1", "wan2"],
        stdout=subprocess.PIPE, text=True)
    wait_for(lambda: os.path.exists(SOCKET), "the emulator's socket")


def ctl(*words, ok=True):
    p = subprocess.run([WANEM, "ctl", SOCKET, *" ".join(words).split()], capture_output=True,
                       text=True)
    check((p.returncode == 0) == ok, f"ctl {words}: {p.stderr}")
    return p.stdout if ok else p.stderr


def stats():
    s = json.loads(ctl("stats"))
    for way in ("a2b", "b2a"):
        for c in (s[way], s[way]["link"]):
            gone = sum(c[k] for k in ("sent", "lost", "queue_dropped", "no_memory", "send_errors"))
            rest = c["received"] + c["duplicated"] - gone
            if c is s[way]:
                check(rest == s[way]["in_transit"], f"{way}: {rest} frames unaccounted for: {c}")
            check(c["lost"] == c["lost_random"] + c["lost_ge"], "lost is its parts")
    return s


def raw_socket(ns):
    def make():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 128 << 20)
        s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        s.bind(("eth0", 3))
        s.settimeout(0.2)
        return s
    return in_ns(ns, make)


def receive_one(sock):
    """A frame as on the wire, with the tag the kernel took out, and its time in seconds."""
    data, control, _, _ = sock.recvmsg(10000, 200)
    stamp = 0.0
    for level, kind, body in control:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", body)
            if status & 0x10:
                data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
        elif level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            sec, nsec = struct.unpack("=qq", body)
            stamp = sec + nsec * 1e-9
    return data, stamp


# Small tools.


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f"no {what} within {seconds} s")
        time.sleep(0.01)


def frame(seq, length=200):
    head = bytes.fromhex("0200000000020200000000 01".replace(" ", "")) + struct.pack(
        "!HI", ETHERTYPE, seq)
    return head + bytes((seq * 7 + i) & 255 for i in range(8)) + bytes(length - len(head) - 8)


def seq_of(data):
    return struct.unpack_from("!I", data, 14)[0]


class Way:
    """Frames from host 1 to host 2, and the counters from its making on."""

    def __init__(self, words, direction="a2b"):
        self.direction = direction
        ctl("set both clear")
        ctl("set", direction, words)
        self.before = stats()[direction]

    def counters(self):
        return subtract(stats()[self.direction], self.before)

    def send(self, frames, pause=None):
        for i, f in enumerate(frames):
            tx.send(f)
            # The sender's socket must not be what drops: let the emulator breathe.
            if i % 500 == 499:
                time.sleep(0.005)
            if pause:
                time.sleep(pause)

    def finish(self, count):
        """All of `count` frames are through; returns what came out and what the JSON says."""
        wait_for(lambda: self.counters()["received"] >= count, "arrival of all frames")
        wait_for(lambda: stats()[self.direction]["in_transit"] == 0, "end of transit")
        c = self.counters()
        check(c["received"] == count, f"{c['received']} frames received of {count}")
        check(c["kernel_dropped"] == 0, "the kernel dropped frames before the emulator")
        got = [receive_one(rx) for _ in range(c["sent"])]
        rx.settimeout(0.02)
        try:
            extra = rx.recv(100)
            raise AssertionError(f"a frame more than the emulator says it sent: {extra.hex()}")
        except TimeoutError:
            pass
        finally:
            rx.settimeout(2)
        return got, c

    def run(self, count, length=200):
        self.send([frame(i, length) for i in range(count)])
        return self.finish(count)


def subtract(now, then):
    levels = ("in_transit", "queue_packets", "queue_bytes", "memory_bytes")
    out = {}
    for key, value in now.items():
        if key == "link":
            out[key] = subtract(value, then[key])
        elif isinstance(value, int) and key not in levels:
            out[key] = value - then[key]
        else:
            out[key] = value
    return out


def reordered(seqs):
    """RFC 4737: frames that come after one with a higher number; copies do not count."""
    high, count, seen = -1, 0, set()
    for s in seqs:
        count += s < high and s not in seen
        seen.add(s)
        high = max(high, s)
    return count


def near(value, expected, sigma, what):
    check(abs(value - expected) <= 5 * sigma, f"{what}: {value}, expected {expected} +- {5 * sigma}")


# The tests.


def test_wire():
    """Without impairments every frame of any size and tagging comes out as it went in."""
    way = Way("clear")
    sent = [frame(i, n) for i, n in enumerate((60, 61, 590, 1514, 1518, 4000, 9014, 9018))]
    vlan, qinq = struct.pack("!HH", 0x8100, 0xA123), struct.pack("!HH", 0x88A8, 0x0456)
    for tags in (vlan, qinq, qinq + vlan, vlan + vlan, struct.pack("!HH", 0x8100, 0)):
        sent += [f[:12] + tags + f[12:] for f in (frame(1, 60), frame(2, 1514), frame(3, 9000))]
    way.send(sent)
    got, c = way.finish(len(sent))
    check([g[0] for g in got] == sent, "a frame was changed")
    check(c["sent_bytes"] == c["received_bytes"] == sum(map(len, sent)), "bytes are counted wrong")


def test_delay():
    """Ping sees the delays of both directions, and what the emulator itself adds is small."""
    def ping(count, interval):
        out = subprocess.run(
            ["ip", "netns", "exec", f"{BASE}-h1", "ping", "-n", "-c", str(count), "-i", interval,
             "10.9.0.2"], capture_output=True, text=True)
        times = sorted(float(t) for t in re.findall(r"time=([\d.]+)", out.stdout))
        check(len(times) == count, f"pings were lost: {out.stdout}")
        return times
    for host, address in (("h1", "10.9.0.1/24"), ("h2", "10.9.0.2/24")):
        ip("-n", f"{BASE}-{host}", "addr", "add", address, "dev", "eth0")
    ctl("set both clear")
    own = ping(20, "0.02")
    ctl("set a2b delay 12ms")
    ctl("set b2a delay 18ms")
    late = ping(20, "0.02")
    for host in ("h1", "h2"):  # the kernel is silent again in the tests that count
        ip("-n", f"{BASE}-{host}", "addr", "flush", "dev", "eth0")
    drain()
    print(f"  ping: {own[10]:.3f} ms by itself, {late[10]:.3f} ms with 30 ms of delay")
    check(late[0] >= 30, f"a ping came back after {late[0]} ms, before the 30 ms set")
    check(late[10] <= 30 + own[10] + 1, f"half of the pings needed over {late[10]} ms")


def drain():
    rx.settimeout(0.05)
    try:
        while True:
            rx.recv(100)
    except TimeoutError:
        rx.settimeout(2)


def test_rate():
    """Frames leave at the rate, with the overhead charged; what the queue cannot take is counted.
    How much that is depends on how fast they come, but for a burst that meets the first one."""
    for rate, length, count, words in ((20e6, 1000, 4000, "rate 20mbit queue 3000p"),
                                       (100e6, 1514, 12000, "rate 100mbit queue 9000p")):
        way = Way(words)
        got, c = way.run(count, length)
        seconds = got[-1][1] - got[0][1]
        measured = (len(got) - 1) * (length + 24) * 8 / seconds
        print(f"  {words}: {measured / 1e6:.3f} Mbit/s, {c['queue_dropped']} dropped")
        check(abs(measured / rate - 1) < 0.01, f"{measured} bit/s instead of {rate}")
        check(c["queue_dropped"] == count - len(got), f"{count - len(got)} missing, counted {c}")
    way = Way("rate 64kbit queue 10p")  # one frame needs 128 ms: the whole burst meets it
    _, c = way.run(50, 1000)
    check(c["queue_dropped"] == 40, f"40 of 50 do not fit into 10, {c['queue_dropped']} dropped")
    way = Way("rate 64kbit queue 5kB")
    _, c = way.run(50, 1000)
    check(c["queue_dropped"] == 45, f"45 of 50 do not fit into 5 kB, {c['queue_dropped']} dropped")


def test_loss():
    """The loss counted is the loss seen; a seed repeats it, whatever else is switched on."""
    count, runs = 20000, []
    for words in ("loss 5% seed 7", "loss 5% jitter 2ms seed 7", "loss 5% seed 8"):
        got, c = Way(words).run(count)
        check(c["lost_random"] == count - len(got), f"{count - len(got)} lost, counted {c}")
        near(c["lost"], count * 0.05, math.sqrt(count * 0.05 * 0.95), "lost of 20000 at 5 %")
        runs.append([seq_of(g[0]) for g in got])
    check(runs[0] == runs[1], "the same seed lost other frames")
    check(runs[0] != runs[2], "another seed lost the same frames")


def test_gilbert_elliott():
    """Mean loss and mean burst length are those of the formulas."""
    count, p, r = 50000, 0.01, 0.25
    got, c = Way("ge 1% 25% seed 3").run(count)
    check(c["lost_ge"] == count - len(got), f"{count - len(got)} lost, counted {c}")
    seqs = [-1] + [seq_of(g[0]) for g in got] + [count]
    bursts = [b - a - 1 for a, b in zip(seqs, seqs[1:]) if b - a > 1]
    mean, cycles = p / (p + r), count * p * r / (p + r)
    print(f"  ge: loss {c['lost'] / count:.4f} of {mean:.4f}, bursts {sum(bursts) / len(bursts):.2f}")
    near(len(bursts), cycles, math.sqrt(cycles), "number of bursts")
    near(sum(bursts) / len(bursts), 1 / r, math.sqrt((1 - r) / cycles) / r, "burst length")
    near(c["lost"] / count, mean, math.sqrt(2 * mean * (1 - mean) / (p + r) / count), "mean loss")
    got, c = Way("ge 1% 25% 50% 1% seed 3").run(count)
    mean = 0.5 * p / (p + r) + 0.01 * r / (p + r)
    near(c["lost"] / count, mean, math.sqrt(2 * mean / (p + r) / count), "mean loss with h, k")


def test_link_filter():
    """With `link` only UDP to the link's port and IPComp with a private-use CPI are hit, in IPv4 and
    IPv6, tagged or not."""
    def udp4(dport, fragment=0, proto=17):
        body = struct.pack("!HHHH", 40000, dport, 108, 0) + bytes(100)
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, fragment, 64, proto, 0,
                           bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)))
        return struct.pack("!H", 0x0800) + head + body

    def udp6(dport):
        body = struct.pack("!HHHH", 40000, dport, 108, 0) + bytes(100)
        return struct.pack("!HIHBB", 0x86DD, 6 << 28, len(body), 17, 64) + bytes(32) + body

    addresses, tag = bytes.fromhex("020000000002020000000001"), struct.pack("!HH", 0x8100, 5)
    # The CPI of an IPComp header stands where UDP has the destination port.
    link = [udp4(LINK_PORT), tag + udp4(LINK_PORT), udp6(LINK_PORT), udp4(LINK_PORT, 0x2000),
            udp4(61440, 0, 108), tag + udp4(65535, 0, 108)]
    other = [udp4(LINK_PORT + 1), udp4(LINK_PORT, 3), udp4(LINK_PORT, 0, 6), udp6(53), tag * 2,
             udp4(61439, 0, 108), udp4(61440, 3, 108)]
    link = [addresses + f for f in link]
    other = [addresses + f for f in other]
    way = Way("loss 30% link ge 2% 20% link duplicate 10% link seed 5")
    rounds = 500
    way.send((link + other) * rounds)
    got, c = way.finish(rounds * len(link + other))
    got = [g[0] for g in got]
    check(c["link"]["received"] == rounds * len(link), f"link frames: {c['link']}")
    check(c["lost"] == c["link"]["lost"] > 0 and c["link"]["lost_ge"] > 0, "others were lost too")
    for f in other:
        check(got.count(f) == rounds, f"a frame that is not the link's was hit: {f.hex()}")
    seen = sum(got.count(f) for f in link)
    check(seen == c["link"]["sent"], f"{seen} link frames seen, {c['link']}")
    check(seen == c["link"]["received"] + c["link"]["duplicated"] - c["link"]["lost"], f"{c}")


def test_duplicates():
    got, c = Way("duplicate 5% seed 4").run(10000)
    seqs = [seq_of(g[0]) for g in got]
    check(len(seqs) - len(set(seqs)) == c["duplicated"] == len(seqs) - 10000, f"{c}")
    near(c["duplicated"], 500, math.sqrt(475), "copies")
    check(c["reordered"] == reordered(seqs) == 0, "a copy overtook")


def test_reordering():
    """Reordered frames really are overtaken, as many as counted, and by as many as asked for."""
    got, c = Way("reorder 2% by 4 seed 6").run(10000)
    seqs = [seq_of(g[0]) for g in got]
    check(sorted(seqs) == list(range(10000)), "frames are missing")
    check(c["reordered"] == reordered(seqs) > 100, f"{reordered(seqs)} seen, {c}")
    near(c["held"], 200, math.sqrt(196), "frames held")
    shifts = {}
    for at, s in enumerate(seqs[:-50]):
        if at and s < max(seqs[max(0, at - 50):at]):
            later = sum(1 for x in seqs[max(0, at - 50):at] if x > s)
            shifts[later] = shifts.get(later, 0) + 1
    check(min(shifts) == 4, f"overtaken by: {shifts}")
    got, c = Way("reorder 5% by 20ms seed 6").run(5000)
    seqs = [seq_of(g[0]) for g in got]
    check(c["reordered"] == reordered(seqs) > 100, f"{reordered(seqs)} seen, {c}")
    # Nobody comes to overtake the last frame: it must not stay for ever.
    got, c = Way("reorder 100% by 10").run(1)
    check(c["reordered"] == 0 and c["held"] == 1, f"{c}")


def test_jitter():
    """Jitter keeps the order unless told otherwise."""
    got, c = Way("delay 20ms jitter 8ms normal seed 2").run(5000)
    seqs = [seq_of(g[0]) for g in got]
    check(seqs == list(range(5000)) and c["reordered"] == 0, "jitter has reordered")
    got, c = Way("delay 20ms jitter 8ms unordered seed 2").run(5000)
    seqs = [seq_of(g[0]) for g in got]
    check(sorted(seqs) == list(range(5000)), "frames are missing")
    check(c["reordered"] == reordered(seqs) > 1000, f"{reordered(seqs)} seen, {c['reordered']}")


def test_corruption():
    way = Way("corrupt 10% from 42 seed 9")
    sent = [frame(i) for i in range(5000)]
    way.send(sent)
    got, c = way.finish(len(sent))
    hit = 0
    for (data, _), was in zip(got, sent):
        if data == was:
            continue
        diff = [(i, a ^ b) for i, (a, b) in enumerate(zip(data, was)) if a != b]
        check(len(data) == len(was) and len(diff) == 1 and diff[0][1].bit_count() == 1,
              f"not one bit was flipped: {diff}")
        check(diff[0][0] >= 42, f"byte {diff[0][0]} was hit, before 42")
        hit += 1
    check(hit == c["corrupted"], f"{hit} seen, {c['corrupted']} counted")
    near(hit, 500, math.sqrt(450), "corrupted frames")


def test_all_at_once():
    """Everything together, twice with one seed: the same frames come out the same."""
    words = "loss 2% ge 1% 30% duplicate 3% corrupt 3% from 42 reorder 3% by 5 delay 5ms seed 11"
    first, c1 = Way(words).run(8000)
    second, c2 = Way(words).run(8000)
    check(sorted(g[0] for g in first) == sorted(g[0] for g in second), "the runs differ")
    for key in ("lost_random", "lost_ge", "duplicated", "corrupted", "held"):
        check(c1[key] == c2[key] > 0, f"{key}: {c1[key]} and {c2[key]}")
    check(reordered([seq_of(g[0]) for g in first]) == c1["reordered"], f"{c1}")


def test_change_while_running():
    way = Way("loss 0")
    way.send([frame(i) for i in range(1000)])
    ctl("set a2b loss 100%")
    way.send([frame(i) for i in range(1000, 2000)])
    ctl("set a2b loss off")
    way.send([frame(i) for i in range(2000, 3000)])
    got, c = way.finish(3000)
    expected = list(range(1000)) + list(range(2000, 3000))
    check([seq_of(g[0]) for g in got] == expected, "a change hit frames sent before or after it")
    way = Way("rate 64kbit queue 100p")  # 100 frames of 1000 bytes would need 13 s
    way.send([frame(i, 1000) for i in range(100)])
    began = time.monotonic()
    ctl("set a2b rate 100mbit")
    way.finish(100)
    check(time.monotonic() - began < 3, "a higher rate did not reach the frames that waited")
    check(stats()["b2a"]["settings"]["rate_bps"] == 0, "the other direction was changed")


def test_errors():
    """Wrong words change nothing and say what would be right."""
    before = stats()["a2b"]["settings"]
    for words, says in (("loss 1", "percentage"), ("delay 20", "unit"), ("delay 5ms bogus", "bogus"),
                        ("rate 100", "100mbit"), ("queue 5 apples", "kB"), ("ge 1% 0%", "never"),
                        ("reorder 1% by 0", "frames"), ("corrupt 1% from x", "number"),
                        ("loss 101%", "percentage"), ("delay -1ms", "time"), ("seed -1", "number")):
        check(says in ctl("set a2b", words, ok=False), f"no help for: {words}")
    check("direction" in ctl("set c2d loss 1%", ok=False), "c2d was taken")
    check("commands" in ctl("reset", ok=False), "reset was taken")
    check(stats()["a2b"]["settings"] == before, "a refused command changed something")


def test_send_errors():
    """A frame that the far interface refuses is counted, and those behind it go on."""
    way = Way("clear")
    ip("-n", f"{BASE}-wan", "link", "set", "dev", "wan2", "mtu", "1500")
    way.send([frame(1, 2000), frame(2, 200)])
    got, c = way.finish(2)
    ip("-n", f"{BASE}-wan", "link", "set", "dev", "wan2", "mtu", "9200")
    check(c["send_errors"] == 1 and seq_of(got[0][0]) == 2, f"{c}")


def test_end():
    """SIGTERM: the last counters on standard output, and the socket gone."""
    before = stats()["a2b"]["received"]
    os.kill(emulator.pid, signal.SIGTERM)
    out, _ = emulator.communicate(timeout=10)
    check(emulator.returncode == 0, f"exit status {emulator.returncode}")
    check(json.loads(out)["a2b"]["received"] == before > 0, "other counters at the end")
    check(not os.path.exists(SOCKET), "the control socket was left behind")
    start_emulator("--for", "0.2", "--a2b", "loss 50%", "--both", "delay 1ms")
    out, _ = emulator.communicate(timeout=10)
    last = json.loads(out)
    check(emulator.returncode == 0 and last["a2b"]["settings"]["loss"] == 0.5, "--for, --a2b")
    check(last["b2a"]["settings"]["delay_ns"] == 1000000, "--both")


if os.geteuid() != 0:
    print("skipped: network namespaces need root")
    sys.exit(77)
atexit.register(cleanup)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda *_: sys.exit(1))
build_bench()
start_emulator()
tx, rx = raw_socket("h1"), raw_socket("h2")
for name, test in [(n, t) for n, t in globals().items() if n.startswith("test_")]:
    start = time.monotonic()
    print(f"{name[5:]} ...", flush=True)
    test()
    print(f"  ok, {time.monotonic() - start:.1f} s", flush=True)
