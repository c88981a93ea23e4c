"""Versioned tables on Delta Lake: its types, its log, and the store on top of them."""

from jobforge.storage.delta.table import DeltaStore

__all__ = ["DeltaStore"]
