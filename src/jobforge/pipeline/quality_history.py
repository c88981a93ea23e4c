"""Quality history: what came of each rule, batch by batch, and which fail more than before."""

from __future__ import annotations

from statistics import median

from pydantic import AwareDatetime, NonNegativeInt

from jobforge.pipeline import query
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.records import Record
from jobforge.quality.rules import RuleKind

_TIMES = 2.0
_LEAST_SHARE = 0.001


class RuleRun(Record):
    """One rule in one transition of one batch."""

    table: str
    domain: str
    layer: Layer
    batch_id: str
    started_at: AwareDatetime
    rule: str
    kind: RuleKind
    judged: NonNegativeInt
    failed: NonNegativeInt
    usual: float | None = None
    """Median share of failed rows in the batches before; null for the first one."""

    @property
    def share(self) -> float:
        """Failed of judged, 0 to 1."""
        return self.failed / self.judged if self.judged else 0.0

    @property
    def more(self) -> bool:
        """Whether it fails clearly more than it used to.

        More than twice the usual share, and by more than a thousandth of the rows.
        """
        if self.usual is None:
            return False
        return self.share > _TIMES * self.usual and self.share - self.usual > _LEAST_SHARE


def rule_history(config: PipelineConfig, table: str | None = None) -> list[RuleRun]:
    """How many rows failed each rule, batch by batch.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`; every table unless given.

    Returns:
        By table, layer and rule, each oldest first.

    Raises:
        DataRootError: There is no such folder.
        TableNotFoundError: There is no such table.
        RecordError: A record cannot be read.
    """
    runs = [
        RuleRun(
            table=record.table,
            domain=record.domain,
            layer=log.target_layer,
            batch_id=record.batch_id,
            started_at=log.started_at,
            rule=count.rule,
            kind=count.kind,
            judged=count.judged,
            failed=count.failed,
        )
        for record in query.batches(config, table)
        for log in record.transitions
        for count in log.rules
    ]
    order = list(Layer)
    runs.sort(key=lambda r: (r.domain, r.table, order.index(r.layer), r.rule, r.started_at))
    before: dict[tuple[str, str, Layer, str], list[float]] = {}
    found = []
    for run in runs:
        shares = before.setdefault((run.domain, run.table, run.layer, run.rule), [])
        found.append(run.model_copy(update={"usual": median(shares) if shares else None}))
        shares.append(run.share)
    return found
