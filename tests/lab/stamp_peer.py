#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The other end of STAMP for active_test.py, by other people's code.

    stamp_peer.py reflect ADDRESS PORT [KEY]          until killed; prints "ready"
    stamp_peer.py send ADDRESS TARGET PORT COUNT [KEY]   prints JSON of what came back
    stamp_peer.py flood ADDRESS TARGET PORT COUNT     sends at once, prints how many came back

Without KEY (hex) the packets are scapy's (scapy.contrib.stamp): what we send is made by it, and what
Sluice sends must be what it reads. It knows no authenticated mode; there Python's struct and hmac do
the same after RFC 8762. UDP, IP and ICMP are the kernel's.
"""
import hashlib
import hmac
import json
import os
import select
import socket
import struct
import sys
import time

from scapy.contrib.stamp import (ErrorEstimate, STAMPSessionReflectorTestUnauthenticated,
                                 STAMPSessionSenderTestUnauthenticated, STAMPTestTLV)
from scapy.layers.inet import UDP

NTP = 2208988800
SSID = 4711
UNKNOWN = 200


def now():
    """As an NTP timestamp."""
    t = time.time_ns()
    return (t // 10**9 + NTP) << 32 | ((t % 10**9) << 32) // 10**9


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()[:16]


def dissect(kind, payload):
    """A packet of scapy's from a UDP payload; its list of TLVs wants to know the UDP header."""
    packet = kind(payload, _parent=UDP(len=8 + len(payload)))
    again = packet.copy()
    again.clear_cache()
    # Of timestamps scapy keeps no more bits than a float has.
    times = [slice(4, 12)] + ([slice(16, 24), slice(28, 36)]
                              if kind is STAMPSessionReflectorTestUnauthenticated else [])
    ours, its = bytearray(payload), bytearray(bytes(again))
    for where in times:
        ours[where] = its[where] = bytes(8)
    if ours != its:
        raise ValueError(f"scapy reads it, but would have written {its.hex()}, not {ours.hex()}")
    return packet


# ---- TLVs, both modes ----

def tlv(kind, value, flags=0x80):
    return STAMPTestTLV(flags=flags, type=kind, len=len(value), value=value)


def tlvs_of(data):
    """scapy's TLVs of bytes."""
    found = []
    while data:
        one = STAMPTestTLV(data[:4 + struct.unpack(">H", data[2:4])[0]])
        found.append(one)
        data = data[len(bytes(one)):]
    return found


def value(one):
    return bytes(one)[4:]


def answer_tlv(one, count, dscp):
    """What a reflector makes of it."""
    if one.type == 4:
        wanted = value(one)[0] >> 2
        return tlv(4, bytes([wanted << 2 | dscp >> 4, dscp << 4 & 0xff, 0, 0]), 0)
    if one.type == 5:
        return tlv(5, value(one)[:4] + struct.pack(">II", count, count), 0)
    return tlv(one.type, value(one), 0 if one.type in (1, 8) else 0x80)


def signed(key, seq, found):
    """TLVs as bytes; the value of an HMAC TLV is made from the sequence number and those before."""
    data = b""
    for one in found:
        if one.type == 8:
            one = tlv(8, mac(key, struct.pack(">I", seq) + data), int(one.flags))
        data += bytes(one)
    return data


# ---- reflector ----

def reflect_open(payload, ttl, dscp, received, count):
    request = dissect(STAMPSessionSenderTestUnauthenticated, payload)
    return bytes(STAMPSessionReflectorTestUnauthenticated(
        seq=count - 1, ts=now() / 2**32, err_estimate=ErrorEstimate(S=0, scale=20, multiplier=1),
        ssid=request.ssid, ts_rx=received / 2**32, seq_sender=request.seq,
        ts_sender=request.ts, err_estimate_sender=request.err_estimate, ttl_sender=ttl,
        tlv_objects=[answer_tlv(one, count, dscp) for one in request.tlv_objects]))


def reflect_auth(key, payload, ttl, dscp, received, count):
    if len(payload) < 112 or payload[96:112] != mac(key, payload[:96]):
        return None
    seq, sent, error, ssid = struct.unpack(">I12xQHH", payload[:28])
    if any(payload[4:16]) or any(payload[28:96]):
        raise ValueError("what must be zero is not")
    found = tlvs_of(payload[112:])
    if signed(key, seq, found) != payload[112:]:
        raise ValueError("the HMAC TLV is wrong")
    base = struct.pack(">I12xQHH4xQ8xI12xQH6xB15x", count - 1, now(), 0x1401, ssid, received, seq,
                       sent, error, ttl)
    return base + mac(key, base) + signed(
        key, count - 1, [answer_tlv(one, count, dscp) for one in found])


