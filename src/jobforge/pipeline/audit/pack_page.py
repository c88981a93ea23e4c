"""The page of a pack: one self-contained HTML file, for a browser or a printer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape

from jobforge.contracts.compare import ChangeKind, SchemaChange
from jobforge.pipeline.accounts import LayerAccount
from jobforge.pipeline.audit.pack_evidence import Evidence
from jobforge.pipeline.audit.pack_texts import AREAS, AS_WRITTEN

_STYLE = """
:root { color-scheme: light; }
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; padding: .3rem 0; color: #444; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid #ccc; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; overflow-wrap: anywhere; }
.good { color: #0b5d1e; font-weight: 600; } .bad { color: #9b1c1c; font-weight: 600; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } a { color: inherit; }
  .wide { overflow: visible; } thead { display: table-header-group; }
  tr, dt { break-inside: avoid; } h2 { break-after: avoid; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""A browser that keeps to it loads nothing, from nowhere."""
_FINDINGS = 50


def page(evidence: Evidence, created_at: datetime, made_by: str, *, personal: bool) -> bytes:
    """The page.

    Args:
        evidence: What was found.
        created_at: When the pack is made.
        made_by: Name and version of the program.
        personal: Whether values of personal columns are in the pack.
    """
    title = f"Audit pack: {evidence.scope.title}"
    sections = [
        _section("At a glance", _glance(evidence, personal=personal)),
        _section("Batches", _batches(evidence)),
        _section("Where the rows went", _accounts(evidence)),
        _section("Rejected rows", _rejects(evidence)),
        _section("Left out, or aggregated", _edges(evidence)),
        _section("Contracts", _contracts(evidence, personal=personal)),
        _section("Nothing changed since", _verification(evidence)),
        _section("Run again", _replays(evidence)),
        _section("Areas of data management", _areas()),
    ]
    if evidence.problems:
        sections.insert(1, _section("What could not be looked at", _list(evidence.problems)))
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{escape(title)}</h1></header>
<main>
{"".join(sections)}</main>
<footer><p>Made by {escape(made_by)} on {_time(created_at)}. README.txt says how to check it.</p>
</footer>
</body>
</html>
"""
    return text.encode()


def _glance(evidence: Evidence, *, personal: bool) -> str:
    records = evidence.scope.records
    head = evidence.verification.head
    sound = evidence.verification.sound
    open_ = sum(
        n
        for account in evidence.accounts
        for layer in account.layers
        for state, n in layer.rejects.items()
        if state == "open"
    )
    facts = [
        ("Batches", _number(len(records))),
        (
            "From, to",
            f"{_time(records[0].created_at)}, {_time(records[-1].created_at)}" if records else "",
        ),
        ("Rejected rows that are open", _number(open_)),
        (
            "Data root held against its chain",
            _mark(f"{len(evidence.verification.findings):,} findings", "sound", good=sound),
        ),
        ("Last entry of the chain", escape(f"{head.number} {head.sha256}") if head else "none"),
        ("Values of personal columns", "in the pack" if personal else "masked"),
        ("Code, conditions and contracts", escape(AS_WRITTEN)),
    ]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>\n" for name, value in facts)
    return f"<dl>\n{rows}</dl>\n"


def _batches(evidence: Evidence) -> str:
    rows = [
        (
            _link(f"batches/{record.batch_id}.json", record.batch_id),
            _time(record.created_at),
            escape(str(record.status)),
            escape(", ".join(source.name for source in record.sources) or "-"),
            escape(", ".join(dict.fromkeys(str(log.operation) for log in record.transitions))),
        )
        for record in evidence.scope.records
    ]
    heads = ("batch", "created", "status", "sources", "what was done")
    return _table("Oldest first; the hashes of the sources are in batches.csv", heads, rows)


def _accounts(evidence: Evidence) -> str:
    rows = [
        (
            _link(f"accounts/{account.batch_id}.json", account.batch_id),
            escape(str(layer.layer)),
            _number(layer.rows_in),
            _number(layer.rows_out),
            escape("; ".join(_ways(layer)) or "every row kept"),
        )
        for account in evidence.accounts
        for layer in account.layers
    ]
    heads = ("batch", "layer", "rows in", "rows out", "what became of the others")
    return _table("Rows in and made = rows out and all that left", heads, rows, numbers={2, 3})


def _ways(layer: LayerAccount) -> Iterator[str]:
    for line in layer.lines:
        yield f"{line.rows:,} {line.way} ({line.name})"
    for waiver in layer.waivers:
        yield f"{waiver.rows:,} waived by {waiver.by}: {waiver.why}"
    if layer.stopped_by is not None:
        yield f"stopped: {layer.stopped_by}"


def _rejects(evidence: Evidence) -> str:
    rows = [
        (
            _link(f"rejects/{batch}.csv", batch),
            escape(layer),
            escape(rule or ""),
            escape(state),
            _number(number),
        )
        for batch, found in evidence.rejects.items()
        for layer, rule, state, number in found.group_by("layer", "rule", "state")
        .len()
        .sort("layer", "rule", "state")
        .iter_rows()
    ]
    heads = ("batch", "layer", "rule", "how it stands", "reasons")
    return _table("A row that failed two rules has two reasons", heads, rows, numbers={4})


def _edges(evidence: Evidence) -> str:
    rows = [
        (*map(escape, (e.batch_id, e.layer, e.step, e.outcome)), _number(e.records))
        for e in evidence.edges
    ]
    heads = ("batch", "layer", "step", "how", "records")
    return _table(
        "Source records that left by intent, or are in an aggregate",
        heads,
        rows,
        numbers={4},
    )


def _contracts(evidence: Evidence, *, personal: bool) -> str:
    said = str if personal or not evidence.discreet else _without_terms
    versions = evidence.schemas.versions if evidence.schemas is not None else ()
    rows = [
        (
            _link(f"contracts/v{v.number}.json", f"v{v.number}")
            if v.contract is not None
            else f"v{v.number}",
            _time(v.recorded_at),
            escape(v.batch_id),
            escape("; ".join(map(said, v.changes)) or "-"),
        )
        for v in versions
    ]
    return _table("", ("version", "from", "first batch", "what changed"), rows)


def _without_terms(change: SchemaChange) -> str:
    """A change without what the contract says now and said before, which may be a value."""
    what = "the contract" if change.column is None else repr(change.column)
    if change.kind is ChangeKind.CHANGED:
        # Its texts begin with the name of the option.
        what += f": {(change.after or change.before or '').partition(' ')[0]}"
    return f"{what} {change.kind}"


def _verification(evidence: Evidence) -> str:
    found = evidence.verification
    said = _mark("something does not fit", "everything is as it was published", good=found.sound)
    text = (
        f"<p>{said}: {found.entries:,} entries of the chain and {found.files:,} files of the "
        f"whole data root were looked at, {len(evidence.entries):,} entries are of this pack "
        f"({_link('verify.json', 'verify.json')}).</p>\n"
    )
    listed = [f"{f.kind}: {f.subject}: {f.message}" for f in found.findings[:_FINDINGS]]
    if len(found.findings) > _FINDINGS:
        listed.append(f"and {len(found.findings) - _FINDINGS:,} more")
    return text + (_list(listed) if listed else "")


def _replays(evidence: Evidence) -> str:
    rows = [
        (escape(record.batch_id), escape(evidence.verdict(record.batch_id)))
        for record in evidence.scope.records
    ]
    caption = "Whether a batch gave the same when it was run again from its source"
    return _table(caption, ("batch", "verdict"), rows)


def _areas() -> str:
    rows = [(escape(area), escape(what), escape(", ".join(files))) for area, what, files in AREAS]
    return _table(
        "By the DAMA Data Management Body of Knowledge", ("area", "what is shown", "where"), rows
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}</section>\n"


def _table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: frozenset[int] | set[int] = frozenset(),
) -> str:
    """A table; its cells are HTML already."""
    if not rows:
        return "<p>There is nothing.</p>\n"
    kind = [' class="n"' if at in numbers else "" for at in range(len(heads))]
    head = "".join(
        f'<th scope="col"{own}>{escape(name)}</th>' for name, own in zip(heads, kind, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{own}>{cell}</td>" for cell, own in zip(row, kind, strict=True))
        + "</tr>\n"
        for row in rows
    )
    told = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    return (
        f'<div class="wide"><table>\n{told}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table></div>\n"
    )


def _list(lines: Iterable[str]) -> str:
    return "<ul>\n" + "".join(f"<li>{escape(line)}</li>\n" for line in lines) + "</ul>\n"


def _link(file: str, text: str) -> str:
    return f'<a href="{escape(file)}">{escape(text)}</a>'


def _mark(bad: str, well: str, *, good: bool) -> str:
    return f'<span class="{"good" if good else "bad"}">{escape(well if good else bad)}</span>'


def _number(number: int) -> str:
    return f"{number:,}"


def _time(at: datetime) -> str:
    text = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return f'<time datetime="{text}">{text}</time>'
