# SPDX-License-Identifier: BSD-3-Clause
"""What the lab tests share: one lab (tools/lab) of their own, and the book-keeping of checks.

Each *_test.py of this folder imports this, builds a Lab in a `with` block and reports through
run(). Only Python's own library is used; root is needed, as for tools/lab.
"""
import ctypes
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(TOP, "build")))
SLUICED = os.path.join(BUILD, "dataplane/sluiced")
SLUICECTL = os.path.join(BUILD, "controlplane/cli/sluicectl")
WANEM = os.path.join(BUILD, "tools/wanem")
REPLAY = os.path.join(BUILD, "tools/replay")

CLIENT, SERVER = "10.77.0.1", "10.77.0.2"
CLIENT6, SERVER6 = "fd77::1", "fd77::2"
IN_PATH = {"a": ("10.77.0.11", "fd77::11"), "b": ("10.77.0.12", "fd77::12")}
LINK_PORT = 5820
OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro", "rxvlan", "txvlan", "tx-udp-segmentation")


def _is_sanitized():
    try:
        with open(SLUICED, "rb") as file:
            return b"__asan_init" in file.read()
    except OSError:
        return False


# Everything is slower then, and shadow memory is no memory of the daemon's own.
SANITIZED = _is_sanitized()

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A check that did not hold; the text says why."""


class Skipped(Exception):
    """A check that cannot be made here; the text says why."""


def need(condition, why):
    """Ends the present check with `why` unless the condition holds."""
    if not condition:
        raise Failed(why)


def wait_for(seconds, what, condition, pause=0.02):
    """Calls condition() until it is true and returns that value; Failed when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(pause)


# ---- book-keeping ----

_counts = {"ok": 0, "FAIL": 0, "skip": 0}


def report(word, name, why=""):
    """Prints one line; word is ok, FAIL or skip."""
    _counts[word] += 1
    print(f"{word} {name}" + (f": {why}" if why else ""), flush=True)


def check(name, function, *args):
    """Runs one check: it passes by returning (a text it returns is shown), and fails by raising."""
    try:
        said = function(*args)
    except Skipped as reason:
        report("skip", name, str(reason))
    except Failed as reason:
        report("FAIL", name, str(reason))
    except subprocess.TimeoutExpired as reason:
        report("FAIL", name, f"{reason.cmd} did not end within {reason.timeout:.0f} s")
    except (OSError, ValueError, LookupError, AttributeError) as reason:
        report("FAIL", name, f"{type(reason).__name__}: {reason}")
    else:
        report("ok", name, said if isinstance(said, str) else "")


def run(main):
    """The frame of every test: runs main(), prints the sum, ends with the exit code."""
    def stop(number, _frame):
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    if os.geteuid() != 0:
        report("FAIL", "start", "needs root: run it with sudo")
    elif not os.access(SLUICECTL, os.X_OK):
        report("FAIL", "start", f"{SLUICECTL} is not built; run: ninja -C {BUILD}")
    else:
        try:
            main()
        except Failed as reason:
            report("FAIL", "lab", str(reason))
        except Exception as reason:  # a fault of the test itself; the sum must still come
            traceback.print_exc()
            report("FAIL", "test", f"{type(reason).__name__}: {reason}")
    skipped = f", {_counts['skip']} skipped" if _counts["skip"] else ""
    print(f"{_counts['ok']} passed, {_counts['FAIL']} failed{skipped}", flush=True)
    if _counts["FAIL"]:
        sys.exit(1)
    sys.exit(0 if _counts["ok"] else 77)


# ---- the lab ----

