"""Text in fixed columns: fields with their padding, and lines that do not fit refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobforge.errors import InvalidOptionError, JobforgeError, SourceError
from jobforge.readers.fixed_width import FixedWidthOptions, FixedWidthReader
from jobforge.testing import ReaderConformance, Sample
from oracles import read, values

COLUMNS = {"code": (0, 5), "title": (6, 8)}
TEXT = "00010 Legislat\n007    Writer \n"
HOLDS = pl.DataFrame({"code": ["00010", "007  "], "title": ["Legislat", " Writer "]})


class TestConformance(ReaderConformance):
    reader = FixedWidthReader()

    def sample(self, folder: Path) -> Sample:
        path = folder / "sample.fwf"
        path.write_text(TEXT)
        return Sample(path, HOLDS, FixedWidthOptions(columns=COLUMNS))

    def alone(self, folder: Path, raw: str) -> Path:
        path = folder / "alone.fwf"
        path.write_bytes(raw.encode())
        return path

    def damaged(self, folder: Path) -> list[Sample]:
        found = []
        for name, data in {
            "short": b"00010 Legis\n",
            "gap": b"00010xLegislat\n",
            "long": b"00010 Legislators\n",
            "bytes": b"00010 Legisla\xff\n",
            "nul": b"00010 Legisla\0\n",
        }.items():
            path = folder / f"{name}.fwf"
            path.write_bytes(data)
            found.append(Sample(path, HOLDS, FixedWidthOptions(columns=COLUMNS)))
        return found


@given(
    rows=st.lists(
        st.tuples(
            st.text(st.sampled_from("aé0 "), min_size=3, max_size=3),
            st.text(st.sampled_from("b😀, "), min_size=2, max_size=2),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_fields_come_back_with_their_padding(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "t.fwf"
    path.write_text("Title\n" + "".join(f"{a}{b}\r\n" for a, b in rows), newline="")
    options = FixedWidthOptions(columns={"a": (0, 3), "b": (3, 2)}, skip_lines=1)
    found = read(path, tmp_path / "s", options)
    assert not isinstance(found, JobforgeError), found
    assert values(found[1]) == rows


def test_the_line_of_a_fault_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.fwf"
    path.write_text(TEXT + "short\n")
    error = read(path, tmp_path / "s", FixedWidthOptions(columns=COLUMNS))
    assert isinstance(error, SourceError)
    assert error.place == {"line": 3, "column": "title"}


def test_the_columns_have_to_be_declared(tmp_path: Path) -> None:
    path = tmp_path / "t.fwf"
    path.write_text(TEXT)
    error = read(path, tmp_path / "s")
    assert isinstance(error, InvalidOptionError)
    assert "FixedWidthOptions(columns=" in error.hint


@pytest.mark.parametrize(
    "columns",
    [{"a": (0, 3), "b": (2, 2)}, {"a": (3, 1), "b": (0, 1)}, {"a": (0, 0)}, {"a": (-1, 2)}],
)
def test_columns_that_cannot_be_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        FixedWidthOptions(columns=columns)
