"""Where events go: files, standard error, endpoints that answer, fail, hang or are not there."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openlineage.client.event_v2 import Job, Run, RunEvent

from jobforge import PipelineConfig, PipelineEngine
from jobforge.openlineage import OpenLineageConfig
from jobforge.openlineage.emitter import append
from jobforge.openlineage.endpoint import Endpoint
from jobforge.pipeline import events
from openlineage_schemas import check, events_of, needs_schemas
from support import debris, write_csv

KEY = "OPENLINEAGE_TEST_KEY"
ANY_EVENT = RunEvent(
    eventTime="2026-01-31T00:00:00Z",
    run=Run(runId="3f4b1a52-6a0e-4d7e-9a55-0c1d2e3f4a5b"),
    job=Job(namespace="jobforge", name="t"),
    producer="https://example.org",
)
LAYERS = ["staged", "bronze", "silver", "gold"]


class Server:
    """An endpoint in a thread of its own, which keeps what it was sent.

    Args:
        answer: The status for a request, by its number from 0; None to say nothing until the end.
    """

    def __init__(self, answer: Callable[[int], int | None]) -> None:
        self.requests: list[tuple[str, str | None]] = []
        self.taken: list[dict[str, Any]] = []
        self.over = threading.Event()
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    status = answer(len(outer.requests))
                    outer.requests.append((self.path, self.headers["Authorization"]))
                    if status == 201:
                        outer.taken.append(json.loads(body))
                if status is None:
                    outer.over.wait()
                    return
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@contextlib.contextmanager
def serving(answer: Callable[[int], int | None]) -> Iterator[Server]:
    server = Server(answer)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "in.csv", [["n"], ["1"], ["x"]])


def run(tmp_path: Path, source: Path, settings: OpenLineageConfig) -> list[str]:
    """A full run with a log as JSON; gives its layers, in order."""
    events.configure("json")
    engine = PipelineEngine(PipelineConfig(tmp_path / "root", openlineage=settings))
    result = engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"n": "Int64"}})
    assert engine.read("t").collect()["n"].to_list() == [1]
    assert debris(tmp_path) == []
    return [log.target_layer.value for log in result["logs"]]


def warnings(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if line["event"] == "openlineage.not_sent"]


def quick(url: str, **more: Any) -> OpenLineageConfig:
    return OpenLineageConfig(url, **{"timeout": 0.3, "retries": 1, "patience": 5.0, **more})


@needs_schemas
def test_an_endpoint_gets_every_event_in_order(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda _: 201) as server:
        assert run(tmp_path, source, OpenLineageConfig(server.url)) == LAYERS
        assert len(server.taken) == 12  # all of them are there when the run returns
    for event in server.taken:
        check(event)
    assert [e["eventType"] for e in server.taken] == ["START", "RUNNING", "COMPLETE"] * 4
    assert {path for path, _ in server.requests} == {"/api/v1/lineage"}
    assert warnings(capsys) == []
    assert not (tmp_path / "root/catalog/openlineage").exists()


def test_an_endpoint_that_fails_at_first_gets_every_event(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda n: 503 if n < 2 else 201) as server:
        run(tmp_path, source, OpenLineageConfig(server.url, retries=3))
    assert [e["eventType"] for e in server.taken] == ["START", "RUNNING", "COMPLETE"] * 4
    assert warnings(capsys) == []


def test_an_endpoint_that_always_fails_stops_nothing(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda _: 503) as server:
        assert run(tmp_path, source, quick(server.url)) == LAYERS
        assert len(server.requests) == 2  # the first event and its retry: then it is left alone
    told = warnings(capsys)
    assert sum(line["events"] for line in told) == 12
    assert {line["level"] for line in told} == {"warning"}
    assert told[0]["endpoint"] == server.url


def test_an_endpoint_that_refuses_is_asked_again_with_the_next_event(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda n: 400 if n % 2 else 201) as server:
        assert run(tmp_path, source, quick(server.url)) == LAYERS
        assert len(server.requests) == 12
    told = warnings(capsys)
    assert sum(line["events"] for line in told) == 6
    assert {line["error"] for line in told} == {"it answered 400"}


def test_an_endpoint_elsewhere_is_not_followed(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda _: 302) as server:
        assert run(tmp_path, source, quick(server.url)) == LAYERS
        assert {path for path, _ in server.requests} == {"/api/v1/lineage"}
    assert warnings(capsys)[0]["error"] == "it answered with another address"


def test_an_endpoint_that_is_not_there_stops_nothing(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:  # a port that nobody listens on
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert run(tmp_path, source, quick(url)) == LAYERS
    told = warnings(capsys)
    assert sum(line["events"] for line in told) == 12
    assert "could not be reached" in told[0]["error"]


def test_a_process_ends_though_its_endpoint_hangs(tmp_path: Path, source: Path) -> None:
    code = """
