"""Contracts as the Open Data Contract Standard has them (ODCS v3.1, Bitol, Linux Foundation).

What the standard has a word for stands under that word; what is jobforge's own
(null words, signs, formats, limits) stands in `customProperties`, so that a
contract comes back as it was. See https://bitol-io.github.io/open-data-contract-standard/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from jobforge.contracts.column import Column
from jobforge.contracts.contract import Contract
from jobforge.contracts.dtypes import type_text
from jobforge.contracts.imported import Imported
from jobforge.contracts.logical import (
    as_text,
    dtype_of,
    exact_number,
    is_exact,
    logical_type,
)
from jobforge.errors import InvalidSchemaError, nearest

if TYPE_CHECKING:
    from open_data_contract_standard.model import (
        CustomProperty,
        DataQuality,
        OpenDataContractStandard,
        SchemaObject,
        SchemaProperty,
    )
    from pydantic import BaseModel

API_VERSION = "v3.1.0"
_PREFIX = "jobforge"
# What `Column` and `Contract` say that the standard has no word for, by our names.
_OWN_COLUMN = ("format", "null_values", "decimal", "thousands", "true_values", "false_values")
_OWN_CONTRACT = (
    "extra_columns", "null_values", "on_cast_failure", "on_check_failure", "max_rejects",
)  # fmt: skip
_KNOWN_OPTIONS = {"minLength", "maxLength", "pattern", "minimum", "maximum"}


def to_odcs(contract: Contract, table: str, domain: str = "default") -> str:
    """The contract as ODCS YAML.

    Args:
        contract: The contract.
        table: Name of the table, for `name` and the schema object.
        domain: Its business domain.
    """
    from open_data_contract_standard.model import (
        Description,
        OpenDataContractStandard,
        SchemaObject,
        Team,
    )

    said = contract.as_dict()
    schema = SchemaObject(
        name=table,
        physicalType="table",
        logicalType="object",
        properties=[_property(contract, name) for name in contract.columns],
        customProperties=_own(said, _OWN_CONTRACT),
    )
    document = OpenDataContractStandard(
        version=contract.version,
        apiVersion=API_VERSION,
        kind="DataContract",
        id=f"{domain}.{table}",
        name=table,
        status="active",
        domain=domain,
        description=Description(purpose=contract.description) if contract.description else None,
        team=Team(name=contract.owner) if contract.owner else None,
        schema=[schema],
    )
    return str(document.to_yaml())


def from_odcs(document: Mapping[str, Any], table: str | None = None) -> Imported:
    """Read an ODCS document, v3.

    Args:
        document: Its content.
        table: Which of its schema objects, where it has several.

    Raises:
        InvalidSchemaError: It is no ODCS v3 document, or says something that
            no contract of jobforge can.
    """
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    if document.get("kind", "DataContract") != "DataContract":
        raise InvalidSchemaError(
            f"the contract is of the kind {document['kind']!r}", hint="jobforge reads DataContract"
        )
    version = str(document.get("apiVersion", ""))
    if not version.startswith("v3"):
        raise InvalidSchemaError(
            f"the contract is ODCS {version or 'without apiVersion'}",
            hint="jobforge reads ODCS v3: apiVersion: v3.1.0",
        )
    try:
        parsed = OpenDataContractStandard.model_validate(dict(document))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidSchemaError(
            f"the contract is no ODCS document: {place}: {first['msg']}",
            hint="compare it with the standard's JSON schema",
        ) from error
    chosen = _chosen(parsed, table)
    _check_words(document, OpenDataContractStandard, "the contract")
    left_out: list[str] = []
    columns: dict[str, Column] = {}
    for name, column in _columns(chosen, left_out):
        if name in columns:
            raise InvalidSchemaError(
                f"the contract has the column {name!r} twice", hint="name each once", column=name
            )
        columns[name] = column
    if chosen.quality:
        left_out.append(f"{len(chosen.quality)} quality rules of the table")
    own = _own_of(chosen.customProperties, _OWN_CONTRACT)
    contract = Contract(
        columns,
        version=parsed.version or "1.0.0",
        owner=getattr(parsed.team, "name", None),
        description=parsed.description.purpose if parsed.description else None,
        **own,
    )
    return Imported(contract, tuple(left_out))


def _check_words(document: Mapping[str, Any], model: type[BaseModel], where: str) -> None:
    """Refuse a word that the standard does not have: misspelt, it would turn a promise off.

    Raises:
        InvalidSchemaError: With the nearest word that there is.
    """
    known = {entry.alias or name for name, entry in model.model_fields.items()}
    for word in document:
        if word not in known:
            raise InvalidSchemaError(
                f"{where}: the standard has no {word!r}", hint=nearest(str(word), known)
            )
    from open_data_contract_standard.model import SchemaObject, SchemaProperty

    inside: dict[str, type[BaseModel]] = {"schema": SchemaObject, "properties": SchemaProperty}
    for word, kind in inside.items():
        for entry in document.get(word) or []:
            if isinstance(entry, Mapping):
                _check_words(entry, kind, str(entry.get("name", where)))


def _chosen(parsed: OpenDataContractStandard, table: str | None) -> SchemaObject:
    objects = list(parsed.schema_ or [])
    names = [str(entry.name) for entry in objects]
    found = [entry for entry in objects if table is None or entry.name == table]
    if len(found) == 1:
        return found[0]
    if not found:
        hint = nearest(table or "", names) if names else "add a schema object with properties"
        raise InvalidSchemaError(
            f"the contract describes no table {table or ''}".strip(), hint=hint
        )
    raise InvalidSchemaError(
        f"the contract describes {len(names)} tables", hint="say which: " + ", ".join(names)
    )


def _property(contract: Contract, name: str) -> SchemaProperty:
    from open_data_contract_standard.model import SchemaProperty

    column = contract.columns[name]
    dtype: pl.DataType | None = column.dtype
    options, own = _options(column)
    key = contract.key
    return SchemaProperty(
        name=name,
        physicalName=column.source,
        logicalType=logical_type(dtype),
        physicalType=None if dtype is None else type_text(dtype),
        description=column.description,
        required=True if not column.nullable else None,
        unique=True if column.unique else None,
        primaryKey=True if column.key else None,
        primaryKeyPosition=key.index(name) + 1 if column.key else None,
        classification="personal" if column.pii else None,
        logicalTypeOptions=options or None,
        quality=[_allowed(column)] if column.allowed is not None else None,
        customProperties=_own({**column.as_dict(), **own}, (*_OWN_COLUMN, "pii", *own)),
    )


def _options(column: Column) -> tuple[dict[str, Any], dict[str, str]]:
    """Bounds and lengths as the standard has them, and those that JSON's numbers would change."""
    options: dict[str, Any] = {}
    own: dict[str, str] = {}
    if column.length is not None:
        least, most = column.length
        options |= {"minLength": least} if least is not None else {}
        options |= {"maxLength": most} if most is not None else {}
    if column.pattern is not None:
        options["pattern"] = column.pattern
    for word, bound, ours in (("minimum", column.ge, "ge"), ("maximum", column.le, "le")):
        if bound is None:
            continue
        if column.dtype.is_temporal():
            options[word] = as_text(bound)
        elif (number := exact_number(bound)) is not None:
            options[word] = number
        else:
            own[ours] = as_text(bound)
    return options, own


