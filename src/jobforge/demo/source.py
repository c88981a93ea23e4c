"""The demo's source files: small, deterministic, and as dirty as real ones.

Occupation codes and titles follow the form of the National Occupational
Classification (five digits, the first of them the broad category); the people
are made up.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

_OCCUPATIONS = (
    ("00010", "Legislators", "0"),
    ("10010", "Financial managers", "1"),
    ("11100", "Financial auditors and accountants", "1"),
    ("13110", "Administrative assistants", "1"),
    ("20012", "Computer and information systems managers", "2"),
    ("21211", "Data scientists", "2"),
    ("21223", "Database analysts and data administrators", "2"),
    ("31301", "Registered nurses", "3"),
    ("41220", "Secondary school teachers", "4"),
    ("72200", "Electricians", "7"),
)
_FIRST = ("Amélie", "Benoît", "Chen", "Divya", "Émile", "Fatima", "Grace", "Hugo", "Inès", "Jonas")
_LAST = ("Tremblay", "O'Brien", "Nguyen", "Singh", "Gagnon", "Smith", "Côté", "Martin", "Lee")
_EMPLOYEES = 240


def write_sources(folder: Path) -> tuple[Path, Path]:
    """Write `occupations.csv` and `employees.csv`; the same bytes every time.

    Args:
        folder: An existing folder.

    Returns:
        The two paths.
    """
    occupations = folder / "occupations.csv"
    employees = folder / "employees.csv"
    header = ("NOC Code", "Title", "Broad Category")
    _write(occupations, [header, *_OCCUPATIONS])
    _write(employees, _employee_rows())
    return occupations, employees


def _employee_rows() -> list[tuple[str, ...]]:
    chance = random.Random(2021)  # noqa: S311 - the same people every time, not a secret
    rows: list[tuple[str, ...]] = [
        ("Employee ID", "Full Name", "NOC Code", "Hired On", "Hourly Wage", "Weekly Hours")
    ]
    for number in range(1, _EMPLOYEES + 1):
        name = f"{chance.choice(_FIRST)} {chance.choice(_LAST)}"
        code = chance.choice(_OCCUPATIONS)[0]
        hired = (
            f"{chance.randint(2005, 2025)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        )
        wage = f"{chance.randint(1800, 9500) / 100:.2f}"
        hours = chance.choice(("37.5", "40", "20", "35"))
        rows.append((f"{number:06}", name, code, hired, wage, hours))
    return _made_dirty(rows)


def _made_dirty(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """What real files have: padding, N/A marks, impossible values, the same person twice."""

    def change(line: int, column: int, text: str) -> None:
        rows[line] = (*rows[line][:column], text, *rows[line][column + 1 :])

    change(17, 1, "  " + rows[17][1] + " ")
    change(58, 1, rows[58][1].replace(" ", "   "))
    change(31, 3, "2023-02-30")
    change(77, 4, "N/A")
    change(112, 4, "twenty")
    change(140, 5, "")
    change(151, 4, "2.50")
    change(163, 5, "400")
    change(188, 2, "TEER_0")
    rows.append(rows[9])
    return rows


def _write(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
