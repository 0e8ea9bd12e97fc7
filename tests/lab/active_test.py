#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Active measurement: STAMP, ping, trace and speedtest, against scapy, captures and the emulator.

    sudo tests/lab/active_test.py

Loss must be what the emulator counted and what two captures show, to the packet and by way; round
trips what the capture at the WAN port shows. STAMP must work with an independent sender and
reflector (stamp_peer.py: scapy, and Python's hmac for authenticated mode), and tshark must dissect
it without complaint.
"""
# tests/run.py: beside others
import contextlib
import json
import os
import re
import secrets
import struct
import subprocess
import time

from lab import (IN_PATH, SERVER, SERVER6, SLUICECTL, Failed, Lab, check, need, replace_once, run,
                 wait_for)
from routed_test import GATEWAY, RoutedLab
from routed_test import IN_PATH as ROUTED

STAMP = 862
PYTHON = "/usr/bin/python3"  # scapy is a Debian package
PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stamp_peer.py")
# More addresses of the server, behind B: by these A knows it as peers.
OPEN, AUTH = ("10.77.0.21", "fd77::21"), ("10.77.0.22", "fd77::22")
STRANGER = "10.77.0.23"
OTHER_PORT = 8620  # of its reflectors: the emulator counts what goes to STAMP by itself
A, A6 = IN_PATH["a"]


def config(site, text):
    """A knows four more peers, all of them the server, and measures to all its peers."""
    if site == "b":
        return text
    peers = "".join(
        f',\n  {{ name = "{name}{n}"; address = "{address}"; key_file = "lab.key"; '
        f'path = "bridged"; stamp_interval = "20 ms"; stamp_dscp = "af21"; '
        f'stamp_port = {OTHER_PORT}; {more} }}'
        for name, pair, more in (
            ("open", OPEN, ""), ("auth", AUTH, 'stamp_size = 300; stamp_key_file = "lab.key";'))
        for n, address in zip("46", pair))
    return replace_once(text, r'path = "bridged"; \}\n\);$',
                        f'path = "bridged"; stamp_interval = "10 ms"; }}{peers}\n);')


class ActiveLab(Lab):
    """The lab, with the server's other addresses."""

    def __enter__(self):
        self.env["LAB_LINK_PORT"] = str(STAMP)
        super().__enter__()
        for address in (*OPEN, *AUTH, STRANGER):
            length = "64" if ":" in address else "24"
            subprocess.run(["ip", "-n", self.namespace("server"), "addr", "add",
                            f"{address}/{length}", "dev", "eth0",
                            *(["nodad"] if ":" in address else [])], check=True)
        self.wait_peer()
        return self

    def wait_peer(self):
        wait_for(10, "peer b is up", lambda: any(
            row["name"] == "b" and row["state"] == "up"
            for row in self.ctl("a", "show", "peers")["peers"]), 0.05)

    def key_words(self, key):
        """The key as stamp_peer.py takes it; nothing without."""
        if not key:
            return []
        with open(f"{self.state}/lab.key", "rb") as file:
            return [file.read().strip().hex()]

    def session(self, peer):
        for row in self.ctl("a", "show", "stamp")["stamp"]:
            if row["peer"] == peer:
                return row
        raise Failed(f"show stamp has no session with {peer}")

    def reflector(self, site):
        return self.ctl(site, "show", "stamp")["reflectors"][0]

    def ping(self, *words, timeout=60, site="a"):
        return self.ctl(site, "ping", *words, timeout=timeout)["ping"]

    @contextlib.contextmanager
    def capture(self, site, filter_):
        """tcpdump at a site's WAN port; the path of the file, complete behind the block."""
        path = f"{self.tmp}/{site}-{secrets.token_hex(3)}.pcap"
        log = f"{path}.log"
        with open(log, "wb") as out:
            process = self.start(site, "tcpdump", "-U", "-n", "-i", "wan0", "-s", "0",
                                 "--time-stamp-precision=nano", "-w", path, filter_, stderr=out)
            wait_for(5, "tcpdump listens", lambda: b"listening" in open(log, "rb").read())
            yield path
            time.sleep(0.5)
            self.stop(process)

    def peer_program(self, *words, timeout=60):
        return self.run("server", PYTHON, PEER, *words, timeout=timeout)


def udp_of(path):
    """(time in ns, source port, destination port, payload) of a capture of UDP over Ethernet."""
    with open(path, "rb") as file:
        data = file.read()
    need(data[:4] == b"\x4d\x3c\xb2\xa1", "tcpdump wrote no nanosecond pcap")
    at, found = 24, []
    while at + 16 <= len(data):
        seconds, ns, kept, _ = struct.unpack("<IIII", data[at:at + 16])
        frame = data[at + 16:at + 16 + kept]
        l4 = 54 if frame[12:14] == b"\x86\xdd" else 34
        sport, dport, length = struct.unpack(">HHH", frame[l4:l4 + 6])
        found.append((seconds * 10**9 + ns, sport, dport, frame[l4 + 8:l4 + length]))
        at += 16 + kept
    return found


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def us(ns):
    return f"{ns / 1000:.0f} us"


# ---- loss ----

def session_loss(lab):
    """A session loses what the emulator counted, on the way on which it did."""
    def judged():
        row = lab.session("b")["since_start"]
        return row["sent"] - row["received"] - row["lost"] <= 3 and row

    before, counted = lab.session("b")["since_start"], lab.wanem("stats")["a2b"]["link"]
    need(before["lost"] == 0, f"{before['lost']} were lost before anything was to be")
    lab.wanem("set", "a2b", "loss", "3%", "link")
    wait_for(60, "1,000 more test packets were sent",
             lambda: lab.session("b")["since_start"]["sent"] >= before["sent"] + 1000, 0.3)
    lab.wanem("set", "a2b", "loss", "0%")
    time.sleep(2.5)  # behind that, what has not come back is lost
    row, stats = wait_for(5, "all is judged", judged), lab.wanem("stats")["a2b"]["link"]
    lost = stats["lost"] - counted["lost"]
    need(lost > 5, f"the emulator lost only {lost}")
    need(row["lost"] == lost == row["lost_up"] and row["lost_down"] == 0,
         f"the emulator lost {lost} on the way there; seen are {row['lost']} lost, "
         f"{row['lost_up']} there, {row['lost_down']} back")
    return f"{row['sent']} sent, {lost} lost by the emulator, {row['lost']} seen, all on the way there"


def ping_loss(lab):
    """Losses both ways at once: each is what two captures show, to the packet."""
    lab.wanem("set", "both", "loss", "4%")
    with lab.capture("a", f"udp port {STAMP} and host {IN_PATH['b'][0]} and portrange 40900-40920"
                     ) as at_a, lab.capture(
            "b", f"udp port {STAMP} and portrange 40900-40920") as at_b:
        found = lab.ping("b", "--count", 600, "--interval", "10ms")
    lab.wanem("set", "both", "loss", "0%")
    need(found["method"] == "stamp", f"it pinged by {found['method']}")
    ports = {sport for _, sport, dport, _ in udp_of(at_a) if dport == STAMP}
    need(len(ports) == 1, f"it used the ports {ports}")
    # Before the count begins a few packets ask whether the target speaks STAMP: another SSID.
    last = {}
    for _, _, dport, payload in udp_of(at_a):
        if dport == STAMP:
            last = payload[14:16]
    out, there, back, home = (
        {seq for seq in seqs} for seqs in reply_ways_of(at_a, at_b, ports.pop(), last))
    need(back == there, "B did not answer all that arrived")
    # Nobody can tell where those were lost behind which no answer came.
    told = max(home)
    truth = (len(out), sum(seq <= told for seq in out - there),
             sum(seq <= told for seq in back - home))
    need(truth[1] > 0 and truth[2] > 0, f"nothing was lost in one of the ways: {truth}")
    need((found["sent"], found["lost_up"], found["lost_down"]) == truth
         and found["lost"] == len(out - home),
         f"the captures say (sent, lost there, lost back) {truth}; ping says {found['sent']}, "
         f"{found['lost_up']}, {found['lost_down']}, {found['lost']} in all")
    return (f"{truth[0]} sent, {len(out - home)} lost, there {truth[1]} and back {truth[2]}: "
            "as captured")


def reply_ways_of(at_a, at_b, port, ssid):
    """As four lists of sequence numbers: requests sent and arrived, answers sent and arrived."""
    lists = []
    for path, is_answer in ((at_a, False), (at_b, False), (at_b, True), (at_a, True)):
        field = 24 if is_answer else 0
        lists.append([struct.unpack(">I", payload[field:field + 4])[0]
                      for _, sport, dport, payload in udp_of(path)
                      if (dport if is_answer else sport) == port and payload[14:16] == ssid])
    return lists


# ---- delay ----

def round_trips(lab):
    """STAMP's round trips against those on the wire of A's WAN port, packet by packet."""
    with lab.capture("a", f"udp port {STAMP} and portrange 40900-40920") as path:
        found = lab.ping("b", "--count", 200, "--interval", "20ms")
    packets = udp_of(path)
    sent = {(payload[14:16], payload[:4]): t for t, _, dport, payload in packets if dport == STAMP}
    wire = []
    for t, sport, _, payload in packets:
        if sport == STAMP:
            received, left = struct.unpack(">Q", payload[16:24]), struct.unpack(">Q", payload[4:12])
            wire.append(t - sent[payload[14:16], payload[24:28]]
                        - ((left[0] - received[0]) * 10**9 >> 32))
    need(len(wire) >= 150 and found["received"] >= 150, f"only {len(wire)} came back")
    rtt = found["rtt"]
    ping = lab.run("client", "ping", "-q", "-c", 100, "-i", "0.02", IN_PATH["b"][0])
    least = float(re.search(r"= ([\d.]+)/", ping)[1]) * 1e6
    said = (f"least {us(rtt['min_ns'])}, on the wire {us(min(wire))}, ping through A "
            f"{us(least)}; median {us(rtt['p50_ns'])}, on the wire {us(percentile(wire, 50))}")
    # What is between the daemon and the wire only adds: the least of many shows it best, on a busy
    # machine too.
    need(-100e3 <= rtt["min_ns"] - min(wire) <= 1e6, f"the round trip is wrong: {said}")
    need(abs(rtt["min_ns"] - least) <= 2e6, f"ping disagrees: {said}")
    return said


def echoes(lab):
    """Who does not speak STAMP is asked by ICMP, over both families."""
    for target in (SERVER, SERVER6):
        found = lab.ping(target, "--count", 20, "--interval", "20ms", "--size", 600)
        need(found["method"] == "icmp" and found["received"] == 20 and found["packet_bytes"] == 600,
             f"{target}: {found}")
        need(15e6 < found["rtt"]["min_ns"] < 60e6, f"{target}: {found['rtt']}")


def silence(lab):
    """Nobody there: said so, and not taken for an answer."""
    for target, error in (("10.77.0.99", "next hop"), ("192.0.2.1", "no bridge leads"),
                          ("nobody", "neither a peer"), ("", "neither a peer")):
        done = subprocess.run([SLUICECTL, "-i", lab.instance("a"), "ping", target], check=False,
                              text=True, capture_output=True, timeout=20)
        need(done.returncode == 1 and error in done.stderr, f"{target}: {done.stderr}")


# ---- other people's STAMP ----

def our_sender(lab, key, n):
    """A's session with their reflector: sent, answered, nothing lost, DSCP and TTL as sent."""
    name, address = ("auth" if key else "open") + "46"[n], (AUTH if key else OPEN)[n]
    words = [PYTHON, PEER, "reflect", address, OTHER_PORT] + lab.key_words(key)
    with open(f"{lab.tmp}/reflect-{name}", "wb+") as out:
        process = lab.start("server", *words, stdout=out, stderr=subprocess.STDOUT)
        wait_for(10, "the reflector is ready", lambda: b"ready" in open(out.name, "rb").read())
        first = lab.session(name)["since_start"]["received"]

        def heard():
            need(process.poll() is None,
                 f"the reflector ended: {open(out.name, 'rb').read().decode()[-400:]}")
            return lab.session(name)["since_start"]["received"] >= first + 50
        wait_for(20, "50 answers", heard, 0.2)
        row, said = lab.session(name), open(out.name, "rb").read().decode()
        lab.stop(process)
    need("wrong" not in said, f"the reflector says: {said}")
    need(row["ttl_up"] == 255 and row["ttl_down"] == 255,
         f"TTL {row['ttl_up']} there, {row['ttl_down']} back")
    need(row["dscp_known"] and row["dscp_received"] == 18, f"DSCP {row['dscp_received']}, not 18")
    need(row["ways_known"] and row["authenticated"] == key, "the TLVs were not understood")
    need(15e6 < row["since_start"]["rtt"]["min_ns"] < 60e6, f"{row['since_start']['rtt']}")
    return f"{row['since_start']['received']} answered"


def our_reflector(lab, key, n):
    """Their sender at A's reflector: every field of the answer."""
    source, target = (AUTH if key else OPEN)[n], (A, A6)[n]
    words = ["send", source, target, STAMP, 20] + lab.key_words(key)
    answers = json.loads(lab.peer_program(*words))
    need(len(answers) == 20, f"{len(answers)} of 20 were answered")
    for i, a in enumerate(answers):
        need(a["seq"] == i == a["sender_seq"] and a["ssid"] == 4711, f"numbers: {a}")
        need(a["bytes"] == a["asked_bytes"], f"asymmetric: {a}")
        need(a["ttl"] == 255 and a["sender_ttl"] == 255, f"TTL: {a}")
        need(a["dscp"] == 46, f"asked for EF, answered with {a['dscp']}")
        need(0 <= a["turn_around_ns"] < 2e9 and abs(a["received_s"] - time.time()) < 60, f"{a}")
        need(a["error"] & 0xff != 0 and a["error"] & 0x4000 == 0, f"error estimate {a['error']:x}")
        tlvs = {kind: (flags, value) for kind, flags, value in a["tlvs"]}
        need(tlvs[4] == (0, "b8000000"), f"class of service: {tlvs[4]}")
        need(tlvs[5] == (0, f"{i + 1:08x}" * 3), f"direct measurement: {tlvs[5]}")
        need(tlvs[200] == (0x80, b"sluice".hex()), f"what is not known: {tlvs[200]}")
        need(tlvs.get(1, (0, "aa" * 40)) == (0, "aa" * 40), "padding")
    return f"turn-around {us(percentile([a['turn_around_ns'] for a in answers], 50))} (median)"


def refused(lab):
    """No answer for strangers, for who lacks the key, from a reflector's port, beyond the rate."""
    before = lab.reflector("a")
    for source, why in ((STRANGER, "a stranger"), (AUTH[0], "a peer without its key")):
        came = json.loads(lab.peer_program("send", source, A, STAMP, 1))
        need(came == [], f"{why} was answered")
    after = lab.reflector("a")
    need(after["refused"] == before["refused"] + 1 and after["bad"] == before["bad"] + 1,
         f"counted: {before}, then {after}")
    lab.ctl("a", "set", "link", "b0", "stamp-rate", 10)
    before = lab.reflector("a")
    came = int(lab.peer_program("flood", OPEN[0], A, STAMP, 500))
    after = lab.reflector("a")
    lab.ctl("a", "set", "link", "b0", "stamp-rate", 500)
    answered, limited = (after[what] - before[what] for what in ("answered", "limited"))
    # B may still ask, too. 5 at once, 10 a second: the flood takes far less than 40 s.
    need(came <= answered < 400 and limited >= 100, f"{came} of 500 at once were answered, "
         f"{answered} in all, {limited} limited")
    return f"of 500 at once {came} were answered, {limited} were beyond the rate"


def dissected(lab):
    """tshark reads all kinds of packets as TWAMP test packets, which STAMP's are."""
    with lab.capture("a", f"udp port {STAMP}") as path:
        lab.peer_program("send", OPEN[0], A, STAMP, 5)
        lab.peer_program("send", OPEN[1], A6, STAMP, 5)
        lab.ping("b", "--count", 20, "--interval", "20ms")
        lab.ping("b", "--count", 5, "--interval", "20ms", "--size", 1500)
    words = ["tshark", "-r", path, "-d", f"udp.port=={STAMP},twamp.test", "-o",
             "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    complaints = subprocess.run(
        words + ["-Y", "_ws.malformed or _ws.expert or udp.checksum.status == 0"],
        check=True, text=True, capture_output=True, timeout=60).stdout
    need(complaints == "", f"tshark complains: {complaints[:400]}")
    rows = subprocess.run(
        words + ["-T", "fields", "-e", "udp.srcport", "-e", "twamp.test.seq_number", "-e",
                 "twamp.test.sender_seq_number", "-e", "twamp.test.sender_ttl"],
        check=True, text=True, capture_output=True, timeout=60).stdout.splitlines()
    packets = udp_of(path)
    need(len(rows) == len(packets) > 100, f"tshark reads {len(rows)} of {len(packets)}")
    for row, (_, sport, _, payload) in zip(rows, packets):
        seen = row.split("\t")
        need(seen[1] == str(struct.unpack(">I", payload[:4])[0]), f"number: {row}")
        if sport == STAMP and struct.unpack(">I", payload[24:28])[0]:
            need(seen[2] == str(struct.unpack(">I", payload[24:28])[0]) and seen[3] == "255",
                 f"answer: {row}")
    return f"{len(rows)} packets"


# ---- runs of clients ----

def dead_client(lab):
    """A client that is killed leaves nothing running."""
    process = subprocess.Popen([SLUICECTL, "-i", lab.instance("a"), "ping", SERVER, "--count", "10000",
                                "--interval", "10ms", "--by", "icmp"], stdout=subprocess.DEVNULL)

    def echoed():
        text = lab.run("server", "nstat", "-asz", "IcmpInEchos")
        return int(re.search(r"IcmpInEchos\s+(\d+)", text)[1])

    first = echoed()
    wait_for(10, "echoes arrive", lambda: echoed() > first + 10, 0.1)
    process.kill()
    process.wait()

    def stopped():
        now = echoed()
        time.sleep(0.5)
        return echoed() == now
    wait_for(10, "the echoes end", stopped)


def busy(lab):
    """As many runs as there may be, and one more; the first ones go on."""
    words = [SLUICECTL, "-i", lab.instance("a"), "ping", SERVER, "--count", "10000"]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for _ in range(8)]
    try:
        for process in running:
            process.stdout.readline()  # its head: it has begun
        done = subprocess.run(words, check=False, text=True, capture_output=True, timeout=20)
        need(done.returncode == 1 and "try again later" in done.stderr, f"{done}")
        need(all(process.poll() is None for process in running), "one of them ended")
    finally:
        for process in running:
            process.kill()
            process.communicate()


