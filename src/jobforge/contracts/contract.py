"""A contract: what bronze makes of a source, and what silver may rely on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobforge.contracts.column import Column, is_text
from jobforge.errors import InvalidSchemaError, SchemaMismatchError, UnknownColumnError, nearest
from jobforge.quality.columns import PROVENANCE_COLUMNS
from jobforge.quality.quarantine import REASONS, STEP
from jobforge.quality.rules import is_tolerance

if TYPE_CHECKING:
    import polars as pl

    from jobforge.readers.base import ReadOptions

RESERVED = (*PROVENANCE_COLUMNS, REASONS, STEP)
_HINTED = 5
_CHOICES = {
    "extra_columns": ("keep", "drop", "fail"),
    "on_cast_failure": ("quarantine", "fail"),
    "on_check_failure": ("quarantine", "warn", "fail"),
}


@dataclass(frozen=True)
class Contract:
    """The columns of a table as they are promised.

    Bronze renames and casts by it; silver judges the checks of its columns.

    Args:
        columns: By the name that each has in bronze.
        version: Of the contract; a text such as "1.2.0".
        owner: Who answers for it.
        description: For a person.
        extra_columns: What happens to columns of the source that it does not
            name: `keep` them as they are, `drop` them, or `fail`.
        null_values: Words that mean "no value" in every column that has a type.
        on_cast_failure: `quarantine` a row with a value that cannot be cast
            exactly, or `fail`: nothing of the layer is published.
        on_check_failure: `quarantine` a row that fails a check, `warn`, or `fail`.
        max_rejects: How many rows may leave for quarantine in one layer, a
            number (5) or a share of the rows that came in (0.01); more stop it.

    Raises:
        InvalidSchemaError: It is not well formed; the error names the column.
    """

    columns: Mapping[str, Column]
    version: str = "1.0.0"
    owner: str | None = None
    description: str | None = None
    extra_columns: str = "keep"
    null_values: Any = ()
    on_cast_failure: str = "quarantine"
    on_check_failure: str = "quarantine"
    max_rejects: int | float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.columns, Mapping):
            raise InvalidSchemaError(
                "columns is no dict by column name", hint='columns={"id": Column(pl.Int64)}'
            )
        _check_choices(self)
        checked = {name: _column(name, column) for name, column in self.columns.items()}
        _check_sources(checked)
        words = (self.null_values,) if isinstance(self.null_values, str) else self.null_values
        if not isinstance(words, (list, tuple)) or not all(isinstance(w, str) for w in words):
            raise InvalidSchemaError(
                f"null_values: {words!r} is no list of words", hint='write ["N/A", "-"]'
            )
        object.__setattr__(self, "columns", checked)
        object.__setattr__(self, "null_values", tuple(dict.fromkeys(words)))

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row, in order; none where there is no key."""
        return tuple(name for name, column in self.columns.items() if column.key)

    @property
    def personal(self) -> tuple[str, ...]:
        """The columns that are classed as personal data."""
        return tuple(name for name, column in self.columns.items() if column.pii)

    def shown(self, *, source: bool) -> set[str] | None:
        """Columns whose values may be shown; None where all may.

        Where a column is personal, one that a function made may hold what it
        held: only what the contract names, and does not class, is shown.

        Args:
            source: Whether columns are meant by their names in the source, or
                by those that they have in bronze.
        """
        if not self.personal:
            return None
        plain = {name for name in self.columns if name not in self.personal}
        return {self.source_of(name) for name in plain} if source else plain

    def source_of(self, name: str) -> str:
        """The name that a column has in the source."""
        return self.columns[name].source or name

    def words_of(self, name: str) -> tuple[str, ...]:
        """The words that mean "no value" in a column."""
        column = self.columns[name]
        shared = self.null_values if column.dtype is not None else ()
        return tuple(dict.fromkeys((*column.null_values, *shared)))

    def bind(self, names: Sequence[str]) -> dict[str, str]:
        """Where the columns of bronze come from, in the order of the source.

        Args:
            names: Columns of the source.

        Returns:
            For each column of bronze its name in the source.

        Raises:
            UnknownColumnError: The source lacks columns; names each, and the nearest.
            SchemaMismatchError: It has others, and the contract says `fail`.
            InvalidSchemaError: Two columns would have one name.
        """
        sources = {self.source_of(name): name for name in self.columns}
        missing = [source for source in sources if source not in names]
        extra = [name for name in names if name not in sources]
        if missing:
            raise self._missing(missing, names, extra)
        if extra and self.extra_columns == "fail":
            raise SchemaMismatchError(
                "the source has columns that the contract does not name: "
                + ", ".join(map(repr, extra)),
                hint="add them to the contract, or say extra_columns='keep' or 'drop'",
                column=extra[0],
            )
        kept = [name for name in names if name in sources or self.extra_columns == "keep"]
        bound: dict[str, str] = {}
        for source in kept:
            name = sources.get(source, source)
            if name in bound:
                raise InvalidSchemaError(
                    f"{source!r} cannot become {name!r}, because another column has that name",
                    hint="rename the other column too, or choose another name",
                    column=source,
                )
            bound[name] = source
        return bound

    def _missing(
        self, missing: list[str], names: Sequence[str], extra: list[str]
    ) -> UnknownColumnError:
        """Names every column that is missing, and for each the nearest that nobody claims."""
        several = len(missing) > 1
        text = f"the table has no column{'s' if several else ''} " + ", ".join(map(repr, missing))
        hints = [
            (f"{name!r}: " if several else "") + nearest(name, extra or names)
            for name in missing[:_HINTED]
        ]
        return UnknownColumnError(text, hint="; ".join(hints), column=missing[0])

    def as_dict(self) -> dict[str, object]:
        """The whole contract as JSON can hold it; what was not declared is left out."""
        found: dict[str, object] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "columns":
                continue
            if entry.name == "version" or value != entry.default:
                found[entry.name] = list(value) if isinstance(value, tuple) else value
        columns = {name: column.as_dict() for name, column in self.columns.items()}
        return {**found, "columns": columns}

    @classmethod
    def from_dict(cls, declared: Mapping[str, Any]) -> Contract:
        """The contract of `as_dict`.

        Raises:
            InvalidSchemaError: It has another form.
        """
        if not isinstance(declared, Mapping):
            raise InvalidSchemaError(
                f"a contract is a dict, not a {type(declared).__name__}",
                hint='{"columns": {"id": {"type": "Int64"}}}',
            )
        known = {entry.name for entry in fields(cls)}
        for key in declared:
            if key not in known:
                raise InvalidSchemaError(
                    f"a contract has no {key!r}", hint=nearest(str(key), sorted(known))
                )
        columns = declared.get("columns")
        if not isinstance(columns, Mapping):
            raise InvalidSchemaError(
                "columns is no dict by column name",
                hint='"columns": {"id": {"type": "Int64"}}',
            )
        rest = {key: value for key, value in declared.items() if key != "columns"}
        made = {name: Column.from_dict(str(name), value) for name, value in columns.items()}
        return cls(columns=made, **rest)

    @classmethod
    def infer(
        cls,
        source: Path | str | pl.LazyFrame | pl.DataFrame,
        *,
        read: ReadOptions | None = None,
        ranges: bool = True,
    ) -> Contract:
        """Propose a contract from what a source holds: types, keys, null words, formats, ranges.

        Every row is looked at. Where the values have two readings (`03/04/2024`,
        `1,234`) the column stays text. What comes is a proposal to be edited.

        Args:
            source: A file, or a frame.
            read: Options of the format, such as `CsvOptions(delimiter=";")`.
            ranges: Whether to propose the least and greatest number that was seen.

        Raises:
            SourceError: The file cannot be read exactly.
        """
        from jobforge.contracts.propose import propose

        return propose(source, read, ranges=ranges)

    @classmethod
    def read(cls, path: Path | str, table: str | None = None) -> Contract:
        """Read a contract from a file: ODCS v3 (YAML or JSON), JSON Schema, or a dict as JSON.

        Args:
            path: The file.
            table: Which table of an ODCS document, where it has several.

        Raises:
            InvalidSchemaError: It is no contract; names file, line and column
                where there is one.
        """
        from jobforge.contracts.files import read_contract

        return read_contract(path, table).contract

    def to_odcs(self, table: str, domain: str = "default") -> str:
        """The contract as YAML after the Open Data Contract Standard, v3.1.

        Args:
            table: Name of the table.
            domain: Its business domain.
        """
        from jobforge.contracts.odcs import to_odcs

        return to_odcs(self, table, domain)

    def to_json_schema(self, table: str) -> dict[str, Any]:
        """The contract as JSON Schema (draft 2020-12) of one row of bronze.

        Args:
            table: Name of the table.
        """
        from jobforge.contracts.json_schema import to_json_schema

        return to_json_schema(self, table)

    def to_python(self, name: str = "contract") -> str:
        """The contract as Python source that declares an equal one.

        Args:
            name: The variable.
        """
        from jobforge.contracts.python_form import to_python

        return to_python(self, name)

    @property
    def sha256(self) -> str:
        """SHA-256 of what is declared, which changes with every change of meaning."""
        text = json.dumps(self.as_dict(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _column(name: object, column: object) -> Column:
    if not isinstance(name, str) or not is_text(name):
        raise InvalidSchemaError(f"{name!r} is no name of a column", hint="names are text")
    if name in RESERVED:
        raise InvalidSchemaError(
            f"{name!r} is a provenance column", hint="choose another name", column=name
        )
    if not isinstance(column, Column):
        raise InvalidSchemaError(
            f"{name!r} is a {type(column).__name__}, not a Column",
            hint='columns={"id": Column(pl.Int64, nullable=False)}',
            column=name,
        )
    if column.source in RESERVED:
        raise InvalidSchemaError(
            f"source: {column.source!r} is a provenance column",
            hint="provenance comes along by itself",
            column=name,
        )
    return column.checked(name)


def _check_sources(columns: Mapping[str, Column]) -> None:
    """Refuse two columns that come from one."""
    seen: dict[str, str] = {}
    for name, column in columns.items():
        source = column.source or name
        if source in seen:
            raise InvalidSchemaError(
                f"{seen[source]!r} and {name!r} both come from {source!r}",
                hint="take a source column once; derive the other in silver",
                column=name,
            )
        seen[source] = name


def _check_choices(contract: Contract) -> None:
    for option, choices in _CHOICES.items():
        value = getattr(contract, option)
        if value not in choices:
            raise InvalidSchemaError(
                f"{option} is {value!r}", hint="use " + " or ".join(map(repr, choices))
            )
    for option in ("version", "owner", "description"):
        value = getattr(contract, option)
        if not (value is None and option != "version") and not is_text(value):
            raise InvalidSchemaError(f"{option} is {value!r}", hint="use text")
    if not is_tolerance(contract.max_rejects):
        raise InvalidSchemaError(
            f"max_rejects is {contract.max_rejects!r}",
            hint="use a number of rows (5) or a share of them (0.01)",
        )
