"""A real DNS server on loopback, over UDP and TCP on one port."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer:
    """Serves A, AAAA, MX, TXT, PTR, CNAME and other records from memory. A context manager.

    Names are written in lower case without the final dot, types in capitals, and records as in a zone file:

        server.records["example.org", "MX"] = ["10 mx.example.org."]     # null MX (RFC 7505): ["0 ."]
        server.txt["example.org"] = ["v=spf1 -all"]                      # the same as TXT, without quotes
        server.failing.add("example.net")                                # SERVFAIL
        server.silent.add(("mx.example.org", "AAAA"))                    # never answered

    `failing` and `silent` take a name, for every type, or a name with a type. A first label `*`, in all four, stands
    for every name below that isn't there itself (RFC 4592). Answers live `ttl` seconds, and so do negative ones.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.txt: dict[str, list[str]] = {}
        self.failing: set[str | tuple[str, str]] = set()
        self.silent: set[str | tuple[str, str]] = set()
        #: How often each name and type was asked for, answered or not.
        self.asked: Counter[tuple[str, str]] = Counter()
        self.ttl = 60
        self._udp, self._tcp = _listen(self)
        self.port: int = self._udp.server_address[1]
        #: As `POSTLATCH_DNS` wants it.
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> DnsServer:
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()

    def answer(self, data: bytes, largest: int = 65535) -> bytes | None:
        """The reply to one query in at most *largest* octets, truncated if need be; None for silence."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        type_ = dns.rdatatype.to_text(question.rdtype)
        self.asked[name, type_] += 1
        if _listed(self.silent, name, type_):
            return None
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA | dns.flags.AA
        if _listed(self.failing, name, type_):
            reply.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(reply, name, type_)
        return reply.to_wire(max_size=largest, prefer_truncation=True)

    def _fill(self, reply: dns.message.Message, name: str, type_: str) -> None:
        """Add the records of *name*, and of those its CNAMEs lead to."""
        for _ in range(8):
            found, alias = self._find(name, type_), self._find(name, "CNAME")
            for kind, texts in ((type_, found), ("CNAME", alias if type_ != "CNAME" and not found else None)):
                if texts:
                    reply.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", kind, *texts))
            if found or not alias:
                break
            name = alias[0].removesuffix(".").lower()
        if not found:
            if not self._exists(name):
                reply.set_rcode(dns.rcode.NXDOMAIN)
            soa = f"ns.invalid. hostmaster.invalid. 1 3600 600 86400 {self.ttl}"
            reply.authority.append(dns.rrset.from_text(dns.name.root, self.ttl, "IN", "SOA", soa))

    def _find(self, name: str, type_: str) -> list[str] | None:
        """The records of one name and type as a zone file has them; None when there are none."""
        for candidate in _candidates(name):
            if texts := self.records.get((candidate, type_)):
                return texts
            if type_ == "TXT" and candidate in self.txt:
                return [_quoted(text) for text in self.txt[candidate]]
            if candidate == name and self._exists(name, wild=False):
                return None
        return None

    def _exists(self, name: str, *, wild: bool = True) -> bool:
        """Whether *name* has records of any type, or names below it."""
        known = {known for known, _ in self.records} | set(self.txt)
        if any(known_name == name or known_name.endswith(f".{name}") for known_name in known):
            return True
        return wild and any(candidate in known for candidate in _candidates(name))


def _candidates(name: str) -> Iterator[str]:
    """*name* itself, then the wildcards above it, nearest first."""
    yield name
    labels = name.split(".")
    for cut in range(1, len(labels)):
        yield ".".join(["*", *labels[cut:]])


def _listed(names: set[str | tuple[str, str]], name: str, type_: str) -> bool:
    return any(candidate in names or (candidate, type_) in names for candidate in _candidates(name))


def _quoted(text: str) -> str:
    """*text* as the strings of at most 255 octets of one TXT record (RFC 1035 section 3.3.14), escaped."""
    octets = text.encode()
    parts = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
    return " ".join('"' + "".join(_escaped(octet) for octet in part) + '"' for part in parts)


def _escaped(octet: int) -> str:
    return chr(octet) if 32 <= octet < 127 and octet not in b'"\\' else f"\\{octet:03d}"


def _listen(outer: DnsServer) -> tuple[Any, Any]:
    """A UDP and a TCP server on one free port."""

    class Datagram(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            if reply := outer.answer(data, dns.message.from_wire(data).payload or 512):
                sock.sendto(reply, self.client_address)

    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while len(head := self.rfile.read(2)) == 2:
                reply = outer.answer(self.rfile.read(struct.unpack("!H", head)[0]))
                if reply:
                    self.wfile.write(struct.pack("!H", len(reply)) + reply)

    while True:
        udp = _Udp(("127.0.0.1", 0), Datagram)
        try:
            return udp, _Tcp(udp.server_address, Stream)
        except OSError:  # another has the port for TCP
            udp.server_close()


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        super().server_bind()


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
