"""The row account: every row that enters a layer leaves it in the table or under a name."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from jobforge.errors import AccountError


class RowAccount(BaseModel):
    """Where the rows of one transition went; all numbers are rows.

    `rows_in + generated = rows_out + quarantined + deduplicated + filtered + dropped + aggregated`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows_in: NonNegativeInt
    rows_out: NonNegativeInt
    quarantined: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """Rows kept in quarantine, by the first rule that each failed."""
    deduplicated: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """Duplicates kept in quarantine, by the step that chose another row of their key."""
    filtered: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """Rows that a declared filter left out, by its name."""
    dropped: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """Rows that a plain function left out, by the function's step name."""
    aggregated: NonNegativeInt = 0
    """Rows that went into rows which no longer name their source record."""
    generated: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """Rows that a step made (aggregates, joins, unpivots), by step name."""

    @property
    def rows_left(self) -> int:
        """Rows that entered and are not in the table under their own identity."""
        named = (self.quarantined, self.deduplicated, self.filtered, self.dropped)
        return sum(sum(counts.values()) for counts in named) + self.aggregated

    def check(self) -> None:
        """Refuse an account that does not balance.

        Raises:
            AccountError: Rows in plus rows generated are not rows out plus rows left.
        """
        entered = self.rows_in + sum(self.generated.values())
        left = self.rows_out + self.rows_left
        if entered != left:
            raise AccountError(
                f"the row account does not balance: {entered} rows in or generated, "
                f"{left} rows out or left",
                hint="a transform whose result changes from run to run (sampling, "
                "unique(keep='any')) can cause this; nothing was published",
            )
