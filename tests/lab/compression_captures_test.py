#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Captures through the link on a bad WAN: whatever arrives is a frame that was sent, and it adds up.

    sudo tests/lab/compression_captures_test.py [--each] [tunnel|transparent] [FOLDER-OR-FILE...]

The captures of captures_test.py and the frames it makes go from A to B, in both framings, with each
codec forced and with the store, while the emulator loses 2 % of the link's frames, reorders 5 %,
duplicates 1 % and flips a bit in 0.1 %; then with a bit flipped in every tenth, headers included.
Nothing but what was sent may come out at B, and

    sent = delivered + lost + refused

where `lost` is what the emulator says it lost, and what was refused it must have spoiled: B's
counters and the emulator's agree to the frame. --each sends file by file, which tells which one
fails, and takes minutes.
"""
# tests/run.py: beside others
import os
import re
import subprocess
import sys

import captures_test
from captures_test import (MTU, captures_given, own_captures, quieten, write_pcap)
from lab import BUILD, LINK_PORT, REPLAY, SANITIZED, Lab, check, need, replace_once, report, run

FRAMINGS = ("tunnel", "transparent")
# Where the emulator's flipped bits begin. In the tunnel: at the shim, behind Ethernet, IPv4 and UDP.
# What hits the UDP header in front may end at the in-path address's control thread, uncounted.
FLIP_FROM = {"tunnel": 42, "transparent": 14}
BAD_WAN = "loss 2% link reorder 5% link duplicate 1% link corrupt 0.1% from {} link seed {}"
WORSE_WAN = "loss 2% link reorder 5% link duplicate 1% link corrupt 10% from 14 link seed {}"
HELLO_PORT = 49151  # UDP source port of hellos
REFUSALS = ("link-bad-shim", "link-bad-check", "link-bad-data", "link-no-reference", "link-ce",
            "link-no-session")
# Copies of a frame, and why B may drop one.
DUPLICATE = "link-duplicate"


def config(framing):
    def change(site, text):
        return replace_once(captures_test.config(site, text), r'path = "bridged";',
                            f'path = "bridged"; framing = "{framing}"; store = "32 MiB";')
    return change


# ---- what happened ----

def emulator(lab):
    """Of the link frames from A to B that carry data, whatever their lane."""
    way = lab.wanem("stats")["a2b"]
    need(not way["kernel_dropped"] and not way["no_memory"] and not way["queue_dropped"] and
         not way["send_errors"], "the emulator itself dropped frames: this machine is too busy")
    lanes = [lane for lane in way["lanes"] if lane["source_port"] != HELLO_PORT]
    return {key: sum(lane[key] for lane in lanes)
            for key in ("received", "sent", "lost", "duplicated", "reordered", "corrupted")}


def codecs(lab):
    return {row["codec"]: row["packets_compressed"]
            for row in lab.ctl("a", "show", "compression")["codecs"]}


def since(before, now):
    return {key: count - before.get(key, 0) for key, count in now.items()
            if count != before.get(key, 0)}


def send(lab, files):
    """Through replay: (frames, identical, missing, added), and those two as bytes."""
    done = subprocess.run(
        [REPLAY, "--pps", "2500", "--settle", "400", "--join", "--verbose", "--bytes", "65535",
         f"{lab.namespace('client')}:eth0", f"{lab.namespace('server')}:eth0", *files],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100, check=False)
    counts = re.search(r"(\d+) frames, (\d+) identical, (\d+) missing, (\d+) added, \d+ out of "
                       r"order$", done.stdout, re.M)
    need(counts, f"replay said: {done.stdout[-300:]}")
    lists = {"missing": [], "added": []}
    for word, data in re.findall(r"^ +(missing|added), \d+ bytes:((?: [0-9a-f]{2})*)$",
                                 done.stdout, re.M):
        lists[word].append(bytes.fromhex(data))
    frames, identical, missing, added = map(int, counts.groups())
    need(len(lists["missing"]) == missing and len(lists["added"]) == added, "replay miscounts")
    return frames, identical, lists["missing"], lists["added"]


# ---- frames that arrived and were not sent ----

def ip_at(frame):
    """Where the IP header is, behind VLAN tags; None: there is none."""
    at = 12
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8", b"\x91\x00"):
        at += 4
    return at + 2 if frame[at:at + 2] in (b"\x08\x00", b"\x86\xdd") else None


def is_link_frame(frame):
    """By its outer headers, as anybody would tell."""
    at = ip_at(frame)
    if at is None or len(frame) < at + 48:
        return False
    ipv6 = frame[at] >> 4 == 6
    protocol, behind = (frame[at + 6], at + 40) if ipv6 else (frame[at + 9], at + 20)
    word = int.from_bytes(frame[behind + 2:behind + 4], "big")
    return (protocol == 17 and word == LINK_PORT) or (protocol == 108 and word >= 61440)


def explain(frame, missing):
    """How the emulator's flipped bit made this of a frame: "damaged" is a link frame that shows it
    no more and passed like any damaged packet; "altered" is a packet with a bit changed where
    nothing protects any packet: in a VLAN tag, or in the traffic class of IPv6. Else ""."""
    if is_link_frame(frame):
        return "damaged"
    for bit in range(12 * 8, min(len(frame), 80) * 8):
        byte = bit // 8
        other = bytearray(frame)
        other[byte] ^= 1 << bit % 8
        other = bytes(other)
        if is_link_frame(other):
            return "damaged"
        at = ip_at(other)
        if other in missing and at is not None and (
                byte < at or (other[at] >> 4 == 6 and byte < at + 2 and 0x0ff0 >> (
                    8 * (at + 1 - byte)) & 1 << bit % 8)):
            return "altered"
    return ""


def no_wrong_frame(missing, added):
    gone = set(missing)
    told = {"damaged": 0, "altered": 0}
    for frame in added:
        how = explain(frame, gone)
        need(how, f"a frame that was never sent came out: {frame[:100].hex()}")
        told[how] += 1
    return told


# ---- the runs ----

def offers(lab):
    return {"offered": sum(row["offered"] for row in
                           lab.ctl("a", "show", "compression")["histories"])}


def bad_wan(lab, files, expected):
    before = emulator(lab), lab.dropped("b"), codecs(lab), offers(lab)
    frames, identical, missing, added = send(lab, files)
    way, drops, used, offered = (
        since(then, now) for then, now in
        zip(before, (emulator(lab), lab.dropped("b"), codecs(lab), offers(lab))))
    # Offers of histories are link frames without a packet; which were lost nobody tells.
    offered = offered.get("offered", 0)
    way = {key: way.get(key, 0) for key in before[0]}
    need(used and set(used) <= set(expected), f"codecs used: {used}, not {expected}")
    need(0 <= way["received"] - sum(used.values()) <= offered,
         f"A compressed {used} and offered {offered} histories, the emulator saw "
         f"{way['received']} link frames")
    need(way["lost"] > 0 and way["reordered"] > 0 and way["duplicated"] > 0,
         f"the emulator spoiled nothing: {way}")
    told = no_wrong_frame(missing, added)

    refused = frames - identical - way["lost"]
    sums = (f"{frames} sent = {identical} delivered + {way['lost']} lost + {refused} refused; "
            f"{way['received']} in the link, up to {offered} of them offers, {dict(sorted(used.items()))}, {way['corrupted']} with "
            f"a flipped bit, {way['duplicated']} doubled, {way['reordered']} reordered")
    need(-offered <= refused <= way["corrupted"], f"it does not add up: {sums}; B dropped {drops}")
    # The same by what B says of every copy that the emulator let out.
    by_b = sum(drops.get(reason, 0) for reason in REFUSALS) + len(added)
    need(0 <= by_b + drops.get(DUPLICATE, 0) - refused - way["duplicated"] <= offered,
         f"B refused {by_b} and dropped {drops}, added {told}: {sums}")
    others = {reason for reason in drops if reason not in REFUSALS and reason != DUPLICATE}
    need(not others, f"B dropped {drops}")
    return sums


def worse_wan(lab, files):
    before = emulator(lab)
    frames, identical, missing, added = send(lab, files)
    way = since(before, emulator(lab))
    told = no_wrong_frame(missing, added)
    refused = frames - identical - way["lost"]
    sums = (f"{frames} sent = {identical} delivered + {way['lost']} lost + {refused} refused; "
            f"{way['corrupted']} with a flipped bit, of {told['damaged']} it was in what tells a "
            f"link frame, of {told['altered']} where nobody looks")
    need(way["corrupted"] > 20 and 0 < refused <= way["corrupted"], sums)
    return sums


def set_class(lab, options):
    """Gives A's class these options besides."""
    with open(f"{lab.state}/a.conf", encoding="ascii") as file:
        text = replace_once(file.read(), 'compress = true;', f"compress = true; {options}")
    path = f"{lab.state}/a-now.conf"  # beside the key
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    lab.ctl("a", "policy", "apply", path)


