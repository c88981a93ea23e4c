"""Where OpenLineage events go, and how long anybody waits for that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit

from jobforge.errors import InvalidConfigError

NAMED = ("file", "console", "none")
"""Transports that have a name; any other is the URL of an endpoint."""
_PATH = "/api/v1/lineage"
"""Where an endpoint takes events, unless its URL says so itself (OpenLineage's HTTP API)."""


@dataclass(frozen=True)
class OpenLineageConfig:
    """Settings for OpenLineage events. No variable of the environment switches anything on.

    Args:
        transport: `file` (`catalog/openlineage/{batch_id}.jsonl` in the data
            root), `console` (standard error), `none`, or the http or https URL of
            an endpoint; `/api/v1/lineage` is added to a URL without a path.
        namespace: Namespace of the jobs.
        api_key_variable: Name of the environment variable that holds the key for
            the endpoint; without one, no key is sent.
        timeout: Seconds that one attempt to reach the endpoint may take before
            nothing was heard.
        retries: Attempts after the first one.
        patience: The most seconds that the end of a transition waits for the
            endpoint; what is not sent by then is given up.

    Raises:
        InvalidConfigError: A setting has no meaning.
    """

    transport: str = "file"
    namespace: str = "jobforge"
    api_key_variable: str = "OPENLINEAGE_API_KEY"
    timeout: float = 3.0
    retries: int = 3
    patience: float = 10.0

    def __post_init__(self) -> None:
        for name in ("transport", "namespace", "api_key_variable"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise InvalidConfigError(
                    f"{name} of OpenLineageConfig is {value!r}", hint="use a text that is not empty"
                )
        for name in ("timeout", "patience"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value < math.inf:
                raise InvalidConfigError(
                    f"{name} of OpenLineageConfig is {value!r}", hint="use seconds, more than 0"
                )
        if not _is_number(self.retries, int) or self.retries < 0:
            raise InvalidConfigError(
                f"retries of OpenLineageConfig is {self.retries!r}", hint="use 0 or more"
            )
        if self.transport not in NAMED:
            _check_url(self.transport)

    @property
    def active(self) -> bool:
        """Whether there are events at all."""
        return self.transport != "none"

    @property
    def address(self) -> str:
        """Scheme, host and port of the endpoint, for messages: a path may hold a secret."""
        url = urlsplit(self.transport)
        return f"{url.scheme}://{url.netloc}"

    @property
    def path(self) -> str:
        """Path and query of the endpoint."""
        url = urlsplit(self.transport)
        path = url.path if url.path.strip("/") else _PATH
        return f"{path}?{url.query}" if url.query else path


def require_client() -> None:
    """Refuse to go on without the OpenLineage client, before anything is done.

    Raises:
        InvalidConfigError: It is not installed.
    """
    try:
        found = find_spec("openlineage.client") is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise InvalidConfigError(
            "OpenLineage events are switched on, and the package openlineage-python is not "
            "installed",
            hint="pip install 'jobforge[openlineage]', or leave the setting out",
        )


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds or (int, float)) and not isinstance(value, bool)


def _check_url(text: str) -> None:
    wrong = f"there is no OpenLineage transport {_without_password(text)!r}"
    hint = "use 'file', 'console', 'none' or a URL such as 'http://localhost:5000'"
    try:
        url = urlsplit(text)
        _ = url.port  # raises where it is no number
    except ValueError as error:
        raise InvalidConfigError(wrong, hint=hint) from error
    if url.scheme not in ("http", "https") or not url.hostname or any(map(str.isspace, text)):
        raise InvalidConfigError(wrong, hint=hint)
    if url.username is not None or url.password is not None:
        raise InvalidConfigError(
            "the URL for OpenLineage events holds a name or a password",
            hint="put the key into the environment variable that api_key_variable names",
        )
    if url.fragment:
        raise InvalidConfigError(wrong, hint="leave out what follows '#'")


def _without_password(text: str) -> str:
    """The text without what may be a password; it need not be a URL."""
    try:
        url = urlsplit(text)
    except ValueError:
        return text.rpartition("@")[2]
    shown = SplitResult(url.scheme, url.netloc.rpartition("@")[2], url.path, "", "")
    return shown.geturl() if "@" in url.netloc else text
