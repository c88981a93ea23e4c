"""Which columns of each layer may hold a personal value, and are not shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobforge.contracts.contract import Contract
from jobforge.pipeline import schemas
from jobforge.pipeline.audit.routes import Rows
from jobforge.pipeline.audit.traced import CellChange, RowInLayer
from jobforge.pipeline.config import Layer
from jobforge.pipeline.footer import read_footer
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog
from jobforge.pipeline.provenance import PROVENANCE_DTYPES

MASKED = "[masked]"


@dataclass(frozen=True)
class Hidden:
    """Columns whose cells are not shown.

    Args:
        columns: By layer; None for a layer of which every column may hold something.
    """

    columns: Mapping[Layer, frozenset[str] | None] = field(default_factory=dict)

    def any_in(self, layer: Layer) -> bool:
        """Whether something of a layer is hidden."""
        names = self.columns.get(layer, frozenset())
        return names is None or bool(names)

    def hides(self, layer: Layer, name: str) -> bool:
        """Whether the cells of a column are not shown."""
        names = self.columns.get(layer, frozenset())
        if name in PROVENANCE_DTYPES:
            return False
        return names is None or name in names

    def masked(self, layer: Layer, values: dict[str, Any]) -> dict[str, Any]:
        """Cells of a layer without those that are not shown; null stays null."""
        return {
            name: MASKED if value is not None and self.hides(layer, name) else value
            for name, value in values.items()
        }

    def row(self, row: RowInLayer) -> RowInLayer:
        """A row of a layer, as it is shown."""
        if row.values is None or not (self.any_in(row.layer) or self.any_in(_below(row.layer))):
            return row
        changes = tuple(self._change(row.layer, change) for change in row.changes)
        values = self.masked(row.layer, row.values)
        return row.model_copy(update={"values": values, "changes": changes})

    def _change(self, layer: Layer, change: CellChange) -> CellChange:
        """A change of a cell, as it is shown; the cells before are those of the layer below."""
        hidden = self.hides(layer, change.column)
        masked = [name for name in change.before if hidden or self.hides(_below(layer), name)]
        if not hidden and not masked:
            return change
        update: dict[str, Any] = {"before": change.before | dict.fromkeys(masked, MASKED)}
        if hidden:
            update["after"] = MASKED
        return change.model_copy(update=update | {"each": ()})


def _below(layer: Layer) -> Layer:
    """The layer before; of staged, itself."""
    order = list(Layer)
    return order[max(order.index(layer) - 1, 0)]


NOTHING = Hidden()
EVERYTHING = Hidden(dict.fromkeys(Layer))


def hidden_of(rows: Rows, record: BatchRecord, logs: Sequence[LayerTransitionLog]) -> Hidden:
    """The columns that a contract classes as personal, and every one that may come of them.

    Every contract that the table ever had counts, for the files of a batch may be gone
    by now, and a batch may have ended before it had one. Where there was one that
    cannot be looked at any more, everything is hidden. So is a column that is computed
    from a personal one, or chosen by it, and one of which that is not known.

    Args:
        rows: Finds the files, which have the contract.
        record: The batch.
        logs: Its transitions, from the highest layer down.
    """
    contracts = list(_contracts(rows, record, logs))
    unread = [log for log in record.transitions if _is_unread(log, contracts)]
    if unread:
        return EVERYTHING
    personal = frozenset(name for contract in contracts for name in contract.personal)
    if not personal:
        return NOTHING
    sources = {contract.source_of(name) for contract in contracts for name in contract.personal}
    found: dict[Layer, frozenset[str] | None] = {
        Layer.STAGED: frozenset(sources),
        Layer.BRONZE: personal,
    }
    before: frozenset[str] | None = personal
    for log in reversed(logs):
        if log.target_layer in (Layer.SILVER, Layer.GOLD):
            before = _after(log, before)
            found[log.target_layer] = before
    return Hidden(found)


def _after(log: LayerTransitionLog, before: frozenset[str] | None) -> frozenset[str] | None:
    lineage = log.column_lineage
    if lineage is None or before is None:
        return None
    return frozenset(
        name
        for name in (*lineage.unchanged, *lineage.computed)
        if lineage.of(name).gap is not None
        or before.intersection(source.column for source in lineage.of(name).sources)
    )


def _is_unread(log: LayerTransitionLog, contracts: Iterable[Contract]) -> bool:
    """Whether a transition went by a contract that may class a column so, and is not at hand."""
    ref = log.contract
    if ref is None or ref.personal is False:
        return False
    return ref.sha256 not in {contract.sha256 for contract in contracts}


def _contracts(
    rows: Rows, record: BatchRecord, logs: Sequence[LayerTransitionLog]
) -> Iterator[Contract]:
    for log in logs:
        path = rows.file_of(str(log.target_file)) if log.target_file is not None else None
        declared = read_footer(path).contract if path is not None else None
        if declared is not None:
            yield Contract.from_dict(declared)
            break
    history = schemas.load(rows.snapshot.config, record.domain, record.table)
    for version in history.versions if history is not None else ():
        if version.contract is not None:
            yield Contract.from_dict(version.contract)
