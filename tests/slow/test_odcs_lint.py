"""Contracts as another program sees them: the linter of the Data Contract CLI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobforge import Column, Contract
from support import NOC

pytestmark = pytest.mark.slow

# It pins its own versions of our dependencies, so that it needs an environment of its own.
LINTER = "datacontract-cli==1.2.8"


@pytest.fixture(scope="module")
def linter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("linter")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    install = [str(home / "bin" / "pip"), "install", "--quiet", LINTER]
    subprocess.run(install, check=True, capture_output=True)
    return home / "bin" / "datacontract"


def lint(linter: Path, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(linter), "lint", str(path)], capture_output=True, text=True, check=False
    )


EVERYTHING = Contract(
    {
        "id": Column("Int64", source="Order ID", nullable=False, key=True, ge=1, description="No."),
        "part": Column("String", nullable=False, key=True, pattern="^[A-Z]+$", length=(1, 9)),
        "price": Column("Decimal(12, 2)", ge="0.01", le="999.99", decimal=",", thousands="."),
        "big": Column("Decimal(38, 10)", ge="1234567890123456789.0123456789"),
        "day": Column("Date", format="%d/%m/%Y", ge="2020-01-01", null_values=["-"]),
        "at": Column("Datetime('us', 'UTC')"),
        "clock": Column("Time", le="20:00:00"),
        "gift": Column("Boolean", true_values=["oui"], false_values=["non"]),
        "state": Column("Enum(['A', 'B'])"),
        "kind": Column("String", allowed=["x", "y"], unique=True, pii="name"),
        "as_it_is": Column(),
    },
    version="2.1.0",
    owner="sales data",
    description="Orders, one line a part.",
    extra_columns="drop",
    max_rejects=0.01,
)


def test_what_is_exported_passes(linter: Path, tmp_path: Path) -> None:
    contracts = {"everything": EVERYTHING}
    contracts |= {path.stem: Contract.infer(path) for path in NOC.glob("*.csv")}
    for name, contract in contracts.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(contract.to_odcs(name), encoding="utf-8")
        done = lint(linter, path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert Contract.read(path) == contract


def test_the_linter_does_find_faults(linter: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    text = EVERYTHING.to_odcs("orders").replace("logicalType: integer", "logicalType: whole")
    path.write_text(text, encoding="utf-8")
    assert lint(linter, path).returncode != 0
