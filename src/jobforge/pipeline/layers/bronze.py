"""Bronze: declared renames and exact casts; no business logic."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge.contracts.casts import can_cast, describe, exact_cast
from jobforge.contracts.column import Column
from jobforge.contracts.contract import Contract
from jobforge.contracts.dtypes import parse_dtype
from jobforge.contracts.short import Schema, parse_schema
from jobforge.errors import CastRejectedError, InvalidSchemaError, JobforgeError, UsageError
from jobforge.pipeline import schemas
from jobforge.pipeline.ahead import Ahead
from jobforge.pipeline.config import Layer, Loading, PipelineConfig
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.layers.base import LayerBase
from jobforge.pipeline.layers.leaving import over_the_limit
from jobforge.pipeline.layers.origins import bronze_lineage
from jobforge.pipeline.models import Note
from jobforge.pipeline.provenance import (
    PROVENANCE_DTYPES,
    data_columns,
    move,
    provenance_last,
)
from jobforge.pipeline.transition import Begun, Outcome, Transition
from jobforge.pipeline.work import Verdict, Work, Written
from jobforge.pipeline.writing import ALONE, Neighbours, carry_out
from jobforge.quality.account import RowAccount
from jobforge.quality.columns import column, columns, free_name
from jobforge.quality.parting import Parting, part
from jobforge.quality.quarantine import count_by_first_reason
from jobforge.quality.rules import Rule, RuleCount, RuleKind

_STEP = "cast"


class BronzeLayer(LayerBase):
    """Renames and casts by declaration; takes no functions."""

    name: ClassVar = Layer.BRONZE
    allowed_operations: ClassVar = frozenset({"rename", "cast"})

    def process(
        self, staged_path: Path | str, config: PipelineConfig, schema: Schema | None = None
    ) -> Path:
        """Move a staged file to bronze.

        Args:
            staged_path: A file that `StagedLayer.ingest` or the engine returned.
            config: Where the data root is.
            schema: A `Contract`, or the short form `{"rename": {...}, "cast":
                {...}, "null_values": [...], "format": {...}}`.

        Returns:
            Path of the Parquet file. Rows with a value that cannot be cast
            exactly are in quarantine, not in it.

        Raises:
            InvalidSchemaError: The schema is not well formed.
            UnknownColumnError: It names a column that is not there.
            SchemaMismatchError: The source has columns that the contract does
                not name, and it says `extra_columns="fail"`.
            CastRejectedError: No row survived, or one failed and the contract
                says `on_cast_failure="fail"`; the rejects are kept.
            RejectLimitError: More rows fail than `max_rejects`; the rejects are kept.
            NotAJobforgeFileError: The path is no file of jobforge.
            WrongLayerError: The file is not a staged one.
        """
        return self.run(staged_path, config, schema).path

    def run(
        self,
        staged_path: Path | str,
        config: PipelineConfig,
        schema: Schema | None = None,
        loading: Loading | None = None,
        neighbours: Neighbours = ALONE,
        *,
        corrects: pl.Schema | None = None,
    ) -> Outcome:
        """`process`, with the log of the transition in the result.

        Where the batch corrects rejects, `corrects` has the columns that the
        source of the rejected batch had: their order and types count, and what
        an export added is no part of the source.
        """
        opened = self._open(staged_path, Layer.STAGED)
        loading = loading or Loading()
        contract = _well_formed(schema)
        begun = neighbours.begun()
        transition = self._transition(config, opened, loading, contract=contract, begun=begun)
        how = self._joining(transition, loading)

        def plan(_: Path) -> Work:
            return self._work(opened, schema, transition, corrects=corrects)

        return carry_out(transition, plan, how, neighbours)

    def ahead(self, config: PipelineConfig, schema: Schema | None, loading: Loading) -> Ahead:
        """This layer, to be computed in the pass that writes staged."""

        def plan(opened: LayerFile, begun: Begun) -> Work:
            transition = self._transition(config, opened, loading, begun=begun)
            return self._work(opened, schema, transition, corrects=None)

        return Ahead(plan, self._clock)

    def _work(
        self,
        opened: LayerFile,
        schema: Schema | None,
        transition: Transition,
        *,
        corrects: pl.Schema | None,
    ) -> Work:
        contract = parse_schema(schema)
        types = opened.frame.collect_schema()
        names = data_columns(types.names()) if corrects is None else corrects.names()
        originals = contract.bind(names)
        casting = contract if corrects is None else _as_before(contract, originals, types, corrects)
        places = {
            name: free_name(f"__cast_{at}", types)
            for at, (name, column) in enumerate(casting.columns.items())
            if column.dtype is not None
        }
        rules, values = _casts(casting, originals, types, places)
        parting = part(opened.frame.with_columns(values), rules) if rules else None
        rejects = None
        if parting is not None and parting.rejects is not None:
            bad = parting.rejects.drop(columns(places.values()))
            rejects = move(bad, self.name, transition.started_at)
            rejects = provenance_last(rejects, rejects.collect_schema().names())
        kept = parting.kept if parting is not None else opened.frame
        finished = _renamed(kept, originals, places)
        finished = move(finished, self.name, transition.started_at)
        finished = provenance_last(finished, finished.collect_schema().names())
        source_types = {name: str(types[name]) for name in names}
        config = transition.config
        notes = _left_out([name for name in names if name not in originals.values()])
        if corrects is None:
            known = schemas.load(config, transition.move.domain, transition.move.table)
            notes = (*schemas.drift_notes(known, source_types), *notes)
        footer = self._footer(opened.footer, traceable=opened.footer.traceable)
        declared = contract.as_dict() if _says_something(contract) else None
        footer = footer.model_copy(update={"contract": declared})
        return Work(
            finished,
            footer,
            lambda written: _judge(opened, contract, parting, notes, written),
            rejects=rejects,
            probes=(parting.tally,) if parting is not None else (),
            lineage=lambda: bronze_lineage(
                casting, originals, places, types, finished.collect_schema().names()
            ),
            least_bytes=opened.size_bytes // 2,
            by_record=opened.footer.traceable,
            carries=parting.judged if parting is not None else None,
            kept={new: old for new, old in originals.items() if new not in places},
            # Corrections come in another form than the source, which is no change of it.
            published=None
            if corrects is not None
            else lambda log: schemas.record_schema(config, log, source_types, footer.contract),
        )


def _as_before(
    contract: Contract, originals: dict[str, str], types: pl.Schema, corrects: pl.Schema
) -> Contract:
    """The contract, with the type that each column had which corrections have in another one."""
    columns = dict(contract.columns)
    for name, old in originals.items():
        known = columns.get(name, Column(source=old if old != name else None))
        if known.dtype is None and types[old] != corrects[old]:
            with suppress(InvalidSchemaError):  # an append of another type is refused by name
                columns[name] = replace(known, dtype=parse_dtype(name, corrects[old]))
    return replace(contract, columns=columns)


def _well_formed(schema: Schema | None) -> Contract | None:
    """The contract, where it says something; what is wrong with it is said in the transition."""
    try:
        contract = parse_schema(schema)
    except UsageError:
        return None
    return contract if _says_something(contract) else None


def _says_something(contract: Contract) -> bool:
    """Whether it is another contract than none: one without columns may drop them all."""
    return contract != Contract({})


def _left_out(names: list[str]) -> tuple[Note, ...]:
    if not names:
        return ()
    listed = ", ".join(map(repr, names))
    return (Note(topic="columns", text=f"the contract says to drop {listed}"),)


def _casts(
    contract: Contract, originals: dict[str, str], types: pl.Schema, places: dict[str, str]
) -> tuple[list[Rule], list[pl.Expr]]:
    """For each cast the rule that can reject a row, and the value under a name of its own."""
    rules, values = [], []
    for name, place in places.items():
        declared = contract.columns[name]
        old = originals[name]
        source = types[old]
        if not can_cast(source, declared.dtype):
            raise InvalidSchemaError(
                f"cast: there is no exact cast from {source} to {declared.dtype}",
                hint="leave the column as it is, or cast it in silver",
                column=name,
            )
        if declared.null_values and not isinstance(source, pl.String):
            raise InvalidSchemaError(
                f"null_values: the column is {source}, and words are for text",
                hint="turn values into null in silver",
                column=name,
            )
        value, failed = exact_cast(old, source, declared, contract.words_of(name), place)
        rules.append(
            Rule(
                f"cast:{name}",
                RuleKind.CAST,
                failed,
                f"is no {describe(declared.dtype, declared.format)}",
                (old,),
                _STEP,
            )
        )
        values.append(value.alias(place))
    return rules, values


def _renamed(
    frame: pl.LazyFrame, originals: dict[str, str], places: dict[str, str]
) -> pl.LazyFrame:
    """Data columns under their new names, cast values in place of the originals."""
    data = [column(places.get(new, old)).alias(new) for new, old in originals.items()]
    kept = [name for name in frame.collect_schema().names() if name in PROVENANCE_DTYPES]
    return frame.select(*data, columns(kept))


def _judge(
    opened: LayerFile,
    contract: Contract,
    parting: Parting | None,
    notes: tuple[Note, ...],
    written: Written,
) -> Verdict:
    quarantined = count_by_first_reason(written.rejects) if written.rejects else {}
    account = RowAccount(rows_in=opened.rows, rows_out=written.rows, quarantined=quarantined)
    rules = tuple(parting.counts(written.probes[0])) if parting is not None else ()
    refusal = _refusal(opened, contract, rules, account, written)
    if refusal is not None:
        refusal = refusal.at(table=opened.footer.table, layer="bronze")
    return Verdict(account, notes, refusal, rules)


def _refusal(
    opened: LayerFile,
    contract: Contract,
    rules: tuple[RuleCount, ...],
    account: RowAccount,
    written: Written,
) -> JobforgeError | None:
    """Why the layer may not be published, if it may not."""
    left = sum(account.quarantined.values())
    if not left:
        return None
    worst, failed = next(iter(account.quarantined.items()))
    if not account.rows_out:
        return CastRejectedError(
            f"no row of {opened.rows} survived the casts; {failed} failed {worst} first",
            hint="look at the rejects in quarantine: is the type, format or null word right?",
        )
    if contract.on_cast_failure == "fail":
        return CastRejectedError(
            f"{left:,} of {opened.rows:,} rows have a value that cannot be cast, and "
            f"on_cast_failure is 'fail'; {failed:,} failed {worst} first",
            hint="look at the rejects in quarantine: is the type, format or null word right?",
        )
    return over_the_limit(contract, rules, account, written)
