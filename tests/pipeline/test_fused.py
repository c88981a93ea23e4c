"""A full run in two passes: the result is that of the four calls, whatever happens on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from jobforge import PipelineConfig, PipelineEngine, deduplicate, expect, keep, trim
from jobforge.errors import JobforgeError, MalformedSourceError
from jobforge.pipeline import lineage, passes
from jobforge.pipeline.footer import read_footer
from jobforge.pipeline.passes import Part
from jobforge.pipeline.splicing import Splice
from jobforge.readers.csv import CsvOptions

SCHEMA = {"rename": {"Order ID": "id"}, "cast": {"id": "Int64", "quantity": "Int32"}}
LAYERS = ("staged", "bronze", "silver", "gold")
VOLATILE = ("_batch_id", "_ingested_at")


def money(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(gross=pl.col("quantity") * 3)


def dear(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.filter(pl.col("gross") > 6)


def by_kind(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("kind").agg(pl.col("gross").sum()).sort("kind")


SILVER: list[Any] = [
    trim("kind"),
    expect("positive", pl.col("quantity") > 0),
    keep("known", pl.col("kind") != "x"),
    deduplicate("id"),
]


def orders(rows: int, *, bad: str = "") -> str:
    lines = [
        f"{n % (rows - rows // 50) if n != 7 else 'seven'},{n % 9}, {'abx'[n % 3]} ,"
        f'"note ""{n}"",\nand more of it, so that the file is large enough to be read on trust"'
        for n in range(rows)
    ]
    return "Order ID,quantity,kind,note\n" + "\n".join(lines) + bad + "\n"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is proven while it is read."""
    path = tmp_path_factory.mktemp("in") / "large.csv"
    path.write_text(orders(100_000))
    assert path.stat().st_size > 8 << 20
    return path


def outcome(root: Path, batch: str) -> list[dict[str, Any]]:
    """What the records say of a batch, without names and times."""
    record = lineage.known(PipelineConfig(root), batch)
    return [
        log.model_dump(
            mode="json",
            include={
                "target_layer", "status", "row_count_in", "row_count_out", "account", "rules",
                "notes", "table_version", "source_files", "transforms_applied", "contract",
                "contents",
            },
        )
        | {"errors": [(error.code, error.message) for error in log.errors]}
        | {"quarantined": log.quarantine_file is not None, "edges": log.edges_file is not None}
        for log in record.transitions
    ]  # fmt: skip


def files(root: Path) -> dict[str, pl.DataFrame]:
    found = {}
    for path in sorted(root.rglob("*.parquet")):
        frame = pl.read_parquet(path, glob=False)
        parts = path.relative_to(root).parts
        found["/".join(part for part in parts[:-1] if part != "default")] = frame.drop(
            [name for name in VOLATILE if name in frame.columns]
        )
    return found


def both(tmp_path: Path, source: Path, *, fails: bool = False, **options: Any) -> tuple[Path, Path]:
    """The same run in two passes and in four; they give the same, errors included."""
    told: list[tuple[Any, Any]] = []
    for name, fused in (("two", True), ("four", False)):
        root = tmp_path / name
        engine = PipelineEngine(PipelineConfig(root, fused=fused))
        try:
            batch = engine.run_full_pipeline(source, "t", **options)["batch_id"]
            told.append((batch, None))
        except JobforgeError as error:
            told.append((error.place.get("batch"), (type(error), error.message)))
    assert told[0][1] == told[1][1]
    assert (told[0][1] is not None) is fails
    two, four = tmp_path / "two", tmp_path / "four"
    if told[0][0] is not None:
        assert outcome(two, told[0][0]) == outcome(four, told[1][0])
    ours, theirs = files(two), files(four)
    assert list(ours) == list(theirs)
    for name, frame in ours.items():
        assert_frame_equal(frame, theirs[name], check_exact=True)
    assert not [path for path in two.rglob("*") if path.name.endswith(".tmp")]
    assert not list((two / "catalog" / "running").iterdir())
    return two, four