import sys
from jobforge import PipelineConfig, PipelineEngine
from jobforge.openlineage import OpenLineageConfig
settings = OpenLineageConfig(sys.argv[1], timeout=100_000, patience=0.1)
PipelineEngine(PipelineConfig("root", openlineage=settings)).ingest(sys.argv[2], "t")
"""
    with serving(lambda _: None) as server:
        done = subprocess.run(
            [sys.executable, "-c", code, server.url, str(source)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        )
    assert "it took longer than 0.1 s" in done.stderr


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, "it could not be reached or did not answer, in 2 attempts"),
        ({"timeout": 600.0, "patience": 0.3}, "it took longer than 0.3 s"),
    ],
    ids=["attempts end", "patience ends"],
)
def test_an_endpoint_that_hangs_is_waited_for_once(
    tmp_path: Path,
    source: Path,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, float],
    why: str,
) -> None:
    with serving(lambda _: None) as server:
        assert run(tmp_path, source, quick(server.url, **more)) == LAYERS
        assert len(server.requests) <= 2
    told = warnings(capsys)
    assert sum(line["events"] for line in told) == 12
    assert told[0]["error"] == why


def test_a_failed_run_is_failed_by_its_own_error_only(tmp_path: Path) -> None:
    with serving(lambda _: 503) as server:
        config = PipelineConfig(tmp_path / "root", openlineage=quick(server.url))
        with pytest.raises(FileNotFoundError):
            PipelineEngine(config).ingest(tmp_path / "nowhere.csv", "t")


def test_a_key_comes_from_the_environment_and_goes_nowhere_else(
    tmp_path: Path,
    source: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, "s3cret")
    with serving(lambda _: 401) as server:
        run(tmp_path, source, quick(server.url + "/own/place?x=1", api_key_variable=KEY))
    assert set(server.requests) == {("/own/place?x=1", "Bearer s3cret")}
    said = capsys.readouterr()
    assert "s3cret" not in said.err + said.out
    assert "own/place" not in said.err  # a path may hold a key as well
    kept = [p.read_bytes() for p in (tmp_path / "root").rglob("*") if p.is_file()]
    assert not any(b"s3cret" in text for text in kept)


def test_a_password_of_the_user_is_not_sent(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for key in ("s3cret", None):
        monkeypatch.delenv(KEY, raising=False)
        if key is not None:
            monkeypatch.setenv(KEY, key)
        with serving(lambda _: 201) as server:
            run(tmp_path, source, quick(server.url, api_key_variable=KEY))
        assert {sent for _, sent in server.requests} == {key and f"Bearer {key}"}


def test_an_event_on_its_way_is_given_up_once_and_nothing_follows_it() -> None:
    with serving(lambda _: None) as server:
        endpoint = Endpoint(quick(server.url, timeout=600.0), None)
        endpoint.send(ANY_EVENT)
        endpoint.send(ANY_EVENT)
        endpoint.wait(0.2)
        first = endpoint.lost()
        assert first is not None
        assert first.events == 2
        endpoint._rests_until = 0.0  # noqa: SLF001 - a minute later, and it hangs still
        endpoint.send(ANY_EVENT)
        endpoint.wait(60.0)
        later = endpoint.lost()
        assert later is not None
        assert later.events == 1
        assert len(server.requests) == 1


def test_without_a_key_none_is_sent(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    with serving(lambda _: 201) as server:
        run(tmp_path, source, quick(server.url, api_key_variable=KEY))
    assert {key for _, key in server.requests} == {None}


@needs_schemas
def test_the_console_is_standard_error(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = PipelineConfig(tmp_path / "root", openlineage=OpenLineageConfig("console"))
    PipelineEngine(config).ingest(source, "t")
    said = capsys.readouterr()
    assert said.out == ""
    for line in said.err.splitlines():
        check(json.loads(line))
    assert len(said.err.splitlines()) == 3


def test_a_folder_that_cannot_be_written_stops_nothing(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root/catalog").mkdir(parents=True)
    (tmp_path / "root/catalog/openlineage").write_text("in the way")
    assert run(tmp_path, source, OpenLineageConfig()) == LAYERS
    told = warnings(capsys)
    assert len(told) == 12
    assert "DataRootError" in told[0]["error"]


def test_a_client_that_is_damaged_stops_nothing(
    tmp_path: Path,
    source: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jobforge.openlineage.emitter", None)
    assert run(tmp_path, source, OpenLineageConfig()) == LAYERS
    assert "jobforge.openlineage.emitter" in warnings(capsys)[0]["error"]


def test_a_torn_line_of_somebody_else_stays_one_line(tmp_path: Path) -> None:
    path = tmp_path / "e" / "batch.jsonl"
    append(path, '{"a": 1}')
    with path.open("a", encoding="utf-8") as file:
        file.write('{"torn')
    append(path, '{"b": 2}')
    assert path.read_text(encoding="utf-8") == '{"a": 1}\n{"torn\n{"b": 2}\n'


@needs_schemas
def test_threads_that_write_one_file_lose_nothing(tmp_path: Path, source: Path) -> None:
    config = PipelineConfig(tmp_path / "root", openlineage=OpenLineageConfig())
    engine = PipelineEngine(config)
    staged = engine.ingest(source, "t")
    failures: list[BaseException] = []

    def promote() -> None:
        try:
            engine.promote_to_bronze(staged["staged_path"], load="replace", on_conflict="retry")
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=promote) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = config.catalog_openlineage_path().iterdir()
    told = events_of(path)
    ends = [e["eventType"] for e in told if e["eventType"] in ("COMPLETE", "FAIL")]
    assert len(ends) == 5
    assert ends.count("FAIL") == len(failures)