def speed(lab):
    """The emulator's rate is found, within the bounds of time and bytes."""
    lab.wanem("set", "a2b", "rate", "20mbit", "queue", "500kB")
    for _ in range(3):  # a control thread that gets no CPU offers too little to fill the path
        found = lab.ctl("a", "speedtest", "b", timeout=30)["speedtest"]
        rate = found["rate_bps"] / 1e6
        need(rate < 20.5, f"{rate:.2f} Mbit/s of 20: {found}")
        need(found["elapsed_ns"] < 4e9 and found["ended_by"] == "duration", f"{found}")
        if found["saturated"] and rate > 15:
            break
    else:
        raise Failed(f"{rate:.2f} Mbit/s of 20: {found}")
    short = lab.ctl("a", "speedtest", "b", "--bytes", "300kB", timeout=30)["speedtest"]
    need(short["sent_bytes"] <= 300000 and short["ended_by"] == "bytes", f"{short}")
    lab.wanem("set", "a2b", "rate", "100mbit")
    return (f"{rate:.2f} Mbit/s of IP through 20 Mbit/s of Ethernet, median delay above the least "
            f"{us(found['delay_above_least']['p50_ns'])}")


def speed_refused(lab):
    for words, error in ((["open4"], "not up"), (["nobody"], "unknown peer"),
                         (["b", "--seconds", "11"], "out of range"),
                         (["b", "--bytes", "2GB"], "out of range")):
        done = subprocess.run([SLUICECTL, "-i", lab.instance("a"), "speedtest", *words],
                              check=False, text=True, capture_output=True, timeout=20)
        need(done.returncode == 1 and error in done.stderr, f"{words}: {done.stderr}")


