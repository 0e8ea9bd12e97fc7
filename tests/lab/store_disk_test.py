#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""With a store_directory the store of repeated data outlives the daemon.

    sudo tests/lab/store_disk_test.py

A file goes through two appliances with a store; then one of them, the other one, or both are stopped
and started again: the same file costs at most a tenth of its bytes, with and without encryption.
After kill -9 the stores begin empty, and a daemon that is asked twice to end does at once. Files that
are damaged, or not to be read, cost what they held, and nothing else.
"""
import os
import shutil
import signal
import tempfile
import time

from lab import Lab, check, need, replace_once, run, wait_for
from peers_test import has_ended
from store_test import (REPEAT_SHARE, SIZE, config, download, left_out, mixed_bytes, need_cheap,
                        settled, store, undecodable, undisturbed)


def on_disk(home, encryption="none"):
    """A configuration with a directory for each site."""
    def change(site, text):
        directory = os.path.join(home, site)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        text = replace_once(config(site, text), r"^appliance = \{\n",
                            f'appliance = {{\n  store_directory = "{directory}";\n')
        return replace_once(text, r'path = "bridged";',
                            f'path = "bridged"; encryption = "{encryption}";')
    return change


def files(home, site):
    return sorted(os.listdir(os.path.join(home, site)))


def restart(lab, *sites):
    """Ended in order, and started again."""
    for site in sites:
        pid = lab.pid(site)
        os.kill(pid, signal.SIGTERM)
        wait_for(20, f"sluiced of {site} has ended", lambda pid=pid: has_ended(pid))
    for site in sites:
        lab.restart(site)
    lab.wait_peers_up(10)


def fetched(lab, name, data):
    """Downloads it; everything is acknowledged then."""
    share, _ = download(lab, name, data)
    settled(lab)
    return share


def fresh(lab, name, size=SIZE // 2):
    """A new file that was downloaded once."""
    data = mixed_bytes(size)
    lab.make_file(name, data)
    first = fetched(lab, name, data)
    need(first > 0.4, f"the first time cost {first:.1%}: the file does not test the store")
    return data


def kept(lab, home, *sites):
    """What was sent before a restart serves after it, and its own repeats are as cheap."""
    data = fresh(lab, "kept")
    age_ns = store(lab, "b")["oldest_ns"]
    restart(lab, *sites)
    busy = left_out(lab, "b")["busy"]
    again = fetched(lab, "kept", data)
    for site in sites:
        need(not files(home, site), f"read, and still there: {files(home, site)}")
    need_cheap(lab, "a repeat after the restart", again, REPEAT_SHARE, busy)
    need(store(lab, "b")["oldest_ns"] > age_ns,
         f"older than {age_ns} ns before the restart, now {store(lab, 'b')['oldest_ns']}")
    need(store(lab, "b")["continued"] > 0, "no lane goes on")
    data = fresh(lab, "next")
    busy = left_out(lab, "b")["busy"]
    need_cheap(lab, "a repeat of new data", fetched(lab, "next", data), REPEAT_SHARE, busy)
    bad = undecodable(lab)
    need(not any(bad.values()), f"dropped: {bad}")
    return f"{again:.1%} of its bytes"


def killed(lab, home):
    """A killed daemon leaves nothing, and the other one's half is of no use."""
    data = fresh(lab, "killed")
    pid = lab.pid("a")
    os.kill(pid, signal.SIGKILL)
    wait_for(5, "the killed sluiced is gone", lambda: has_ended(pid))
    need(not files(home, "a"), f"left: {files(home, 'a')}")
    lab.restart("a")
    lab.wait_peers_up(10)
    again = fetched(lab, "killed", data)
    need(again > 0.4, f"{again:.1%}: from where?")
    bad = undecodable(lab)
    need(not any(bad.values()), f"dropped: {bad}")
    return f"{again:.1%} of its bytes"


def twice_asked(lab, home):
    """Asked again to end it does, with whole files or none."""
    data = fresh(lab, "twice")
    pid = lab.pid("a")
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.02)  # two at once are one
    os.kill(pid, signal.SIGTERM)
    wait_for(5, "sluiced has ended", lambda: has_ended(pid))
    left = files(home, "a")
    need(not any(name.endswith(".new") for name in left), f"left: {left}")
    lab.restart("a")
    lab.wait_peers_up(10)
    fetched(lab, "twice", data)
    bad = undecodable(lab)
    need(not any(bad.values()), f"dropped: {bad}")
    return f"{len(left)} files"


def spoilt(lab, home, spoil, left=0):
    """A file that is of no use any more: said, removed, and nothing wrong arrives."""
    data = fresh(lab, "spoilt")
    pid = lab.pid("a")
    os.kill(pid, signal.SIGTERM)
    wait_for(20, "sluiced has ended", lambda: has_ended(pid))
    name = next(name for name in files(home, "a") if name.endswith(".received"))
    spoil(os.path.join(home, "a", name))
    lab.restart("a")
    lab.wait_peers_up(10)
    again = fetched(lab, "spoilt", data)
    need(again > 0.4, f"{again:.1%}: from where?")
    need(len(files(home, "a")) == left, f"left: {files(home, 'a')}")
    log = lab.log("a")
    need("the store begins empty" in log, f"the log does not say so: {log[-500:]}")
    bad = undecodable(lab)
    need(not any(bad.values()), f"dropped: {bad}")


def flip(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def cut(path):
    os.truncate(path, os.path.getsize(path) - 100000)


def link(path):
    os.rename(path, path + ".real")
    os.symlink(path + ".real", path)


def main():
    home = tempfile.mkdtemp(prefix="sluice-store.")
    try:
        with Lab("--delay", "20ms", config=on_disk(home)) as lab:
            lab.wait_peers_up()
            lab.http_server()
            check("the receiver is restarted", undisturbed, kept, lab, home, "a")
            check("the sender is restarted", undisturbed, kept, lab, home, "b")
            check("both are restarted", undisturbed, kept, lab, home, "a", "b")
            check("killed", killed, lab, home)
            check("asked twice", twice_asked, lab, home)
            check("a flipped bit", spoilt, lab, home, flip)
            check("cut short", spoilt, lab, home, cut)
            check("a symbolic link", spoilt, lab, home, link, 2)
        shutil.rmtree(home)
        os.mkdir(home)
        with Lab("--delay", "20ms", config=on_disk(home, "chacha20-poly1305")) as lab:
            lab.wait_peers_up()
            lab.http_server()
            check("encrypted: both are restarted", undisturbed, kept, lab, home, "a", "b")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    run(main)
