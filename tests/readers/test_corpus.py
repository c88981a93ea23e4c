"""Every trap has the outcome that the guide promises."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from jobforge import PipelineEngine
from jobforge.errors import JobforgeError
from readers_corpus import TRAPS, Trap
from support import data, debris

PAGE = Path(__file__).parents[2] / "docs" / "staged.md"


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.what)
def test_a_trap_has_its_outcome(engine: PipelineEngine, tmp_path: Path, trap: Trap) -> None:
    path = tmp_path / trap.name
    path.write_bytes(trap.data)
    try:
        result = engine.ingest(path, "t", read=trap.options)
    except JobforgeError as error:
        refusal: JobforgeError | None = error
    else:
        refusal = None
    assert not debris(engine.config.data_root)
    if trap.rows is None:
        assert refusal is not None
        assert refusal.code == trap.code
        assert trap.place.items() <= dict(refusal.place).items()
        assert refusal.hint
        return
    assert refusal is None, refusal
    assert data(result["staged_path"]).rows() == trap.rows
    if "noted" in trap.outcome:
        assert len(result["log"].notes) > 1 or "mark" in trap.what
    if "quarantine" in trap.outcome:
        rejects = pl.read_parquet(engine.config.data_root / str(result["log"].quarantine_file))
        assert rejects.height == 1


def test_the_guide_shows_every_trap_with_its_outcome() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [row(trap) for trap in TRAPS if row(trap) not in page]
    assert not missing, "\n".join(missing)
    shown = [line for line in page.splitlines() if line.startswith("| ") and "| `t." in line]
    assert len(shown) == len(TRAPS)


def row(trap: Trap) -> str:
    return f"| {trap.what} | `{trap.name}` | {trap.outcome} |"
