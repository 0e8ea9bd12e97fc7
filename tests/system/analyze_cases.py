# SPDX-License-Identifier: BSD-3-Clause
"""Where sluice-analyze differs from tshark or tcptrace on the captures, and who is right.

Every case was decided by looking at the packets; analyze_test.py reads the table. A line is one
figure: tool, what, sender, figure here, figure there, reason. "again": packets sent again; "late":
packets out of order; times in ns.
"""

# Frames 46 and 47 carry the bytes of frame 36 again, in two pieces, after an ICMPv6 "packet too
# big" (frame 45), with a newer timestamp (662299716 after 662299685). tshark takes what comes
# within 3 ms of another's data for out of order and does not look at timestamps.
PATH_MTU = "here: sent again, the timestamps are newer"

# Frame 62 says an IPv4 total length of 29440 in 87 bytes, frame 65 4169 in 87, frame 83 122 in 62.
FUZZED_LENGTH = "here: no IP packet, its length contradicts itself; the tools read on"

# Frame 86: the TCP header's own length goes beyond the packet; tshark shows the ports and
# "malformed", tcptrace does not count it either.
FUZZED_HEADER = "here: no TCP segment, its header does not fit"

# Frame 47 is the server's first. tshark calls it a spurious retransmission because the client's
# SYN (frame 44) has a number in its acknowledgement field (25600, fuzzed), though no ACK flag.
FUZZED_ACK = "here: the first packet of a side repeats nothing"

# The server's SYN-ACK is not among the packets of this flow; tshark takes the time from the SYN to
# the server's data (frame 47), which is no handshake.
NO_SYN_ACK = "here: no handshake was seen, so there is no figure"

# Frame 71's sequence number is fuzzed, 384,004 too high: the frames behind it (72, 75, 90, 92) all
# come below it. Here what comes at once is late (72, 75), and what comes after 129 ms was sent
# again (90, 92); tcptrace calls all four out of order.
FUZZED_SEQ_SERVER = "nobody: the numbers are fuzzed; here the time decides, for tcptrace it does not"

# The same with frame 48 of the client; frame 88 then overlaps it. tcptrace counts that packet both
# as sent again and as out of order, here every packet counts once.
FUZZED_SEQ_CLIENT = "here: one packet counts once"

# The server's SYN-ACK and data come from 192.168.1.146, the client talks to 10.10.10.1: address
# translation behind the capture. tshark takes the client's ACK (frame 3) as the end of a handshake
# whose SYN-ACK it has not seen in this flow.
OTHER_WAY = "tshark: the time is right; here a handshake of which one half is seen gives no figure"

# TCP in IP fragments, made of random bytes. tshark puts them together; the appliance measures no
# fragments (they are counted as a flow of fragments), and tcptrace does not either.
FRAGMENTS = "tshark: the appliance does not put fragments together"

# Frames 9 and 10 have the same IP ID (0xa180), checksum and time; so have 17 and 18 (0x2698).
COPIES_KAFKA = "here: the same packet captured twice, nothing was sent again"

# Five minutes without a packet, and the sequence numbers go on where they were (frames 2 and 3:
# 3062478232 acknowledged, then continued).
SILENCE = "here: one connection; tcptrace ends one after a silence"

# Captured on all interfaces of a router: each packet four times, twice with TTL 128 or 64 and twice
# with one less, IP ID and TCP checksum the same, within 0.3 ms. The copies of data, SYN and FIN
# are exactly as many as the tools call sent again. See "once-rtsp.pcap": one copy of each.
COPIES = "here: the same packets captured four times, nothing was sent again"
COPIES_AND_SYN = COPIES + "; one is the SYN of the connection after the reset, see RESET_FIRST"
COPIES_HANDSHAKE = "here: tcptrace gives no time after what it takes for SYNs sent again"
FIRST_SYN_COPIES = "here: from the first SYN on; tshark counts from the last copy of it"

# The client's SYN went out eight times from 0 to 11.0 s; the SYN-ACK came at 11.28 s, the ACK at
# 11.53 s. The user waited from the first.
FIRST_SYN = "here: from the first SYN on; tshark counts from the last"

# A SYN is refused with RST; half a second later the client tries again, with the same initial
# sequence number, and succeeds. The refused attempt is a connection of its own, as the RST ended
# it. tshark and tcptrace give the second SYN to the first and begin the second with its SYN-ACK.
RESET_FIRST = "here: a connection begins with its SYN, and RST ends one"


def of(capture, flow, *figures):
    """The cases of one flow."""
    return {(capture, tool, flow, what, sender): (here, there, reason)
            for tool, what, sender, here, there, reason in figures}


