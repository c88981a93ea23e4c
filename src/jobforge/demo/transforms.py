"""The demo's contracts and steps, as a user would write them."""

from __future__ import annotations

import polars as pl

from jobforge.contracts.column import Column
from jobforge.contracts.contract import Contract
from jobforge.quality.cleaning import normalise_whitespace
from jobforge.quality.declared import NamedStep, expect, keep
from jobforge.quality.duplicates import deduplicate
from jobforge.quality.references import references

OCCUPATIONS = Contract(
    {
        "noc_code": Column(
            pl.String, source="NOC Code", nullable=False, key=True, pattern="^[0-9]{5}$"
        ),
        "title": Column(pl.String, source="Title", nullable=False),
        "broad": Column(pl.String, source="Broad Category"),
    }
)

EMPLOYEES = Contract(
    {
        "employee_id": Column(pl.String, source="Employee ID", nullable=False, key=True),
        "full_name": Column(pl.String, source="Full Name", nullable=False, pii="name"),
        "noc_code": Column(pl.String, source="NOC Code"),
        "hired_on": Column(pl.Date, source="Hired On"),
        "hourly_wage": Column(pl.Decimal(8, 2), source="Hourly Wage", null_values=["N/A"], ge=15),
        "weekly_hours": Column(pl.Float64, source="Weekly Hours"),
    },
    max_rejects=0.1,
)

SILVER: list[NamedStep] = [
    normalise_whitespace("full_name"),
    keep("wage_known", pl.col("hourly_wage").is_not_null()),
    expect("hours_plausible", pl.col("weekly_hours").is_between(1, 60), null="pass"),
    references("noc_code", "demo/occupations"),
    deduplicate("employee_id"),
]


def yearly_pay(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Pay for a year of 52 weeks; null where the hours are not known."""
    pay = pl.col("hourly_wage").cast(pl.Float64) * pl.col("weekly_hours") * 52
    return lf.with_columns(pay.round(2).alias("yearly_pay"))


def broad_category(lf: pl.LazyFrame) -> pl.LazyFrame:
    """The first digit of the code: the broad occupational category."""
    return lf.with_columns(pl.col("noc_code").str.head(1).alias("broad"))
