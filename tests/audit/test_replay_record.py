"""A record that says what is not so is told, and what nobody can help is not called different."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import InvalidOptionError, JobforgeError, TableDamagedError
from jobforge.pipeline.audit.replay import replay
from jobforge.pipeline.content import contents_of
from jobforge.pipeline.models import ErrorRecord, TransitionStatus
from replay_support import (
    DIFFERS,
    IDENTICAL,
    NOT_PROVABLE,
    ORDERS,
    SILVER,
    by_kind,
    edited,
    layers,
    orders,
    rewritten,
)
from support import debris, files_below, write_csv


class Switch:
    """What a step does beside its work: nothing, until a test says so."""

    raises: BaseException | None = None


def switched(lf: pl.LazyFrame) -> pl.LazyFrame:
    if Switch.raises is not None:
        raise Switch.raises
    return lf


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda error: monkeypatch.setattr(Switch, "raises", error)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"row_count_in": 5}, "5 rows in are recorded, and 199 counted now"),
        ({"row_count_out": None}, "no rows out are recorded"),
        ({"status": TransitionStatus.SUCCESS}, "recorded as success, and is partial now"),
        ({"account": None}, "the row account is another one"),
        ({"rules": ()}, "the rules count other rows"),
    ],
)
def test_a_log_that_says_other_numbers_differs(
    engine: PipelineEngine, tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER)
    edited(engine.config, ran["batch_id"], "silver", **fields)
    found = layers(replay(engine.config, ran["batch_id"]))["silver"]
    assert found.verdict is DIFFERS, found
    assert words in "; ".join(found.reasons)


def test_an_account_is_excused_only_where_the_process_died(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER)[
        "batch_id"
    ]
    for code, verdict in (("JF305", DIFFERS), ("JF408", IDENTICAL)):
        error = ErrorRecord(code=code, kind="", message="", hint="", place={})
        fields = {"account": None, "rules": (), "row_count_out": None}
        failed = TransitionStatus.FAILED
        edited(engine.config, batch, "silver", status=failed, errors=(error,), **fields)
        assert layers(replay(engine.config, batch))["silver"].verdict is verdict


def doubled(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(pl.col("v") * 2)


def total(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(total=pl.col("v").sum())


def by_k(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.group_by("k").agg(pl.col("v").cast(pl.Float64).mean())


@pytest.mark.parametrize(
    ("step", "layer", "kind", "factor", "verdict"),
    [
        (doubled, "silver", "Float64", 1 + 2**-52, DIFFERS),
        (doubled, "silver", "Float64", 1 + 3e-10, DIFFERS),
        (total, "silver", "Float64", 1 + 2**-52, NOT_PROVABLE),
        (total, "silver", "Float64", 1 + 4 * 2**-52, NOT_PROVABLE),
        (total, "silver", "Float64", 1 + 3e-10, DIFFERS),
        (total, "silver", "Float32", 1 + 2**-23, NOT_PROVABLE),
        (total, "silver", "Float32", 1 + 1e-5, DIFFERS),
        (by_k, "gold", "Int64", 1 + 2**-52, NOT_PROVABLE),
        (by_k, "gold", "Int64", 1 + 1e-10, DIFFERS),
    ],
)
def test_last_bits_are_those_that_adding_the_rows_can_change(
    engine: PipelineEngine,
    tmp_path: Path,
    step: Any,
    layer: str,
    kind: str,
    factor: float,
    verdict: Any,
) -> None:
    lines = [["k", "v"], *([str(n % 2), str(1_048_577 + n)] for n in range(6))]
    source, steps = write_csv(tmp_path / "t.csv", lines), {f"{layer}_transforms": [step]}
    ran: dict[str, Any] = dict(
        engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"v": kind}}, **steps)  # type: ignore[arg-type] # one keyword of two
    )
    path, column = ran[f"{layer}_path"], "total" if step is total else "v"
    frame = pl.read_parquet(path)
    moved = frame.with_columns((pl.col(column) * factor).cast(frame.schema[column]))
    assert not moved.equals(frame)
    rewritten(engine.config, ran["batch_id"], layer, path, moved)
    contents = contents_of(moved.lazy(), by_record=layer == "silver")
    edited(engine.config, ran["batch_id"], layer, contents=contents)
    found = layers(replay(engine.config, ran["batch_id"]))[layer]
    assert found.verdict is verdict, found


def test_a_step_that_ends_the_process_does_not_end_the_replay(
    engine: PipelineEngine, tmp_path: Path, raising: Any
) -> None:
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[switched])[
        "batch_id"
    ]
    raising(SystemExit(0))
    found = layers(replay(engine.config, batch))["silver"]
    assert found.verdict is DIFFERS
    assert "is refused now: JF402 a step ended the process: SystemExit: 0" in found.reasons[0]


@pytest.mark.parametrize("discreet", [False, True])
def test_too_little_memory_proves_nothing(
    engine: PipelineEngine, tmp_path: Path, raising: Any, *, discreet: bool
) -> None:
    schema: Any = {"cast": {}}
    if discreet:
        from jobforge import Column, Contract

        schema = Contract({"kind": Column(pl.String, pii="name")})
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", schema, [switched])[
        "batch_id"
    ]
    raising(MemoryError())
    found = layers(replay(engine.config, batch))["silver"]
    assert found.verdict is NOT_PROVABLE
    assert "this machine has too little memory for it" in found.reasons[0]
    with pytest.raises(JobforgeError) as stopped:
        engine.run_full_pipeline(orders(tmp_path), "orders", "sales", schema, [switched])
    raising(None)
    again = replay(engine.config, str(stopped.value.place["batch"]))
    assert again.verdict is IDENTICAL
    assert "was not stopped by its rows (JF402)" in again.notes[0]


def test_an_interrupt_ends_a_replay_and_leaves_nothing(
    engine: PipelineEngine, tmp_path: Path, raising: Any
) -> None:
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[switched])[
        "batch_id"
    ]
    before = files_below(engine.config.data_root)
    raising(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        replay(engine.config, batch)
    assert files_below(engine.config.data_root) == before
    assert not debris(engine.config.data_root)


def test_a_replay_is_not_kept_in_the_data_root(engine: PipelineEngine, tmp_path: Path) -> None:
    batch = engine.run_full_pipeline(orders(tmp_path), "orders")["batch_id"]
    root = engine.config.data_root
    before = files_below(root)
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    for into in (root / "gold/kept", root / "kept", tmp_path / "link/kept"):
        with pytest.raises(InvalidOptionError, match="is in the data root"):
            replay(engine.config, batch, into=into)
    assert files_below(root) == before
    assert engine.verify().sound


def test_files_are_named_only_where_they_are_kept(engine: PipelineEngine, tmp_path: Path) -> None:
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[switched])[
        "batch_id"
    ]
    found = replay(engine.config, batch)
    assert [layer.file for layer in found.layers] == [None] * 4
    assert str(tmp_path) not in found.model_dump_json()
    kept = replay(engine.config, batch, into=tmp_path / "kept")
    assert all(Path(str(layer.file)).is_file() for layer in kept.layers[1:])


@pytest.mark.parametrize("kind", ["quarantine", "edges", "groups"])
def test_a_damaged_file_is_named(engine: PipelineEngine, tmp_path: Path, kind: str) -> None:
    ran = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, SILVER, [by_kind], grain=["kind"]
    )
    log = ran["logs"][3 if kind == "groups" else 2]
    file = str(
        {"quarantine": log.quarantine_file, "edges": log.edges_file}.get(kind, log.groups_file)
    )
    path = engine.config.data_root / file
    data = bytearray(path.read_bytes())
    for damaged in (b"no Parquet", bytes(data[: len(data) // 2]), _scratched(data)):
        path.write_bytes(damaged)
        with pytest.raises(TableDamagedError, match="cannot be read") as told:
            replay(engine.config, ran["batch_id"], modules=[sys.modules[__name__]])
        assert told.value.place["file"] == str(path)
        assert "restore it" in told.value.hint


def _scratched(data: bytearray) -> bytes:
    """The pages are damaged, and the footer reads."""
    return bytes(data[:4] + bytes(byte ^ 0xFF for byte in data[4:60]) + data[60:])


def test_two_replays_of_one_batch_say_the_same(tmp_path: Path) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "root"))
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER)
    edited(engine.config, ran["batch_id"], "silver", rules=())
    one, two = (replay(engine.config, ran["batch_id"]).model_dump_json() for _ in range(2))
    assert one == two
