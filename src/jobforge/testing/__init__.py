"""For authors of extensions: suites that an implementation of a plug point has to pass."""

from __future__ import annotations

from jobforge.testing.readers import ReaderConformance, Sample

__all__ = ["ReaderConformance", "Sample"]
