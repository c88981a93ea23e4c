"""An HTTP endpoint for events: sent in order by a thread, and never longer waited for than said.

Requests, retries and keys are those of the official client. A timeout of its
bounds the silence of a server and not the whole of an attempt, so it works in
a thread that nobody has to wait for.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import cache

import requests
from openlineage.client.event_v2 import RunEvent
from openlineage.client.transport.http import (
    ApiKeyTokenProvider,
    HttpConfig,
    HttpTransport,
    TokenProvider,
)

from jobforge.openlineage.settings import OpenLineageConfig

_BACKOFF = 0.2
"""Seconds before the second retry; they double with each one after it."""
_BUSY = (429, 500, 502, 503, 504)
"""Answers that may be another one a moment later."""
_REST = 60.0
"""Seconds that an endpoint is left alone once it was given up."""


@dataclass(frozen=True)
class Lost:
    """What was given up.

    Args:
        events: How many events.
        why: Why, as far as the last of them goes; without a path, which may hold a secret.
    """

    events: int
    why: str


class Endpoint:
    """One endpoint of this process.

    Where it cannot be reached, its events are given up, and so are those of the
    next minute, unsent: a run that makes many events waits for it once. The one
    that was on its way may arrive all the same, and until it is known what came
    of it no other is sent.

    Args:
        settings: Its URL, and how long to wait.
        api_key: Key to send along.
    """

    def __init__(self, settings: OpenLineageConfig, api_key: str | None) -> None:
        session = requests.Session()
        session.max_redirects = 0  # events go to the address that was named, and to no other
        # Without an answer of its own, requests takes a password from the user's netrc file.
        session.auth = lambda request: request
        self._settings = settings
        self._transport = HttpTransport(
            HttpConfig(
                url=settings.address,
                endpoint=settings.path,
                timeout=settings.timeout,
                auth=ApiKeyTokenProvider({"api_key": api_key}) if api_key else TokenProvider({}),
                session=session,
                retry={
                    "total": settings.retries,
                    "backoff_factor": _BACKOFF,
                    "status_forcelist": _BUSY,
                    "allowed_methods": ["POST"],
                    "respect_retry_after_header": False,  # it may ask for any time
                },
            )
        )
        self._changed = threading.Condition()
        self._waiting: deque[RunEvent] = deque()
        self._thread: threading.Thread | None = None
        self._rests_until = 0.0
        self._given_up = False
        """Whether nobody waits any more for the event that is on its way."""
        self._lost = Lost(0, "")

    def send(self, event: RunEvent) -> None:
        """Have an event sent after those before it; nobody waits for it."""
        with self._changed:
            if self._resting() or self._given_up:
                self._give_up(1, self._lost.why or "it did not take the events before")
                return
            self._waiting.append(event)
            if self._thread is None or not self._thread.is_alive():
                # A daemon: the end of the process does not wait for a server that is silent.
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until every event is sent or given up; after that many seconds they are."""
        with self._changed:
            if self._resting() or self._given_up:
                return
            if not self._changed.wait_for(self._idle, seconds):
                self._give_up(self._left(), f"it took longer than {seconds:g} s")
                self._given_up = True
                self._rest()

    def lost(self) -> Lost | None:
        """What was given up since this was asked last; None where nothing was."""
        with self._changed:
            lost, self._lost = self._lost, Lost(0, "")
        return lost if lost.events else None

    def _work(self) -> None:
        """Send what waits, and end."""
        while True:
            with self._changed:
                self._given_up = False
                if not self._waiting:
                    self._thread = None
                    self._changed.notify_all()
                    return
                event = self._waiting.popleft()
            try:
                self._transport.emit(event)
            except Exception as error:  # noqa: BLE001 - whatever it is, no run fails by it
                with self._changed:
                    if self._given_up:
                        continue  # that was told already
                    if isinstance(error, requests.HTTPError):  # it is there, and answers
                        self._give_up(1, self._why(error))
                    elif not self._resting():
                        self._give_up(self._left(), self._why(error))
                        self._rest()

    def _left(self) -> int:
        """The events that are not sent, the one on its way among them; none waits any more."""
        count = len(self._waiting) + 1
        self._waiting.clear()
        return count

    def _idle(self) -> bool:
        return self._thread is None

    def _resting(self) -> bool:
        return time.monotonic() < self._rests_until

    def _rest(self) -> None:
        self._rests_until = time.monotonic() + _REST

    def _give_up(self, events: int, why: str) -> None:
        self._lost = Lost(self._lost.events + events, why)

    def _why(self, error: Exception) -> str:
        attempts = f"in {self._settings.retries + 1} attempts"
        if isinstance(error, requests.HTTPError) and error.response is not None:
            return f"it answered {error.response.status_code}"
        if isinstance(error, requests.TooManyRedirects):
            return "it answered with another address"
        if isinstance(error, requests.exceptions.RetryError):
            return f"it answered with errors, {attempts}"
        if isinstance(error, (requests.ConnectionError, requests.Timeout)):
            return f"it could not be reached or did not answer, {attempts}"
        return type(error).__name__


@cache
def endpoint_of(settings: OpenLineageConfig, api_key: str | None) -> Endpoint:
    """The endpoint of this process for these settings."""
    return Endpoint(settings, api_key)
