"""Options of the reader for delimited text."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from jobforge.readers.base import ReadOptions

MAX_RECORD = 16 << 20


class CsvOptions(ReadOptions):
    """How delimited text is to be read; the defaults fit most files.

    Raises:
        InvalidOptionError: An option is unknown, or its value makes no sense.
    """

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Found from the structure unless given: a comma, else the one of `; TAB |` that
    parts every record alike."""
    quote: str | None = Field(default='"', min_length=1, max_length=1)
    """Null where quotes are ordinary text."""
    encoding: str | None = None
    """UTF-8, or what a byte order mark says, unless given; any encoding that Python knows."""
    header: bool = True
    """Whether the first record holds the column names."""
    names: tuple[str, ...] | None = None
    """Column names of a file without a header; `column_1`, `column_2`, ... unless given."""
    skip_lines: int = Field(default=0, ge=0)
    """Physical lines to pass over at the beginning, such as a title."""
    comment: str | None = Field(default=None, min_length=1)
    """Lines that begin with this text are passed over."""
    blank_lines: Literal["skip", "refuse", "keep"] | None = None
    """What becomes of lines without a character: passed over and noted, refused, or kept as a
    record of empty fields. `skip` unless given, and `refuse` where the file has one column,
    because there a blank line may be a value."""
    bad_rows: Literal["refuse", "quarantine"] = "refuse"
    """Whether a malformed record stops the ingest, or is kept raw in quarantine."""
    max_record: PositiveInt = MAX_RECORD
    """Characters that one record may have."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.names is not None and self.header:
            raise ValueError("names are for files without a header: pass header=False too")
        if self.names is not None and len(set(self.names)) != len(self.names):
            raise ValueError("two names are alike")
        for name in ("delimiter", "quote"):
            value = getattr(self, name)
            if value is not None and (not value.isascii() or value in "\r\n\0"):
                raise ValueError(f"the {name} is one ASCII character, and no line end")
        if self.delimiter is not None and self.delimiter == self.quote:
            raise ValueError("the delimiter and the quote are the same")
        return self
