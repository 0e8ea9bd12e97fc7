#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A worker whose receive queue stays full compresses less and then not at all, and forwards all.

    sudo tests/system/governor_test.py

A port that gives full bursts as fast as they are taken, until its file is at an end: the governor
(compress/governor.h) goes down step by step, which `show compression` tells, with what was tried by
which codec. What comes out is what went in, as in bypass. When the queue is empty again the steps
are taken back.
"""
import os
import secrets

from daemon import Folder, check, config, need, read_capture, run, wait_for, write_pcap
from captures_test import MACS, eth, ipv4, udp

FRAMES = 12000
BUFFERS = 4096
REST = """compression = "{word}"; bypass = {bypass};
classes = ( {{ name = "default"; compress = true; codec = "zstd"; zstd_level = 1; aqm = "none"; }} );"""
STEPS = 3  # faster, fastest, none


def frames():
    """Of 100 flows, each frame another and worth compressing."""
    result = []
    for number in range(FRAMES):
        text = "".join(f"item {number} {i} has the key {secrets.token_hex(4)} and is ready\n"
                       for i in range(30))
        result.append(eth(0x0800, ipv4(udp(text.encode()[:1300], sport=10000 + number % 100))))
    return result


def through(folder, sent, word="dry-run", bypass="false"):
    """Sends them; (what came out, the governor's row, the rows by codec, the class's row)."""
    into = write_pcap(os.path.join(folder.path, "in.pcap"), sent)
    out = os.path.join(folder.path, "out.pcap")
    daemon = folder.ready(config(
        lan=f"net_pcap0,rx_pcap={into},tx_pcap={os.devnull}",
        wan=f"net_pcap1,rx_pcap={write_pcap(os.path.join(folder.path, 'none.pcap'), [])},"
            f"tx_pcap={out}",
        buffers=BUFFERS, rest=REST.format(word=word, bypass=bypass)))
    wait_for(60, "all frames are sent", lambda: daemon.sent() >= len(sent), 0.05)

    def calm():
        said = daemon.ctl("show", "compression")
        return said if said["governors"][0]["compresses"] == "as configured" else None
    said = wait_for(30, "the governor is back", calm, 0.05)
    need(not daemon.reasons("dropped"), f"dropped: {daemon.reasons('dropped')}")
    need(daemon.stop() == 0, "it does not stop in order")
    row = next(row for row in said["compression"] if row["class"] == "default")
    return read_capture(out), said["governors"][0], said["codecs"], row


def steps_down(folder, sent):
    came, governor, codecs, row = through(folder, sent)
    need(came == sent, f"{len(came)} of {len(sent)} frames came, or others")
    need(governor["steps_down"] >= STEPS and governor["steps_back"] == governor["steps_down"],
         f"the governor says {governor}")
    need(governor["busy_packets"] == row["busy"] > len(sent) / 2,
         f"{row['busy']} packets were left alone; {governor}")
    tried = {each["codec"]: each["tried_bytes"] for each in codecs if each["tried_bytes"]}
    need(set(tried) == {"zstd", "lz4"}, f"tried by codec: {tried}")
    # All of it by one of both, or left alone, but for the small rest that flows pause with.
    size = len(sent[-1])
    seen = sum(tried.values()) / size + row["busy"]
    need(seen > 0.95 * len(sent), f"{seen:.0f} of {len(sent)} frames were tried or left alone")
    return (f"{tried['zstd'] / size:.0f} frames by zstd, {tried['lz4'] / size:.0f} by lz4, "
            f"{row['busy']} left alone, all forwarded; {governor['steps_down']} steps down and back")


def as_in_bypass(folder, sent):
    came, governor, codecs, row = through(folder, sent, bypass="true")
    need(came == sent, f"{len(came)} of {len(sent)} frames came, or others")
    need(row["busy"] == 0 and not any(each["tried_bytes"] for each in codecs),
         f"in bypass {row}, {codecs}")
    return f"{len(came)} frames"


def main():
    with Folder() as folder:
        sent = frames()
        check("full queues: less and less compression, every frame", steps_down, folder, sent)
        check("bypass: the same frames", as_in_bypass, folder, sent)


if __name__ == "__main__":
    run(main)
