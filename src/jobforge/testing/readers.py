"""The conformance suite for readers.

Subclass it in your tests; pytest runs every check on your reader:

    class TestMyReader(ReaderConformance):
        reader = MyReader()

        def sample(self, folder):
            path = folder / "sample.mine"
            path.write_bytes(...)
            return Sample(path, pl.DataFrame({"a": ["007", None]}))

A reader that is `Locating` is judged by that too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
from polars.testing import assert_frame_equal

from jobforge.errors import JobforgeError, RecordNotFoundError, SourceError
from jobforge.readers.base import (
    RECORD,
    Locating,
    ReadContext,
    Reader,
    ReadOptions,
    SourceTable,
)
from jobforge.readers.places import RecordPlace
from jobforge.readers.registry import Choice, reader_for
from jobforge.storage.source import SourceFile

_CUTS = 24


@dataclass(frozen=True)
class Sample:
    """A file and what it holds.

    Args:
        path: The file.
        holds: Its records, with their exact types.
        options: Options to read it with; the reader's defaults unless given.
    """

    path: Path
    holds: pl.DataFrame
    options: ReadOptions | None = None


class ReaderConformance:
    """What every reader has to do. `tmp_path` is pytest's fixture."""

    reader: ClassVar[Reader]

    def sample(self, folder: Path) -> Sample:
        """A good file with at least two rows and two columns, made by another writer."""
        raise NotImplementedError

    def damaged(self, folder: Path) -> Iterable[Sample]:
        """Files that have to be refused; `holds` is not looked at."""
        del folder
        return ()

    def alone(self, folder: Path, raw: str) -> Path | None:
        """A file that holds the columns of the sample and one record, of this text.

        None where the format has no text of a record.
        """
        del folder, raw
        return None

    def test_it_says_what_it_reads(self, tmp_path: Path) -> None:
        """Name, endings and options are there; its options lead back to it."""
        reader = type(self).reader
        assert reader.name
        assert reader.suffixes
        assert all(end.startswith(".") and end == end.lower() for end in reader.suffixes)
        assert issubclass(reader.options, ReadOptions)
        assert reader_for(self.sample(tmp_path).path.name, None).name == reader.name
        assert reader_for("x", reader.options()).name == reader.name

    def test_values_names_types_and_order_are_those_of_the_file(self, tmp_path: Path) -> None:
        """The frame is lazy and equals what the sample holds; the count is the reader's own."""
        sample = self.sample(tmp_path)
        table = _read(type(self).reader, sample, tmp_path / "scratch")
        assert isinstance(table.frame, pl.LazyFrame)
        found = table.frame.collect(engine="streaming").drop(RECORD, strict=False)
        assert_frame_equal(found, sample.holds, check_exact=True)
        assert table.rows == sample.holds.height
        assert all(note.topic and note.text for note in table.notes)

    def test_parts_of_the_frame_are_parts_of_the_whole(self, tmp_path: Path) -> None:
        """Columns, heads and filters that Polars pushes into a source are heeded."""
        sample = self.sample(tmp_path)
        frame = _read(type(self).reader, sample, tmp_path / "scratch").frame
        whole = sample.holds
        last = whole.columns[-1]
        assert_frame_equal(frame.select(last).collect(engine="streaming"), whole.select(last))
        assert_frame_equal(frame.head(1).select(whole.columns).collect(), whole.head(1))
        known = frame.filter(pl.col(last).is_not_null()).select(whole.columns)
        assert_frame_equal(
            known.collect(engine="streaming"), whole.filter(pl.col(last).is_not_null())
        )
        numbered = frame.with_row_index("__n").select("__n").collect(engine="streaming")
        assert numbered["__n"].to_list() == list(range(whole.height))

    def test_reading_again_gives_the_same(self, tmp_path: Path) -> None:
        """A frame can be computed more than once."""
        frame = _read(type(self).reader, self.sample(tmp_path), tmp_path / "scratch").frame
        assert_frame_equal(frame.collect(engine="streaming"), frame.collect(engine="streaming"))

    def test_the_file_is_only_read(self, tmp_path: Path) -> None:
        """Bytes and time of change stay, and nothing appears beside the file."""
        sample = self.sample(tmp_path)
        before = sample.path.read_bytes(), sample.path.stat().st_mtime_ns
        beside = sorted(tmp_path.iterdir())
        _read(type(self).reader, sample, tmp_path / "scratch").frame.collect()
        assert (sample.path.read_bytes(), sample.path.stat().st_mtime_ns) == before
        assert [path for path in sorted(tmp_path.iterdir()) if path.name != "scratch"] == beside

    def test_the_hash_is_that_of_the_bytes(self, tmp_path: Path) -> None:
        """A reader that hashes on its way hashes every byte, once, in order."""
        sample = self.sample(tmp_path)
        source = SourceFile(sample.path)
        context = ReadContext(tmp_path / "scratch")
        reader = type(self).reader
        reader.read(source, sample.options or reader.options(), context).frame.collect()
        assert source.sha256 == SourceFile(sample.path).sha256

    def test_how_it_was_read_reads_it_again(self, tmp_path: Path) -> None:
        """Options as they are recorded, found ones among them, give the same table."""
        sample = self.sample(tmp_path)
        reader = type(self).reader
        options = _as_read(reader, sample, tmp_path / "scratch")[0]
        again = _read(reader, Sample(sample.path, sample.holds, options), tmp_path / "scratch")
        found = again.frame.collect(engine="streaming").drop(RECORD, strict=False)
        assert_frame_equal(found, sample.holds, check_exact=True)

    def test_a_record_and_its_place_lead_to_each_other(self, tmp_path: Path) -> None:
        """Every record has a place, and the lines of the place have the record."""
        reader, sample = type(self).reader, self.sample(tmp_path)
        if not isinstance(reader, Locating):
            return
        source, context = SourceFile(sample.path), ReadContext(tmp_path / "scratch")
        options, table = _as_read(reader, sample, context.scratch)
        numbers = list(range(1, table.rows + table.rejected + 1))
        places = reader.places(source, options, numbers, context)
        assert [place.record for place in places] == numbers
        assert reader.places(source, options, numbers[::-1], context) == places[::-1]
        for place in places:
            for line in _lines(place):
                assert place.record in reader.records_at(source, options, line, context)
        for beyond in (0, len(numbers) + 1):
            with contextlib.suppress(RecordNotFoundError):
                reader.places(source, options, [beyond], context)
                raise AssertionError(f"record {beyond} has a place")

    def test_the_text_of_a_record_is_the_record(self, tmp_path: Path) -> None:
        """Where a place has bytes, they are its text; the text alone gives the same values."""
        reader, sample = type(self).reader, self.sample(tmp_path)
        if not isinstance(reader, Locating):
            return
        source, context = SourceFile(sample.path), ReadContext(tmp_path / "scratch")
        options, table = _as_read(reader, sample, context.scratch)
        rows = table.frame.collect(engine="streaming").drop(RECORD, strict=False)
        data = sample.path.read_bytes()
        for place in reader.places(source, options, range(1, table.rows + 1), context):
            if place.raw is None:
                continue
            if place.offset is not None and place.length is not None:
                assert data[place.offset :][: place.length].decode() == place.raw
            path = self.alone(tmp_path, place.raw)
            if path is not None:
                one = _read(
                    reader, Sample(path, rows, sample.options), context.scratch
                ).frame.collect()
                wanted = rows.slice(place.record - 1, 1).to_dicts()[0]
                found = dict.fromkeys(wanted) | one.to_dicts()[0]
                assert found == wanted, f"record {place.record}: {place.raw!r}"

    def test_damage_is_refused(self, tmp_path: Path) -> None:
        """Each damaged file gives an error of the source, with something to do about it."""
        for number, sample in enumerate(self.damaged(tmp_path)):
            refusal = _refusal(type(self).reader, sample, tmp_path / f"scratch-{number}")
            assert refusal is not None, f"{sample.path.name} was read"
            assert refusal.hint, f"{sample.path.name}: no hint: {refusal}"

    def test_a_file_that_is_cut_off_never_raises_an_error_that_is_not_ours(
        self, tmp_path: Path
    ) -> None:
        """Wherever it is cut, the outcome is a table or an error of jobforge."""
        sample = self.sample(tmp_path)
        whole = sample.path.read_bytes()
        for size in sorted({len(whole) * part // _CUTS for part in range(1, _CUTS)} - {0}):
            cut = Sample(tmp_path / f"cut{sample.path.name}", sample.holds, sample.options)
            cut.path.write_bytes(whole[:size])
            try:
                table = _read(type(self).reader, cut, tmp_path / "scratch")
                found = table.frame.collect(engine="streaming")
            except JobforgeError:
                continue
            assert found.height == table.rows


def _refusal(reader: Reader, sample: Sample, scratch: Path) -> SourceError | None:
    try:
        _read(reader, sample, scratch).frame.collect()
    except SourceError as error:
        return error
    return None


def _read(reader: Reader, sample: Sample, scratch: Path) -> SourceTable:
    options = sample.options or reader.options()
    return reader.read(SourceFile(sample.path), options, ReadContext(scratch))


def _as_read(reader: Reader, sample: Sample, scratch: Path) -> tuple[ReadOptions, SourceTable]:
    """The options with which a file was read, found ones among them, and its table."""
    table = _read(reader, sample, scratch)
    known = Choice(reader, sample.options or reader.options()).as_read(table)
    assert known is not None, "an option is no JSON"
    return reader.options(**known), table


def _lines(place: RecordPlace) -> Iterable[int]:
    """What `records_at` is asked for: lines, rows of a sheet, or rows of the file."""
    if place.first_line is not None and place.last_line is not None:
        assert 1 <= place.first_line <= place.last_line
        return range(place.first_line, place.last_line + 1)
    if place.sheet is not None and place.row is not None:
        return (place.row,)
    return (place.record,)
