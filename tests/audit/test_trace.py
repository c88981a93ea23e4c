"""From a row to its source records and back, against a plain recomputation that carries ids."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from jobforge import PipelineConfig, PipelineEngine, deduplicate, expect, keep, trim
from jobforge.errors import CastRejectedError, TableNotFoundError
from jobforge.pipeline import events, query
from jobforge.pipeline.audit.traced import RecordImpact, RowTrace

Id = tuple[int, int]
"""Number of the batch, number of the record."""
Row = dict[str, Any]


def no_south(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.filter(pl.col("region").ne_missing("south"))


def doubled(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(twice=pl.col("n") * 2)


def split(frame: pl.LazyFrame) -> pl.LazyFrame:
    more = pl.col("n") + 4
    return frame.with_columns(pl.concat_list("n", more)).explode("n")


def totals(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("region").agg(pl.col("n").sum(), rows=pl.len())


def rich(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.filter(pl.col("n") > 5).group_by("region").agg(pl.col("n").sum(), rows=pl.len())


@dataclass
class Naive:
    """The same pipeline, row by row, each with the ids of its records."""

    rows: list[tuple[Row, set[Id]]] = field(default_factory=list)
    fates: dict[Id, tuple[str, str]] = field(default_factory=dict)
    """Layer and step where the last row of a record left."""
    left: dict[Id, int] = field(default_factory=dict)
    """How many rows of a record left where a step had made several of it."""

    def leave(self, layer: str, step: str, stays: Callable[[Row], bool]) -> None:
        staying = [(row, ids) for row, ids in self.rows if stays(row)]
        there = set[Id]().union(*(ids for _, ids in staying))
        for row, ids in self.rows:
            if not stays(row):
                self.fates |= dict.fromkeys(ids - there, (layer, step))
                self.left |= {key: self.left.get(key, 0) + 1 for key in ids & there}
        self.rows = staying


def number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdecimal() else None


def fits(name: str, row: Row) -> bool:
    return row[name] is None or number(row[name]) is not None


@dataclass(frozen=True)
class Pipeline:
    """Steps, each as jobforge takes it and as plain Python does it."""

    silver: tuple[str, ...]
    gold: str

    def steps(self) -> tuple[list[Any], list[Any], list[str]]:
        known: dict[str, Any] = {
            "trim": trim("region"),
            "expect": expect("positive", pl.col("n") > 0),
            "keep": keep("small", pl.col("n") < 9),
            "function": no_south,
            "first": deduplicate("id"),
            "last": deduplicate("id", keep="last"),
        }
        gold: dict[str, list[Any]] = {
            "none": [], "derive": [doubled], "group": [totals], "part": [rich],
            "split": [split, expect("low", pl.col("n") < 9)],
            "split group": [split, expect("low", pl.col("n") < 9), totals],
        }  # fmt: skip
        grain = ["region"] if self.gold in {"group", "part", "split group"} else []
        return [known[name] for name in self.silver], gold[self.gold], grain

    def naive(self, batch: int, source: list[list[str]]) -> Naive:
        """What becomes of each record."""
        made = Naive()
        for at, (key, region, n) in enumerate(source, start=1):
            row: Row = {"id": key or None, "region": region or None, "n": n or None}
            made.rows.append((row, {(batch, at)}))
        for name in ("id", "n"):
            made.leave("bronze", f"cast:{name}", partial(fits, name))
        made.rows = [
            ({**row, "id": number(row["id"]), "n": number(row["n"])}, ids) for row, ids in made.rows
        ]
        for name in self.silver:
            self._silver(made, name)
        if self.gold == "derive":
            made.rows = [
                ({**row, "twice": None if row["n"] is None else row["n"] * 2}, ids)
                for row, ids in made.rows
            ]
        elif self.gold.startswith("split"):
            made.rows = [
                ({**row, "n": None if row["n"] is None else row["n"] + more}, ids)
                for row, ids in made.rows
                for more in (0, 4)
            ]
            made.leave("gold", "low", lambda row: row["n"] is not None and row["n"] < 9)
        if self.gold in {"group", "part", "split group"}:
            self._groups(made)
        return made

    def _silver(self, made: Naive, name: str) -> None:
        if name == "trim":
            for row, _ in made.rows:
                row["region"] = row["region"].strip() if row["region"] is not None else None
        elif name == "expect":
            made.leave("silver", "positive", lambda row: row["n"] is not None and row["n"] > 0)
        elif name == "keep":
            made.leave("silver", "small", lambda row: row["n"] is not None and row["n"] < 9)
        elif name == "function":
            made.leave("silver", "no_south", lambda row: row["region"] != "south")
        else:
            chosen: dict[int, Row] = {}
            for row, _ in made.rows:
                if row["id"] is not None and (name == "last" or row["id"] not in chosen):
                    chosen[row["id"]] = row
            made.leave("silver", "deduplicate:id", lambda row: chosen.get(row["id"], row) is row)

    def _groups(self, made: Naive) -> None:
        groups: dict[str | None, list[tuple[Row, set[Id]]]] = defaultdict(list)
        for row, ids in made.rows:
            groups[row["region"]].append((row, ids))
        made.rows = []
        for region, members in groups.items():
            ids = set().union(*(ids for _, ids in members))
            counted = [row["n"] for row, _ in members]
            if self.gold == "part":
                counted = [n for n in counted if n is not None and n > 5]
            if not counted:
                made.fates |= dict.fromkeys(ids, ("gold", "rich"))
                continue
            total = {"region": region, "n": sum(n or 0 for n in counted), "rows": len(counted)}
            made.rows.append((total, ids))


CELLS = st.tuples(
    st.sampled_from(["1", "2", "3", "4", "x", ""]),
    st.sampled_from(["north", " north", "south", "so\nuth", '"east"', ""]),
    st.sampled_from(["-1", "0", "1", "5", "7", "8", "12", "1.5", ""]),
).map(list)
SOURCES = st.lists(CELLS, min_size=1, max_size=12)
PIPELINES = st.builds(
    Pipeline,
    st.lists(
        st.sampled_from(["trim", "expect", "keep", "function", "first", "last"]),
        max_size=4,
        unique_by=lambda name: "dedupe" if name in {"first", "last"} else name,
    ).map(tuple),
    st.sampled_from(["none", "derive", "group", "part", "split", "split group"]),
)


@settings(max_examples=40)
@given(PIPELINES, st.lists(SOURCES, min_size=1, max_size=3))
def test_trace_and_impact_are_each_others_inverse(
    pipeline: Pipeline, sources: list[list[list[str]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, events.silent():
        check(Path(folder), pipeline, sources)


def check(folder: Path, pipeline: Pipeline, sources: list[list[list[str]]]) -> None:
    engine = PipelineEngine(PipelineConfig(folder / "data"))
    silver, gold, grain = pipeline.steps()
    batches: list[str] = []
    made = []
    for at, source in enumerate(sources):
        path = folder / f"in{at}" / "t.csv"
        path.parent.mkdir()
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["id", "region", "n"], *source])
        made.append(pipeline.naive(at, source))
        try:
            engine.run_full_pipeline(
                path, "t", bronze_schema={"cast": {"id": "Int64", "n": "Int64"}},
                silver_transforms=silver, gold_transforms=gold, grain=grain, load="append",
            )  # fmt: skip
        except CastRejectedError:  # no row survived them, and nothing is published
            assert not made[-1].rows
        batches.append(engine_batches(engine)[-1])
    reached: dict[Id, list[Row]] = defaultdict(list)
    count = 0
    for found in all_traces(engine):
        count += 1
        row, ids = traced(found, batches, sources)
        assert (row, ids) in made[batches.index(found.row.batch_id)].rows
        for key in ids:
            reached[key].append(row)
    assert count == sum(len(naive.rows) for naive in made)
    for at, source in enumerate(sources):
        for place in range(1, len(source) + 1):
            (record,) = engine.impact("t.csv", record=place, batch_id=batches[at]).records
            assert_fate(record, made[at], (at, place), reached[at, place])


def engine_batches(engine: PipelineEngine) -> list[str]:
    """Oldest first."""
    return [record.batch_id for record in query.batches(engine.config)]


def all_traces(engine: PipelineEngine) -> list[RowTrace]:
    try:
        rows = engine.read("t").collect().height
    except TableNotFoundError:  # no batch came to gold
        return []
    return [
        found
        for position in range(1, rows + 1)
        for found in engine.trace("t", row=position, records=None).rows
    ]


def traced(
    found: RowTrace, batches: list[str], sources: list[list[list[str]]]
) -> tuple[Row, set[Id]]:
    """A row and its records, each of which is looked at in its file."""
    assert found.row.values is not None
    assert found.records == len(found.traces)
    ids = set()
    for trace in found.traces:
        batch = batches.index(trace.name.batch_id)
        ids.add((batch, trace.name.source_row))
        wanted = sources[batch][trace.name.source_row - 1]
        assert trace.source.raw is not None
        assert next(csv.reader(io.StringIO(trace.source.raw, newline=""))) == wanted
        before = sum(
            1 + "".join(cells).count("\n") for cells in sources[batch][: trace.name.source_row - 1]
        )
        assert trace.source.first_line == 2 + before
        staged = trace.layers[-1]
        assert str(staged.layer) == "staged"
        assert [staged.values[name] or "" for name in ("id", "region", "n")] == wanted  # type: ignore[index] # it is there
    values = {name: v for name, v in found.row.values.items() if not name.startswith("_")}
    return values, ids


def assert_fate(found: RecordImpact, naive: Naive, key: Id, rows: list[Row]) -> None:
    last = found.layers[-1]
    if key in naive.fates:
        layer, step = naive.fates[key]
        assert str(last.layer) == layer
        assert step in last.by
        assert last.fate not in {"row", "aggregated", "unknown"}
        assert rows == []
        assert last.left == ()
        return
    assert str(last.layer) == "gold"
    assert last.current
    told = [(left.by, left.rows) for left in last.left]
    assert told == ([(("low",), naive.left[key])] if key in naive.left else [])
    if last.fate == "row":
        assert last.rows == len(rows) >= 1
    else:
        assert last.fate == "aggregated"
        assert [dict(k) for k in last.keys] == [{"region": row["region"]} for row in rows]
