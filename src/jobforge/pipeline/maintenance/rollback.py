"""Back to an earlier version, as a new version: nothing is deleted."""

from __future__ import annotations

from pathlib import Path

from jobforge.errors import InvalidOptionError, PublishConflictError
from jobforge.pipeline import reads
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.maintenance.begin import begin, catalogue, commit_of, open_table
from jobforge.pipeline.models import LayerTransitionLog, Operation, TransitionStatus
from jobforge.pipeline.transition import Clock, utc_now
from jobforge.pipeline.versions import conflict
from jobforge.quality.account import RowAccount
from jobforge.storage.store import Change


def rollback(
    config: PipelineConfig,
    table: str,
    layer: Layer | str,
    version: int,
    clock: Clock = utc_now,
) -> LayerTransitionLog:
    """Make an earlier version the newest one.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`.
        layer: bronze, silver or gold.
        version: The version to bring back.
        clock: Gives the time in UTC.

    Returns:
        The log of the transition; `table_version` is the new version.

    Raises:
        VersionNotFoundError: There is no such version.
        VersionRemovedError: Its files were removed by `clean` or `erase`.
        InvalidOptionError: It is the newest version, or has the same files.
        PublishConflictError: Somebody published meanwhile.
    """
    found, wanted, store = open_table(config, table, layer)
    old = store.version(reads.check_version(version))
    newest = store.version()
    if {file.name for file in old.files} == {file.name for file in newest.files}:
        raise InvalidOptionError(
            f"version {version} holds what version {newest.number} holds, which is the newest",
            hint="`jobforge history TABLE --layer LAYER` lists the versions",
        )
    reads.open_version(config, found, wanted, old)
    transition = begin(config, found, wanted, Operation.ROLLBACK, clock, version=old)

    def body(_: Path) -> None:
        target = transition.store or store
        try:
            # Nobody may remove the old files between the look at them and the new version.
            with store.lock():
                schema = reads.open_version(config, found, wanted, old).collect_schema()
                change = Change(commit_of(transition), old.files, schema)
                number = target.publish(change, newest.number)
        except PublishConflictError as error:
            raise conflict(newest.number + 1, store.commit(newest.number + 1)) from error
        made = store.version(number)
        rows = made.commit.rows
        transition.publish(
            TransitionStatus.SUCCESS,
            table_version=number,
            row_count_in=rows,
            row_count_out=rows,
            account=RowAccount(rows_in=rows, rows_out=rows),
            left_out=made.commit.left_out,
        )
        catalogue(transition, found, made)

    return transition.run(body)
