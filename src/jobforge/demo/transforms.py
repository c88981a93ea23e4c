"""The demo's declared schema and functions, as a user would write them."""

from __future__ import annotations

import polars as pl

OCCUPATIONS = {"rename": {"NOC Code": "noc_code", "Title": "title", "Broad Category": "broad"}}

EMPLOYEES = {
    "rename": {
        "Employee ID": "employee_id",
        "Full Name": "full_name",
        "NOC Code": "noc_code",
        "Hired On": "hired_on",
        "Hourly Wage": "hourly_wage",
        "Weekly Hours": "weekly_hours",
    },
    "cast": {"hired_on": "Date", "hourly_wage": "Decimal(8, 2)", "weekly_hours": "Float64"},
    "null_values": ["N/A"],
}


def tidy_names(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Trim names and leave single spaces inside them."""
    tidy = pl.col("full_name").str.replace_all(r"\s+", " ").str.strip_chars()
    return lf.with_columns(tidy)


def wage_known(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Keep employees whose wage is known."""
    return lf.filter(pl.col("hourly_wage").is_not_null())


def one_row_each(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the first row of each employee."""
    return lf.unique(subset="employee_id", keep="first", maintain_order=True)


def yearly_pay(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Pay for a year of 52 weeks; null where the hours are not known."""
    pay = pl.col("hourly_wage").cast(pl.Float64) * pl.col("weekly_hours") * 52
    return lf.with_columns(pay.round(2).alias("yearly_pay"))


def broad_category(lf: pl.LazyFrame) -> pl.LazyFrame:
    """The first digit of the code: the broad occupational category."""
    return lf.with_columns(pl.col("noc_code").str.head(1).alias("broad"))
