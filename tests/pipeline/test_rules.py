"""Rules in silver, against a judge that goes row by row in plain Python."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobforge import (
    Column,
    Contract,
    PipelineConfig,
    PipelineEngine,
    deduplicate,
    expect,
    keep,
    references,
    trim,
)
from jobforge.errors import ExpectationError, InvalidRuleError, TableNotFoundError, TransformError
from jobforge.pipeline import lineage
from jobforge.pipeline.models import LayerTransitionLog, TransitionStatus
from support import data, debris, files_below, write_csv

Row = dict[str, Any]
CELLS = st.one_of(st.none(), st.integers(-3, 3))
ROWS = st.lists(st.fixed_dictionaries({"k": CELLS, "a": CELLS, "b": CELLS}), max_size=25)
KNOWN = [1, 2, None]
"""Keys of the table that `k` refers to."""

# For each kind of step: the step, and what it says of a row in plain Python.
CONDITIONS: dict[str, tuple[pl.Expr, Any]] = {
    "a > 0": (pl.col("a") > 0, lambda r: None if r["a"] is None else r["a"] > 0),
    "b known": (pl.col("b").is_not_null(), lambda r: r["b"] is not None),
    "a < b": (
        pl.col("a") < pl.col("b"),
        lambda r: None if r["a"] is None or r["b"] is None else r["a"] < r["b"],
    ),
    "b != 2": (pl.col("b") != 2, lambda r: None if r["b"] is None else r["b"] != 2),
}
STEP = st.one_of(
    st.tuples(
        st.just("expect"),
        st.sampled_from(sorted(CONDITIONS)),
        st.sampled_from(["warn", "quarantine"]),
        st.sampled_from(["fail", "pass"]),
    ),
    st.tuples(st.just("keep"), st.sampled_from(sorted(CONDITIONS))),
    st.tuples(
        st.just("deduplicate"),
        st.sampled_from([("k",), ("k", "b")]),
        st.sampled_from(["first", "last", "latest"]),
        st.booleans(),
    ),
    st.tuples(st.just("references"), st.sampled_from(["fail", "pass"])),
    st.tuples(st.just("function")),
)


def drops_some(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.filter((pl.col("a") + pl.col("b")).fill_null(0) != 1)


def build(steps: list[tuple[Any, ...]]) -> list[Any]:
    """The steps as a user writes them; each has a name of its own."""
    made: list[Any] = []
    for number, (kind, *args) in enumerate(steps):
        if kind == "expect":
            made.append(expect(f"r{number}", CONDITIONS[args[0]][0], on_fail=args[1], null=args[2]))
        elif kind == "keep":
            made.append(keep(f"r{number}", CONDITIONS[args[0]][0]))
        elif kind == "deduplicate":
            order = "a" if args[1] == "latest" else None
            made.append(
                deduplicate(
                    *args[0], keep=args[1], order_by=order, nulls_equal=args[2], name=f"r{number}"
                )
            )
        elif kind == "references":
            known = pl.DataFrame({"k": KNOWN}, schema={"k": pl.Int64})
            made.append(references("k", known, null=args[0], name=f"r{number}"))
        else:
            made.append(drops_some)
    return made


def loser(rows: list[Row], row: Row, keys: tuple[str, ...], which: str, nulls: bool) -> bool:  # noqa: FBT001
    same = [r for r in rows if all(r[k] == row[k] for k in keys)]
    if not nulls and any(row[k] is None for k in keys):
        return False
    if which == "first":
        return same[0] is not row
    if which == "last":
        return same[-1] is not row
    known = [r["a"] for r in same if r["a"] is not None]
    best = next(r for r in same if r["a"] == (max(known) if known else None))
    return best is not row


def judge(
    rows: list[Row], steps: list[tuple[Any, ...]]
) -> tuple[list[Row], dict[int, list[str]], dict[str, tuple[int, int]]]:
    """What stays, the rules that each record failed where it left, and judged and failed of each.

    A rule that only warns has no part in the first two.
    """
    left: dict[int, list[str]] = {}
    counts: dict[str, tuple[int, int]] = {}
    at = 0
    while at < len(steps):
        end = at + 1
        if steps[at][0] in ("expect", "references"):
            while end < len(steps) and steps[end][0] in ("expect", "references"):
                end += 1
        gone: dict[int, list[str]] = {}
        counts |= {f"r{n}": (len(rows), 0) for n in range(at, end) if steps[n][0] != "function"}
        for row in rows:
            for number in range(at, end):
                kind, *args = steps[number]
                failed = False
                if kind == "expect":
                    verdict = CONDITIONS[args[0]][1](row)
                    failed = not (args[2] == "pass" if verdict is None else verdict)
                elif kind == "references":
                    failed = args[0] == "fail" if row["k"] is None else row["k"] not in KNOWN
                elif kind == "keep":
                    failed = CONDITIONS[args[0]][1](row) is not True
                elif kind == "deduplicate":
                    failed = loser(rows, row, args[0], args[1], nulls=args[2])
                else:
                    failed = ((row["a"] or 0) + (row["b"] or 0) == 1) and None not in (
                        row["a"],
                        row["b"],
                    )
                if failed and kind != "function":
                    judged, before = counts[f"r{number}"]
                    counts[f"r{number}"] = (judged, before + 1)
                if failed and not (kind == "expect" and args[1] == "warn"):
                    gone.setdefault(row["n"], []).append(f"r{number}")
        rows = [row for row in rows if row["n"] not in gone]
        left |= gone
        at = end
    return rows, left, counts


@given(ROWS, st.lists(STEP, max_size=5))
def test_rows_part_as_a_row_by_row_judge_parts_them(
    rows: list[Row], steps: list[tuple[Any, ...]]
) -> None:
    numbered = [{**row, "n": number} for number, row in enumerate(rows, start=1)]
    stay, left, counts = judge(numbered, steps)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        engine = PipelineEngine(PipelineConfig(root / "root"))
        source = root / "t.parquet"
        pl.DataFrame(rows, schema={"k": pl.Int64, "a": pl.Int64, "b": pl.Int64}).write_parquet(
            source
        )
        staged = engine.ingest(source, "t")
        bronze = engine.promote_to_bronze(staged["staged_path"])
        made = build(steps)
        result = engine.promote_to_silver(bronze["bronze_path"], made)
        log = result["log"]
        written = pl.read_parquet(result["silver_path"])
        assert written["_source_row"].to_list() == [row["n"] for row in stay]
        assert written.select("k", "a", "b").rows() == [(r["k"], r["a"], r["b"]) for r in stay]
        account = log.account
        assert account is not None
        account.check()
        kinds = {f"r{number}": step[0] for number, step in enumerate(steps)}
        first = Counter(reasons[0] for reasons in left.values())
        named = {
            "quarantined": ("expect", "references"),
            "deduplicated": ("deduplicate",),
            "filtered": ("keep",),
        }
        for field, of in named.items():
            wanted = {rule: n for rule, n in first.items() if kinds[rule] in of}
            assert getattr(account, field) == wanted
        by_function = sum(n for rule, n in first.items() if kinds[rule] == "function")
        assert sum(account.dropped.values()) == by_function
        kept_out = {n: r for n, r in left.items() if kinds[r[0]] not in ("keep", "function")}
        rejects = rejects_of(engine, log)
        assert {row["_source_row"]: [x["rule"] for x in row["_reasons"]] for row in rejects} == (
            kept_out
        )
        for row in rejects:
            assert {key: row[key] for key in "kab"} == rows[row["_source_row"] - 1]
            assert row["_step"] == row["_reasons"][0]["rule"]
        gone = {n: r[0] for n, r in left.items() if kinds[r[0]] in ("keep", "function")}
        assert edges_of(engine, log) == {
            n: (rule if kinds[rule] == "keep" else edge_name(steps, rule))
            for n, rule in gone.items()
        }
        assert {c.rule: (c.judged, c.failed) for c in log.rules} == counts
        # The same steps as plain functions on a plain frame, one after the other.
        plain = pl.DataFrame(numbered, schema={**dict.fromkeys("kabn", pl.Int64)})
        for step in made:
            plain = step(plain)
        assert plain["n"].to_list() == [row["n"] for row in stay]


def edge_name(steps: list[tuple[Any, ...]], rule: str) -> str:
    """The name that the engine gives to the function of that place."""
    before = sum(1 for kind, *_ in steps[: int(rule[1:])] if kind == "function")
    return "drops_some" if not before else f"drops_some#{before + 1}"


def rejects_of(engine: PipelineEngine, log: LayerTransitionLog) -> list[Row]:
    if log.quarantine_file is None:
        return []
    return pl.read_parquet(engine.config.data_root / log.quarantine_file).to_dicts()


def edges_of(engine: PipelineEngine, log: LayerTransitionLog) -> dict[int, str]:
    if log.edges_file is None:
        return {}
    frame = pl.read_parquet(engine.config.data_root / log.edges_file)
    assert set(frame["_batch_id"]) == {log.batch_id}
    assert set(frame["outcome"]) <= {"filtered", "dropped"}
    return dict(frame.select("_source_row", "step").rows())


# ---- one by one ---------------------------------------------------------------------------


ORDERS = [
    ["id", "qty", "email", "state"],
    ["1", "5", "a@x.ca", "A"],
    ["2", "0", "nobody", "A"],
    ["3", "", "c@x.ca", "B"],
    ["1", "7", "d@x.ca", "A"],
    ["4", "2", " e@x.ca ", "A"],
]


@pytest.fixture
def bronze(engine: PipelineEngine, tmp_path: Path) -> Path:
    staged = engine.ingest(write_csv(tmp_path / "orders.csv", ORDERS), "orders")
    return engine.promote_to_bronze(staged["staged_path"], {"cast": {"qty": "Int64"}})[
        "bronze_path"
    ]


def test_neighbouring_expectations_give_all_their_reasons(
    engine: PipelineEngine, bronze: Path
) -> None:
    steps: list[Any] = [
        expect("qty_positive", pl.col("qty") > 0),
        expect("email_plausible", pl.col("email").str.contains("@")),
        expect("both", (pl.col("qty") > 0) & (pl.col("email") != "x"), on_fail="warn"),
    ]
    log = engine.promote_to_silver(bronze, steps)["log"]
    assert log.status is TransitionStatus.PARTIAL
    assert log.account is not None
    assert log.account.quarantined == {"qty_positive": 2}
    rejects = rejects_of(engine, log)
    assert [
        (row["_source_row"], [(r["rule"], r["column"], r["value"]) for r in row["_reasons"]])
        for row in rejects
    ] == [
        (2, [("qty_positive", "qty", "0"), ("email_plausible", "email", "nobody")]),
        (3, [("qty_positive", "qty", None)]),
    ]
    assert [(c.rule, c.judged, c.failed, str(c.on_fail)) for c in log.rules] == [
        ("qty_positive", 5, 2, "quarantine"),
        ("email_plausible", 5, 1, "quarantine"),
        ("both", 5, 2, "warn"),
    ]
    assert [note.text for note in log.notes] == ["2 of 5 rows fail both; they stay"]
    assert log.rules[2].columns == ("qty", "email")


def test_a_row_that_left_is_not_judged_again(engine: PipelineEngine, bronze: Path) -> None:
    steps = [keep("state A", pl.col("state") == "A"), expect("positive", pl.col("qty") > 0)]
    log = engine.promote_to_silver(bronze, steps)["log"]
    assert log.account is not None
    assert (log.account.filtered, log.account.quarantined) == ({"state A": 1}, {"positive": 1})
    assert [(c.rule, c.judged) for c in log.rules] == [("state A", 5), ("positive", 4)]
    assert edges_of(engine, log) == {3: "state A"}


def test_a_limit_that_is_passed_stops_the_layer_and_names_records(
    engine: PipelineEngine, bronze: Path
) -> None:
    before = files_below(engine.config.data_root)
    with pytest.raises(ExpectationError, match=r"2 of 5 rows \(40\.00%\) fail 'positive'") as hit:
        engine.promote_to_silver(
            bronze, [expect("positive", pl.col("qty") > 0, on_fail="fail", tolerance=0.2)]
        )
    assert "records 2, 3" in hit.value.message
    assert (hit.value.place["rule"], hit.value.place["layer"]) == ("positive", "silver")
    assert [f for f in files_below(engine.config.data_root) if f.startswith("silver")] == [
        f for f in before if f.startswith("silver")
    ]
    assert not debris(engine.config.data_root)
    (record,) = lineage.all_records(engine.config)
    log = record.transitions[-1]
    assert (log.status, log.row_count_in, log.row_count_out) == (TransitionStatus.FAILED, 5, 0)
    assert log.account is None
    assert [(c.rule, c.failed) for c in log.rules] == [("positive", 2)]
    # What is tolerated stays, and is noted.
    log = engine.promote_to_silver(
        bronze, [expect("positive", pl.col("qty") > 0, on_fail="fail", tolerance=2)]
    )["log"]
    assert log.row_count_out == 5
    assert [n.text for n in log.notes] == ["2 of 5 rows fail positive: tolerated, they stay"]


def test_quarantine_with_a_limit_keeps_the_rejects_of_a_stopped_layer(
    engine: PipelineEngine, bronze: Path
) -> None:
    with pytest.raises(ExpectationError) as hit:
        engine.promote_to_silver(bronze, [expect("positive", pl.col("qty") > 0, tolerance=1)])
    rejects = pl.read_parquet(str(hit.value.place["quarantine"]))
    assert rejects["_source_row"].to_list() == [2, 3]
    assert not list(engine.config.silver_path().rglob("*.parquet"))


def test_duplicates_are_kept_and_no_reason_for_alarm(engine: PipelineEngine, bronze: Path) -> None:
    log = engine.promote_to_silver(bronze, [deduplicate("id")])["log"]
    assert log.status is TransitionStatus.SUCCESS
    assert log.account is not None
    assert log.account.deduplicated == {"deduplicate:id": 1}
    (row,) = rejects_of(engine, log)
    assert (row["_source_row"], row["qty"], row["_step"]) == (4, 7, "deduplicate:id")
    assert row["_reasons"][0]["reason"] == "is a duplicate: the first row of this key was kept"


def retyped(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(pl.col("qty").cast(pl.String), extra=pl.lit(1))


def test_rejects_of_two_shapes_keep_each_value_as_it_was(
    engine: PipelineEngine, bronze: Path
) -> None:
    steps: list[Any] = [
        expect("known", pl.col("qty").is_not_null()),
        retyped,
        expect("not zero", pl.col("qty") != "0"),
    ]
    log = engine.promote_to_silver(bronze, steps)["log"]
    rejects = pl.read_parquet(engine.config.data_root / str(log.quarantine_file))
    assert rejects.schema["qty"] == pl.Int64()
    assert rejects.schema["qty#2"] == pl.String()
    assert rejects.select("_source_row", "qty", "qty#2", "extra").rows() == [
        (3, None, None, None),
        (2, None, "0", 1),
    ]
    assert rejects.columns[-7:] == [
        "_reasons",
        "_step",
        "_source_row",
        "_source_file",
        "_ingested_at",
        "_batch_id",
        "_layer",
    ]


def test_a_foreign_key_against_a_table_of_the_data_root(
    engine: PipelineEngine, bronze: Path, tmp_path: Path
) -> None:
    states = write_csv(tmp_path / "states.csv", [["code"], ["A"], ["C"]])
    engine.run_full_pipeline(states, "states", "reference")
    log = engine.promote_to_silver(bronze, [references("state", "reference/states", "code")])["log"]
    assert log.account is not None
    assert log.account.quarantined == {"references:state": 1}
    assert [(i.table, str(i.layer), i.version) for i in log.inputs] == [
        ("orders", "bronze", 1),
        ("states", "gold", 1),
    ]
    (row,) = rejects_of(engine, log)
    assert row["_reasons"][0]["reason"] == "is no code of reference/states"


def test_steps_say_what_they_are_in_the_log(engine: PipelineEngine, bronze: Path) -> None:
    steps: list[Any] = [trim("email"), expect("positive", pl.col("qty") > 0), deduplicate("id")]
    log = engine.promote_to_silver(bronze, steps)["log"]
    assert [t.name for t in log.transforms_applied] == ["trim", "positive", "deduplicate:id"]
    definition = log.transforms_applied[1].definition
    assert definition["condition"] == '[(col("qty")) > (dyn int: 0)]'
    other = engine.promote_to_silver(bronze, [expect("positive", pl.col("qty") > 1)])["log"]
    assert other.transforms_applied[0].code_sha256 != log.transforms_applied[1].code_sha256


def test_rules_work_in_gold_too(engine: PipelineEngine, bronze: Path) -> None:
    silver = engine.promote_to_silver(bronze)["silver_path"]

    def by_state(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.group_by("state").agg(pl.col("qty").sum()).sort("state")

    steps: list[Any] = [
        keep("state A or B", pl.col("state").is_in(["A", "B"])),
        deduplicate("id", keep="last"),
        by_state,
        expect("sold something", pl.col("qty") > 0),
    ]
    result = engine.promote_to_gold(silver, steps)
    log = result["log"]
    assert data(result["gold_path"]).rows() == [("A", 9)]
    assert log.account is not None
    assert log.account.model_dump() == {
        "rows_in": 5,
        "rows_out": 1,
        "quarantined": {"sold something": 1},
        "deduplicated": {"deduplicate:id": 1},
        "filtered": {},
        "dropped": {},
        "aggregated": 4,
        "generated": {"by_state": 2},
    }
    rejects = rejects_of(engine, log)
    assert sorted(row["_source_row"] or 0 for row in rejects) == [0, 1]


# ---- what cannot be a rule ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (pl.lit(value=True), "names no column"),
        (pl.len() > 3, "aggregates"),
        (pl.col("qty").sum() > 1, "aggregates"),
        (pl.col("qty") > pl.col("qty").mean(), "aggregates"),
        (pl.col("qty").any(), "aggregates"),
        (pl.col("qty") > pl.col("qty").first().over("id"), "aggregates|other rows"),
        (pl.col("qty").shift(1) > 0, "other rows"),
        (pl.col("qty").is_unique(), "other rows"),
        (pl.col("qty").cum_sum() > 0, "other rows"),
        ("qty > 0", "is a str, not an expression"),
        (True, "is a bool"),
        (None, "is a NoneType"),
    ],
)
def test_a_rule_that_cannot_judge_a_row_is_refused_when_declared(condition: Any, said: str) -> None:
    for make in (expect, keep):
        with pytest.raises(InvalidRuleError, match=said) as hit:
            make("positive", condition)
        assert hit.value.place["rule"] == "positive"


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (pl.col("qty") + 1, "gives a Int64"),
        (pl.col("email"), "gives a String"),
        (pl.col("qty", "id").is_not_null(), "gives 2 answers"),
    ],
)
def test_a_rule_that_is_no_boolean_is_refused_before_data_is_touched(
    engine: PipelineEngine, bronze: Path, condition: pl.Expr, said: str
) -> None:
    with pytest.raises(InvalidRuleError, match=said) as hit:
        engine.promote_to_silver(bronze, [expect("odd", condition)])
    assert (hit.value.place["rule"], hit.value.place["table"]) == ("odd", "orders")
    assert not list(engine.config.silver_path().rglob("*.parquet"))


def test_a_rule_on_a_column_that_is_not_there_names_the_nearest(
    engine: PipelineEngine, bronze: Path
) -> None:
    with pytest.raises(TransformError, match="did you mean 'qty'") as hit:
        engine.promote_to_silver(bronze, [expect("odd", pl.col("qyt") > 0)])
    assert hit.value.place["step"] == "odd"


def test_two_rules_of_one_name_are_refused_before_anything_is_read(
    engine: PipelineEngine,
) -> None:
    twice: list[Any] = [keep("same", pl.col("a") > 0), expect("same", pl.col("b") > 0)]
    with pytest.raises(InvalidRuleError, match="2 steps are called 'same'"):
        engine.run_full_pipeline("no such file.csv", "t", silver_transforms=twice)
    assert not engine.config.data_root.exists()


def test_a_rule_may_not_have_the_name_of_a_check(engine: PipelineEngine, tmp_path: Path) -> None:
    staged = engine.ingest(write_csv(tmp_path / "o.csv", ORDERS), "o")["staged_path"]
    contract = Contract({"qty": Column(pl.Int64, ge=0)})
    path = engine.promote_to_bronze(staged, contract)["bronze_path"]
    with pytest.raises(InvalidRuleError, match="2 rules are called 'ge:qty'"):
        engine.promote_to_silver(path, [expect("ge:qty", pl.col("qty") > 1)])


def test_a_reference_to_no_table_is_refused_before_anything_is_read(
    engine: PipelineEngine,
) -> None:
    engine.config.data_root.mkdir()
    with pytest.raises(TableNotFoundError) as hit:
        engine.run_full_pipeline(
            "no such file.csv", "t", silver_transforms=[references("state", "reference/states")]
        )
    assert hit.value.place["step"] == "references:state"
    assert not files_below(engine.config.data_root)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"state": ["A", "A"]}, "is no key of the referenced table: 1 rows"),
        ({"other": ["A"]}, "has no column 'state'"),
        ({"state": [1]}, "'state' is String, and the key 'state' is Int64"),
    ],
)
def test_a_reference_that_cannot_work_is_refused_with_its_name(
    engine: PipelineEngine, bronze: Path, keys: dict[str, list[Any]], said: str
) -> None:
    with pytest.raises(InvalidRuleError, match=said) as hit:
        engine.promote_to_silver(bronze, [references("state", pl.DataFrame(keys))])
    assert hit.value.place["rule"] == "references:state"
    assert not list(engine.config.silver_path().rglob("*.parquet"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: expect("", pl.col("a") > 0),
        lambda: expect("two\nlines", pl.col("a") > 0),
        lambda: expect("r", pl.col("a") > 0, on_fail="drop"),
        lambda: expect("r", pl.col("a") > 0, tolerance=1.5),
        lambda: expect("r", pl.col("a") > 0, tolerance=-1),
        lambda: expect("r", pl.col("a") > 0, tolerance=True),
        lambda: expect("r", pl.col("a") > 0, null="maybe"),  # type: ignore[arg-type] # on purpose
        deduplicate,
        lambda: deduplicate("a", "a"),
        lambda: deduplicate("a", keep="any"),
        lambda: deduplicate("a", keep="latest"),
        lambda: deduplicate("a", order_by="b"),
        lambda: references([], "t"),
        lambda: references(["a", "b"], "t", "a"),
        lambda: references("a", 5),  # type: ignore[arg-type] # on purpose
    ],
)
def test_options_without_a_meaning_are_refused(make: Any) -> None:
    with pytest.raises(InvalidRuleError):
        make()


def test_a_rule_that_fails_while_it_is_computed_is_named(
    engine: PipelineEngine, bronze: Path
) -> None:
    steps: list[Any] = [
        expect("fine", pl.col("qty").is_not_null(), on_fail="warn"),
        expect("breaks", pl.col("email").cast(pl.Int64) > 0),
    ]
    with pytest.raises(TransformError, match="'breaks' failed") as hit:
        engine.promote_to_silver(bronze, steps)
    assert hit.value.place["step"] == "breaks"
    assert not list(engine.config.silver_path().rglob("*.parquet"))


def test_the_full_run_gives_what_the_four_calls_give(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "orders.csv", ORDERS)
    contract = Contract({"qty": Column("Int64", ge=1, null_values=["-"])}, max_rejects=0.9)
    steps: list[Any] = [
        trim("email"),
        keep("state A", pl.col("state") == "A"),
        expect("mail", pl.col("email").str.contains("@"), on_fail="warn"),
        deduplicate("id", keep="latest", order_by="qty"),
    ]
    by_hand = PipelineEngine(PipelineConfig(tmp_path / "hand"))
    staged = by_hand.ingest(source, "orders")
    bronze = by_hand.promote_to_bronze(staged["staged_path"], contract)
    silver = by_hand.promote_to_silver(bronze["bronze_path"], steps)
    gold = by_hand.promote_to_gold(silver["silver_path"])
    whole = PipelineEngine(PipelineConfig(tmp_path / "whole"))
    run = whole.run_full_pipeline(source, "orders", "default", contract, steps)
    volatile = ["_ingested_at", "_batch_id"]
    for ours, log in zip(
        (staged["log"], bronze["log"], silver["log"], gold["log"]), run["logs"], strict=True
    ):
        assert (ours.account, ours.rules, ours.notes) == (log.account, log.rules, log.notes)
        for name in ("target_file", "quarantine_file", "edges_file"):
            files = [getattr(ours, name), getattr(log, name)]
            assert (files[0] is None) == (files[1] is None)
            if files[0] is not None:
                one, two = (
                    pl.read_parquet(engine.config.data_root / file).drop(volatile, strict=False)
                    for engine, file in zip((by_hand, whole), files, strict=True)
                )
                assert one.equals(two)
