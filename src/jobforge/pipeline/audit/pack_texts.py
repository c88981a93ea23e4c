"""The texts of a pack: what is in it, and which question of data management it answers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_WIDTH = 78
Area = tuple[str, str, tuple[str, ...]]
"""A knowledge area, what the pack shows of it, and in which files."""

AREAS: tuple[Area, ...] = (
    (
        "Data governance",
        (
            "Who answers for the table, which contract version was in force for which batch, "
            "and who decided to leave rejected records out, and why."
        ),
        ("contracts/", "batches/", "accounts/"),
    ),
    (
        "Data architecture",
        (
            "The way of each batch through staged, bronze, silver and gold, with the files "
            "that were read and written at each step."
        ),
        ("batches/", "files.csv"),
    ),
    (
        "Data modelling and design",
        (
            "Columns, types, keys and rules as they were declared, version by version, and "
            "what changed in between."
        ),
        ("contracts/", "table.json"),
    ),
    (
        "Data storage and operations",
        (
            "Every run with its start, end, machine, outcome and errors; versions, roll-backs, "
            "and what was removed on purpose."
        ),
        ("batches.csv", "batches/", "files.csv"),
    ),
    (
        "Data security",
        (
            "Which columns are classed as personal; that nothing was changed since it was "
            "published; records that were erased on request. Who may read what is decided "
            "by the file system, and is not in here."
        ),
        ("contracts/", "verify.json", "chain/"),
    ),
    (
        "Data integration and interoperability",
        (
            "The source files with their hashes, what was renamed and cast, and the contract "
            "in an open standard."
        ),
        ("batches.csv", "contracts/"),
    ),
    (
        "Document and content management",
        "The hash and size of each source document. The documents are not in here.",
        ("batches.csv", "batches/"),
    ),
    (
        "Reference and master data",
        (
            "Keys, allowed values and references to other tables, as rules, with the records "
            "that broke them."
        ),
        ("contracts/", "rejects.csv"),
    ),
    (
        "Data warehousing and business intelligence",
        (
            "How many rows of the business table each batch brought, and how many source "
            "records are in its aggregates."
        ),
        ("accounts.csv", "edges.csv"),
    ),
    (
        "Metadata management",
        (
            "The catalogue entry of the table, and the origin of its columns where the "
            "records name it."
        ),
        ("table.json", "batches/", "contracts/"),
    ),
    (
        "Data quality",
        (
            "What came of each rule; every rejected record with its reason and how it stands; "
            "what filters left out; that the rows add up from the source to the last layer."
        ),
        ("accounts.csv", "rejects.csv", "rejects/", "edges.csv"),
    ),
)
"""The knowledge areas of the DAMA Data Management Body of Knowledge (2nd edition), in its order."""

FILES = (
    ("summary.html", "start here: the whole pack on one page, for any browser or printer"),
    ("manifest.json", "what this pack is about, when and by what it was made"),
    ("DMBOK.txt", "which file answers which area of data management"),
    ("batches.csv", "one line a batch: sources with hashes, status, replay verdict"),
    ("batches/", "the record of each batch, byte for byte as the data root has it"),
    ("table.json", "the catalogue entry of the table"),
    (
        "contracts/",
        (
            "schema-versions.json: columns and contract of each version; vN.json: the contract "
            "as jobforge reads it; vN.odcs.yaml: the same in the Open Data Contract Standard"
        ),
    ),
    ("accounts.csv", "where the rows went, layer by layer; accounts/ has the same as JSON"),
    ("rejects.csv", "rejected rows counted by rule and by how they stand"),
    ("rejects/", "every rejected row of a batch, one line for each reason"),
    (
        "edges.csv",
        "records that filters and functions left out, or that are in an aggregate",
    ),
    ("files.csv", "the data files, with their SHA-256 as the chain has it"),
    (
        "chain/",
        (
            "the entries of the chain about these batches, byte for byte; hashes.csv: the hash "
            "of every entry, each named by the one after it"
        ),
    ),
    ("verify.json", "the whole data root held against its chain, as this pack was made"),
    ("replays.json", "whether the batches gave the same when they were run again"),
    ("SHA256SUMS", "the SHA-256 of every other file in here"),
)


AS_WRITTEN = (
    "The records in batches/, chain/ and table.json and the contracts in contracts/ are told as "
    "they were written: the code of steps, conditions, arguments that are bound to functions, "
    "patterns, allowed values, the words of types and the messages of errors may hold personal "
    "values, and nothing in them is masked. No other file of the pack "
    "repeats them, but for the names that steps and rules were given."
)
"""What masking does not reach: those files are as the chain has their hash, byte for byte."""


def readme(title: str, *, personal: bool, masked: str) -> bytes:
    """The first text to read.

    Args:
        title: What the pack is about.
        personal: Whether values of personal columns are in it.
        masked: What stands in their place.
    """
    said = (
        "This pack HAS values of columns that are classed as personal: keep it accordingly."
        if personal
        else f"Values of columns that are classed as personal read {masked}, and so does "
        "whatever may have been made of them."
    )
    parts = [
        f"AUDIT PACK: {title}",
        *_wrapped(
            "Everything in here is plain text, JSON, CSV or HTML, and needs no program of its own."
        ),
        (
            "Has anything been changed since? In a shell, where the pack was unpacked:\n\n"
            "    sha256sum -c SHA256SUMS"
        ),
        *_wrapped(
            "Does it belong to the data root? An entry of chain/ has the hash that hashes.csv "
            "says, and `previous` in it is the hash of the entry before. The head in "
            "manifest.json is the last one: whoever kept it can hold the data root against it "
            "with `jobforge verify --against HASH`. The files in files.csv can be hashed with "
            "sha256sum where they stand."
        ),
        *_wrapped(said),
        *_wrapped(AS_WRITTEN),
        *_wrapped(
            "A cell of a CSV file is what the source held. Some spreadsheets take text that "
            "begins with = for a formula: import such columns as text."
        ),
        _listed(FILES),
    ]
    return ("\n\n".join(parts) + "\n").encode()


def dmbok(names: Sequence[str]) -> bytes:
    """Which file answers which area.

    Args:
        names: The files of the pack: those that it does not have are marked.
    """
    parts = ["WHICH FILE ANSWERS WHICH AREA OF DATA MANAGEMENT"]
    parts += _wrapped(
        "The areas are those of the DAMA Data Management Body of Knowledge, 2nd edition; "
        "what stands beneath each is what this pack shows of it, and no more."
    )
    for number, (area, what, files) in enumerate(AREAS, start=1):
        listed = "\n".join(f"    {file}{_absent(file, names)}" for file in files)
        parts.append(f"{number}. {area}\n" + "\n".join(_wrapped(what, "   ")) + "\n" + listed)
    return ("\n\n".join(parts) + "\n").encode()


def _absent(file: str, names: Sequence[str]) -> str:
    there = any(name == file or (file.endswith("/") and name.startswith(file)) for name in names)
    return "" if there else "  (there is none)"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return [textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)]


def _listed(rows: Sequence[tuple[str, str]]) -> str:
    wide = max(len(name) for name, _ in rows) + 2
    return "\n".join(
        textwrap.fill(what, _WIDTH, initial_indent=name.ljust(wide), subsequent_indent=" " * wide)
        for name, what in rows
    )