class Lab:
    """tools/lab, up within the `with` block and gone behind it.

    options: of `tools/lab up`. config: changes to the example configurations, a function of the
    site ("a" or "b") and the text that returns the text to use.
    """

    _next = 0  # labs that this process has had: each gets a name of its own

    def __init__(self, *options, config=None):
        self.name = f"t{os.getpid() % 1000000}{chr(ord('a') + Lab._next % 26)}"
        Lab._next += 1
        self.state = f"/run/sluice-lab/{self.name}"
        self.env = dict(os.environ, LAB_NAME=self.name, BUILD=BUILD)
        self.options = [str(word) for word in options]
        self.config = config
        self.tmp = None
        self.extra_namespaces = []  # removed with the lab, as are these folders
        self.extra_folders = []
        self._processes = []

    def __enter__(self):
        self.tmp = tempfile.mkdtemp(prefix="sluice-lab-")
        os.chmod(self.tmp, 0o755)
        try:
            options = list(self.options)
            if self.config:
                for site in "ab":
                    with open(f"{TOP}/conf/examples/lab-{site}.conf", encoding="ascii") as file:
                        text = self.config(site, file.read())
                    options += [f"--config-{site}", self.write(f"{site}.conf", text)]
            done = self.tool("up", *options)
            need(done.returncode == 0, f"tools/lab up: {done.stderr.strip()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave half of it behind.
        kept = {n: signal.signal(n, signal.SIG_IGN)
                for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        for process in self._processes:
            self.stop(process)
        for name in self.extra_namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
        done = self.tool("down")
        if done.returncode != 0:
            report("FAIL", "lab down", done.stderr.strip())
        for path in [self.tmp, *self.extra_folders]:
            shutil.rmtree(path, ignore_errors=True)
        for number, handler in kept.items():
            signal.signal(number, handler)

    def tool(self, *args):
        """tools/lab ARGS."""
        return subprocess.run([f"{TOP}/tools/lab", *args], env=self.env, check=False, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)

    def write(self, name, data):
        """Writes a file into the test's own folder; returns its path."""
        path = os.path.join(self.tmp, name)
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        return path

    def instance(self, site):
        return f"{self.name}-{site}"

    def namespace(self, site):
        return f"{self.name}-{site}"

    def pid(self, site):
        """Of the sluiced at a or b."""
        with open(f"{self.state}/{site}.pid", encoding="ascii") as file:
            return int(file.read())

    def log(self, site):
        with open(f"{self.state}/{site}.log", encoding="utf-8", errors="replace") as file:
            return file.read()

    # -- programs at a site --

    def _words(self, site, words):
        return ["ip", "netns", "exec", self.namespace(site), *map(str, words)]

    def try_run(self, site, *words, timeout=20, **options):
        """Runs a program at a site to its end; returns the CompletedProcess, output as text."""
        options.setdefault("text", True)
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self._words(site, words), check=False, capture_output=True,
                              timeout=timeout, **options)

    def run(self, site, *words, timeout=20, **options):
        """As try_run(), returns the output, and Failed if the program fails."""
        done = self.try_run(site, *words, timeout=timeout, **options)
        if done.returncode != 0:
            text = done.stderr or done.stdout
            text = text.decode(errors="replace") if isinstance(text, bytes) else text
            raise Failed(f"{' '.join(map(str, words))} at {site} ended with {done.returncode}: "
                         f"{text.strip()[-400:]}")
        return done.stdout

    def start(self, site, *words, **options):
        """Starts a program at a site; it ends with the lab at the latest. A session of its own
        keeps the terminal's Ctrl-C from it, so that it ends in order."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen(self._words(site, words), start_new_session=True, **options)
        self._processes.append(process)
        return process

    @staticmethod
    def stop(process):
        """Ends a program of start(), if it still runs."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(3)

    def socket(self, site, family, kind, protocol=0):
        """A socket of this process at a site."""
        with open("/proc/self/ns/net", "rb") as home, \
                open(f"/run/netns/{self.namespace(site)}", "rb") as there:
            _setns(there)
            try:
                return socket.socket(family, kind, protocol)
            finally:
                _setns(home)

    def no_offloads(self, site, device):
        """Frames of this interface are what a NIC would put on the wire."""
        words = [word for feature in OFFLOADS for word in (feature, "off")]
        if self.try_run(site, "ethtool", "-K", device, *words).returncode != 0:
            # A kernel that lacks one of them refuses the whole line: one by one.
            for feature in OFFLOADS:
                self.try_run(site, "ethtool", "-K", device, feature, "off")

    def wait_links_up(self, *sites):
        """Until every interface of these sites carries frames. The end of a veth pair that was set
        up first is told of its carrier a little later; until then its kernel drops what it is to
        send, without an error."""
        def up(site):
            rows = json.loads(self.run(site, "ip", "-j", "link", "show", "up"))
            return all(row["operstate"] == "UP" for row in rows if row.get("ifname", "lo") != "lo")

        for site in sites:
            wait_for(10, f"the links of {site} are up", lambda site=site: up(site))

    # -- Sluice and the emulator --

    def ctl(self, site, *words, timeout=10):
        """sluicectl at a or b: the JSON it prints. Failed with its message if it fails."""
        done = subprocess.run([SLUICECTL, "-i", self.instance(site), "--json", *map(str, words)],
                              check=False, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout)
        if done.returncode != 0:
            raise Failed(f"sluicectl -i {site} {' '.join(map(str, words))}: "
                         f"{(done.stderr or done.stdout).strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def status(self, site):
        return self.ctl(site, "show", "status")["status"]

    def peer(self, site):
        return self.ctl(site, "show", "peers")["peers"][0]

    def reasons(self, site):
        """Every drop and pass reason of an appliance, with its count."""
        return {row["reason"]: row["packets"]
                for row in self.ctl(site, "show", "drops", "--all")["drops"]}

    def dropped(self, site):
        """The same of what ended in the box, without what was meant for it."""
        return {row["reason"]: row["packets"]
                for row in self.ctl(site, "show", "drops", "--all")["drops"]
                if row["kind"] == "dropped" and row["reason"] != "consumed"}

    def busy_steps(self):
        """How often the workers of both compressed less, as they had no time."""
        return sum(row["steps_down"] for site in "ab"
                   for row in self.ctl(site, "show", "compression")["governors"])

    def compressed_packets(self, site):
        """Sent through the link, of all classes."""
        rows = self.ctl(site, "show", "compression")["compression"]
        return sum(row["packets_compressed"] for row in rows if row["class"] != "(all)")

    def link_frames(self, site):
        """The frames that these packets went in: several may share one."""
        rows = self.ctl(site, "show", "compression")["compression"]
        return sum(row["packets_compressed"] - row["packets_packed"] + row["packed_frames"]
                   for row in rows if row["class"] != "(all)")

    def wait_peers_up(self, seconds=5):
        for site in "ab":
            wait_for(seconds, f"the peer of {site} is up",
                     lambda site=site: self.peer(site)["state"] == "up", 0.05)

    def restart(self, site):
        done = self.tool("restart", site)
        need(done.returncode == 0, f"tools/lab restart {site}: {done.stderr.strip()}")

    def wanem(self, *words):
        """wanem ctl: `stats` returns them."""
        done = subprocess.run([WANEM, "ctl", f"{self.state}/wanem.sock", *words], check=False,
                              text=True, capture_output=True, timeout=10)
        need(done.returncode == 0, f"wanem ctl {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout) if words[0] == "stats" else None

    # -- servers --

    def make_file(self, name, data):
        """A file of the web server's folder; returns its path."""
        os.makedirs(os.path.join(self.tmp, "www"), exist_ok=True)
        return self.write(os.path.join("www", name), data)

    def http_server(self, site="server", port=80):
        """Starts nginx over the files of make_file()."""
        os.makedirs(os.path.join(self.tmp, "www"), exist_ok=True)
        config = self.write("nginx.conf", NGINX_CONF.format(tmp=self.tmp, port=port))
        self.start(site, "nginx", "-p", self.tmp, "-c", config, "-e", f"{self.tmp}/nginx.log")
        self.wait_listen(site, port)

    def iperf_server(self, site="server", port=5001):
        self.start(site, "iperf3", "-s", "-p", port)
        self.wait_listen(site, port)

    def iperf(self, *words, site="client", to=SERVER, port=5001, seconds=2):
        """One run of the iperf3 client; its JSON."""
        done = self.try_run(site, "iperf3", "-J", "-c", to, "-p", port, "-t", seconds, *words,
                            timeout=seconds + 20)
        result = json.loads(done.stdout or "{}")
        need(done.returncode == 0 and "error" not in result,
             f"iperf3: {result.get('error') or done.stderr.strip() or done.returncode}")
        return result

    def wait_listen(self, site, port, udp=False):
        """Until something listens there."""
        words = ["ss", "-Hln" + ("u" if udp else "t"), f"sport = :{port}"]
        wait_for(10, f"port {port} at {site} answers", lambda: self.run(site, *words).strip(),
                 0.05)


NGINX_CONF = """# made by tests/lab
daemon off;
user root;
worker_processes 1;
pid {tmp}/nginx.pid;
error_log {tmp}/nginx.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  sendfile on;
  client_body_temp_path {tmp}/nginx-body;
  proxy_temp_path {tmp}/nginx-proxy;
  fastcgi_temp_path {tmp}/nginx-fastcgi;
  uwsgi_temp_path {tmp}/nginx-uwsgi;
  scgi_temp_path {tmp}/nginx-scgi;
  server {{
    listen 0.0.0.0:{port} backlog=1024;
    listen [::]:{port} ipv6only=on backlog=1024;
    root {tmp}/www;
  }}
}}
"""


def _setns(file):
    if _libc.setns(file.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


# ---- data ----

def text_bytes(size):
    """Text that compresses about as well as a log does, never twice the same."""
    words = [secrets.token_hex(4) for _ in range(200)]
    lines = []
    length = 0
    i = 0
    while length < size:
        i += 1
        line = (f"2024-05-{i % 28 + 1:02} host{i % 7} service[{i % 911}]: request {i} from "
                f"192.0.2.{i % 251} took {i * 7919 % 1000} ms, id {words[i * 31 % 200]}\n")
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()[:size]


def random_bytes(size):
    return os.urandom(size)


def replace_once(text, pattern, by):
    """re.sub() that must find exactly one place: the examples may change."""
    result, count = re.subn(pattern, lambda _: by, text, flags=re.S | re.M)
    need(count == 1, f"the example configuration has {count} places like {pattern}, not one")
    return result