def _allowed(column: Column) -> DataQuality:
    from open_data_contract_standard.model import DataQuality

    values = column.as_dict()["allowed"]
    return DataQuality(
        type="library",
        metric="invalidValues",
        arguments={"validValues": values},
        mustBe=0,
        unit="rows",
    )


def _own(said: Mapping[str, object], names: Iterable[str]) -> list[CustomProperty] | None:
    """What is jobforge's own, in names as the standard wants them (camel case)."""
    from open_data_contract_standard.model import CustomProperty

    found = [CustomProperty(property=_camel(n), value=said[n]) for n in names if n in said]
    return found or None


def _own_of(properties: list[CustomProperty] | None, names: Iterable[str]) -> dict[str, Any]:
    known = {_camel(name): name for name in names}
    for entry in properties or []:
        word = str(entry.property)
        if word.startswith(_PREFIX) and word not in known:
            raise InvalidSchemaError(
                f"customProperties: jobforge has no {word!r}", hint=nearest(word, known)
            )
    return {
        known[str(entry.property)]: entry.value
        for entry in properties or []
        if entry.property in known
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return _PREFIX + "".join(part.capitalize() for part in (first, *rest))


def _columns(chosen: SchemaObject, left_out: list[str]) -> Iterable[tuple[str, Column]]:
    for entry in chosen.properties or []:
        name = str(entry.name)
        own = _own_of(entry.customProperties, (*_OWN_COLUMN, "pii", "ge", "le"))
        options = dict(entry.logicalTypeOptions or {})
        left_out += [f"{name}: {word}" for word in options if word not in _KNOWN_OPTIONS]
        dtype = dtype_of(name, entry.logicalType, entry.physicalType)
        said = entry.physicalType or entry.logicalType
        if said and (dtype is None or (entry.physicalType and not is_exact(name, said))):
            left_out.append(f"{name}: type {said}" + (f", taken for {dtype}" if dtype else ""))
        least, most = options.get("minLength"), options.get("maxLength")
        key = bool(entry.primaryKey)
        yield (
            name,
            Column(
                dtype,
                source=entry.physicalName if entry.physicalName != name else None,
                nullable=not (entry.required or key),
                unique=bool(entry.unique),
                key=key,
                pattern=options.get("pattern"),
                length=(least, most) if (least, most) != (None, None) else None,
                allowed=_allowed_of(name, entry, left_out),
                description=entry.description,
                **{
                    "ge": options.get("minimum"),
                    "le": options.get("maximum"),
                    "pii": "personal" if entry.classification == "personal" else None,
                    **own,
                },
            ),
        )


def _allowed_of(name: str, entry: SchemaProperty, left_out: list[str]) -> list[Any] | None:
    """The values of the check for valid ones; every other quality rule is said to be left out."""
    found = None
    for rule in entry.quality or []:
        values = (rule.arguments or {}).get("validValues")
        if rule.metric == "invalidValues" and values and rule.mustBe == 0:
            found = values
        else:
            left_out.append(f"{name}: quality rule {rule.name or rule.metric or rule.type}")
    return found