CASES = {}
for case in [
    of("6in4tunnel.pcap", "2001:470:1f17:13f:3e97:eff:fe73:4dec:53234 2a03:2880:1010:6f03:face:b00c:0:2:443 @1444236900.923881",
       ("tshark", "again", "2001:470:1f17:13f:3e97:eff:fe73:4dec:53234", 2, 0, PATH_MTU),
       ("tshark", "late", "2001:470:1f17:13f:3e97:eff:fe73:4dec:53234", 0, 2, PATH_MTU)),
    of("fuzz-2006-06-26-2594.pcap", "147.234.1.253:120 192.168.1.2:2720 @1120469635.044160",
       ("tshark", "flow", None, "absent", "present", FUZZED_LENGTH),
       ("tcptrace", "flow", None, "absent", "present", FUZZED_LENGTH)),
    of("fuzz-2006-06-26-2594.pcap", "147.234.1.249:2069 192.168.1.2:2720 @1120469635.045775",
       ("tshark", "flow", None, "absent", "present", FUZZED_LENGTH),
       ("tcptrace", "flow", None, "absent", "present", FUZZED_LENGTH)),
    of("fuzz-2006-06-26-2594.pcap", "147.234.1.253:58999 192.168.1.6:2721 @1120469635.129222",
       ("tshark", "flow", None, "absent", "present", FUZZED_LENGTH),
       ("tcptrace", "flow", None, "absent", "present", FUZZED_LENGTH)),
    of("fuzz-2006-06-26-2594.pcap", "147.234.1.253:47645 192.168.1.2:58657 @1120469635.152721",
       ("tshark", "flow", None, "absent", "present", FUZZED_HEADER)),
    of("fuzz-2006-06-26-2594.pcap", "147.234.1.253:21 192.168.1.2:2720 @1120469634.878338",
       ("tshark", "again", "147.234.1.253:21", 2, 3, FUZZED_ACK),
       ("tshark", "connect", None, 0, 114871000, NO_SYN_ACK),
       ("tcptrace", "again", "147.234.1.253:21", 2, 0, FUZZED_SEQ_SERVER),
       ("tcptrace", "late", "147.234.1.253:21", 2, 4, FUZZED_SEQ_SERVER),
       ("tcptrace", "late", "192.168.1.2:2720", 0, 1, FUZZED_SEQ_CLIENT)),
    of("http_asymmetric.pcapng", "10.10.10.1:80 192.168.0.1:1044 @1631378210.394414",
       ("tshark", "connect", None, 0, 1018000, OTHER_WAY)),
    of("ip_fragmented_garbage.pcap", "10.0.0.2:24102 10.128.0.2:10792 @1534244024.701616",
       ("tshark", "flow", None, "absent", "present", FRAGMENTS)),
    of("ip_fragmented_garbage.pcap", "10.0.0.2:18730 10.128.0.2:20304 @1534244025.005485",
       ("tshark", "flow", None, "absent", "present", FRAGMENTS)),
    of("ip_fragmented_garbage.pcap", "10.0.0.2:9253 10.128.0.2:24102 @1534244025.309702",
       ("tshark", "flow", None, "absent", "present", FRAGMENTS)),
    of("ip_fragmented_garbage.pcap", "10.0.0.2:16417 10.128.0.2:16419 @1534244025.612419",
       ("tshark", "flow", None, "absent", "present", FRAGMENTS)),
    of("kafka.pcapng", "172.16.17.101:58052 172.30.0.237:9092 @1681849206.507695",
       ("tshark", "again", "172.30.0.237:9092", 0, 1, COPIES_KAFKA)),
    of("kafka.pcapng", "172.16.17.101:38176 172.30.0.237:9092 @1681878308.076966",
       ("tshark", "again", "172.16.17.101:38176", 0, 1, COPIES_KAFKA),
       ("tcptrace", "again", "172.16.17.101:38176", 0, 1, COPIES_KAFKA)),
    of("kafka.pcapng", "172.16.17.101:49280 172.30.0.237:9092 @1681845006.101184",
       ("tcptrace", "flow", None, "absent", "present", SILENCE)),
    of("kafka.pcapng", "172.16.17.101:49280 172.30.0.237:9092 @1681845606.130644",
       ("tcptrace", "flow", None, "absent", "present", SILENCE)),
    of("kafka.pcapng", "172.16.17.101:58052 172.30.0.237:9092 @1681849506.130446",
       ("tcptrace", "flow", None, "absent", "present", SILENCE)),
    of("kafka.pcapng", "172.16.17.101:58052 172.30.0.237:9092 @1681849806.180390",
       ("tcptrace", "flow", None, "absent", "present", SILENCE)),
    of("rtsp.pcap", "10.1.1.10:52470 10.2.2.2:8554 @1627567277.506127",
       ("tshark", "again", "10.1.1.10:52470", 0, 3, COPIES),
       ("tcptrace", "again", "10.1.1.10:52470", 0, 3, COPIES)),
    of("rtsp.pcap", "10.1.1.10:52472 10.2.2.2:8554 @1627567279.015763",
       ("tshark", "again", "10.1.1.10:52472", 0, 21, COPIES),
       ("tshark", "again", "10.2.2.2:8554", 0, 21, COPIES),
       ("tshark", "connect", None, 417024, 233000, FIRST_SYN_COPIES),
       ("tcptrace", "again", "10.1.1.10:52472", 0, 21, COPIES),
       ("tcptrace", "again", "10.2.2.2:8554", 0, 21, COPIES),
       ("tcptrace", "handshake", "10.1.1.10:52472", 232000, 0, COPIES_HANDSHAKE),
       ("tcptrace", "handshake", "10.2.2.2:8554", 185024, 0, COPIES_HANDSHAKE)),
    of("rtsp.pcap", "10.1.1.10:52474 10.2.2.2:8554 @1627567338.841836",
       ("tshark", "again", "10.1.1.10:52474", 0, 21, COPIES),
       ("tshark", "again", "10.2.2.2:8554", 0, 21, COPIES),
       ("tshark", "connect", None, 676992, 588000, FIRST_SYN_COPIES),
       ("tcptrace", "again", "10.1.1.10:52474", 0, 21, COPIES),
       ("tcptrace", "again", "10.2.2.2:8554", 0, 21, COPIES),
       ("tcptrace", "handshake", "10.1.1.10:52474", 396992, 0, COPIES_HANDSHAKE),
       ("tcptrace", "handshake", "10.2.2.2:8554", 280000, 0, COPIES_HANDSHAKE)),
    of("rtsp.pcap", "10.1.1.10:52476 10.2.2.2:8554 @1627567398.644402",
       ("tshark", "again", "10.1.1.10:52476", 0, 21, COPIES),
       ("tshark", "again", "10.2.2.2:8554", 0, 24, COPIES),
       ("tshark", "connect", None, 1163008, 848000, FIRST_SYN_COPIES),
       ("tcptrace", "again", "10.1.1.10:52476", 0, 21, COPIES),
       ("tcptrace", "again", "10.2.2.2:8554", 0, 24, COPIES),
       ("tcptrace", "handshake", "10.1.1.10:52476", 846976, 0, COPIES_HANDSHAKE),
       ("tcptrace", "handshake", "10.2.2.2:8554", 316032, 0, COPIES_HANDSHAKE)),
    of("rtsp.pcap", "10.1.1.10:52478 10.2.2.2:8554 @1627567406.342871",
       ("tshark", "again", "10.1.1.10:52478", 0, 25, COPIES_AND_SYN),
       ("tshark", "again", "10.2.2.2:8554", 0, 21, COPIES),
       ("tshark", "connect", None, 0, 1184000, RESET_FIRST),
       ("tcptrace", "again", "10.1.1.10:52478", 0, 7, COPIES_AND_SYN)),
    of("rtsp.pcap", "10.1.1.10:52478 10.2.2.2:8554 @1627567406.848220",
       ("tshark", "flow", None, "present", "absent", RESET_FIRST),
       ("tcptrace", "flow", None, "present", "absent", RESET_FIRST)),
    of("rtsp.pcap", "10.1.1.10:52480 10.2.2.2:8554 @1627567466.882987",
       ("tshark", "again", "10.1.1.10:52480", 0, 21, COPIES),
       ("tshark", "again", "10.2.2.2:8554", 0, 21, COPIES),
       ("tshark", "connect", None, 713024, 583000, FIRST_SYN_COPIES),
       ("tcptrace", "again", "10.1.1.10:52480", 0, 21, COPIES),
       ("tcptrace", "again", "10.2.2.2:8554", 0, 21, COPIES),
       ("tcptrace", "handshake", "10.1.1.10:52480", 336000, 0, COPIES_HANDSHAKE),
       ("tcptrace", "handshake", "10.2.2.2:8554", 377024, 0, COPIES_HANDSHAKE)),
    of("rtsp.pcap", "10.1.1.10:52482 10.2.2.2:8554 @1627567528.106056",
       ("tshark", "again", "10.1.1.10:52482", 0, 18, COPIES),
       ("tshark", "again", "10.2.2.2:8554", 0, 21, COPIES),
       ("tshark", "connect", None, 732032, 581000, FIRST_SYN_COPIES),
       ("tcptrace", "again", "10.1.1.10:52482", 0, 18, COPIES),
       ("tcptrace", "again", "10.2.2.2:8554", 0, 21, COPIES),
       ("tcptrace", "handshake", "10.1.1.10:52482", 292032, 0, COPIES_HANDSHAKE),
       ("tcptrace", "handshake", "10.2.2.2:8554", 440000, 0, COPIES_HANDSHAKE)),
    of("rtsp.pcap", "10.1.1.10:52478 10.2.2.2:8554 @1627567406.849047",
       ("tcptrace", "flow", None, "absent", "present", RESET_FIRST)),
    of("syslog.pcap", "10.186.117.194:49948 169.46.82.162:52173 @1618744117.704164",
       ("tshark", "connect", None, 11528990016, 520965000, FIRST_SYN)),
    of("once-rtsp.pcap", "10.1.1.10:52478 10.2.2.2:8554 @1627567406.342884",
       ("tshark", "again", "10.1.1.10:52478", 0, 1, RESET_FIRST),
       ("tshark", "connect", None, 0, 1306000, RESET_FIRST),
       ("tcptrace", "again", "10.1.1.10:52478", 0, 1, RESET_FIRST),
       ("tcptrace", "handshake", "10.2.2.2:8554", 0, 1300000, RESET_FIRST)),
    of("once-rtsp.pcap", "10.1.1.10:52478 10.2.2.2:8554 @1627567406.848234",
       ("tshark", "flow", None, "present", "absent", RESET_FIRST),
       ("tcptrace", "flow", None, "present", "absent", RESET_FIRST)),
    of("once-rtsp.pcap", "10.1.1.10:52478 10.2.2.2:8554 @1627567406.849047",
       ("tcptrace", "flow", None, "absent", "present", RESET_FIRST)),
]:
    CASES.update(case)

