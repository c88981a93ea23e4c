"""What reading a contract gives."""

from __future__ import annotations

from dataclasses import dataclass

from jobforge.contracts.contract import Contract


@dataclass(frozen=True)
class Imported:
    """A contract that was read, and what of it jobforge does not judge."""

    contract: Contract
    left_out: tuple[str, ...] = ()