def open_socket(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        for option in (socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS):
            s.setsockopt(socket.IPPROTO_IPV6, option, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
    else:
        for option in (12, 13):  # IP_RECVTTL, IP_RECVTOS
            s.setsockopt(socket.IPPROTO_IP, option, 1)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.bind((address, port))
    return s


def receive(s):
    """payload, source, TTL, DSCP."""
    payload, control, _, source = s.recvmsg(10000, 256)
    ttl = dscp = 0
    for level, kind, data in control:
        number = data[0] if len(data) == 1 else struct.unpack("=i", data[:4])[0]
        if (level, kind) in ((socket.IPPROTO_IP, socket.IP_TTL),
                             (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)):
            ttl = number
        elif (level, kind) in ((socket.IPPROTO_IP, socket.IP_TOS),
                               (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)):
            dscp = number >> 2
    return payload, source, ttl, dscp


def reflect(address, port, key):
    s = open_socket(address, port)
    counts = {}
    print("ready", flush=True)
    while True:
        payload, source, ttl, dscp = receive(s)
        received = now()
        # The session is new when its numbers begin anew.
        session = (source[0], source[1], payload[26:28] if key else payload[14:16])
        counts[session] = counts.get(session, 0) + 1
        if key:
            answer = reflect_auth(key, payload, ttl, dscp, received, counts[session])
        else:
            answer = reflect_open(payload, ttl, dscp, received, counts[session])
        if answer is None:
            print("wrong HMAC", flush=True)
        elif len(answer) != len(payload):
            raise ValueError(f"{len(answer)} bytes for {len(payload)}")
        else:
            s.sendto(answer, source)


# ---- sender ----

def sent_tlvs(seq):
    return [tlv(4, bytes([46 << 2, 0, 0, 0])), tlv(5, struct.pack(">III", seq + 1, 0, 0)),
            tlv(UNKNOWN, b"sluice")]


def make_open(seq):
    return bytes(STAMPSessionSenderTestUnauthenticated(
        seq=seq, ts=now() / 2**32, err_estimate=ErrorEstimate(S=0, scale=20, multiplier=1),
        ssid=SSID, tlv_objects=sent_tlvs(seq) + [tlv(1, b"\xaa" * 40)]))


def make_auth(key, seq):
    base = struct.pack(">I12xQHH68x", seq, now(), 0x1401, SSID)
    return base + mac(key, base) + signed(key, seq, sent_tlvs(seq) + [tlv(8, bytes(16))])


def read_answer(key, payload, ttl, dscp):
    """What it says, as numbers."""
    if key:
        if payload[96:112] != mac(key, payload[:96]):
            raise ValueError("the answer's HMAC is wrong")
        seq, sent, error, ssid, received, sender_seq, _, _, sender_ttl = struct.unpack(
            ">I12xQHH4xQ8xI12xQH6xB15x", payload[:96])
        found = tlvs_of(payload[112:])
        if signed(key, seq, found) != payload[112:]:
            raise ValueError("the answer's HMAC TLV is wrong")
    else:
        p = dissect(STAMPSessionReflectorTestUnauthenticated, payload)
        found, ssid, seq, sender_seq, sender_ttl = (p.tlv_objects, p.ssid, p.seq, p.seq_sender,
                                                    p.ttl_sender)
        sent, received = struct.unpack(">Q", payload[4:12])[0], struct.unpack(
            ">Q", payload[16:24])[0]
        error = struct.unpack(">H", payload[12:14])[0]
    return {"seq": seq, "ssid": ssid, "sender_seq": sender_seq, "sender_ttl": sender_ttl,
            "error": error, "turn_around_ns": (sent - received) * 10**9 >> 32,
            "received_s": (received >> 32) - NTP, "ttl": ttl, "dscp": dscp,
            "tlvs": [[one.type, bytes(one)[0], value(one).hex()] for one in found]}


def send(address, target, port, count, key):
    s = open_socket(address, 0)
    answers = []
    for seq in range(count):
        packet = make_auth(key, seq) if key else make_open(seq)
        s.sendto(packet, (target, port))
        if select.select([s], [], [], 2)[0]:
            payload, _, ttl, dscp = receive(s)
            answers.append(dict(read_answer(key, payload, ttl, dscp), bytes=len(payload),
                                asked_bytes=len(packet)))
    print(json.dumps(answers))


def flood(address, target, port, count):
    s = open_socket(address, 0)
    for seq in range(count):
        s.sendto(make_open(seq), (target, port))
    came = 0
    while select.select([s], [], [], 1)[0]:
        receive(s)
        came += 1
    print(came)


def main():
    words = sys.argv[1:]
    if words[0] == "reflect":
        reflect(words[1], int(words[2]), bytes.fromhex(words[3]) if len(words) > 3 else None)
    elif words[0] == "send":
        send(words[1], words[2], int(words[3]), int(words[4]),
             bytes.fromhex(words[5]) if len(words) > 5 else None)
    elif words[0] == "flood":
        flood(words[1], words[2], int(words[3]), int(words[4]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