@pytest.mark.parametrize("gold", [[], [money], [money, dear], [money, by_kind]])
def test_two_passes_give_what_four_give(tmp_path: Path, large: Path, gold: list[Any]) -> None:
    two, _ = both(
        tmp_path, large, bronze_schema=SCHEMA, silver_transforms=SILVER, gold_transforms=gold
    )
    sha256 = hashlib.sha256(large.read_bytes()).hexdigest()
    for path in two.rglob("*.parquet"):
        assert [source.sha256 for source in read_footer(path).sources] == [sha256]


def test_a_pass_is_shared(tmp_path: Path, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass scans one source, once."""
    plans = []
    closed: set[int] = set()

    def watched(parts: Any) -> Any:
        closed.add(parts[1].target.parent.stat().st_mode & 0o777)
        frames = [frame for part in parts for frame in (*part.sinks(), *part.small())]
        plans.append((len(parts), pl.explain_all(frames)))
        return compute(parts)

    compute = passes.compute
    monkeypatch.setattr("jobforge.pipeline.writing.compute", watched)
    PipelineEngine(PipelineConfig(tmp_path / "root")).run_full_pipeline(
        large, "t", bronze_schema=SCHEMA, silver_transforms=SILVER, gold_transforms=[money]
    )
    assert [parts for parts, _ in plans] == [2, 2]
    assert closed == {0o700}
    assert plans[0][1].count("Csv SCAN") == 1
    assert plans[1][1].count("Parquet SCAN") == 1


def boom(frame: pl.LazyFrame) -> pl.LazyFrame:
    def raising(_: pl.Series) -> pl.Series:
        raise ValueError("no such luck")

    return frame.with_columns(pl.col("id").map_batches(raising, return_dtype=pl.Int64))


def absent(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.select("nothing like it")


@pytest.mark.parametrize(
    "options",
    [
        {"gold_transforms": [money, boom]},
        {"gold_transforms": [absent]},
        {"silver_transforms": [boom], "gold_transforms": [money]},
        {"gold_transforms": [expect("none", pl.col("id") < 0, on_fail="fail")]},
        {"bronze_schema": {"cast": {"note": "Int64"}}},
        {"bronze_schema": {"cast": {"nothing": "Int64"}}},
        {"bronze_schema": {"cast": {"kind": "Date"}}, "silver_transforms": None},
    ],
)
def test_what_fails_fails_as_in_four_passes(
    tmp_path: Path, large: Path, options: dict[str, Any]
) -> None:
    both(
        tmp_path,
        large,
        fails=True,
        **{"bronze_schema": SCHEMA, "silver_transforms": SILVER, **options},
    )


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ("\n1,2,3", MalformedSourceError),  # short: Polars pads it without a word
        ("\n1,2,3,4,5", MalformedSourceError),  # long: Polars raises
        ('\n1,2,3,"open', MalformedSourceError),
        ("\n\n1,2,3,4", None),  # a blank line: read record by record
        ("\r\n1,2,3,4\r\n5,6,7,8", None),
        ("\n\n\n", None),
    ],
)
def test_trust_in_a_large_file_is_proven(
    tmp_path: Path, bad: str, error: type[JobforgeError] | None
) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(orders(100_000, bad=bad).encode())
    two, _ = both(tmp_path, source, fails=error is not None, bronze_schema=SCHEMA)
    found = sorted((two / "staged" / "default" / "t").glob("*.parquet")) if error is None else []
    assert bool(found) is (error is None)
    if found:
        by_records = pl.read_csv(source, infer_schema=False, quote_char='"')
        data = pl.read_parquet(found[0]).select(by_records.columns)
        assert data.height == by_records.filter(~pl.all_horizontal(pl.all().is_null())).height


def test_a_bad_record_of_a_large_file_goes_to_quarantine(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(orders(100_000, bad="\n1,2,3"))
    two, _ = both(tmp_path, source, bronze_schema=SCHEMA, read=CsvOptions(bad_rows="quarantine"))
    (rejects,) = (two / "quarantine" / "staged").rglob("*.parquet")
    assert pl.read_parquet(rejects)["_raw"].to_list() == ["1,2,3"]


def test_many_large_files_are_one_batch(tmp_path: Path, large: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_bytes(large.read_bytes())
    with (folder / "b.csv").open("a") as file:
        file.write("9,1,a,last\n")
    both(tmp_path, folder, bronze_schema=SCHEMA, silver_transforms=SILVER, gold_transforms=[money])


def test_a_reference_is_read_when_gold_has_its_turn(tmp_path: Path, large: Path) -> None:
    from jobforge import references

    gold = [money, references("kind", pl.DataFrame({"kind": ["a"]}))]
    both(tmp_path, large, bronze_schema=SCHEMA, silver_transforms=SILVER, gold_transforms=gold)


def tripled(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Another name for a column of silver, and another value under its name."""
    return frame.with_columns(amount=pl.col("quantity"), quantity=pl.col("quantity") * 3)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool, set[str]]]:
    """Layers that were put together: where the columns are from, whether they fit, which."""
    seen = []
    into = Splice.into

    def watched(self: Splice, target: Path, schema: pl.Schema, metadata: dict[str, str]) -> bool:
        fits = into(self, target, schema, metadata)
        seen.append((str(read_footer(self.base).layer), fits, set(self.kept)))
        return fits

    monkeypatch.setattr(Splice, "into", watched)
    monkeypatch.setattr("jobforge.pipeline.splicing._WORTH", 0)
    return seen


