"""Conformance suites for what can be plugged in: readers of source formats, stores of tables."""

from jobforge.testing.readers import ReaderConformance, Sample
from jobforge.testing.stores import StoreConformance

__all__ = ["ReaderConformance", "Sample", "StoreConformance"]
