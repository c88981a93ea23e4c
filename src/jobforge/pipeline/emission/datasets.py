"""What a transition reads and writes, as datasets of OpenLineage.

A dataset is named by a path that stays the same from batch to batch, the folder
of a table in its layer, so that the jobs of a pipeline hang together; which
state of it was read or written is its version.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from jobforge.errors import StorageError
from jobforge.openlineage.records import (
    Assertion,
    Dataset,
    Field,
    Input,
    Metrics,
    Origin,
    Output,
    Written,
)
from jobforge.pipeline import catalog
from jobforge.pipeline.column_lineage.record import ColumnLineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import (
    InputRef,
    LayerTransitionLog,
    Operation,
    SourceInfo,
    TransitionStatus,
)
from jobforge.pipeline.table_record import LayerState
from jobforge.quality.rules import OnFail, RuleCount, RuleKind, exceeds


def inputs_of(
    config: PipelineConfig, log: LayerTransitionLog, sources: tuple[SourceInfo, ...]
) -> tuple[Input, ...]:
    """What it reads; the first one is where its rows come from."""
    if log.operation is Operation.INGEST:
        return tuple(_source(info) for info in sources)
    refs: dict[str, InputRef] = {}
    for ref in log.inputs:
        refs.setdefault(_path(config, ref), ref)
    return tuple(
        _input(config, log, ref, path, main=position == 0)
        for position, (path, ref) in enumerate(refs.items())
    )


def outputs_of(config: PipelineConfig, log: LayerTransitionLog) -> tuple[Output, ...]:
    """What it writes: the table, and the rejects where there are any."""
    layer = log.target_layer
    table = layer is not Layer.STAGED
    state = _state(config, log.domain, log.table, layer)
    if state is not None and not _is(state, log.target_file, log.table_version):
        state = None  # another transition published since
    version = log.table_version if table else log.target_file and Path(log.target_file).stem
    dataset = Dataset(
        _folder(config, layer, log.domain, log.table),
        table=table,
        version=None if version is None else str(version),
        fields=_fields(state),
    )
    out = Output(dataset, _written(config, log), *_origins(log))
    return (out, *_rejects(config, log))


def _origins(log: LayerTransitionLog) -> tuple[dict[str, tuple[Origin, ...]], tuple[Origin, ...]]:
    """Where columns and rows come from; nothing of what is not known in full."""
    lineage = log.column_lineage
    if lineage is None:
        return {}, ()
    names = (*lineage.unchanged, *lineage.computed)
    found = {name: _known(lineage.of(name)) for name in names}
    return {name: origins for name, origins in found.items() if origins}, _known(lineage.rows)


def _known(found: ColumnLineage) -> tuple[Origin, ...]:
    if found.gap is not None:
        return ()
    return tuple(
        Origin(source.column, str(source.influence), source.influence.direct)
        for source in found.sources
    )


def _source(info: SourceInfo) -> Input:
    metrics = Metrics(info.rows, info.size_bytes, info.modified_at)
    path = Path(info.path).absolute().as_posix()
    return Input(Dataset(path, table=False, version=info.sha256), metrics)


def _input(
    config: PipelineConfig, log: LayerTransitionLog, ref: InputRef, path: str, *, main: bool
) -> Input:
    table = ref.layer is not Layer.STAGED
    state = _state(config, ref.domain, ref.table, ref.layer)
    if state is not None and not _is(state, ref.file, ref.version):
        state = None
    version = ref.version if table else Path(ref.file).stem  # of staged, a file is a batch
    dataset = Dataset(
        path,
        table=table and not Path(ref.file).is_absolute(),
        version=None if version is None else str(version),
        fields=_fields(state),
    )
    if log.row_count_in is None:  # nothing was counted yet
        return Input(dataset)
    if not main:
        return Input(dataset, Metrics(rows=state.rows) if state is not None else None)
    counted = state.columns if state is not None and state.batch_id == log.batch_id else ()
    nulls = {c.name: c.null_count for c in counted if c.null_count is not None}
    metrics = Metrics(log.row_count_in, _size(config, ref.file), nulls=nulls)
    return Input(dataset, metrics, _assertions(log, dataset))


def _assertions(log: LayerTransitionLog, dataset: Dataset) -> tuple[Assertion, ...]:
    """What came of the rules; a filter is none, for a row that it leaves out is not wrong."""
    names = {found.name for found in dataset.fields}
    before = _before_functions(log)
    return tuple(
        _assertion(count, names, named=count.step in before)
        for count in log.rules
        if count.kind is not RuleKind.KEEP
    )


def _before_functions(log: LayerTransitionLog) -> set[str]:
    """Steps that saw the columns of the input: after a function, a name may mean another one."""
    found: set[str] = set()
    for step in log.transforms_applied:
        if not step.definition:
            return found
        found.add(step.name)
    return found | {count.step for count in log.rules}


def _assertion(count: RuleCount, names: set[str], *, named: bool) -> Assertion:
    limit = count.tolerance or 0
    column = count.columns[0] if len(count.columns) == 1 else None
    return Assertion(
        name=count.rule,
        kind=str(count.kind),
        passed=not exceeds(count.failed, count.judged, limit),
        stops=count.on_fail is OnFail.FAIL,
        limit=f"at most {limit:g} of the rows" if isinstance(limit, float) else f"at most {limit}",
        judged=count.judged,
        failed=count.failed,
        column=column if named and (column in names or not names) else None,
        step=count.step,
        on_fail=None if count.on_fail is None else str(count.on_fail),
    )


def _written(config: PipelineConfig, log: LayerTransitionLog) -> Written | None:
    if log.status is TransitionStatus.RUNNING:
        return None
    if log.target_file is not None:
        return Written(log.row_count_out, _size(config, log.target_file), 1)
    if log.added:
        return Written(None, sum(new.size_bytes for new in log.added), len(log.added))
    return None


def _rejects(config: PipelineConfig, log: LayerTransitionLog) -> tuple[Output, ...]:
    if log.quarantine_file is None or log.status is TransitionStatus.RUNNING:
        return ()
    account, rows = log.account, None
    if account is not None:
        rows = sum(account.quarantined.values()) + sum(account.deduplicated.values())
    path = (config.data_root / log.quarantine_file).absolute()
    dataset = Dataset(path.parent.as_posix(), table=False, version=path.stem)
    return (Output(dataset, Written(rows, _size(config, log.quarantine_file), 1)),)


def _state(config: PipelineConfig, domain: str, table: str, layer: Layer) -> LayerState | None:
    """What the catalog says of a layer; a record that cannot be read says nothing."""
    with suppress(StorageError):
        record = catalog.load(config, domain, table)
        return record.layers.get(layer) if record is not None else None
    return None


def _is(state: LayerState, file: str | None, version: int | None) -> bool:
    """Whether the catalog speaks of this very state of a layer."""
    if state.layer is Layer.STAGED:
        return state.file == file
    return version is not None and state.version == version


def _fields(state: LayerState | None) -> tuple[Field, ...]:
    columns = state.columns if state is not None else ()
    return tuple(Field(c.name, c.data_type, c.description) for c in columns)


def _folder(config: PipelineConfig, layer: Layer, domain: str, table: str) -> str:
    return (config.layer_path(layer) / domain / table).absolute().as_posix()


def _path(config: PipelineConfig, ref: InputRef) -> str:
    if Path(ref.file).is_absolute():  # a file of another data root
        return Path(ref.file).as_posix()
    return _folder(config, ref.layer, ref.domain, ref.table)


def _size(config: PipelineConfig, file: str) -> int | None:
    with suppress(OSError):
        path = config.data_root / file
        return path.stat().st_size if path.is_file() else None
    return None