Joined = list[tuple[str, bool, set[str]]]


def test_columns_are_encoded_once(tmp_path: Path, large: Path, joined: Joined) -> None:
    """Those that bronze has of staged, and gold of silver, under any name."""
    two, _ = both(
        tmp_path, large, bronze_schema=SCHEMA, silver_transforms=SILVER, gold_transforms=[tripled]
    )
    constant = {"_source_file", "_batch_id"}
    assert joined == [
        ("staged", True, {"kind", "note", *constant}),
        ("silver", True, {"id", "kind", "note", "amount", *constant}),
    ]
    (gold,) = (two / "gold").rglob("*.parquet")
    (silver,) = (two / "silver").rglob("*.parquet")
    columns = [pq.read_metadata(path).row_group(0) for path in (gold, silver)]
    sizes = [
        {c["path_in_schema"]: c["total_compressed_size"] for c in group.to_dict()["columns"]}
        for group in columns
    ]
    assert sizes[0]["amount"] == sizes[1]["quantity"]
    found = duckdb.read_parquet(str(gold)).aggregate("sum(amount), count(note)").fetchall()
    frame = pl.read_parquet(silver, glob=False)
    assert found == frame.select(pl.sum("quantity"), pl.count("note")).rows()


def test_rows_that_leave_bronze_leave_the_columns_that_it_has_of_staged(
    tmp_path: Path, large: Path, joined: Joined
) -> None:
    """In some row groups all over the file, and in others not at all."""
    source = tmp_path / "in.csv"
    lines = large.read_text().split(",0,")
    source.write_text(",none,".join([",0,".join(lines[:9_000]), *lines[9_000:]]))
    both(tmp_path, source, bronze_schema=SCHEMA, silver_transforms=SILVER, gold_transforms=[money])
    assert [(base, fits) for base, fits, _ in joined] == [("staged", True), ("silver", True)]


@pytest.mark.parametrize("fits", [True, False])
def test_a_file_that_is_cut_or_ordered_otherwise(
    tmp_path: Path, large: Path, joined: Joined, monkeypatch: pytest.MonkeyPatch, *, fits: bool
) -> None:
    """Other row groups are mended; rows in another order make the layer take its own pass."""
    written = Part.sinks

    def cut(self: Part) -> list[pl.LazyFrame]:
        frames = written(self)
        if self.kept:
            rows = self.work.frame.drop(list(self.kept))
            at = 1 if self.rejects is not None else 0
            frames[at] = (rows if fits else rows.reverse()).sink_parquet(
                self.target,
                row_group_size=10_000,
                metadata=self.work.footer.metadata(),
                lazy=True,
            )
        return frames

    monkeypatch.setattr(Part, "sinks", cut)
    both(tmp_path, large, bronze_schema=SCHEMA, silver_transforms=SILVER, gold_transforms=[money])
    assert [entry[:2] for entry in joined] == [("staged", fits), ("silver", fits)]


