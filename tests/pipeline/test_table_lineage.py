"""Where the columns of a table come from, as its transitions recorded it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import (
    Column,
    Contract,
    PipelineConfig,
    PipelineEngine,
    deduplicate,
    expect,
    keep,
    null_words,
    references,
    trim,
)
from jobforge.errors import TableNotFoundError, UnknownColumnError
from jobforge.pipeline import catalog, lineage
from jobforge.pipeline.column_lineage.record import FrameLineage, Gap
from jobforge.pipeline.column_trace import ColumnOrigin, parse_address
from support import write_csv

HEADER = ["Order ID", "quantity", "price", "kind", "note"]
ORDERS = [
    ["1", "2", "1.50", " a ", "x"],
    ["2", "0", "2.50", "b", "N/A"],
    ["3", "5", "1.00", "a", "y"],
    ["3", "5", "1.00", "a", "z"],
]
CONTRACT = Contract(
    {
        "id": Column(pl.Int64, source="Order ID", nullable=False),
        "quantity": Column(pl.Int64),
        "price": Column(pl.Decimal(12, 2)),
        "kind": Column(pl.String),
        "remark": Column(source="note"),
    }
)
KINDS = pl.LazyFrame({"kind": ["a", "b"], "label": ["A", "B"]})
SILVER: list[Any] = [
    trim("kind"),
    null_words("N/A", "remark"),
    expect("positive", pl.col("quantity") > 0),
    expect("cheap", pl.col("price") < 2, on_fail="warn"),
    keep("known", pl.col("kind") != "x"),
    references("kind", KINDS),
    deduplicate("id", keep="latest", order_by="remark"),
]


def money(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(gross=pl.col("quantity") * pl.col("price"), currency=pl.lit("CAD"))


def net(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(net=pl.col("gross") / 2)


def labelled(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.join(KINDS, on="kind", how="left")


def by_kind(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("kind").agg(pl.col("gross").sum(), n=pl.len()).sort("kind")


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "orders.csv", [HEADER, *ORDERS])


def run(engine: PipelineEngine, source: Path, gold: list[Any]) -> str:
    return engine.run_full_pipeline(source, "orders", "default", CONTRACT, SILVER, gold)["batch_id"]


def recorded(config: PipelineConfig, batch: str) -> dict[str, FrameLineage | None]:
    logs = lineage.known(config, batch).transitions
    return {str(log.target_layer): log.column_lineage for log in logs}


def short(found: FrameLineage | None) -> dict[str, str]:
    """Data columns that are not passed on, and `rows`, each as `source:influence ... by steps`."""
    assert found is not None
    told = {name: entry for name, entry in found.computed.items() if not name.startswith("_")}
    return {
        name: " ".join(
            [
                *(f"{source.column}:{source.influence}" for source in entry.sources),
                *([f"!{entry.gap}"] if entry.gap else []),
                *([f"by {', '.join(entry.steps)}"] if entry.steps else []),
            ]
        )
        for name, entry in {**told, "rows": found.rows}.items()
    }


def test_declared_steps_are_known_exactly(engine: PipelineEngine, orders: Path) -> None:
    found = recorded(engine.config, run(engine, orders, [money, net]))
    assert found["staged"] is None
    assert short(found["bronze"]) == {
        "id": "Order ID:transformation by cast",
        "quantity": "quantity:transformation by cast",
        "price": "price:transformation by cast",
        "remark": "note:identity by rename",
        "rows": "Order ID:filter price:filter quantity:filter by cast",
    }
    assert short(found["silver"]) == {
        "kind": "kind:transformation by trim",
        "remark": "remark:transformation remark:conditional by null_words",
        "rows": "id:filter kind:filter quantity:filter remark:filter !other_frame "
        "by trim, null_words, positive, known, references:kind, deduplicate:id, contract",
    }
    assert short(found["gold"]) == {
        "gross": "price:transformation quantity:transformation by money",
        "currency": "by money",
        "net": "price:transformation quantity:transformation by money, net",
        "rows": "",
    }
    for layer in ("bronze", "silver", "gold"):
        origins = found[layer]
        assert origins is not None
        assert {"_source_row", "_source_file"} <= set(origins.unchanged)
        assert origins.of("_batch_id").sources == ()
        assert origins.of("_batch_id").gap is None


def test_rows_that_become_one_and_other_frames(engine: PipelineEngine, orders: Path) -> None:
    found = recorded(engine.config, run(engine, orders, [money, labelled]))["gold"]
    assert short(found)["label"] == "!other_frame by labelled"
    assert short(found)["rows"] == "kind:join !other_frame by labelled"
    found = recorded(engine.config, run(engine, orders, [money, by_kind]))["gold"]
    assert short(found) == {
        "gross": "price:aggregation quantity:aggregation by money, by_kind",
        "n": "by by_kind",
        "rows": "kind:sort kind:group_by by by_kind",
    }


def test_a_function_that_looks_at_the_rows_is_not_followed(
    engine: PipelineEngine, orders: Path
) -> None:
    def share(frame: pl.LazyFrame) -> pl.LazyFrame:
        total = frame.select(pl.col("price").sum()).collect().item()
        return frame.with_columns(share=pl.col("quantity") / float(total))

    def finished(frame: pl.LazyFrame) -> pl.DataFrame:
        return frame.collect()

    found = recorded(engine.config, run(engine, orders, [share]))["gold"]
    assert short(found) == {
        "share": "quantity:transformation !python by share",
        "rows": "!python by share",
    }
    found = recorded(engine.config, run(engine, orders, [finished]))["gold"]
    assert set(short(found).values()) == {"!python by finished"}


@pytest.mark.parametrize("gold", [[money, net], [money, labelled], [money, by_kind]])
def test_a_full_run_and_the_four_calls_record_the_same(
    tmp_path: Path, orders: Path, gold: list[Any]
) -> None:
    found = []
    for fused in (True, False):
        config = PipelineConfig(tmp_path / str(fused), fused=fused)
        found.append(recorded(config, run(PipelineEngine(config), orders, gold)))
    engine = PipelineEngine(PipelineConfig(tmp_path / "calls"))
    staged = engine.ingest(orders, "orders")
    bronze = engine.promote_to_bronze(staged["staged_path"], CONTRACT)
    silver = engine.promote_to_silver(bronze["bronze_path"], SILVER)
    engine.promote_to_gold(silver["silver_path"], gold)
    found.append(recorded(engine.config, staged["batch_id"]))
    assert found[0] == found[1] == found[2]


def flat(origin: ColumnOrigin) -> list[str]:
    below = [line for source in origin.sources for line in flat(source)]
    return [f"{origin.layer}.{origin.column}", *below]


def test_a_column_is_followed_to_the_source(engine: PipelineEngine, orders: Path) -> None:
    run(engine, orders, [money, net])
    found = engine.column_lineage("orders", "net")
    (net_column,) = found.columns
    assert flat(net_column) == [
        "gold.net",
        "silver.price",
        "bronze.price",
        "staged.price",
        "silver.quantity",
        "bronze.quantity",
        "staged.quantity",
    ]
    assert (found.source_files, found.version, list(found.rows)) == (
        ("orders.csv",), 1, ["gold", "silver", "bronze"],
    )  # fmt: skip
    staged = engine.column_lineage("orders", layer="staged")
    assert flat(staged.columns[0]) == ["staged.Order ID"]
    with pytest.raises(UnknownColumnError, match="no column 'nett' in gold") as caught:
        engine.column_lineage("default/orders", "nett")
    assert "net" in caught.value.hint


def test_the_layers_that_a_version_came_from_count(engine: PipelineEngine, orders: Path) -> None:
    """Not those that the table has now."""
    staged = engine.ingest(orders, "orders")
    bronze = engine.promote_to_bronze(staged["staged_path"], CONTRACT)
    silver = engine.promote_to_silver(bronze["bronze_path"], SILVER)
    engine.promote_to_gold(silver["silver_path"], [money])
    engine.promote_to_silver(bronze["bronze_path"], [lambda lf: lf.with_columns(price="quantity")])
    assert flat(engine.column_lineage("orders", "gross").columns[0])[1:4] == [
        "silver.price", "bronze.price", "staged.price",
    ]  # fmt: skip
    assert flat(engine.column_lineage("orders", "price", "silver").columns[0])[1] == (
        "bronze.quantity"
    )


def test_versions_made_of_others_have_their_columns(engine: PipelineEngine, orders: Path) -> None:
    run(engine, orders, [money])
    before = engine.column_lineage("orders").columns
    engine.run_full_pipeline(orders, "orders")
    assert engine.column_lineage("orders").columns != before
    engine.rollback("orders", "gold", 1)
    assert engine.column_lineage("orders").columns == before
    more: dict[str, Any] = {
        "silver_transforms": SILVER,
        "gold_transforms": [money],
        "load": "append",
    }
    engine.run_full_pipeline(orders, "lines", bronze_schema=CONTRACT, **more)
    engine.run_full_pipeline(orders, "lines", bronze_schema=CONTRACT, **more)
    engine.compact("lines")
    assert engine.column_lineage("lines").columns == before


def test_the_catalog_tells_what_is_known(engine: PipelineEngine, orders: Path) -> None:
    run(engine, orders, [money, labelled])
    table = catalog.find_table(engine.config, "orders")
    known = {c.name: (c.source_columns, c.sources_known) for c in table.layers["gold"].columns}  # type: ignore[index] # a layer is text
    assert known["gross"] == (("price", "quantity"), True)
    assert known["currency"] == ((), True)
    assert known["label"] == ((), False)
    staged = table.layers["staged"].columns  # type: ignore[index] # a layer is text
    assert {c.sources_known for c in staged} == {None}


def test_records_of_before_are_read(engine: PipelineEngine, orders: Path) -> None:
    batch = run(engine, orders, [money])
    config = engine.config
    for path in [
        config.catalog_lineage_path() / f"{batch}.json",
        config.catalog_tables_path() / "default" / "orders.json",
    ]:
        path.write_text(json.dumps(_without(json.loads(path.read_text()))))
    found = engine.column_lineage("orders", "gross")
    assert [(c.column, c.gap, c.sources) for c in found.columns] == [
        ("gross", Gap.NOT_RECORDED, ())
    ]
    assert {rows.gap for rows in found.rows.values()} == {Gap.NOT_RECORDED}
    assert catalog.find_table(config, "orders").layers["gold"].columns[0].sources_known is None  # type: ignore[index] # a layer is text


def _without(record: Any) -> Any:
    if isinstance(record, list):
        return [_without(entry) for entry in record]
    if isinstance(record, dict):
        new = ("column_lineage", "sources_known")
        return {key: _without(value) for key, value in record.items() if key not in new}
    return record


def test_a_defect_of_ours_stops_no_run(
    engine: PipelineEngine, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr("jobforge.pipeline.layers.gold.step_lineage", broken)
    assert recorded(engine.config, run(engine, orders, [money]))["gold"] is None


def test_an_address_names_a_table_or_a_column(engine: PipelineEngine, orders: Path) -> None:
    engine.ingest(orders, "or.ders", "d.d")
    for table in ("or.ders", "d.d/or.ders"):
        assert parse_address(engine.config, table) == (table, None)
        assert parse_address(engine.config, f"{table}.a.b") == (table, "a.b")
    with pytest.raises(TableNotFoundError, match="no table 'other'"):
        parse_address(engine.config, "other.x")
