"""The driver of object storage: one fsspec file system for each protocol, and what its failures mean.

Only `cn.storage` uses this. fsspec is imported when the first URL is used.
"""

import functools
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from cn.errors import UsageError

_BLOCK = 8 << 20
"""Bytes of an object that are read ahead."""
_PART, _PARTS = 16 << 20, 4
"""Bytes of the parts in which a large object is uploaded, and how many of them at once: what an upload keeps in memory
of them."""
_TRIES = 3

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    # A listing that is kept would hide what other processes write, and objects that vanish. With a concurrency of 1, a
    # small object is read with one request; more would ask for its size first.
    "s3": {"use_listings_cache": False, "max_concurrency": 1, "default_block_size": _BLOCK},
}
_UPLOAD: Mapping[str, Mapping[str, Any]] = {"s3": {"chunksize": _PART, "max_concurrency": _PARTS}}

_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "hf": "huggingface_hub"}
"""What a protocol needs besides the extra `remote`."""

_FAILURES = (
    ("botocore.exceptions", ("BotoCoreError", "ClientError")),
    ("aiohttp", ("ClientError",)),
    ("google.auth.exceptions", ("GoogleAuthError",)),
    ("gcsfs.retry", ("HttpError",)),
    ("azure.core.exceptions", ("AzureError",)),
    ("httpx", ("HTTPError",)),
    ("requests.exceptions", ("RequestException",)),
)
"""Exceptions of services that are no OSError, by module."""

_HINTS = {
    "NoCredentialsError": "give them by aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "DefaultCredentialsError": "give them by gcloud auth application-default login",
    "PermissionError": "are these the right credentials?",
    "EndpointConnectionError": "is AWS_ENDPOINT_URL right?",
}

_starting = threading.Lock()


def system_of(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path within it. Raises UsageError where it cannot be used."""
    protocol = url.partition("://")[0]
    with _starting:
        system = _file_system(protocol, os.getpid())
    return system, system._strip_protocol(url)


def upload_options(url: str) -> Mapping[str, Any]:
    """What `put_file` of its file system is told, so that uploads take little memory."""
    return _UPLOAD.get(_family(url.partition("://")[0]), {})


def failures() -> tuple[type[Exception], ...]:
    """The exceptions that a file system may raise where a service fails: OSError, and those of what is loaded."""
    found: list[type[Exception]] = [OSError]
    for module, names in _FAILURES:
        if (loaded := sys.modules.get(module)) is not None:
            found += [getattr(loaded, name) for name in names if hasattr(loaded, name)]
    return tuple(found)


def why(error: Exception) -> str:
    """The message of an operating system's error, or that of a service, in one line, with what may help."""
    strerror = getattr(error, "strerror", None)
    text = strerror or " ".join(str(error).split())[:300] or type(error).__name__
    hint = None if strerror else _HINTS.get(type(error).__name__)
    return text if hint is None else f"{text} ({hint})"


def _family(protocol: str) -> str:
    return "s3" if protocol == "s3a" else protocol


# One for each process: connections and threads do not survive a fork. fsspec itself keeps one for each thread, which
# would connect anew in every thread.
@functools.cache
def _file_system(protocol: str, process: int) -> Any:
    try:
        import fsspec
    except ImportError:
        raise UsageError(f'{protocol}:// needs fsspec: pip install "controlnet-cn[remote]"') from None
    try:
        return fsspec.filesystem(protocol, **_options(protocol))
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        command = f"pip install {package}" if package else f'pip install "controlnet-cn[remote]" ({error})'
        raise UsageError(f"{protocol}:// cannot be used yet: {command}") from None
    except ValueError:
        raise UsageError(f"{protocol}:// is no kind of storage that fsspec knows; s3://, gs:// and hf:// are") from None


def _options(protocol: str) -> dict[str, Any]:
    """Ours, unless the configuration of fsspec says otherwise."""
    from fsspec.config import conf

    options = dict(_OPTIONS.get(_family(protocol), {}))
    if _family(protocol) == "s3" and "AWS_MAX_ATTEMPTS" not in os.environ:
        # The default, 5 attempts for each of the 5 of s3fs, takes minutes where nothing answers.
        options["config_kwargs"] = {"retries": {"mode": "standard", "total_max_attempts": _TRIES}}
    configured = conf.get(protocol, {})
    return {name: value for name, value in options.items() if name not in configured}
