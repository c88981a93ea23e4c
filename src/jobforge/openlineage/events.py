"""Events out of records, with the classes of the official client.

The facets are those of the OpenLineage specification (https://openlineage.io/docs/spec/facets/);
a facet of which nothing is known is left out.
"""

from __future__ import annotations

from typing import TypedDict

from openlineage.client import event_v2 as ol
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    JobFacet,
    OutputDatasetFacet,
    RunFacet,
    column_lineage_dataset,
    data_quality_assertions_dataset,
    data_quality_metrics_input_dataset,
    dataset_type_dataset,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    processing_engine_run,
    schema_dataset,
    source_code_job,
    storage_dataset,
)
from openlineage.client.serde import Serde

from jobforge.openlineage.records import Assertion, Code, Dataset, Input, Origin, Output, RunState

FILES = "file"
"""Namespace of datasets in a file system (https://openlineage.io/docs/spec/naming)."""
_TEXT_WITHHELD = "# jobforge records which code ran, not its text: step = function (SHA-256 of it)"


class _Made(TypedDict):
    producer: str


def run_event(run: RunState, namespace: str) -> ol.RunEvent:
    """The event of a run at one moment.

    Args:
        run: The run.
        namespace: Namespace of the jobs.
    """
    made = _Made(producer=producer(run.version))
    return ol.RunEvent(
        eventType=ol.RunState(run.state),
        eventTime=run.at.isoformat(),
        run=ol.Run(run.run_id, facets=_run_facets(run, namespace, made)),
        job=ol.Job(namespace, run.job, facets=_job_facets(run.code, made)),
        inputs=[_input(read, made) for read in run.inputs],
        outputs=[_output(written, run.inputs, made) for written in run.outputs],
        **made,
    )


def line_of(event: ol.RunEvent) -> str:
    """The event as one line of JSON, without its end."""
    return Serde.to_json(event)


def producer(version: str) -> str:
    """Who made an event, as a package URL."""
    return f"pkg:generic/jobforge@{version}"


def _run_facets(run: RunState, namespace: str, made: _Made) -> dict[str, RunFacet]:
    facets: dict[str, RunFacet] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=run.engine_version,
            name="Polars",
            openlineageAdapterVersion=run.version,
            **made,
        ),
        "parent": parent_run.ParentRunFacet(
            run=parent_run.Run(run.parent_id, facets=None),
            job=parent_run.Job(namespace, run.parent_job, facets=None),
            **made,
        ),
    }
    if run.error is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=run.error, programmingLanguage="PYTHON", **made
        )
    return facets


def _job_facets(code: tuple[Code, ...], made: _Made) -> dict[str, JobFacet]:
    facets: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration="JOBFORGE", jobType="TASK", **made
        )
    }
    if code:
        lines = [f"{c.step} = {c.qualified_name} ({c.sha256 or 'unknown'})" for c in code]
        facets["sourceCode"] = source_code_job.SourceCodeJobFacet(
            language="PYTHON", sourceCode="\n".join([_TEXT_WITHHELD, *lines]), **made
        )
    return facets


def _facets(dataset: Dataset, made: _Made) -> dict[str, DatasetFacet]:
    kind = "TABLE" if dataset.table else "FILE"
    facets: dict[str, DatasetFacet] = {
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType=kind, **made)
    }
    if dataset.table:  # the facet is for table formats: a plain file has no layer of that kind
        facets["storage"] = storage_dataset.StorageDatasetFacet(
            storageLayer="delta", fileFormat="parquet", **made
        )
    if dataset.version is not None:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=dataset.version, **made
        )
    if dataset.fields:
        facets["schema"] = schema_dataset.SchemaDatasetFacet(
            fields=[
                schema_dataset.SchemaDatasetFacetFields(
                    name=found.name,
                    type=found.data_type,
                    description=found.description,
                    ordinal_position=position,
                    fields=None,
                )
                for position, found in enumerate(dataset.fields, start=1)
            ],
            **made,
        )
    return facets


def _input(read: Input, made: _Made) -> ol.InputDataset:
    facets: dict[str, InputDatasetFacet] = {}
    metrics = read.metrics
    if metrics is not None:
        changed = metrics.changed_at
        facets["dataQualityMetrics"] = (
            data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
                rowCount=metrics.rows,
                bytes=metrics.size_bytes,
                lastUpdated=None if changed is None else changed.isoformat(),
                columnMetrics={
                    name: data_quality_metrics_input_dataset.ColumnMetrics(
                        nullCount=nulls, quantiles=None
                    )
                    for name, nulls in metrics.nulls.items()
                },
                **made,
            )
        )
    if read.assertions:
        facets["dataQualityAssertions"] = (
            data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                assertions=[_assertion(found) for found in read.assertions], **made
            )
        )
    dataset = read.dataset
    return ol.InputDataset(FILES, dataset.path, inputFacets=facets, facets=_facets(dataset, made))


def _assertion(found: Assertion) -> data_quality_assertions_dataset.Assertion:
    params: dict[str, object] = {"step": found.step, "judged": found.judged}
    if found.on_fail is not None:
        params["on_fail"] = found.on_fail
    return data_quality_assertions_dataset.Assertion(
        assertion=found.kind,
        success=found.passed,
        column=found.column,
        severity="error" if found.stops else "warn",
        name=found.name,
        expected=found.limit,
        actual=str(found.failed),
        params=params,
    )


def _origins(path: str, found: tuple[Origin, ...]) -> list[column_lineage_dataset.InputField]:
    """Columns of the input, each with all that it does."""
    by_column: dict[str, list[column_lineage_dataset.Transformation]] = {}
    for origin in found:
        what = column_lineage_dataset.Transformation(
            "DIRECT" if origin.direct else "INDIRECT", origin.kind.upper()
        )
        by_column.setdefault(origin.column, []).append(what)
    return [
        column_lineage_dataset.InputField(FILES, path, column, does)
        for column, does in by_column.items()
    ]


def _output(out: Output, inputs: tuple[Input, ...], made: _Made) -> ol.OutputDataset:
    facets = _facets(out.dataset, made)
    if out.origins and inputs:
        path = inputs[0].dataset.path
        facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
            fields={
                name: column_lineage_dataset.Fields(inputFields=_origins(path, found))
                for name, found in out.origins.items()
            },
            dataset=_origins(path, out.chosen_by) or None,
            **made,
        )
    outcome: dict[str, OutputDatasetFacet] = {}
    if out.written is not None:
        outcome["outputStatistics"] = (
            output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=out.written.rows,
                size=out.written.size_bytes,
                fileCount=out.written.files,
                **made,
            )
        )
    return ol.OutputDataset(FILES, out.dataset.path, outputFacets=outcome, facets=facets)