def test_rows_in_another_order_are_not_put_together(tmp_path: Path) -> None:
    """Whatever a plan seemed to say: the encoded record numbers have to be the same."""
    rows = pl.DataFrame({"_source_row": [1, 2, 3], "_source_file": ["f"] * 3, "a": ["x", "y", "z"]})
    base, rest, whole = tmp_path / "base", tmp_path / "rest", tmp_path / "whole"
    rows.write_parquet(base)
    for order, fits in (([0, 1, 2], True), ([0, 2], True), ([1, 0, 2], False)):
        own = rows[order].select("_source_row", b=pl.col("_source_row") * 2)
        own.write_parquet(rest)
        schema = pl.Schema({"a": pl.String, "b": pl.Int64, "_source_row": pl.Int64})
        splice = Splice(rest, base, {"a": "a", "_source_file": "_source_file"}, tmp_path)
        assert splice.into(whole, schema, {}) is fits
        assert whole.exists() is fits
        if fits:
            found = pl.read_parquet(whole, glob=False)
            expected = rows[order].select("a", b=pl.col("_source_row") * 2, c="_source_row")
            assert_frame_equal(found, expected.rename({"c": "_source_row"}))
            whole.unlink()


GOLD: dict[str, Any] = {
    "derive": lambda lf: lf.with_columns(double=pl.col("quantity") * 2),
    "another name": lambda lf: lf.rename({"kind": "sort"}, strict=False),
    "exchange": lambda lf: (
        lf.with_columns(kind="note", note="kind") if "kind" in lf.collect_schema() else lf
    ),
    "fewer columns": lambda lf: lf.drop("note", strict=False),
    "change": lambda lf: lf.with_columns(pl.col("note").str.to_uppercase()),
    "order": lambda lf: lf.sort("id", descending=True, maintain_order=True),
    "fewer rows": lambda lf: lf.filter(pl.col("quantity") > 4),
    "python": lambda lf: lf.with_columns(
        pl.col("quantity").map_batches(lambda s: s + 1, return_dtype=pl.Int32)
    ),
    "provenance": lambda lf: lf.with_columns(_source_row=pl.lit(None, pl.Int64)),
}
CELL = st.sampled_from(["1", "2", "3", "5", "8", "", "x"])
RECORD = st.tuples(CELL, CELL, st.sampled_from(["a", " b", "x", ""]), st.text("ab ", max_size=3))


@settings(max_examples=25)
@given(
    records=st.lists(RECORD, min_size=1, max_size=30),
    gold=st.lists(st.sampled_from(list(GOLD)), max_size=3),
    casts=st.sets(st.sampled_from(["id", "quantity"])),
)
def test_any_run_in_two_passes_is_the_run_in_four(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[tuple[str, ...]],
    gold: list[str],
    casts: set[str],
) -> None:
    folder = tmp_path_factory.mktemp("run")
    source = folder / "in.csv"
    lines = ["id,quantity,kind,note", *(",".join(record) for record in records)]
    source.write_text("\n".join(lines) + "\n")
    told: list[Any] = []
    for fused in (True, False):
        engine = PipelineEngine(PipelineConfig(folder / str(fused), fused=fused))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jobforge.pipeline.splicing._WORTH", 0)
            try:
                run = engine.run_full_pipeline(
                    source,
                    "t",
                    bronze_schema={"cast": dict.fromkeys(sorted(casts), "Int32")},
                    silver_transforms=[trim("kind"), keep("known", pl.col("kind") != "x")],
                    gold_transforms=[GOLD[name] for name in gold],
                )
            except JobforgeError as error:
                told.append((type(error), error.message))
            else:
                told.append(outcome(folder / str(fused), run["batch_id"]))
    assert told[0] == told[1]
    ours, theirs = files(folder / "True"), files(folder / "False")
    assert list(ours) == list(theirs)
    for name, frame in ours.items():
        assert_frame_equal(frame, theirs[name], check_exact=True)