# ---- trace ----

def traced(lab, target, hops):
    found = lab.ctl("a", "trace", target, "--count", 3, "--interval", "1s", timeout=30)
    seen = [row["address"] for row in found["hops"]]
    need(found["reached"] and seen == hops, f"{target}: {seen}, not {hops}")
    for row in found["hops"]:
        need(row["sent"] == 3 and row["received"] >= 1, f"{row}")
    # Behind the emulator it takes longer.
    far = found["hops"][1]["rtt"]["min_ns"]
    need(far > 9e6 and found["hops"][0]["rtt"]["min_ns"] < far, f"{found['hops']}")


def routes(lab):
    traced(lab, "b", [GATEWAY["a"][4], "10.9.0.2", ROUTED["b"][4]])
    traced(lab, "10.2.0.1", [GATEWAY["a"][4], "10.9.0.2", "10.2.0.1"])
    traced(lab, ROUTED["b"][6], [GATEWAY["a"][6], "fd09::2", ROUTED["b"][6]])
    found = lab.ctl("a", "ping", ROUTED["b"][6], "--count", 5)["ping"]
    need(found["method"] == "icmp", "B answers STAMP to an address that is no peer of its")
    found = lab.ctl("a", "ping", "b", "--count", 5)["ping"]
    need(found["method"] == "stamp" and found["received"] >= 3, f"{found}")


