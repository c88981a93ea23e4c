"""A cited figure is what plain Python computes, and rests on the records that Python counts."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobforge import Column, Contract, PipelineConfig, PipelineEngine, SourceRecord
from jobforge.errors import (
    InvalidConfigError,
    InvalidOptionError,
    InvalidQueryError,
    JobforgeError,
    RecordError,
    TableDamagedError,
    TableNotFoundError,
    UnknownColumnError,
    VersionNotFoundError,
    VersionRemovedError,
)
from jobforge.pipeline.audit.cite_functions import ROW_BY_ROW
from jobforge.pipeline.audit.cite_rows import chosen_rows
from jobforge.pipeline.audit.cite_statement import parse_statement
from jobforge.pipeline.config import Layer
from support import files_below, write_csv

CONTRACT = Contract({"n": Column(pl.Int64), "price": Column(pl.Decimal(12, 2))})
Cells = dict[str, Any]
Identity = tuple[str, str, int]
REGIONS = ["north", "south", "it's", None]


@dataclass(frozen=True)
class Row:
    """A row of a table, and the source records that it was made of."""

    cells: Cells
    records: frozenset[Identity]


def by_region(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("region").agg(pl.col("n").sum(), pl.col("price").sum())


def source_rows(random: Random, number: int) -> list[Cells]:
    return [
        {
            "region": random.choice(REGIONS),
            "n": random.choice([None, *range(-9, 10), 2**62]),
            "price": random.choice([None, *(Decimal(k) / 100 for k in range(0, 500, 7))]),
        }
        for _ in range(number)
    ]


def write(path: Path, rows: Sequence[Cells]) -> Path:
    lines = [["" if v is None else str(v) for v in row.values()] for row in rows]
    return write_csv(path, [["region", "n", "price"], *lines])


class Kept:
    """A root with tables of known rows: plain, appended to, rolled back, aggregated."""

    def __init__(self, folder: Path, seed: int, number: int = 40) -> None:
        self.folder = folder
        self.engine = PipelineEngine(PipelineConfig(folder / "data"))
        self.random = Random(seed)  # noqa: S311 - no secret
        self.versions: dict[tuple[str, int], list[Row]] = {}
        one = self.run("plain", number)
        two = self.run("plain", number // 2, load="append")
        self.versions["plain", 1], self.versions["plain", 2] = one, [*one, *two]
        self.engine.rollback("plain", "gold", 1)
        self.versions["plain", 3] = one
        self.engine.rollback("plain", "gold", 2)
        self.engine.compact("plain", "gold")
        self.versions["plain", 4] = self.versions["plain", 5] = [*one, *two]
        first = self.run("sums", number, grain=["region"])
        more = self.run("sums", number // 2, grain=["region"], load="append")
        self.versions["sums", 1], self.versions["sums", 2] = first, [*first, *more]
        self.engine.compact("sums", "gold")
        self.versions["sums", 3] = [*first, *more]

    def run(self, table: str, number: int, **options: Any) -> list[Row]:
        rows = source_rows(self.random, number)
        name = f"{table}{len(self.versions)}{len(files_below(self.folder))}.csv"
        path = write(self.folder / name, rows)
        gold = [by_region] if "grain" in options else None
        batch = self.engine.run_full_pipeline(
            path, table, "d", CONTRACT, gold_transforms=gold, **options
        )["batch_id"]
        made = [Row(c, frozenset({(batch, name, at)})) for at, c in enumerate(rows, start=1)]
        return grouped(made) if "grain" in options else made


def grouped(rows: Sequence[Row]) -> list[Row]:
    found = []
    for region in dict.fromkeys(row.cells["region"] for row in rows):
        own = [row for row in rows if row.cells["region"] == region]
        cells: Cells = {"region": region}
        for name in ("n", "price"):
            cells[name] = sum(row.cells[name] or 0 for row in own)
        if abs(cells["n"]) >= 2**63:  # Polars' own sum, in a function of the user's, wraps around
            cells["n"] = (cells["n"] + 2**63) % 2**64 - 2**63
        found.append(Row(cells, frozenset().union(*(row.records for row in own))))
    return found


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"), seed=7)


Truth = bool | None
Condition = tuple[str, Callable[[Cells], Truth]]
"""A condition as SQL, and as Python with three values."""


def negated(truth: Truth) -> Truth:
    return None if truth is None else not truth


def both(one: Truth, other: Truth) -> Truth:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def compared(name: str, sign: str, value: Any) -> Condition:
    tests: dict[str, Callable[[Any], bool]] = {
        "=": lambda cell: cell == value,
        "<>": lambda cell: cell != value,
        "<": lambda cell: cell < value,
        ">=": lambda cell: cell >= value,
    }
    text = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)

    def judge(cells: Cells) -> Truth:
        return None if cells[name] is None else tests[sign](cells[name])

    return f"{name} {sign} {text}", judge


def atoms() -> st.SearchStrategy[Condition]:
    signs = st.sampled_from(["=", "<>", "<", ">="])
    words = st.sampled_from(["north", "south", "it's", "FROM x WHERE", "a;b -- c"])

    def between(bounds: tuple[int, int]) -> Condition:
        low, high = bounds
        return (
            f'"n" BETWEEN {low} AND {high}',
            lambda c: None if c["n"] is None else low <= c["n"] <= high,
        )

    return st.one_of(
        st.builds(compared, st.just("region"), signs, words),
        st.builds(compared, st.just("n"), signs, st.integers(-12, 12)),
        st.builds(compared, st.just("price"), signs, st.sampled_from([Decimal("1.5"), Decimal(0)])),
        st.tuples(st.integers(-9, 0), st.integers(0, 9)).map(between),
        st.just(("region IS NULL", lambda c: c["region"] is None)),
        st.just(("price IS NOT NULL", lambda c: c["price"] is not None)),
        st.just(
            (
                "region LIKE '%th'",
                lambda c: None if c["region"] is None else c["region"].endswith("th"),
            )
        ),
        st.just(
            (
                "region IN ('it''s', 'south')",
                lambda c: None if c["region"] is None else c["region"] in ("it's", "south"),
            )
        ),
    )


def conditions() -> st.SearchStrategy[Condition]:
    def joined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        return st.one_of(
            st.tuples(inner, inner).map(
                lambda two: (
                    f"({two[0][0]} AND {two[1][0]})",
                    lambda c: both(two[0][1](c), two[1][1](c)),
                )
            ),
            st.tuples(inner, inner).map(
                lambda two: (
                    f"({two[0][0]}\n or {two[1][0]})",
                    lambda c: negated(both(negated(two[0][1](c)), negated(two[1][1](c)))),
                )
            ),
            inner.map(lambda one: (f"NOT ({one[0]})", lambda c: negated(one[1](c)))),
        )

    return st.recursive(atoms(), joined, max_leaves=5)


def cells_of(rows: Sequence[Row], name: str) -> list[Any]:
    return [row.cells[name] for row in rows if row.cells[name] is not None]


FIGURES: dict[str, Callable[[Sequence[Row]], Any]] = {
    "sum(n)": lambda rows: sum(cells_of(rows, "n")) if cells_of(rows, "n") else None,
    "SUM( price )": lambda rows: sum(cells_of(rows, "price")) if cells_of(rows, "price") else None,
    "count(*)": len,
    "count(region)": lambda rows: len(cells_of(rows, "region")),
    "count(DISTINCT region)": lambda rows: len(set(cells_of(rows, "region"))),
    'min("n")': lambda rows: min(cells_of(rows, "n"), default=None),
    "max(price)": lambda rows: max(cells_of(rows, "price"), default=None),
    "max(n) - min(n)": lambda rows: (
        max(cells_of(rows, "n")) - min(cells_of(rows, "n")) if cells_of(rows, "n") else None
    ),
    "count(*) - 9000": lambda rows: len(rows) - 9000,
    "-count(*) * 3000000000 * 3000000000": lambda rows: -len(rows) * 9 * 10**18,
    "max(length(region)) - 9": lambda rows: max(
        (len(cell) - 9 for cell in cells_of(rows, "region")), default=None
    ),
    "coalesce(sum(length(region) - 9), 0)": lambda rows: sum(
        len(cell) - 9 for cell in cells_of(rows, "region")
    ),
    "coalesce(sum(CAST(n AS BIGINT) * 2), 0)": lambda rows: 2 * sum(cells_of(rows, "n")),
    "coalesce(sum(n * 3::smallint), 0)": lambda rows: 3 * sum(cells_of(rows, "n")),
    "coalesce(sum(n > 3), 0) - 50": lambda rows: sum(c > 3 for c in cells_of(rows, "n")) - 50,
    "coalesce(sum(CASE WHEN n > 3 THEN 2000000000 ELSE -1 END), 0)": lambda rows: sum(
        2 * 10**9 if (row.cells["n"] or 0) > 3 else -1 for row in rows
    ),
}


def held(kept: Kept, data: st.DataObject) -> None:
    table, version = data.draw(st.sampled_from(sorted(kept.versions)))
    where = data.draw(st.none() | conditions())
    names = data.draw(st.lists(st.sampled_from(sorted(FIGURES)), min_size=1, max_size=3))
    address = data.draw(st.sampled_from([table, f"gold.{table}", f'GOLD."d/{table}"']))
    sql = " ".join(["select", ", ".join(names), "from", address])
    sql += f" where {where[0]}" if where else ""
    found = kept.engine.cite(sql, version=version)
    every = kept.versions[table, version]
    rows = [row for row in every if where is None or where[1](row.cells) is True]
    wanted = [FIGURES[name](rows) for name in names]
    assert [
        None if value.value is None else Decimal(value.value) for value in found.values
    ] == wanted
    records = frozenset[Identity]().union(*(row.records for row in rows))
    assert (found.rows, found.records, found.rows_without_records) == (len(rows), len(records), 0)
    assert {(s.batch_id, s.name): s.records for s in found.sources} == {
        (batch, name): sum(r[:2] == (batch, name) for r in records) for batch, name, _ in records
    }
    assert found.line().splitlines() == [found.line()]
    assert kept.engine.check_citation(found).differences == ()
    assert kept.engine.check_citation(found.line(), sql).differences == ()


@settings(max_examples=150)
@given(data=st.data())
def test_any_condition_gives_the_figure_and_the_records_of_plain_python(
    kept: Kept, data: st.DataObject
) -> None:
    held(kept, data)


@settings(max_examples=6)
@given(data=st.data(), seed=st.integers(0, 10**6), number=st.integers(2, 60))
def test_any_table_does(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, seed: int, number: int
) -> None:
    held(Kept(tmp_path_factory.mktemp("any"), seed, number), data)


def test_a_citation_says_what_it_rests_on(kept: Kept) -> None:
    found = kept.engine.cite("SELECT sum(price) FROM plain WHERE price >= 1", version=2)
    root = kept.engine.config.data_root
    assert (found.domain, found.table, found.layer, found.version) == ("d", "plain", "gold", 2)
    assert len(found.files) == 2
    for file in found.files:
        assert file.entry is not None
        text = (root / f"catalog/chain/{file.entry:08}.json").read_text()
        assert file.sha256 in text
        assert file.file in text
    for source in found.sources:
        line = subprocess.run(
            ["sha256sum", kept.folder / source.name],  # noqa: S607 - as an auditor does
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert line.split()[0] == source.sha256
    assert found.head == kept.engine.head()
    assert found.contents.rows == found.rows
    parts = found.line().split(" · ")
    assert parts[0] == f"sum(price) = {Decimal(str(found.values[0].value)):,}"
    assert parts[1] == "gold d/plain v2 where price >= 1"
    assert parts[2] == f"{found.rows} rows of {found.records} source records in 2 files"
    assert parts[3] == f"content sha256:{found.contents.hash[:16]}"


def test_the_hash_of_the_rows_is_theirs_in_any_file_and_order(kept: Kept) -> None:
    appended = kept.engine.cite("SELECT count(*) FROM plain", version=2)
    compacted = kept.engine.cite("SELECT count(*) FROM plain", version=5)
    other = kept.engine.cite("SELECT count(*) FROM plain WHERE n >= 0", version=5)
    assert appended.contents == compacted.contents != other.contents
    assert appended.files != compacted.files


def test_whole_numbers_do_not_wrap_around(tmp_path: Path) -> None:
    source = write_csv(
        tmp_path / "t.csv", [["small", "big"], ["100", str(2**63 - 1)], ["100", "1"]]
    )
    engine = PipelineEngine(PipelineConfig(tmp_path / "data"))
    engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"small": "Int8", "big": "Int64"}})
    found = engine.cite(
        "SELECT sum(big), sum(small * small), sum(small) FROM t WHERE small * 2 = 200"
    )
    assert [value.value for value in found.values] == [str(2**63), "20000", "200"]
    assert engine.cite("SELECT sum(big) FROM t WHERE small * small > 9999").rows == 2


def figure_of(asked: str) -> str:
    return f"SELECT {asked} FROM t"  # noqa: S608 - nothing but a test


@pytest.fixture
def bits(tmp_path: Path) -> PipelineEngine:
    rows = [
        ["north", "true", "2024-12-31", "1500000000"],
        ["n", "false", "2024-12-30", "1500000001"],
        ["south", "false", "2024-11-30", "1500000002"],
    ]
    source = write_csv(tmp_path / "t.csv", [["region", "paid", "day", "amount"], *rows])
    engine = PipelineEngine(PipelineConfig(tmp_path / "data"))
    cast = {"paid": "Boolean", "day": "Date", "amount": "Int32"}
    engine.run_full_pipeline(source, "t", bronze_schema={"cast": cast})
    return engine


@pytest.mark.parametrize(
    ("asked", "where", "wanted"),
    [
        ("sum(CAST(amount AS INTEGER))", "", 4500000003),
        ("sum(amount::int * 2)", "", 9000000006),
        ("max(CAST(amount AS BIGINT) * 10000000000)", "", 15000000020000000000),
        ("sum(CAST(paid AS TINYINT)) - 2", "", -1),
        ("sum(paid) - 2", "", -1),
        ("sum(CASE WHEN paid THEN 0 ELSE 2000000000 END)", "", 4000000000),
        ("sum(CASE WHEN paid THEN 0 ELSE 2000000000 END - 1)", "", 3999999997),
        ("sum(IF(paid, 0, 2000000000) * 2)", "", 8000000000),
        ("sum(extract(day FROM day) * 10)", "", 910),
        ("max(date_part('year', day)) - 3000", "", -976),
        ("max(strpos(region, 'o')) - 9", "", -7),
        ("(sum(amount) // 7) * 100000000000", "", 4500000003 // 7 * 10**11),
        ("count(DISTINCT region) - 5", "", -2),
        ("count(*)", "length(region) - 3 < 0", 1),
        ("count(*)", "extract(month FROM day) * 100 + extract(day FROM day) = 1231", 1),
        ("count(*)", "CASE WHEN paid THEN 2000000000 ELSE 1 END * 2 > 0", 3),
        ("count(*)", "length(region) IN (1, 5)", 3),
    ],
)
def test_whole_numbers_that_the_statement_makes_do_not_either(
    bits: PipelineEngine, asked: str, where: str, wanted: int
) -> None:
    (value,) = bits.cite(having(figure_of(asked), where)).values
    assert value.value == str(wanted)


@pytest.mark.parametrize(
    "asked",
    [
        "sum(paid + 1)", "sum(paid * 2000000000 * 2)", "sum(-paid)", "sum(1 - t.paid)",
        "sum((amount > 1) + 1)", "sum(starts_with(region, 'n') * 2)", "sum(amount IS NULL + 1)",
        "sum(amount IN (1, 2) + 1)", "sum(2 * (amount > 1))", "sum(amount::boolean + 1)",
        "sum(CASE WHEN paid THEN true ELSE false END + 1)", "sum(true + paid)",
        "max(pow(2, 40))", "pow(2, 40) + count(*)", "sum(9000000000000000000)",
        "abs(-2147483648) + count(*)", "sum(amount) // 7 * 100",
    ],
)  # fmt: skip
def test_what_may_have_wrapped_around_already_is_refused(bits: PipelineEngine, asked: str) -> None:
    said = "wraps around|to compute with|computes on"
    with pytest.raises(InvalidQueryError, match=said) as caught:
        bits.cite(figure_of(asked))
    assert caught.value.hint


def test_floats_are_the_same_each_time(tmp_path: Path) -> None:
    random = Random(3)  # noqa: S311 - no secret
    rows = [[repr(random.uniform(-1, 1) * 10 ** random.randint(-9, 9))] for _ in range(50_000)]
    engine = PipelineEngine(PipelineConfig(tmp_path / "data"))
    source = write_csv(tmp_path / "t.csv", [["x"], *rows])
    engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"x": "Float64"}})
    found = {engine.cite("SELECT sum(x), avg(x) FROM t WHERE x > -1e8").values for _ in range(5)}
    assert len(found) == 1


def test_an_aggregate_without_grain_names_its_batch_and_nothing_more(tmp_path: Path) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "data"))
    rows = source_rows(Random(1), 20)  # noqa: S311 - no secret
    source = write(tmp_path / "s.csv", rows)
    engine.run_full_pipeline(source, "t", bronze_schema=CONTRACT, gold_transforms=[by_region])
    found = engine.cite("SELECT sum(price) FROM t")
    assert found.records is None
    assert found.rows == found.rows_without_records
    assert [(s.name, s.records) for s in found.sources] == [("s.csv", None)]
    assert "of 1 batch with 1 file, records unknown" in found.line()
    assert engine.check_citation(found).holds
    engine.run_full_pipeline(
        source, "t", bronze_schema=CONTRACT, gold_transforms=[by_region], load="append",
        grain=["region"],
    )  # fmt: skip
    mixed = engine.cite("SELECT sum(price) FROM t")
    assert mixed.records == 20
    assert mixed.rows_without_records == found.rows
    assert f"records unknown for {found.rows} rows" in mixed.line()


def test_no_row_and_no_value_are_said(kept: Kept) -> None:
    none = kept.engine.cite("SELECT sum(n), count(*) FROM plain WHERE region = 'nowhere'")
    assert [value.value for value in none.values] == [None, "0"]
    assert (none.rows, none.records, none.sources) == (0, 0, ())
    assert "sum(n) = NULL, count(*) = 0" in none.line()
    assert "0 rows" in none.line()


def test_any_layer_version_and_time(kept: Kept) -> None:
    engine = kept.engine
    assert engine.cite("SELECT count(*) FROM silver.plain").layer is Layer.SILVER
    assert engine.cite("SELECT count(*) FROM bronze.plain WHERE _source_row < 3").rows > 0
    times = [v.about.published_at for v in engine.history("plain")]
    for number, at in enumerate(times, start=1):
        assert engine.cite("SELECT count(*) FROM plain", as_of=at).version == number
    with pytest.raises(VersionNotFoundError):
        engine.cite("SELECT count(*) FROM plain", as_of=times[0] - timedelta(days=1))
    with pytest.raises(VersionNotFoundError):
        engine.cite("SELECT count(*) FROM plain", version=99)
    with pytest.raises(InvalidOptionError, match="staged has no versions"):
        engine.cite("SELECT count(*) FROM staged.plain")


@pytest.mark.parametrize(
    ("sql", "kind", "said"),
    [
        ("", InvalidQueryError, "no statement"),
        (7, InvalidQueryError, "no statement"),
        (";", InvalidQueryError, "begins with"),
        ("DELETE FROM plain", InvalidQueryError, "nothing is changed"),
        ("DROP TABLE plain", InvalidQueryError, "nothing is changed"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", InvalidQueryError, "begins with 'WITH'"),
        ("SELECT sum(n) FROM plain; DROP TABLE plain", InvalidQueryError, "more than one"),
        ("SELECT sum(n)", InvalidQueryError, "names no table"),
        ("SELECT FROM plain", InvalidQueryError, "nothing is selected"),
        ("SELECT sum(n), FROM plain", InvalidQueryError, "nothing is selected"),
        ("SELECT * FROM plain", InvalidQueryError, "is no figure"),
        ("SELECT plain.* FROM plain", InvalidQueryError, "is no figure"),
        ("SELECT 42 FROM plain", InvalidQueryError, "names no column"),
        ("SELECT DISTINCT n FROM plain", InvalidQueryError, "DISTINCT"),
        ("SELECT TOP 1 n FROM plain", InvalidQueryError, "TOP"),
        ("SELECT sum(n) FROM plain GROUP BY region", InvalidQueryError, "GROUP"),
        ("SELECT sum(n) FROM plain p JOIN sums s ON 1 = 1", InvalidQueryError, "JOIN"),
        ("SELECT sum(n) FROM plain, sums", InvalidQueryError, "','"),
        ("SELECT sum(n) FROM plain LIMIT 3", InvalidQueryError, "LIMIT"),
        ("SELECT sum(n) FROM plain ORDER BY n", InvalidQueryError, "ORDER"),
        ("SELECT sum(n) FROM (SELECT n FROM plain)", InvalidQueryError, "SELECT"),
        ("SELECT sum(n) FROM plain WHERE n IN (SELECT 1)", InvalidQueryError, "SELECT"),
        ("SELECT sum(n) FROM plain WHERE n IN (VALUES (1))", InvalidQueryError, "VALUES"),
        ("SELECT sum(n) FROM plain WHERE EXISTS (TABLE plain)", InvalidQueryError, "EXISTS"),
        ("SELECT sum(n) FROM plain UNION SELECT 1", InvalidQueryError, "UNION"),
        ("SELECT sum(n) FILTER (WHERE n > 1) FROM plain", InvalidQueryError, "FILTER"),
        ("SELECT sum(n) OVER () FROM plain", InvalidQueryError, "OVER"),
        ("SELECT now() FROM plain", InvalidQueryError, "another value each time"),
        ("SELECT sum(n) FROM plain WHERE n = max(n)", InvalidQueryError, "aggregate max"),
        ("SELECT sum(n) FROM plain WHERE", InvalidQueryError, "no condition"),
        ("SELECT sum(n) FROM plain WHERE n > 1 WHERE n > 2", InvalidQueryError, "WHERE"),
        ("SELECT sum(n) WHERE n > 1 FROM plain", InvalidQueryError, "WHERE"),
        ("SELECT sum(n FROM plain", InvalidQueryError, "never closed"),
        ("SELECT sum(n)) FROM plain", InvalidQueryError, r"'\)'"),
        ("SELECT sum(n) -- FROM x\n FROM plain", InvalidQueryError, "comment"),
        ("SELECT sum(n) /* x */ FROM plain", InvalidQueryError, "comment"),
        ("SELECT sum(n) FROM plain WHERE region = 'x", InvalidQueryError, '"\'"'),
        ("SELECT sum(n) FROM plain WHERE region = $$x$$", InvalidQueryError, r"'\$'"),
        ("SELECT sum(n) FROM plain WHERE region = E'x'", InvalidQueryError, "follows at once"),
        ("SELECT sum(n) FROM plain WHERE n = 1e", InvalidQueryError, "follows at once"),
        ("SELECT sum(`n`) FROM plain", InvalidQueryError, "'`'"),
        ("SELECT sum(n) FROM a.b.c", InvalidQueryError, "more than a layer"),
        ("SELECT sum(n) FROM 'plain.csv'", InvalidQueryError, "behind FROM"),
        ("SELECT sum(n) FROM read_csv('/etc/hosts')", InvalidQueryError, "behind FROM"),
        ("SELECT n FROM plain", InvalidQueryError, "40 rows"),
        ("SELECT n FROM plain WHERE region = 'nowhere'", InvalidQueryError, "no row"),
        ("SELECT nosuch(n) FROM plain", InvalidQueryError, "nosuch"),
        ("SELECT sum(n) FROM plain WHERE n > 'x'", InvalidQueryError, "fails"),
        ("SELECT array_agg(n) FROM plain", InvalidQueryError, "no figure"),
        ("SELECT COLUMNS('n|price') FROM plain WHERE n = 3", InvalidQueryError, "COLUMNS"),
        ('SELECT sum("*") FROM plain', InvalidQueryError, "pattern"),
        ("SELECT sum(N) FROM plain", UnknownColumnError, "no column 'N'"),
        ("SELECT sum(n) FROM plain WHERE regio = 'x'", UnknownColumnError, "no column 'regio'"),
        ("SELECT sum(n) FROM plane", TableNotFoundError, "no table 'plane'"),
        ("SELECT sum(n) FROM tin.plain", InvalidConfigError, "no layer 'tin'"),
    ],
)
def test_whatever_is_no_single_plain_figure_is_refused(
    kept: Kept, sql: Any, kind: type[JobforgeError], said: str
) -> None:
    before = files_below(kept.folder)
    with pytest.raises(kind, match=said) as caught:
        kept.engine.cite(sql, version=1)
    assert caught.value.hint
    assert files_below(kept.folder) == before


def test_a_hint_names_the_nearest_column(kept: Kept) -> None:
    with pytest.raises(UnknownColumnError, match="did you mean 'region'"):
        kept.engine.cite("SELECT sum(n) FROM plain WHERE regio = 'x'")


def test_words_in_quotes_are_no_keywords() -> None:
    found = parse_statement(
        'SELECT sum("GROUP"), "a ""FROM"" b" AS x FROM silver."d/my table" AS t\n'
        "WHERE t.\"LIMIT\" = 'it''s; SELECT' ;"
    )
    assert found.items == ('sum("GROUP")', '"a ""FROM"" b" AS x')
    assert (found.layer, found.table, found.alias) == (Layer.SILVER, "d/my table", "t")
    assert found.where == "t.\"LIMIT\" = 'it''s; SELECT'"
    assert {"GROUP", 'a "FROM" b', "LIMIT"} <= found.names


@given(st.text(alphabet="SELECT sumFROMplain(),.*'\";-/=1WHEREn\n", max_size=60))
def test_no_text_brings_anything_but_an_error_of_ours(text: str) -> None:
    for before, after in (
        ("", ""),
        ("SELECT sum(n) FROM plain WHERE ", ""),
        ("SELECT ", " FROM t"),
    ):
        with contextlib.suppress(JobforgeError):
            parse_statement(before + text + after)


def test_columns_with_odd_names_stand_beside_those_that_are_cited(tmp_path: Path) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "data"))
    names = ["^a.*$", "*", "a b", 'q"x', "GROUP", "odd"]
    source = write_csv(tmp_path / "t.csv", [names, ["1", "2", "3", "4", "5", "6"]])
    engine.run_full_pipeline(source, "t")
    sql = 'SELECT max("a b"), max("q""x"), max("GROUP"), max(t.odd) FROM t WHERE t."GROUP" = \'5\''
    found = engine.cite(sql)
    assert [value.value for value in found.values] == ["3", "4", "5", "6"]
    whole = engine.cite("SELECT count(*) FROM t")
    assert found.contents == whole.contents
    assert found.line().startswith("max(\"a b\") = '3', ")


def having(asked: str, condition: str) -> str:
    """A statement with a condition, where there is one."""
    return f"{asked} WHERE {condition}" if condition else asked


SAMPLES = [
    "abs(d) > 1", "acos(u) > 1", "acosd(u) > 60", "asin(u) > 0", "asind(u) > 0", "atan(d) > 0",
    "atan2(d, n) > 0", "atan2d(d, n) > 0", "atand(d) > 0", "cbrt(n) = 1", "ceil(d) = 2",
    "ceiling(d) = 2", "cos(n) > 0", "cosd(n) > 0", "cot(m) > 0", "cotd(m) > 0", "degrees(n) > 60",
    "div(m, 2) = 1", "exp(n) > 3", "floor(d) = 1", "ln(m) = 0", "log(m, 10) = 0", "log10(m) = 0",
    "log1p(m) > 1", "log2(m) > 1", "mod(m, 2) = 1", "pi() > 3", "pow(m, 2) = 4", "power(m, 2) = 4",
    "radians(n) > 0", "round(d, 0) = 2", "sign(n) = 1", "sin(n) > 0", "sind(n) > 0", "sqrt(m) = 1",
    "tan(n) > 0", "tand(n) > 0", "bit_and(m, n) = 1", "bit_count(m) = 1", "bit_not(m) = -2",
    "bit_or(m, n) = 1", "bit_xor(m, n) = 0", "bit_length(s) = 16", "char_length(s) = 2",
    "character_length(s) = 2", "concat(s, m) = 'ab2'", "concat_ws('-', s, m) = 'ab-2'",
    "ends_with(s, 'b')", "initcap(s) = 'Ab'", "left(s, m) = 'ab'", "length(s) = 2",
    "lower(s) = 'bc'", "ltrim(s) = 'ab'", "normalize(s) = 'ab'", "octet_length(s) = 2",
    "position('b' IN s) = 2", "regexp_like(s, '^a')", "replace(s, 'a', 'b') = 'bb'",
    "reverse(s) = 'ba'", "right(s, 1) = 'b'", "rtrim(s) = 'ab'", "split_part(s, ' ', 1) = 'a'",
    "starts_with(s, 'a')", "strpos(s, 'b') = 2", "substr(s, m) = 'b'", "substring(s, 1, 1) = 'a'",
    "trim(s) = 'ab'", "upper(s) = 'AB'", "date(t) > '2020-06-01'::date", "datetime(t) IS NOT NULL",
    "date_part('year', date(t)) = 2020", "extract(year FROM date(t)) = 2020",
    "strftime(date(t), '%Y') = '2020'", "strptime(t, '%Y-%m-%d') IS NULL",
    "time('10:00') IS NOT NULL", "timestamp(t) IS NOT NULL", "coalesce(n, m) = 2",
    "greatest(n, m) = 5", "if(n > 1, true, false)", "ifnull(n, m) = 2", "least(n, m) = 2",
    "nullif(n, m) IS NULL", "array_contains(string_to_array(s, ' '), 'a')",
    "array_get(string_to_array(s, ' '), 1) = 'a'", "array_length(string_to_array(s, ' ')) = 2",
    "array_sum(l) = 3", "array_to_string(string_to_array(s, ' '), '+') = 'a+b'",
    "CAST(n AS DECIMAL(10, 2)) > 1",
    "n::VARCHAR(5) = '1'", "n IN (m)", "n IN (1, m)", "NOT(n > 1) AND(m > 1)", "n BETWEEN(1)AND(2)",
    "CASE WHEN(n > 1) THEN(m > 1) ELSE(false) END", "s ILIKE('%B%')", "s ~ '^a'", "n // 2 = 1",
    "\"lower\"(s) = 'bc'", "n = m",
]  # fmt: skip


def test_what_a_condition_may_have_judges_each_row_alone() -> None:
    frame = pl.DataFrame(
        {
            "n": [1, 2, 3, None, 5],
            "m": [5, 1, 3, 2, 2],
            "s": ["a b", "Bc", None, "x,y", "ab"],
            "d": [1.5, -2.5, 0.5, None, 3.0],
            "u": [0.5, -0.25, 1.0, None, -0.75],
            "l": [[1, 2], [3], [], None, [1, 1]],
            "t": ["2020-01-02", None, "2020-12-31", "2019-01-01", "2020-07-07"],
        }
    )
    tried = set()
    for sample in SAMPLES:
        statement = parse_statement(having("SELECT count(*) FROM c", sample))
        rows = chosen_rows(frame.lazy(), statement).collect()
        alone = [
            chosen_rows(frame[at : at + 1].lazy(), statement).collect()
            for at in range(frame.height)
        ]
        assert rows.equals(pl.concat(alone)), sample
        tried |= {name for name in ROW_BY_ROW if f"{name.lower()}(" in sample.lower()}
    assert tried == ROW_BY_ROW


@pytest.mark.parametrize(
    "condition",
    [
        "row_number() = 1", "first_value(n) = 1", "last_value(n) = 1", "total(n) > 1",
        "array_agg(n) IS NULL", "string_agg(region, ',') = 'x'", "listagg(region) = 'x'",
        "n = ANY(array_agg(n))", "n = ANY(n)", "n < ALL (n)", 'n = "max"(n)', 'n = "first"(n)',
        'n = "MAX" (n)', "n = first\n(n)", "rank() = 1", "lag(n) = 1", "quantile_cont(n, 0.5) = 1",
        "nosuch(n) = 1", "decimal(n) = 1", '"in"(n)', "TRY_CAST(region AS DATE) IS NULL",
        "n > 1 AND (n < 3 OR NOT lower(region) = string_agg(region))",
    ],
)  # fmt: skip
def test_a_condition_that_may_look_at_other_rows_is_refused_by_name(
    kept: Kept, condition: str
) -> None:
    with pytest.raises(InvalidQueryError, match="WHERE has") as caught:
        kept.engine.cite(having("SELECT sum(n) FROM plain", condition))
    assert caught.value.hint


@pytest.mark.parametrize(
    "condition",
    [
        "price > '2'", "price = '2.00'", "price IN ('2.00')", "price BETWEEN '1' AND '2'",
        "CASE WHEN price > '2' THEN true ELSE false END",
    ],
)  # fmt: skip
def test_a_decimal_is_not_compared_with_a_text(kept: Kept, condition: str) -> None:
    with pytest.raises(InvalidQueryError, match="the statement fails"):
        kept.engine.cite(having("SELECT count(*) FROM plain", condition))
    with pytest.raises(InvalidQueryError, match="the statement fails"):
        kept.engine.cite(f"SELECT sum(CASE WHEN {condition} THEN 1 END) FROM plain")  # noqa: S608
    with pytest.raises(InvalidOptionError, match="does not fit the columns"):
        kept.engine.trace("plain", where=condition)


@pytest.mark.parametrize(
    "condition", ["sum(n) > 3", "count(*) > 3", "row_number() = 1", "n > avg(n)"]
)
def test_a_trace_judges_one_row_at_a_time_too(kept: Kept, condition: str) -> None:
    with pytest.raises(InvalidOptionError, match="WHERE has") as caught:
        kept.engine.trace("plain", where=condition)
    assert caught.value.hint


def test_a_refused_function_is_told_the_near_ones() -> None:
    with pytest.raises(InvalidQueryError, match=r"did you mean .*'lower'"):
        parse_statement("SELECT sum(n) FROM t WHERE lowers(s) = 'x'")


def test_a_decimal_is_shown_in_plain_notation(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [["n"], ["0"], ["1234.5"]])
    engine = PipelineEngine(PipelineConfig(tmp_path / "data"))
    contract = Contract({"n": Column(pl.Decimal(38, 10))})
    engine.run_full_pipeline(source, "t", bronze_schema=contract)
    (least, most) = engine.cite("SELECT min(n), max(n) FROM t").values
    assert (least.value, least.shown) == ("0.0000000000", "0.0000000000")
    assert (most.value, most.shown) == ("1234.5000000000", "1,234.5000000000")


@pytest.fixture
def aggregated(tmp_path: Path) -> PipelineEngine:
    engine = PipelineEngine(PipelineConfig(tmp_path / "data"))
    rows = source_rows(Random(5), 30)  # noqa: S311 - no secret
    source = write(tmp_path / "s.csv", rows)
    engine.run_full_pipeline(
        source, "t", bronze_schema=CONTRACT, gold_transforms=[by_region], grain=["region"]
    )
    return engine


def test_records_are_counted_from_groups_that_were_published(aggregated: PipelineEngine) -> None:
    found = aggregated.cite("SELECT sum(price) FROM t")
    assert found.records == 30
    (cited,) = found.groups
    path = aggregated.config.data_root / cited.file
    assert cited.entry is not None
    pl.read_parquet(path).head(3).write_parquet(path)
    for act in (lambda: aggregated.cite(found.statement), lambda: aggregated.check_citation(found)):
        with pytest.raises(TableDamagedError, match="not those that were published") as caught:
            act()
        assert cited.file in str(caught.value)


def test_groups_that_an_erasure_wrote_anew_are_cited(aggregated: PipelineEngine) -> None:
    (source,) = aggregated.cite("SELECT sum(price) FROM t").sources
    aggregated.erase("t", [SourceRecord(source.batch_id, 2)], why="asked for")
    found = aggregated.cite("SELECT sum(price) FROM t")
    assert aggregated.check_citation(found).differences == ()


def test_a_row_of_an_aggregate_that_kept_one_number_has_all_its_records(tmp_path: Path) -> None:
    def kept_first(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.group_by("region").agg(pl.col("n").sum(), pl.exclude("n").first())

    engine = PipelineEngine(PipelineConfig(tmp_path / "data"))
    source = write(tmp_path / "s.csv", source_rows(Random(5), 30))  # noqa: S311 - no secret
    engine.run_full_pipeline(
        source, "t", bronze_schema=CONTRACT, gold_transforms=[kept_first], grain=["region"]
    )
    found = engine.cite("SELECT count(*) FROM t")
    assert (found.records, len(found.groups), found.rows_without_records) == (30, 1, 0)


def spoiled(path: Path) -> None:
    """Pages of zeros, and a footer that still reads."""
    data = path.read_bytes()
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    path.write_bytes(data[:4] + bytes(end - 4) + data[end:])


@pytest.mark.parametrize("kind", ["groups", "version"])
@pytest.mark.parametrize("where", ["", "region <> 'x'"])
def test_a_damaged_file_that_the_chain_does_not_know_is_named(
    aggregated: PipelineEngine, kind: str, where: str
) -> None:
    found = aggregated.cite("SELECT sum(price) FROM t")
    shutil.rmtree(aggregated.config.chain_path())
    (file,) = found.groups if kind == "groups" else found.files
    spoiled(aggregated.config.data_root / file.file)
    with pytest.raises(TableDamagedError) as caught:
        aggregated.cite(having("SELECT sum(price) FROM t", where))
    assert file.file in str(caught.value)
    assert caught.value.hint


@pytest.fixture
def small(tmp_path: Path) -> PipelineEngine:
    engine = PipelineEngine(
        PipelineConfig(tmp_path / "data"), clock=lambda: datetime(2026, 11, 27, tzinfo=UTC)
    )
    source = write_csv(tmp_path / "t.csv", [["n"], ["1"], ["2"], ["3"]])
    engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"n": "Int64"}})
    return engine


def test_a_citation_of_other_figures_does_not_hold(small: PipelineEngine) -> None:
    sql = "SELECT sum(n) FROM t"
    found = small.cite(sql)
    forged = found.model_copy(
        update={"values": (found.values[0].model_copy(update={"value": "7", "shown": "7"}),)}
    )
    check = small.check_citation(forged)
    assert not check.holds
    assert check.differences == ("sum(n) is 6 instead of 7",)
    for old, new in (("= 6", "= 7"), ("3 rows", "2 rows"), ("sha256:", "sha256:0"), ("v1", "v2")):
        line = found.line().replace(old, new)
        if old == "v1":
            with pytest.raises(VersionNotFoundError):
                small.check_citation(line, sql)
        else:
            assert not small.check_citation(line, sql).holds
    assert found.head is not None
    other = found.model_copy(update={"head": found.head.model_copy(update={"number": 2})})
    assert "entry 2 of the chain is another one" in small.check_citation(other).differences
    assert not small.check_citation(found.line(), "SELECT sum(n) FROM t WHERE n > 1").holds
    for nothing in ("", "sum(n) = 6", " · ".join("abcdef")):
        with pytest.raises(InvalidOptionError, match="no line"):
            small.check_citation(nothing, sql)


def told(engine: PipelineEngine, sql: str) -> dict[str, Any]:
    """What the command prints as JSON."""
    found = engine.cite(sql)
    return {"line": found.line(), **found.model_dump(mode="json")}


def edits() -> Iterator[tuple[str, Any]]:
    yield "layer", "silver"
    yield "where", "n > 2"
    yield "where", None
    yield "line", "sum(n) = 5"
    yield "cited_at", "2020-01-01T00:00:00Z"
    yield "head", None
    yield "files.0.entry", None
    yield "files.0.entry", 1
    yield "files.0.file", "gold/default/t/other.parquet"
    yield "contents.algorithm", "polars-9.9.9/1"
    yield "contents.hash", "0" * 64
    yield "contents.rows", 7
    yield "rows", 7
    yield "records", None
    yield "rows_without_records", 1
    yield "table", "u"
    yield "domain", "u"
    yield "values.0.value", "6"
    yield "values.0.shown", "6"
    yield "values.0.expression", "max(n)"
    yield "values.0.data_type", "Int64"
    yield "sources.0.name", "u.csv"
    yield "sources.0.records", 1
    yield "groups", [{"file": "x", "sha256": "0" * 64, "entry": 1}]
    yield "jobforge_version", "0.0.1"


@pytest.mark.parametrize(("field", "value"), list(edits()))
def test_a_citation_that_was_edited_does_not_hold(
    small: PipelineEngine, tmp_path: Path, field: str, value: Any
) -> None:
    whole = told(small, "SELECT sum(n) FROM t WHERE n > 1")
    path = tmp_path / "cited.json"
    path.write_text(json.dumps(whole))
    assert small.check_citation(path).differences == ()
    inner: Any = whole
    *way, last = field.split(".")
    for part in way:
        inner = inner[int(part) if part.isdecimal() else part]
    assert inner[last] != value
    inner[last] = value
    path.write_text(json.dumps(whole))
    assert small.check_citation(path).differences != ()


def test_every_edited_field_differs_without_the_line_too(
    small: PipelineEngine, tmp_path: Path
) -> None:
    before = told(small, "SELECT sum(n) FROM t WHERE n > 1")
    del before["line"]
    for field, value in edits():
        if field in ("line", "cited_at", "jobforge_version"):  # nothing tells of these but the line
            continue
        whole = json.loads(json.dumps(before))
        inner: Any = whole
        *way, last = field.split(".")
        for part in way:
            inner = inner[int(part) if part.isdecimal() else part]
        inner[last] = value
        (tmp_path / "cited.json").write_text(json.dumps(whole))
        assert not small.check_citation(tmp_path / "cited.json").holds, field


def test_with_another_polars_the_hash_alone_is_left_out(
    small: PipelineEngine, tmp_path: Path
) -> None:
    path = tmp_path / "cited.json"
    whole = told(small, "SELECT sum(n) FROM t")
    whole["polars_version"] = "1.0.0"
    path.write_text(json.dumps(whole))
    assert small.check_citation(path).holds
    whole["contents"]["hash"] = "0" * 64
    del whole["line"]
    path.write_text(json.dumps(whole))
    assert not small.check_citation(path).holds  # the algorithm is that of this Polars
    whole["contents"]["algorithm"] = "polars-1.0.0/1"
    path.write_text(json.dumps(whole))
    assert small.check_citation(path).holds
    whole["contents"]["rows"] = 7
    path.write_text(json.dumps(whole))
    assert not small.check_citation(path).holds


def test_a_head_that_the_chain_has_no_more_is_a_difference(small: PipelineEngine) -> None:
    sql = "SELECT sum(n) FROM t"
    found = small.cite(sql)
    assert found.head is not None
    last = small.config.chain_path() / f"{found.head.number:08}.json"
    kept_bytes = last.read_bytes()
    last.unlink()
    for check in (small.check_citation(found), small.check_citation(found.line(), sql)):
        assert f"the chain has no entry {found.head.number} any more" in check.differences
    last.write_bytes(kept_bytes)
    bare = found.model_copy(update={"head": None})
    said = "it names no entry of the chain, and there was one"
    assert said in small.check_citation(bare).differences
    assert said in small.check_citation(bare.line(), sql).differences
    # The chain of an older data root begins after the citation.
    early = bare.model_copy(update={"cited_at": datetime(2020, 1, 1, tzinfo=UTC)})
    assert said not in small.check_citation(early).differences


@pytest.mark.parametrize(
    "text", ["a · b v9 where c", "a · gold default/t v9 where c", "x v9", "· gold default/t v9 ·"]
)
@pytest.mark.parametrize("where", ["", "s = {}", "s <> {} AND s = s"])
def test_a_line_is_of_its_own_version_whatever_its_texts_say(
    tmp_path: Path, text: str, where: str
) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "data"))
    for words in (text, "another"):
        engine.run_full_pipeline(write_csv(tmp_path / "t.csv", [["s"], [words]]), "t")
    condition = where.format(f"'{text}'" if where == "s = {}" else f"'{text} v3'")
    sql = having("SELECT max(s) FROM t", condition)
    found = engine.cite(sql, version=1)
    check = engine.check_citation(found.line(), sql)
    assert (check.now.version, check.differences) == (1, ())


def test_an_older_version_still_holds_after_others_came(
    small: PipelineEngine, tmp_path: Path
) -> None:
    found = small.cite("SELECT sum(n) FROM t")
    source = write_csv(tmp_path / "u.csv", [["n"], ["5"]])
    small.run_full_pipeline(source, "t", bronze_schema={"cast": {"n": "Int64"}})
    assert small.cite("SELECT sum(n) FROM t").values[0].value == "5"
    assert small.check_citation(found).holds


def test_a_file_that_was_altered_or_erased_is_not_cited(small: PipelineEngine) -> None:
    found = small.cite("SELECT sum(n) FROM t")
    path = small.config.data_root / found.files[0].file
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    with pytest.raises(TableDamagedError, match="not those that were published"):
        small.cite("SELECT sum(n) FROM t")
    path.write_bytes(whole)
    (source,) = found.sources
    small.erase("t", [SourceRecord(source.batch_id, 2)], why="asked for")
    with pytest.raises(VersionRemovedError):
        small.check_citation(found)
    assert small.cite("SELECT sum(n) FROM t").values[0].value == "4"


def jobforge(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from jobforge.cli.main import main; main()", *words]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_command_prints_one_line_and_checks_it(small: PipelineEngine, tmp_path: Path) -> None:
    sql = "SELECT sum(n) FROM t WHERE n > 1"
    done = jobforge(tmp_path, "cite", sql)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(
        "sum(n) = 5 · gold default/t v1 where n > 1 · 2 rows of 2 source records"
    )
    told = jobforge(tmp_path, "cite", sql, "--json", "--version", "1")
    (tmp_path / "cited.json").write_text(told.stdout)
    assert json.loads(told.stdout)["line"].split(" · ")[:-1] == line.split(" · ")[:-1]
    assert jobforge(tmp_path, "cite", "--check", "cited.json").returncode == 0
    assert jobforge(tmp_path, "cite", sql, "--check", line).returncode == 0
    wrong = jobforge(tmp_path, "cite", sql, "--check", line.replace("= 5", "= 6"))
    assert wrong.returncode == 1
    assert "it does not hold: 'sum(n) = 5" in wrong.stdout
    (tmp_path / "cited.json").write_text(told.stdout.replace('"5"', '"6"'))
    again = jobforge(tmp_path, "cite", "--check", "cited.json", "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["holds"] is False
    assert small.head()


def refusals() -> Iterator[tuple[list[str], str]]:
    yield ["cite"], "no statement is given"
    yield ["cite", "DROP TABLE t"], "nothing is changed"
    yield ["cite", "SELECT sum(n) FROM t", "--as-of", "2026-01-01"], "no time zone"
    yield ["cite", "--check", "x.json", "--version", "1"], "goes by the version"


@pytest.mark.parametrize(("words", "said"), list(refusals()))
def test_a_command_that_makes_no_sense_is_refused(
    tmp_path: Path, words: list[str], said: str
) -> None:
    done = jobforge(tmp_path, *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_file_that_is_no_citation_is_refused(small: PipelineEngine, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "object.json").write_text("{}")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    names = ("list.json", "text.json", "absent.json", "object.json", "deep.json")
    wrong: list[Any] = [*(tmp_path / name for name in names), None, 7, {}]
    for path in wrong:
        with pytest.raises(RecordError, match="is no citation") as caught:
            small.check_citation(path)
        assert "that `jobforge cite ... --json` printed" in str(caught.value.hint)
    with pytest.raises(InvalidOptionError, match="no line") as refused:
        small.check_citation("figure.json", "SELECT sum(n) FROM t")
    assert "leave yours out" in str(refused.value.hint)


def test_a_line_has_no_sign_that_breaks_it(small: PipelineEngine) -> None:
    sql = "SELECT sum(n) FROM t WHERE 'a\u2028\x85\x0b\x0c\x1b\n' <> 'b'"
    line = small.cite(sql).line()
    assert line.isprintable()
    assert small.check_citation(line, sql).holds


def test_without_a_chain_the_record_tells_the_bytes(small: PipelineEngine) -> None:
    found = small.cite("SELECT sum(n) FROM t")
    shutil.rmtree(small.config.chain_path())
    assert small.cite(found.statement).line().split(" · ")[4] == "no chain"
    path = small.config.data_root / found.files[0].file
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    with pytest.raises(TableDamagedError, match="not those that were published"):
        small.cite(found.statement)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_gap_in_the_chain_is_named(small: PipelineEngine, number: int) -> None:
    (small.config.chain_path() / f"{number:08}.json").unlink()
    with pytest.raises(RecordError, match=f"entry {number} of the chain is missing"):
        small.cite("SELECT sum(n) FROM t")


def test_a_record_that_is_missing_is_named(small: PipelineEngine) -> None:
    (source,) = small.cite("SELECT sum(n) FROM t").sources
    (path,) = small.config.data_root.glob(f"catalog/**/{source.batch_id}.json")
    path.unlink()
    with pytest.raises(RecordError, match=f"record of batch {source.batch_id}.*is missing"):
        small.cite("SELECT sum(n) FROM t")


def test_no_row_is_said_on_standard_error(small: PipelineEngine, tmp_path: Path) -> None:
    assert small.head()
    done = jobforge(tmp_path, "cite", "SELECT sum(n) FROM t WHERE n > 9")
    assert done.returncode == 0
    assert "sum(n) = NULL" in done.stdout
    assert "no row of the table meets the condition" in done.stderr
