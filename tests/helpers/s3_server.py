"""A local S3 server (moto) that counts requests and fails on demand."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import requests
import s3fs

from cn import remote

Answer = tuple[str, str]
"""A method and a path with its query, as "GET", "/bucket/key"."""


def forget_connections() -> None:
    """The next URL is opened with the environment of then."""
    remote._file_system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


class S3Server:
    """Runs in a thread of this process, at `url`."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            MotoRequestHandler,
            create_backend_app,
        )
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.app = DomainDispatcherApplication(create_backend_app)
        self.requests: list[Answer] = []
        self.fails: Callable[[str, str], bool] = lambda method, path: False
        """Says which requests are answered with 500."""
        self.before: Callable[[str, str], None] = lambda method, path: None
        """Called before each request."""
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING")
        if not path.startswith("/moto-api"):
            path = f"{path}?{query}" if query else path
            self.requests.append((method, path))
            self.before(method, path)
            if self.fails(method, path):
                start_response("500 Internal Server Error", [("Content-Length", "0")])
                return [b""]
        return self.app(environ, start_response)

    @contextmanager
    def in_use(self, bucket: str) -> Iterator[None]:
        """In the block, `s3://` is this server, which has one empty bucket, no faults, and has counted no requests."""
        with mock.patch.dict(os.environ, self.environment()):
            forget_connections()
            self._reset()
            remote.system_of(f"s3://{bucket}")[0].mkdir(bucket)
            self.requests.clear()
            try:
                yield
            finally:
                forget_connections()

    def _reset(self) -> None:
        requests.post(f"{self.url}/moto-api/reset", timeout=60)
        self.requests.clear()
        self.fails = lambda method, path: False
        self.before = lambda method, path: None

    @contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """In the block, requests with unknown credentials are refused."""
        self._reset_auth("0")
        try:
            yield
        finally:
            self._reset_auth("inf")

    def _reset_auth(self, allowed: str) -> None:
        requests.post(f"{self.url}/moto-api/reset-auth", data=allowed, timeout=60)

    def environment(self) -> dict[str, str]:
        """The variables with which AWS's tools use this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
