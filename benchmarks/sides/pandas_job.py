"""The orders job in pandas on pyarrow types, each layer from the file of the layer before."""

from __future__ import annotations

from pathlib import Path

import clock
import job
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

_TYPES = {
    "order_id": pa.int64(),
    "quantity": pa.int32(),
    "unit_price": pa.float64(),
    "discount": pa.float64(),
}


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path, dtype_backend="pyarrow")


def write(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, engine="pyarrow", compression="zstd", index=False)


def staged(source: Path) -> pd.DataFrame:
    """Every column as text. `pandas.read_csv` has no switch for line ends in a value on pyarrow."""
    table = csv.read_csv(
        source,
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(job.NAMES, pa.string()), strings_can_be_null=True
        ),
    )
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def bronze(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.rename(columns=job.NAMES)
    frame = frame.astype({name: pd.ArrowDtype(type_) for name, type_ in _TYPES.items()})
    frame["order_date"] = frame["order_date"].astype(pd.ArrowDtype(pa.date32()))
    frame["shipped_at"] = frame["shipped_at"].astype(pd.ArrowDtype(pa.timestamp("us")))
    return frame


def silver(frame: pd.DataFrame) -> pd.DataFrame:
    for name in job.TRIMMED:
        frame[name] = frame[name].str.strip()
    frame = frame[(frame["quantity"] > 0) & frame["customer_id"].notna()]
    return frame.drop_duplicates("order_id")


def gold(frame: pd.DataFrame) -> pd.DataFrame:
    frame["gross"] = frame["quantity"] * frame["unit_price"]
    months = frame["order_date"].astype(pd.ArrowDtype(pa.timestamp("s"))).dt.floor("D")
    frame["order_month"] = (months - pd.to_timedelta(months.dt.day - 1, unit="D")).astype(
        pd.ArrowDtype(pa.date32())
    )
    frame["net"] = frame["gross"] * (1 - frame["discount"].fillna(0))
    return frame


def work(source: Path, target: Path) -> dict[str, Path]:
    paths = job.files(target)
    write(staged(source), paths["staged"])
    write(bronze(read(paths["staged"])), paths["bronze"])
    write(silver(read(paths["bronze"])), paths["silver"])
    write(gold(read(paths["silver"])), paths["gold"])
    return paths


def made(paths: dict[str, Path]) -> clock.Made:
    """Rows as the files have them."""
    rows = {layer: pq.read_metadata(path).num_rows for layer, path in paths.items()}
    return clock.Made(rows, {layer: str(path) for layer, path in paths.items()})


if __name__ == "__main__":
    chosen = clock.arguments(__doc__).parse_args()
    clock.run(chosen, lambda: work(chosen.source, chosen.target), made)
