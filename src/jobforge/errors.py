"""Every error that jobforge raises: one root, one tree, stable codes.

    JobforgeError
    ├── UsageError                     a call that could not work, refused before data is touched
    │   ├── InvalidNameError           (ValueError)      JF101
    │   ├── InvalidConfigError         (ValueError)      JF102
    │   ├── InvalidSchemaError         (ValueError)      JF103
    │   ├── UnknownColumnError         (LookupError)     JF104
    │   ├── InvalidOptionError         (ValueError)      JF105
    │   ├── InvalidTransformError      (TypeError)       JF106
    │   ├── TableNotFoundError         (LookupError)     JF107
    │   ├── VersionNotFoundError       (LookupError)     JF108
    │   ├── RecordNotFoundError        (LookupError)     JF109
    │   ├── InvalidRuleError           (ValueError)      JF110
    │   └── InvalidQueryError          (ValueError)      JF111
    ├── SourceError                    the source file cannot become a staged table
    │   ├── SourceNotFoundError        (FileNotFoundError) JF201
    │   ├── SourceUnreadableError      (OSError)         JF202
    │   ├── EmptySourceError           JF203
    │   ├── UnknownFormatError         JF204
    │   ├── MalformedSourceError       JF205
    │   ├── UnsupportedValueError      JF206
    │   ├── ReservedColumnError        JF207
    │   ├── SourceChangedError         JF208
    │   └── AmbiguousSourceError       JF209
    ├── StorageError                   the data root, or a file in it
    │   ├── DataRootError              (OSError)         JF301
    │   ├── NotAJobforgeFileError      JF302
    │   ├── WrongLayerError            JF303
    │   ├── RecordError                JF304
    │   ├── WriteError                 (OSError)         JF305
    │   ├── PublishConflictError       JF306
    │   ├── TableDamagedError          JF307
    │   └── VersionRemovedError        JF308
    └── TransitionError                a layer refused the work
        ├── CastRejectedError          JF401
        ├── TransformError             JF402
        ├── RowIdentityError           JF403
        ├── ProvenanceLostError        JF404
        ├── AccountError               JF405
        ├── SchemaMismatchError        JF406
        ├── ContentChangedError        JF407
        ├── AbandonedError             JF408
        ├── RejectLimitError           JF409
        ├── ExpectationError           JF410
        └── GrainError                 JF411

Each error keeps what it is about as attributes (`place`), says what was found,
and ends with what to do (`hint`). Codes never change their meaning.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar

Place = str | int


def _rebuild(
    kind: type[JobforgeError], message: str, hint: str, place: dict[str, Place]
) -> JobforgeError:
    """Make the error anew in another process."""
    return kind(message, hint=hint, **place)


class JobforgeError(Exception):
    """The root of all errors that jobforge raises on purpose.

    Args:
        message: What was found, in one sentence.
        hint: What to do about it.
        place: Where it is, as named values: `file`, `table`, `layer`, `step`,
            `line` (1-based), `column`, `record` (1-based), `sheet`, `cell`, ...
    """

    code: ClassVar[str] = "JF000"

    def __init__(self, message: str, *, hint: str = "", **place: Place) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place: Mapping[str, Place] = place

    def __str__(self) -> str:
        where = ", ".join(f"{key} {value}" for key, value in self.place.items())
        text = f"{self.message} [{where}]" if where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint, dict(self.place))

    def at(self, **place: Place) -> JobforgeError:
        """The same error, with more said about where it is.

        What the error already says about its place is kept.
        """
        return type(self)(self.message, hint=self.hint, **{**place, **self.place})


class UsageError(JobforgeError):
    """A call that could not work; refused before any data is touched."""

    code = "JF100"


class InvalidNameError(UsageError, ValueError):
    """A table or domain name that is not safe in a path."""

    code = "JF101"


class InvalidConfigError(UsageError, ValueError):
    """A setting that has no meaning."""

    code = "JF102"


class InvalidSchemaError(UsageError, ValueError):
    """A bronze schema that is not well formed."""

    code = "JF103"


class UnknownColumnError(UsageError, LookupError):
    """A column that is asked for and is not there."""

    code = "JF104"


class InvalidOptionError(UsageError, ValueError):
    """A reader option that has no meaning for this source."""

    code = "JF105"


class InvalidTransformError(UsageError, TypeError):
    """A transform that is no callable."""

    code = "JF106"


class TableNotFoundError(UsageError, LookupError):
    """A table, layer or batch that the catalog does not know, or knows more than once."""

    code = "JF107"


class VersionNotFoundError(UsageError, LookupError):
    """A version that a table does not have."""

    code = "JF108"


class RecordNotFoundError(UsageError, LookupError):
    """A source record that no file of the table holds."""

    code = "JF109"


class InvalidRuleError(UsageError, ValueError):
    """A rule, filter or key that cannot judge rows."""

    code = "JF110"


class InvalidQueryError(UsageError, ValueError):
    """A statement of SQL that cannot be answered, or whose answer could not be cited."""

    code = "JF111"


class SourceError(JobforgeError):
    """A source file that cannot become a staged table."""

    code = "JF200"


class SourceNotFoundError(SourceError, FileNotFoundError):
    """No file stands at the path."""

    code = "JF201"


class SourceUnreadableError(SourceError, OSError):
    """The path is no regular file, or the operating system refuses to read it."""

    code = "JF202"


class EmptySourceError(SourceError):
    """The file holds no bytes, or no header and no record."""

    code = "JF203"


class UnknownFormatError(SourceError):
    """No reader is known for the file."""

    code = "JF204"


class MalformedSourceError(SourceError):
    """The file breaks the rules of its format."""

    code = "JF205"


class UnsupportedValueError(SourceError):
    """The file is well formed and holds something that staged cannot keep exactly."""

    code = "JF206"


class ReservedColumnError(SourceError):
    """The source has a column of the name of a provenance column."""

    code = "JF207"


class SourceChangedError(SourceError):
    """The source file changed while it was read."""

    code = "JF208"


class AmbiguousSourceError(SourceError):
    """The source can be read in more than one way, and the caller has to say which."""

    code = "JF209"


class StorageError(JobforgeError):
    """The data root, or a file in it."""

    code = "JF300"


class DataRootError(StorageError, OSError):
    """The data root cannot be used."""

    code = "JF301"


class NotAJobforgeFileError(StorageError):
    """The file was not written by jobforge, or is damaged."""

    code = "JF302"


class WrongLayerError(StorageError):
    """The file belongs to another layer than the one asked for."""

    code = "JF303"


class RecordError(StorageError):
    """A record of the catalog cannot be read."""

    code = "JF304"


class WriteError(StorageError, OSError):
    """A file could not be written."""

    code = "JF305"


class PublishConflictError(StorageError):
    """Another process published or removed files meanwhile; what it did stays."""

    code = "JF306"


class TableDamagedError(StorageError):
    """A log entry or a file of a table is missing, torn or not what was published."""

    code = "JF307"


class VersionRemovedError(StorageError):
    """A version whose files were removed on purpose, by `clean` or `erase`."""

    code = "JF308"


class TransitionError(JobforgeError):
    """A layer refused the work; nothing new is visible in it."""

    code = "JF400"


class CastRejectedError(TransitionError):
    """No row survived the casts of bronze, or one failed that may not."""

    code = "JF401"


class TransformError(TransitionError):
    """A transform raised, returned no frame, or failed while it was computed."""

    code = "JF402"


class RowIdentityError(TransitionError):
    """A silver transform invented, multiplied or mixed up rows."""

    code = "JF403"


class ProvenanceLostError(TransitionError):
    """A silver transform lost the columns that identify a row."""

    code = "JF404"


class AccountError(TransitionError):
    """Rows in do not equal rows out plus rows that left under a name."""

    code = "JF405"


class SchemaMismatchError(TransitionError):
    """Rows of other columns than those of the table that they were to join, or of the contract."""

    code = "JF406"


class ContentChangedError(TransitionError):
    """A table would not hold the same rows after it was compacted."""

    code = "JF407"


class AbandonedError(TransitionError):
    """The process of a transition ended before it had an outcome; recorded, never raised."""

    code = "JF408"


class RejectLimitError(TransitionError):
    """More rows would leave for quarantine than the contract allows."""

    code = "JF409"


class ExpectationError(TransitionError):
    """More rows fail an expectation than it tolerates."""

    code = "JF410"


class GrainError(TransitionError):
    """The declared grain does not tell the rows of an aggregate apart, or not their records."""

    code = "JF411"


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known names, or all of them where none is near."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    folded = [k for k in names if k.strip().casefold() == name.strip().casefold()]
    best = list(dict.fromkeys([*folded, *close]))
    if best:
        return "did you mean " + " or ".join(repr(k) for k in best) + "?"
    shown = ", ".join(repr(k) for k in names[:20])
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""  # noqa: PLR2004 - a screenful
    return f"there is: {shown}{more}" if names else "there are no columns"