def main():
    if subprocess.run([PYTHON, "-c", "import scapy.contrib.stamp"], check=False,
                      capture_output=True).returncode != 0:
        raise Failed("scapy is missing: apt-get install python3-scapy")
    lab = ActiveLab("--delay", "10ms", config=config)
    with lab:
        check("loss of a session", session_loss, lab)
        check("loss of a ping, both ways", ping_loss, lab)
        check("round trips", round_trips, lab)
        check("ICMP where there is no STAMP", echoes, lab)
        check("nobody there", silence, lab)
        for key in (False, True):
            for n in (0, 1):
                mode = ("un", "")[key] + f"authenticated, IPv{'46'[n]}"
                check(f"our sender, {'hmac' if key else 'scapy'} reflector, {mode}", our_sender, lab,
                      key, n)
                check(f"{'hmac' if key else 'scapy'} sender, our reflector, {mode}", our_reflector,
                      lab, key, n)
        check("who is not answered", refused, lab)
        check("tshark", dissected, lab)
        check("a client that dies", dead_client, lab)
        check("more pings than may be", busy, lab)
        check("speedtest", speed, lab)
        check("speedtest refused", speed_refused, lab)
    with RoutedLab() as routed:
        check("trace", routes, routed)


if __name__ == "__main__":
    run(main)
