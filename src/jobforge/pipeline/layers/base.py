"""What the layers share: how a promotion is set up and how a layer ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge._version import __version__
from jobforge.contracts.checks import unique_columns
from jobforge.contracts.contract import Contract
from jobforge.errors import InvalidSchemaError, NotAJobforgeFileError, WrongLayerError
from jobforge.pipeline import events, lineage
from jobforge.pipeline.ahead import Ahead
from jobforge.pipeline.config import Layer, Loading, PipelineConfig
from jobforge.pipeline.footer import Footer, LayerFile, open_layer_file
from jobforge.pipeline.layers.referenced import with_keys
from jobforge.pipeline.models import (
    ContractRef,
    InputRef,
    LayerTransitionLog,
    Operation,
    SourceLayer,
)
from jobforge.pipeline.steps import Place, Step, Transform, resolve_steps
from jobforge.pipeline.transform_ref import TransformRef
from jobforge.pipeline.transition import Begun, Clock, Move, Outcome, Transition, utc_now
from jobforge.pipeline.versions import Joining, joining
from jobforge.pipeline.work import Work
from jobforge.pipeline.writing import ALONE, Neighbours, carry_out
from jobforge.quality.references import References
from jobforge.storage.paths import relative_to_root

_SOURCES: dict[Layer, SourceLayer] = {
    Layer.STAGED: "staged",
    Layer.BRONZE: "bronze",
    Layer.SILVER: "silver",
}


class LayerBase:
    """A layer: its name, what may be done in it, and the clock it reads.

    Args:
        clock: Gives the time of a transition, in UTC.
    """

    name: ClassVar[Layer]
    allowed_operations: ClassVar[frozenset[str]]

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock

    def _open(self, path: Path | str, source: Layer) -> LayerFile:
        opened = open_layer_file(path, source)
        if opened.footer.batches:
            raise WrongLayerError(
                f"{opened.path} holds the rows of {len(opened.footer.batches)} batches",
                hint="promote the files of the batches, or ingest their sources again",
                table=opened.footer.table,
            )
        return opened

    def _transition(
        self,
        config: PipelineConfig,
        opened: LayerFile,
        loading: Loading,
        transforms: tuple[TransformRef, ...] = (),
        referenced: tuple[InputRef, ...] = (),
        contract: Contract | None = None,
        begun: Begun | None = None,
        grain: tuple[str, ...] = (),
    ) -> Transition:
        footer = opened.footer
        file = relative_to_root(opened.path, config.data_root)
        record = lineage.load(config, footer.batch_id)
        logs = record.transitions if record is not None else ()
        published = {log.target_file: log.table_version for log in logs}
        move = Move(
            batch_id=footer.batch_id,
            table=footer.table,
            domain=footer.domain,
            source_layer=_SOURCES[footer.layer],
            target_layer=self.name,
            source_files=tuple(source.name for source in footer.sources),
            operation=Operation(loading.load),
            inputs=(
                InputRef(
                    table=footer.table,
                    domain=footer.domain,
                    layer=footer.layer,
                    file=file,
                    version=published.get(file),
                ),
                *referenced,
            ),
            transforms=transforms,
            grain=grain,
            contract=None
            if contract is None
            else ContractRef(
                version=contract.version,
                sha256=contract.sha256,
                personal=bool(contract.personal),
            ),
            discreet=footer.discreet or bool(contract and contract.personal),
        )
        return Transition(config, move, self._clock, begun)

    def _joining(self, transition: Transition, loading: Loading, *, alone: bool = False) -> Joining:
        record = lineage.load(transition.config, transition.move.batch_id)
        again = record is not None and any(
            (log.table_version is not None or log.target_file is not None)
            and log.target_layer is self.name
            for log in record.transitions
        )
        return joining(loading, again=again, alone=alone)

    def _footer(self, before: Footer, *, traceable: bool) -> Footer:
        return before.model_copy(
            update={
                "layer": self.name,
                "traceable": traceable,
                "jobforge_version": __version__,
                "polars_version": pl.__version__,
            }
        )


class StepLayer(LayerBase, ABC):
    """A layer that applies functions, one after the other: silver and gold."""

    source: ClassVar[Layer]
    """The layer that its input comes from."""

    def run(
        self,
        path: Path | str,
        config: PipelineConfig,
        transforms: Sequence[Transform] | None = None,
        loading: Loading | None = None,
        neighbours: Neighbours = ALONE,
        grain: tuple[str, ...] = (),
    ) -> Outcome:
        """`process`, with the log of the transition in the result."""
        opened = self._open(path, self.source)
        steps = resolve_steps(transforms, Place(self.name, opened.footer.table))
        loading = loading or Loading()
        place = Place(self.name, opened.footer.table, discreet=opened.footer.discreet)
        found, referenced = with_keys(config, steps, place)
        contract = contract_of(opened) if self.name is Layer.SILVER else None
        references = tuple(step.reference for step in found)
        begun = neighbours.begun()
        transition = self._transition(
            config, opened, loading, references, referenced, contract, begun, grain
        )
        _warn(found, transition.log)

        def plan(_: Path) -> Work:
            return self._work(opened, found, transition, loading)

        unique = contract is not None and bool(unique_columns(contract))
        how = self._joining(transition, loading, alone=unique)
        return carry_out(transition, plan, how, neighbours)

    def ahead(
        self,
        config: PipelineConfig,
        transforms: Sequence[Transform] | None,
        loading: Loading,
        grain: tuple[str, ...] = (),
    ) -> Ahead | None:
        """This layer, to be computed in the pass of the layer before it.

        Returns:
            None where a step reads another table, whose newest version is the
            one to be read when the layer has its turn.
        """
        steps = resolve_steps(transforms, Place(self.name, ""))
        if any(isinstance(step.function, References) for step in steps):
            return None

        def plan(opened: LayerFile, begun: Begun) -> Work:
            transition = self._transition(config, opened, loading, begun=begun, grain=grain)
            return self._work(opened, steps, transition, loading)

        return Ahead(plan, self._clock)

    @abstractmethod
    def _work(
        self,
        opened: LayerFile,
        steps: tuple[Step, ...],
        transition: Transition,
        loading: Loading,
    ) -> Work:
        """What the layer wants written.

        Args:
            opened: The input.
            steps: The functions and declared steps, named.
            transition: Which transition it is.
            loading: How the rows join the table.
        """


_warned: set[tuple[str | None, str]] = set()


def _warn(steps: tuple[Step, ...], log: LayerTransitionLog) -> None:
    """Tell once in a process of each step that a replay may not prove; the record has it always."""
    for step in steps:
        why = step.reference.unprovable
        known = (step.reference.code_sha256, step.name)
        if why is None or known in _warned or events.is_silent():
            continue
        _warned.add(known)
        about = {**log.about, "step": step.name, "why": why}
        events.tell("transform.not_provable", about, "warning")


def contract_of(opened: LayerFile) -> Contract | None:
    """The contract that a bronze file was made by; None where it promises nothing.

    Raises:
        NotAJobforgeFileError: The footer has one that cannot be understood.
    """
    declared = opened.footer.contract
    if declared is None:
        return None
    try:
        return Contract.from_dict(declared)
    except InvalidSchemaError as error:
        raise NotAJobforgeFileError(
            f"the contract in {opened.path} cannot be understood: {error.message}",
            hint="it may be from a newer jobforge: upgrade, or make the file again",
            table=opened.footer.table,
        ) from error
