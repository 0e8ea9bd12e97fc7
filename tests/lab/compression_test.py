#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Downloads of compressible data: what they cost on the WAN and how long they take.

    sudo tests/lab/compression_test.py [CORPUS]

Pages of HTML, JSON and logs come from a web server over plain HTTP through 50 Mbit/s and 40 ms of
round-trip time, without loss and with 1 % of it: once with both appliances in bypass, then for the
first time and for the second with compression and a store. Bytes on the WAN are the emulator's
counts of frames, all headers, hellos and acknowledgements in them, and both ways are shown. The
files are generated; with CORPUS, a folder that tools/corpus made, html, json and log come from
there.

A repeat may cost a tenth of the file's bytes on its way. At 1 % loss nothing that arrives may be
undecodable. Without loss the goodput of a first download, once a third of it is there and slow start
over, must exceed what a download gets without Sluice by GOODPUT_SHARE of the ratio of the bytes on
the WAN. With loss TCP itself is the limit, with and without Sluice, and it matters which segments
are lost: there times are only shown. Figures of goodput want CPUs that are not busy, and a governor that did not step down; else
they are skipped, and said so.
"""
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import random
import subprocess
import sys
import time

from lab import SANITIZED, SERVER, TOP, Lab, Skipped, check, need, replace_once, report, run
from shaping_delay_test import CPU_IDLE_MIN, cpu_idle, cpu_times
from store_test import left_out, settled, undecodable, wire_bytes

LINK_BPS = 50e6
SHAPED = "48 Mbit/s"     # of the appliances: 96 %, so that the queue is theirs
STORE = "128 MiB"
MEGABYTES = {0: 12, 1: 3}  # of each file by loss: at 1 % each takes seconds
KINDS = ("html", "json", "log")
REPEAT_SHARE = 0.10
GOODPUT_SHARE = 0.7
ATTEMPTS = 4

CLASSES = """classes = (
  { name = "default"; },
  { name = "web"; queue_size = "2 MB"; compress = true; }
);"""
RULES = 'rules = ( { match = { proto = "tcp"; dport = 80; }; class = "web"; } );\n'


def config(_site, text):
    text = replace_once(text, r'path = "bridged";', f'path = "bridged"; store = "{STORE}";')
    for way in ("up", "down"):
        text = replace_once(text, rf'{way} = "100 Mbit/s";', f'{way} = "{SHAPED}";')
    # The example's classes are assured more than that.
    text = replace_once(text, r"^classes = \(.*?^\);", CLASSES)
    return replace_once(text, r"^rules = \(.*?^\);\n(?=\n+peers)", RULES)


# ---- files ----

def corpus_tool():
    """tools/corpus as a module: it knows how to make logs."""
    sys.path.insert(0, os.path.join(TOP, "tools"))
    loader = importlib.machinery.SourceFileLoader("corpus", os.path.join(TOP, "tools/corpus"))
    spec = importlib.util.spec_from_loader("corpus", loader)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


WORDS = ("traffic appliance packet latency queue office branch network policy report window "
         "service request answer between customer order invoice delivery address summary total "
         "the of and to in is for with on that by from as are be this at has more other").split()


def sentence(r):
    return " ".join(r.choice(WORDS) for _ in range(r.randint(6, 14))).capitalize() + "."


def html(r, size):
    """Pages of a shop: the same frame round different text and tables."""
    pages, length = [], 0
    while length < size:
        rows = "".join(
            f'<tr class="item"><td class="sku">{r.getrandbits(40):010x}</td><td class="name">'
            f'{r.choice(WORDS)} {r.choice(WORDS)}</td><td class="price">{r.randint(1, 9999)}.'
            f'{r.randint(0, 99):02}</td><td class="stock">{r.randint(0, 500)}</td></tr>\n'
            for _ in range(r.randint(10, 60)))
        text = "".join(f"<p>{' '.join(sentence(r) for _ in range(r.randint(2, 6)))}</p>\n"
                       for _ in range(r.randint(3, 12)))
        pages.append('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
                     f'<title>{sentence(r)}</title><link rel="stylesheet" href="/main.css">'
                     '</head>\n<body><nav><a href="/">Home</a> <a href="/list">List</a></nav>\n'
                     f'<h1>{sentence(r)}</h1>\n{text}<table class="items">\n{rows}</table>\n'
                     "</body></html>\n")
        length += len(pages[-1])
    return "".join(pages).encode()[:size]


def json_records(r, size):
    """Answers of an interface: one record a line."""
    rows, length = [], 0
    while length < size:
        rows.append(json.dumps({
            "id": r.getrandbits(48), "uuid": f"{r.getrandbits(128):032x}",
            "name": f"{r.choice(WORDS)} {r.choice(WORDS)}", "active": r.random() < 0.8,
            "created": f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02}T{r.randint(0, 23):02}:"
                       f"{r.randint(0, 59):02}:{r.randint(0, 59):02}Z",
            "tags": r.sample(WORDS, r.randint(1, 4)), "score": round(r.random() * 100, 3),
            "note": sentence(r)}) + "\n")
        length += len(rows[-1])
    return "".join(rows).encode()[:size]


def log(r, size):
    tool = corpus_tool()
    paths = [f"/docs/{a}-{b}.html" for a in WORDS[:12] for b in WORDS[:12]]
    return (tool.web_log(r, size // 2, paths) + tool.system_log(r, size - size // 2)).encode()


MAKERS = {"html": html, "json": json_records, "log": log}


class Source:
    """Files, never twice the same."""

    def __init__(self, folder):
        self.folder, self.made, self.offset = folder, 0, dict.fromkeys(KINDS, 0)

    def make(self, kind, size):
        self.made += 1
        if self.folder is None:
            return MAKERS[kind](random.Random(f"{kind} {self.made}"), size)
        with open(os.path.join(self.folder, kind), "rb") as file:
            data = file.read()
        at = self.offset[kind]
        self.offset[kind] += size
        need(at + size <= len(data), f"the corpus has {len(data)} bytes of {kind}: make it with "
             "--megabytes 64")
        return data[at:at + size]


# ---- downloads ----

def steady_bps(sizes, size):
    """From a third of the download on, to the last time that it was seen to grow."""
    rows = [row for row in sizes if row[1] > size / 3]
    need(len(rows) > 2, "the download was over at once")
    end = next(row for row in rows if row[1] == rows[-1][1])
    return (end[1] - rows[0][1]) * 8 / max(end[0] - rows[0][0], 1e-3)


class Row:
    """One download: seconds, and what the WAN was given, towards the client and back."""

    def __init__(self, lab, name, data):
        self.size = len(data)
        before, cpu, self.busy = wire_bytes(lab), cpu_times(), -left_out(lab, "b")["busy"]
        path = lab.write("got", b"")
        curl = lab.start("client", "curl", "-sS", "--max-time", "100", "-o", path, "-w",
                         "%{time_total}", f"http://{SERVER}/{name}", stdout=subprocess.PIPE)
        begin = time.monotonic()
        sizes = []  # of what is there, over time
        while curl.poll() is None:
            sizes.append((time.monotonic() - begin, os.path.getsize(path)))
            time.sleep(0.01)
        need(curl.returncode == 0, f"curl ended with {curl.returncode}")
        self.seconds = float(curl.stdout.read())
        self.goodput_bps = steady_bps(sizes, self.size)
        self.idle = cpu_idle(cpu)
        with open(path, "rb") as file:
            arrived = hashlib.sha256(file.read()).digest()
        need(arrived == hashlib.sha256(data).digest(), f"{name}: what arrived is not what was sent")
        time.sleep(0.1)  # the last frames of the connection
        self.down, self.up = (now - then for now, then in zip(wire_bytes(lab), before))
        self.busy += left_out(lab, "b")["busy"]

    def __str__(self):
        return (f"{self.down / self.size:7.1%} {self.up / self.size:6.1%} {self.seconds:7.2f} "
                f"{self.size * 8e-6 / self.seconds:7.1f}")


HEADER = (f"{'':12}" + "".join(f" | {name:^30}" for name in (
    "without: down, back, s, Mbit/s", "first time", "again")))


def bypass(lab, word):
    for site in "ab":
        lab.ctl(site, "set", "bypass", word)


def downloads(lab, source, kind, loss):
    """(without, first, again) of a new file. Again with another file where the machine was too busy
    to compress."""
    size = (MEGABYTES[loss] << 20) // (4 if SANITIZED and loss == 0 else 1)
    for attempt in range(ATTEMPTS):
        data = source.make(kind, size)
        name = f"{kind}-{source.made}"
        lab.make_file(name, data)
        bypass(lab, "on")
        lab.wanem("set", "both", "loss", f"{loss}%")
        rows = [Row(lab, name, data)]
        bypass(lab, "off")
        rows.append(Row(lab, name, data))
        settled(lab)
        rows.append(Row(lab, name, data))
        lab.wanem("set", "both", "loss", "0")
        print(f"{f'{kind}, {loss} %':12} | " + " | ".join(map(str, rows)), flush=True)
        if not any(row.busy for row in rows[1:]):
            break
        print(f"# busy: {[row.busy for row in rows[1:]]} packets went beside the link", flush=True)
    return rows


def costs(rows):
    without, first, again = rows
    text = (f"{first.down / first.size:.1%} of its bytes ({first.up / first.size:.1%} back), again "
            f"{again.down / again.size:.1%} ({again.up / again.size:.1%} back); without Sluice "
            f"{without.down / without.size:.1%} ({without.up / without.size:.1%} back)")
    if again.down > REPEAT_SHARE * again.size and (first.busy or again.busy):
        raise Skipped(f"{text}: the workers had no time to compress, {ATTEMPTS} times")
    need(again.down <= REPEAT_SHARE * again.size, text)
    need(first.down < without.down, text)
    return text


def goodput(rows):
    without, first, _ = rows
    ratio = without.down / first.down
    times = first.goodput_bps / without.goodput_bps
    text = (f"{first.goodput_bps / 1e6:.1f} Mbit/s through {LINK_BPS / 1e6:.0f}, without Sluice "
            f"{without.goodput_bps / 1e6:.1f}: {times:.2f} times as much, at a ratio of "
            f"{ratio:.2f}; all of it took {first.seconds:.2f} s instead of {without.seconds:.2f} s")
    is_low = times < GOODPUT_SHARE * ratio or first.goodput_bps < LINK_BPS
    if is_low and (min(first.idle, without.idle) < CPU_IDLE_MIN or first.busy):
        raise Skipped(f"{text}: but the busier CPU was idle for {first.idle:.0%} only")
    need(not is_low, text)
    return text


def decodable(lab):
    bad = undecodable(lab)
    need(not any(bad.values()), f"dropped: {bad}")
    lost = {site: lab.peer(site)["path"]["lost"] for site in "ab"}
    need(lost["a"] > 0, "no link frame was lost: nothing has been tested")
    return f"{lost['a']} link frames to a and {lost['b']} to b were lost, none was undecodable"


def main():
    source = Source(sys.argv[1] if len(sys.argv) > 1 else None)
    with Lab("--delay", "20ms", "--rate", "50mbit", config=config) as lab:
        lab.wait_peers_up()
        lab.http_server()
        print(HEADER, flush=True)
        results = {(loss, kind): downloads(lab, source, kind, loss)
                   for loss in MEGABYTES for kind in KINDS}
        for (loss, kind), rows in results.items():
            check(f"{kind} at {loss} % loss, bytes", costs, rows)
        for kind in KINDS:
            if SANITIZED:
                report("skip", f"{kind}, goodput", "sanitizers slow the appliances down")
            else:
                check(f"{kind}, goodput", goodput, results[0, kind])
        check("nothing is undecodable because something else was lost", decodable, lab)


if __name__ == "__main__":
    run(main)