def one_lab(framing, groups, workers=1):
    """groups: name -> capture files, each sent at once. With several workers frames are handed over
    between them; one codec tells how that goes."""
    with Lab("--mtu", MTU, "--delay", "1ms", "--rate", "0", "--workers", workers,
             config=config(framing)) as lab:
        quieten(lab)
        lab.wait_peers_up()
        title = framing if workers == 1 else f"{framing}, {workers} workers"
        check(f"{title}: both ends agree", agreed, lab, framing)
        # TCP that repeats itself goes beside the link: each round has flows of its own.
        own = [[write_pcap(lab, f"{name}-{round_}", frames)
                for name, frames in own_captures(4444 + 100 * round_).items()]
               for round_ in range(6 if workers == 1 else 1)]
        # The store has nothing of a class that is private, and packs have none of it. A frame is
        # a packet here; pack_test.py has several in one.
        lz4, zstd = ('codec = "lz4"; private = true;',
                     'codec = "zstd"; zstd_level = 3; private = true;')
        store, history = ('codec = "lz4"; pack = false; history = false;',
                          'codec = "lz4"; pack = false;')
        runs = [("lz4", lz4, ("lz4", "lz4-dict"), own[0])]
        if workers == 1:
            runs += [("raw", 'codec = "raw";', ("raw",), own[5]),
                     ("zstd", zstd, ("zstd",), own[1]),
                     ("store, new data", store, ("lz4", "lz4-dict", "store"), own[2]),
                     ("store, the same again", store, ("lz4", "lz4-dict", "store"), own[2]),
                     ("history", history, ("lz4", "lz4-dict", "store", "lz4-history"), own[4])]
        for seed, (codec, options, expected, mine) in enumerate(runs, 1):
            set_class(lab, options)
            lab.wanem("set", "a2b", *BAD_WAN.format(FLIP_FROM[framing], seed).split())
            for name, files in groups.items():
                check(f"{title}, {codec}{name}", bad_wan, lab, files + mine, expected)
        if workers > 1:
            return
        check(f"{framing}: the store was used", store_used, lab)
        set_class(lab, lz4)
        lab.wanem("set", "a2b", *WORSE_WAN.format(9).split())
        check(f"{framing}, every tenth damaged anywhere", worse_wan, lab, own[3])


def agreed(lab, framing):
    for site in "ab":
        said = lab.peer(site)["framing"]
        need(said == framing, f"show peers of {site} says {said}")


def store_used(lab):
    used = codecs(lab).get("store", 0)
    need(used > 100, f"{used} frames only")
    return f"{used} frames"


def main():
    need(os.access(REPLAY, os.X_OK), f"{REPLAY} is not built; run: ninja -C {BUILD}")
    words = sys.argv[1:]
    each = "--each" in words
    framings = [word for word in FRAMINGS if word in words] or FRAMINGS
    places = [word for word in words if word not in (*FRAMINGS, "--each")]
    files, missing = captures_given(places)
    if not files:
        report("skip", "captures", missing)
    groups = {"": files}
    if each and files:
        groups = {f", {os.path.basename(file)}": [file] for file in files}
    for framing in framings:
        one_lab(framing, groups)
    # By their addresses alone transparent frames come to any worker. captures_test.py has the tunnel.
    if "transparent" in framings and os.cpu_count() > 1:
        if SANITIZED:
            report("skip", "transparent, 2 workers",
                   "under sanitizers four workers and the hosts share too few CPUs to lose nothing")
        else:
            one_lab("transparent", groups, 2)


if __name__ == "__main__":
    run(main)
