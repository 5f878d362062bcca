"""A server of files on this machine, and entries of a catalog whose files it has."""

import contextlib
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from cn.weights.catalog import PublishedFile

CONTENT = np.random.default_rng(0).bytes(1_000_003)
HASH = hashlib.sha256(CONTENT).hexdigest()
PART = ".cn-net.pth.part"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        with contextlib.suppress(ConnectionError):  # the client closed the connection
            self.server.routes.get(self.path, missing)(self)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes: dict[str, Callable[[Handler], None]] = {}
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


def missing(request: Handler) -> None:
    request.send_error(404)


def refused(request: Handler) -> None:
    request.send_error(403)


@dataclass
class Sends:
    """A file; `cuts` are how many bytes the first answers send before the connection breaks."""

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    length: bool = True

    def __call__(self, request: Handler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.ranges else 0
        total = len(self.content)
        if start >= total:
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if self.length:
            request.send_header("Content-Length", str(total - start))
        request.end_headers()
        end = start + self.cuts.pop(0) if self.cuts else total
        request.wfile.write(self.content[start:end])


def entry(
    *origins: str, size: int | None = len(CONTENT), sha256: str | None = HASH, name: str = "net"
) -> PublishedFile:
    return PublishedFile(name, f"{name}.pth", "a net", "MIT", origins, size, None, sha256)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