# ---- DNS and echo: how many times were taken here and by tshark, by flow and who answered ----

# The answers come in IP fragments, which the appliance does not put together.
ANSWER_FRAGMENTED = "tshark: the answer is in fragments"

# Frames 490 and 491, 496 to 500, 497 to 501: the query was sent again under its ID. Which of them
# the answer is to cannot be known (Karn); tshark takes the first.
ASKED_AGAIN = "here: no time for an answer to one of several equal queries"

# The name in the query or the answer is fuzzed so that tshark takes the message for malformed; the
# ID, the ports and the times are all right (frames 42 and 43, 279 and 280, 287 and 288, 535 and 536,
# 576 and 577).
FUZZED_NAME = "here: query and answer are there, with the same ID"

# Frame 311 has a UDP length longer than its IP packet, frame 601 an IP length longer than its frame.
FUZZED_UDP = "nobody: of a packet that contradicts itself nothing is believed here"

ANSWER_CASES = {
    ("dns_fragmented.pcap", "udp 173.194.169.104:59464 193.24.227.238:53",
     "193.24.227.238"): (0, 1, ANSWER_FRAGMENTED),
    ("dns_fragmented.pcap", "udp 172.217.40.76:56680 193.24.227.238:53",
     "193.24.227.238"): (0, 1, ANSWER_FRAGMENTED),
    ("dns_fragmented.pcap", "udp 193.24.227.238:53 194.247.5.6:51791",
     "193.24.227.238"): (0, 1, ANSWER_FRAGMENTED),
    ("dns_fragmented.pcap", "udp 2001:470:1f0b:16b0:20c:29ff:fe7c:a4cb:55729 2001:470:765b::a25:53:53",
     "2001:470:765b::a25:53"): (0, 1, ANSWER_FRAGMENTED),
    ("dns_fragmented.pcap", "udp 2001:470:765b::a25:53:53 2a00:1450:4013:c03::10a:46433",
     "2001:470:765b::a25:53"): (0, 1, ANSWER_FRAGMENTED),
    ("dns_fragmented.pcap", "udp 2001:470:765b::a25:53:53 2a00:1450:4013:c06::105:63369",
     "2001:470:765b::a25:53"): (0, 1, ANSWER_FRAGMENTED),
    ("dns_fragmented.pcap", "udp 193.24.227.238:53 74.125.47.136:59330",
     "193.24.227.238"): (0, 1, ANSWER_FRAGMENTED),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2719",
     "192.168.1.1"): (1, 0, FUZZED_NAME),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2755",
     "192.168.1.1"): (1, 0, FUZZED_NAME),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2757",
     "192.168.1.1"): (1, 0, FUZZED_NAME),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2761",
     "192.168.1.1"): (0, 1, FUZZED_UDP),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2793",
     "192.168.1.1"): (0, 1, ASKED_AGAIN),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2794",
     "192.168.1.1"): (0, 1, ASKED_AGAIN),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2795",
     "192.168.1.1"): (0, 1, ASKED_AGAIN),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2801",
     "192.168.1.1"): (1, 0, FUZZED_NAME),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2809",
     "192.168.1.1"): (1, 0, FUZZED_NAME),
    ("fuzz-2006-06-26-2594.pcap", "udp 192.168.1.1:53 192.168.1.2:2813",
     "192.168.1.1"): (0, 1, FUZZED_UDP),
}


