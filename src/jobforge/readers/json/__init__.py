"""JSON: documents and lines."""

from __future__ import annotations

from jobforge.readers.json.reader import JsonOptions, JsonReader

__all__ = ["JsonOptions", "JsonReader"]