# ---- transactions: metric, figure here, figure there, reason ----

# The client goes on while the server's first packet of the response is on the way: frame 19 of
# vxlan.pcap acknowledges the 64 bytes of frame 16 and not yet the 161 of frame 18.
CROSSED = "here: a request is what the server had when it answered; there: all that was said by then"

# Sequence numbers, lengths and a destination are fuzzed; which packets of the client are new data
# and which the same again is anybody's guess.
FUZZED = "nobody: the numbers are fuzzed"

# Five minutes between request and response. Times here are kept modulo 275 s, and of more than
# some 70 s none is given.
TOO_LONG = "there: here an answer that late has no time, and no whole"

# Frame 19, of another connection, has a time 2.5 s before those around it. That is taken for the
# clock being set back, and the time of frame 20 for 2.5 s that passed.
CLOCK = "there: a frame in between has a wrong time"

# The client's request and FIN (frames 16, 17) are sent again in one packet (frame 19). What a side
# sends behind its FIN says nothing new; there the time begins with the last packet that has data.
AGAIN_WITH_FIN = "here: from the request as it was sent"


def transactions(capture, flow, *figures):
    return {(capture, flow, metric): (here, there, why) for metric, here, there, why in figures}


TRANSACTION_CASES = {
    **transactions("chrome.pcap", "146.48.58.18:443 192.168.1.178:64408 @1620902509.272814",
                   ("request bytes", 80, 786, CROSSED)),
    **transactions("chrome.pcap", "146.48.58.18:443 192.168.1.178:64411 @1620902509.276446",
                   ("request bytes", 80, 786, CROSSED)),
    **transactions("vxlan.pcap", "10.10.20.4:45226 157.240.224.35:443 @1639650442.712036",
                   ("request bytes", 64, 225, CROSSED)),
    **transactions("vxlan.pcap", "10.10.20.4:45228 157.240.224.35:443 @1639650442.931548",
                   ("request bytes", 247, 412, CROSSED)),
    **transactions("fuzz-2006-06-26-2594.pcap",
                   "147.234.1.253:21 192.168.1.2:2720 @1120469634.878338",
                   ("requests", 2, 1, FUZZED), ("responses", 2, 1, FUZZED),
                   ("request bytes", 6, 16, FUZZED), ("response bytes", 693, 204, FUZZED),
                   ("first byte", (2, 24273984, 47908032), (1, 47908000, 47908000), FUZZED),
                   ("whole", (2, 24273984, 56534016), (1, 184711000, 184711000), FUZZED)),
    **transactions("kafka.pcapng", "172.16.17.101:58052 172.30.0.237:9092 @1681849206.507695",
                   ("response bytes", 0, 44, TOO_LONG),
                   ("first byte", (0, 0, 0), (1, 300049944000, 300049944000), TOO_LONG),
                   ("whole", (0, 0, 0), (1, 599672695000, 599672695000), TOO_LONG)),
    **transactions("kafka.pcapng", "172.16.17.101:38176 172.30.0.237:9092 @1681878308.076966",
                   ("first byte", (2, 27370944, 2543086016), (2, 27371000, 28551000), CLOCK)),
    **transactions("pptp.pcap", "191.101.61.1:1723 192.168.43.22:41366 @1451895531.141577",
                   ("first byte", (3, 626472000, 1266008000), (3, 424021000, 1266008000),
                    AGAIN_WITH_FIN)),
    **transactions("once-rtsp.pcap", "10.1.1.10:52478 10.2.2.2:8554 @1627567406.342884",
                   ("requests", 0, 6, RESET_FIRST), ("responses", 0, 5, RESET_FIRST),
                   ("request bytes", 0, 792, RESET_FIRST),
                   ("response bytes", 0, 1885, RESET_FIRST),
                   ("first byte", (0, 0, 0), (5, 20649000, 21212000), RESET_FIRST),
                   ("whole", (0, 0, 0), (5, 20670000, 62912000), RESET_FIRST)),
}
