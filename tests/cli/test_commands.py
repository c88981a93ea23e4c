"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from jobforge import PipelineConfig, PipelineEngine, SourceRecord
from support import debris, files_below, write_csv

COMMANDS = [
    "ingest",
    "run",
    "history",
    "tables",
    "show",
    "lineage",
    "account",
    "replay",
    "quarantine list",
    "quarantine show",
    "quarantine export",
    "quarantine replay",
    "quarantine waive",
    "contract infer",
    "contract check",
    "contract diff",
    "contract export",
    "contract versions",
    "diff",
    "rollback",
    "compact",
    "clean",
    "erase",
    "trace",
    "impact",
    "verify",
    "cite",
    "pack",
    "demo",
]


def jobforge(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", **more}
    command = [sys.executable, "-c", "from jobforge.cli.main import main; main()", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    write_csv(tmp_path / "people.csv", [["Code", "Pay"], ["007", "10"], ["0", "x"], ["00", "30"]])
    (tmp_path / "people.json").write_text('{"cast": {"Pay": "Int64"}}')
    return tmp_path


def test_help_names_every_command_and_each_has_an_example(tmp_path: Path) -> None:
    shown = jobforge(tmp_path, "--help").stdout
    for command in COMMANDS:
        assert command.split()[0] in shown
        own = jobforge(tmp_path, *command.split(), "--help")
        assert own.returncode == 0
        assert f"Example: jobforge {command}" in " ".join(own.stdout.split())
        assert "--json" in own.stdout
    assert "no telemetry" in shown
    assert files_below(tmp_path) == []


def test_every_command_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"## jobforge {command}" in page


def test_run_then_look(people: Path) -> None:
    done = jobforge(people, "run", "people.csv", "--table", "people", "--schema", "people.json")
    assert done.returncode == 0, done.stderr
    assert "1 quarantined by cast:Pay" in done.stdout
    assert "transition.finished" in done.stderr
    tables = jobforge(people, "tables").stdout
    assert "default/people" in tables
    history = jobforge(people, "history", "people").stdout
    assert "partial" in history
    shown = jobforge(people, "show", "people", "-l", "staged", "-n", "1").stdout
    assert "007" in shown
    assert "3 rows" in shown


def test_every_answer_is_one_json_document(people: Path) -> None:
    ran = as_json(jobforge(people, "run", "people.csv", "-t", "people", "-d", "hr", "--json"))
    assert [log["target_layer"] for log in ran["logs"]] == ["staged", "bronze", "silver", "gold"]
    ingested = as_json(jobforge(people, "ingest", "people.csv", "-t", "raw", "--json"))
    assert ingested["log"]["row_count_out"] == 3
    assert Path(people / ingested["staged_path"]).is_file()
    tables = as_json(jobforge(people, "tables", "--json"))
    assert [(t["domain"], t["table"]) for t in tables] == [("default", "raw"), ("hr", "people")]
    history = as_json(jobforge(people, "history", "hr/people", "--json"))
    assert [len(record["transitions"]) for record in history] == [4]
    shown = as_json(jobforge(people, "show", "people", "--json"))
    assert shown["first"][0]["Code"] == "007"
    assert shown["layer"] == "gold"


def test_lineage_shows_the_columns_behind_a_column(people: Path) -> None:
    jobforge(people, "run", "people.csv", "--table", "people", "--schema", "people.json")
    shown = jobforge(people, "lineage", "people.Pay").stdout.splitlines()
    assert [line.strip() for line in shown[1:]] == [
        "gold.Pay",
        "<- silver.Pay (identity)",
        "<- bronze.Pay (identity), by cast",
        "<- staged.Pay (transformation)",
        "<- people.csv",
        "rows of bronze: chosen by Pay (filter), by cast",
    ]
    whole = as_json(jobforge(people, "lineage", "people", "--layer", "bronze", "--json"))
    assert {c["column"] for c in whole["columns"]} >= {"Code", "Pay", "_source_row"}
    wrong = jobforge(people, "lineage", "people.Pai")
    assert wrong.returncode == 2
    assert "did you mean 'Pay'" in wrong.stderr


def test_reader_options_come_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "x.dat").write_bytes("a;b\n1;é\n".encode("cp1252"))
    words = ["ingest", "x.dat", "-t", "x", "--format", "csv"]
    done = jobforge(tmp_path, *words, "-O", "encoding=cp1252", "-O", "delimiter=;", "--json")
    assert as_json(done)["log"]["row_count_out"] == 1
    bad = jobforge(tmp_path, *words, "-O", "delimitr=;")
    assert bad.returncode == 2
    assert "did you mean 'delimiter'" in bad.stderr
    for option in ("delimiter=;;", "header", "skip_lines=x"):
        assert jobforge(tmp_path, *words, "-O", option).returncode == 2
    assert jobforge(tmp_path, "ingest", "x.dat", "-t", "x", "--format", "word").returncode == 2


@pytest.mark.parametrize("command", ["ingest", "run"])
def test_sources_are_kept_where_that_is_asked_for(people: Path, command: str) -> None:
    words = [command, "people.csv", "--table", "p"]
    done = jobforge(people, *words)
    assert done.returncode == 0, done.stderr
    assert not (people / "data/sources").exists()
    batch = as_json(jobforge(people, *words, "--keep-source", "--json"))["batch_id"]
    (kept,) = files_below(people / "data/sources")
    assert (people / "data/sources" / kept).read_text() == (people / "people.csv").read_text()
    gone = jobforge(people, "erase", "p", "--batch", batch, "--record", "1", "--why", "asked")
    assert "1 source files that were kept in the data root went too" in gone.stdout
    assert files_below(people / "data/sources") == []


def test_ingest_tells_what_it_kept_out_and_what_it_noticed(people: Path) -> None:
    (people / "short.csv").write_text("a,b\n1\n3,4\n")
    words = ["ingest", "short.csv", "-t", "s", "-O", "bad_rows=quarantine"]
    shown = jobforge(people, *words).stdout
    assert "1 quarantined by read:fields" in shown
    assert "quarantine/staged/default/s/" in shown
    assert "encoding: UTF-8" in shown
    (people / "in").mkdir()
    (people / "in" / "x.csv").write_text("a;b\n1;2\n")
    done = jobforge(people, "run", "in", "-t", "x", "-O", "delimiter=;")
    assert done.returncode == 0
    assert '{"delimiter":";"}' in done.stdout


def test_every_sheet_is_of_one_workbook(people: Path) -> None:
    for name in ("one", "two"):
        book = openpyxl.Workbook()
        book.worksheets[0].append(["a"])
        book.create_sheet("More").append(["b"])
        book.save(people / f"{name}.xlsx")
    words = ["ingest", "one.xlsx", "-t", "book", "-O", "sheet=*"]
    results = as_json(jobforge(people, *words, "--json"))
    assert [result["log"]["table"] for result in results] == ["book_Sheet", "book_More"]
    done = jobforge(people, *words[:1], "two.xlsx", *words[1:])
    assert done.returncode == 2
    assert "one by one" in done.stderr


def test_logs_can_be_json_or_silent(people: Path) -> None:
    done = jobforge(people, "--log-format", "json", "ingest", "people.csv", "-t", "p")
    assert json.loads(done.stderr)["event"] == "transition.finished"
    assert jobforge(people, "-q", "ingest", "people.csv", "-t", "p").stderr == ""
    for wrong in ("xml", "JSON"):
        done = jobforge(people, "ingest", "people.csv", "-t", "p", JOBFORGE_LOG_FORMAT=wrong)
        assert done.returncode == 2
        assert f"there is no log format '{wrong}'" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "missing.csv", "-t", "x"], 1, "JF201"),
        (["run", "people.csv", "-t", "../x"], 2, "JF101"),
        (["run", "people.csv"], 2, "--table"),
        (["run", "people.csv", "-t", "x", "--schema", "nope.json"], 2, "there is no contract"),
        (["run", "people.csv", "-t", "x", "--schema", "people.csv"], 2, "holds no contract"),
        (["run", "people.csv", "-t", "x", "--schema", "bad.json"], 3, "JF401"),
        (["show", "people"], 1, "no data root"),
        (["history"], 1, "no data root"),
        (["tables", "--data-root", "people.csv"], 1, "no data root"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_errors_are_few_lines_on_standard_error_with_their_exit_code(
    people: Path, words: list[str], code: int, said: str
) -> None:
    (people / "bad.json").write_text('{"cast": {"Code": "Date"}}')
    done = jobforge(people, *words)
    assert done.returncode == code
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not debris(people)


def test_unknown_tables_name_those_that_there_are(people: Path) -> None:
    jobforge(people, "run", "people.csv", "-t", "people", "-d", "hr")
    jobforge(people, "run", "people.csv", "-t", "people", "-d", "it")
    for words, said in (
        (["show", "poeple"], "did you mean 'people'"),
        (["show", "people"], "use hr/people or it/people"),
        (["show", "hr/people", "-l", "platinum"], "the layers are"),
        (["history", "nobody"], "there is no table 'nobody'"),
    ):
        done = jobforge(people, *words)
        assert done.returncode == 2
        assert said in done.stderr


def test_an_error_can_be_json(people: Path) -> None:
    done = jobforge(people, "run", "missing.csv", "-t", "x", "--json", "--data-root", "d")
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (error["code"], error["kind"]) == ("JF201", "SourceNotFoundError")
    assert error["hint"]


def test_the_demo_runs_in_an_empty_folder_and_stays_in_its_own(tmp_path: Path) -> None:
    first = as_json(jobforge(tmp_path, "demo", "--json"))
    assert {path.name for path in tmp_path.iterdir()} == {"jobforge-demo"}
    assert not debris(tmp_path)
    second = as_json(jobforge(tmp_path, "demo", "--json"))
    assert first["gold"] == second["gold"]
    assert first["rejects"] == second["rejects"]
    assert sorted(reject["value"] for reject in first["rejects"]) == [
        "000009",
        "2.50",
        "2023-02-30",
        "400.0",
        "TEER_0",
        "twenty",
    ]
    employees = first["runs"][1]["logs"]
    assert [log["row_count_out"] for log in employees] == [241, 239, 234, 234]
    assert employees[2]["account"]["filtered"] == {"wage_known": 1}
    assert employees[2]["account"]["deduplicated"] == {"deduplicate:employee_id": 1}
    shown = jobforge(tmp_path, "demo", "--dir", "other").stdout
    for said in (
        "employees.csv -> employees",
        "filtered by wage_known",
        "quarantine",
        "2023-02-30",
    ):
        assert said in shown
    (tmp_path / "file").touch()
    assert jobforge(tmp_path, "demo", "--dir", "file/x").returncode == 1


def test_a_defect_is_no_traceback_unless_asked_for(people: Path) -> None:
    broken = "import jobforge.pipeline.query as q; q.tables = lambda _: 1 / 0\n"
    broken += "from jobforge.cli.main import main; main()"
    command = [sys.executable, "-c", broken, "tables"]
    done = subprocess.run(command, cwd=people, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unexpected ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr
    environment = {**os.environ, "JOBFORGE_DEBUG": "1"}
    done = subprocess.run(
        command, cwd=people, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" in done.stderr


@pytest.fixture
def versions(people: Path) -> Path:
    """A table of four versions: replace, append, append, replace."""
    engine = PipelineEngine(PipelineConfig(people / "data"))
    for load in ("replace", "append", "append", "replace"):
        engine.run_full_pipeline(people / "people.csv", "p", load=load)
    return people


def test_run_can_append(people: Path) -> None:
    for rows in (3, 6):
        ran = as_json(
            jobforge(people, "run", "people.csv", "-t", "p", "--load", "append", "--json")
        )
        assert ran["logs"][-1]["row_count_out"] == 3
        assert as_json(jobforge(people, "show", "p", "--json"))["rows"] == rows


def test_the_versions_of_a_layer_are_listed_shown_and_compared(versions: Path) -> None:
    listed = as_json(jobforge(versions, "history", "p", "--layer", "gold", "--json"))
    assert [(v["version"], v["operation"], v["rows"]) for v in listed] == [
        (1, "replace", 3),
        (2, "append", 6),
        (3, "append", 9),
        (4, "replace", 3),
    ]
    assert "append" in jobforge(versions, "history", "p", "-l", "gold").stdout
    shown = as_json(jobforge(versions, "show", "p", "--version", "2", "--json"))
    assert (shown["version"], shown["rows"]) == (2, 6)
    then = listed[2]["published_at"]
    assert as_json(jobforge(versions, "show", "p", "--as-of", then, "--json"))["version"] == 3
    found = as_json(jobforge(versions, "diff", "p", "1", "2", "--json"))
    assert (found["added"]["rows"], found["removed"]["rows"], found["same"]) == (3, 0, False)
    assert "3 rows added" in jobforge(versions, "diff", "p", "1", "2", "-n", "2").stdout
    keyed = jobforge(versions, "diff", "p", "1", "4", "--key", "Code").stdout
    assert "no difference" in keyed


def test_back_to_an_earlier_version_and_into_one_file(versions: Path) -> None:
    assert "version 5 holds what version 3 holds" in jobforge(versions, "rollback", "p", "3").stdout
    assert (
        "version 6 is one file of 9 rows instead of 3" in jobforge(versions, "compact", "p").stdout
    )
    back = as_json(jobforge(versions, "rollback", "p", "1", "-l", "silver", "--json"))
    assert (back["operation"], back["table_version"]) == ("rollback", 5)
    again = as_json(jobforge(versions, "rollback", "p", "2", "-l", "silver", "--json"))
    assert again["row_count_out"] == 6
    one = as_json(jobforge(versions, "compact", "p", "-l", "silver", "--json"))
    assert one["operation"] == "compact"


def test_clean_shows_and_removes_only_with_yes(versions: Path) -> None:
    before = files_below(versions / "data")
    shown = jobforge(versions, "clean", "--keep-versions", "1").stdout
    assert "say --yes" in shown
    assert "1, 2, 3" in shown
    assert files_below(versions / "data") == before
    assert "nothing to remove" in jobforge(versions, "clean").stdout
    assert "nothing to remove" in jobforge(versions, "clean", "--older-than", "30d").stdout
    done = as_json(jobforge(versions, "clean", "--keep-versions", "1", "--yes", "--json"))
    assert done["removed"] is True
    assert sum(len(layer["files"]) for layer in done["layers"]) == 9
    gone = jobforge(versions, "show", "p", "--version", "1")
    assert gone.returncode == 1
    assert "clean removed its files" in gone.stderr


def test_history_says_what_was_done_to_a_whole_table(versions: Path) -> None:
    engine = PipelineEngine(PipelineConfig(versions / "data"))
    engine.rollback("p", "gold", 3)
    engine.compact("p")
    engine.clean(keep_versions=1)
    batch = engine.read("p").collect()["_batch_id"][0]
    engine.erase("p", [SourceRecord(batch, 1)], "asked")
    shown = jobforge(versions, "history", "p").stdout
    for said in (
        "version 5 holds what version 3 holds",
        "3 files of version 5 into one",
        "files removed",
        "1 rows erased",
    ):
        assert said in shown


def test_columns_that_other_readers_do_not_see_are_told_of(people: Path) -> None:
    (people / "wide.json").write_text('{"cast": {"Pay": "UInt64"}}')
    (people / "wide.csv").write_text("Code,Pay\na,1\n")
    words = ["run", "wide.csv", "-t", "w", "--schema", "wide.json"]
    assert "other Delta readers do not see 'Pay'" in jobforge(people, *words).stdout
    assert as_json(jobforge(people, "show", "w", "--json"))["first"][0]["Pay"] == 1


def test_erase_forgets_a_record(versions: Path) -> None:
    row = as_json(jobforge(versions, "show", "p", "--json"))["first"][0]
    words = ["erase", "p", "--batch", row["_batch_id"], "--record", str(row["_source_row"])]
    done = jobforge(versions, *words, "--why", "request 7")
    assert done.returncode == 0, done.stderr
    assert "source file itself was not touched" in done.stdout
    assert as_json(jobforge(versions, "show", "p", "--json"))["rows"] == 2
    again = jobforge(versions, *words, "--why", "request 7", "--json")
    assert again.returncode == 2
    assert "JF109" in json.dumps(json.loads(again.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "people.csv", "-t", "p", "--load", "merge"], "use 'replace' or 'append'"),
        (["run", "people.csv", "-t", "p", "--on-conflict", "wait"], "use 'fail' or 'retry'"),
        (["show", "p", "--version", "9"], "it has 1 to 4"),
        (["show", "p", "--as-of", "yesterday"], "ISO 8601"),
        (["show", "p", "--as-of", "2026-01-01"], "no time zone"),
        (["history", "--layer", "gold"], "--layer needs a table"),
        (["history", "p", "--layer", "staged"], "staged has no versions"),
        (["diff", "p", "1", "9"], "it has 1 to 4"),
        (["diff", "p", "1", "2", "--key", "Cod"], "did you mean 'Code'"),
        (["rollback", "p", "4"], "is the newest"),
        (["compact", "p"], "one file already"),
        (["compact", "nobody"], "did you mean"),
        (["clean", "--keep-versions", "0"], "use 1 or more"),
        (["clean", "--older-than", "soon"], "12h, 30d"),
        (["erase", "p", "--batch", "x", "--record", "1", "--why", "y"], "holds batch x record 1"),
    ],
)
def test_wrong_input_for_versions(versions: Path, words: list[str], said: str) -> None:
    before = files_below(versions / "data")
    done = jobforge(versions, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr or said == "did you mean"
    assert "Traceback" not in done.stderr
    assert files_below(versions / "data") == before


DIRTY = [
    ["Order ID", "Name", "Qty"],
    ["1", "Ann", "5"],
    ["2", "Bob", "five"],
    ["3", "Cy", "N/A"],
    ["4", "", "-1"],
]


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    write_csv(tmp_path / "orders.csv", DIRTY)
    contract = {
        "columns": {
            "id": {"type": "Int64", "source": "Order ID", "nullable": False, "key": True},
            "name": {"type": "String", "source": "Name", "pii": "name", "nullable": False},
            "qty": {"type": "Int64", "source": "Qty", "null_values": ["N/A"], "ge": 0},
        }
    }
    (tmp_path / "orders.json").write_text(json.dumps(contract), encoding="utf-8")
    return tmp_path


def test_from_a_proposal_to_a_checked_contract(orders: Path) -> None:
    done = jobforge(orders, "contract", "infer", "orders.csv", "-t", "orders", "--out", "c.yaml")
    assert done.returncode == 0, done.stderr
    assert "apiVersion: v3.1.0" in (orders / "c.yaml").read_text(encoding="utf-8")
    again = jobforge(orders, "contract", "infer", "orders.csv", "--out", "c.yaml")
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    shown = jobforge(orders, "contract", "infer", "orders.csv", "-f", "python").stdout
    assert shown.startswith("import polars as pl")
    for name, begin in (("c.py", "import polars as pl"), ("c.json", '{\n  "$schema"')):
        done = jobforge(orders, "contract", "infer", "orders.csv", "--out", name)
        assert done.returncode == 0, done.stderr
        assert (orders / name).read_text(encoding="utf-8").startswith(begin)
    found = as_json(jobforge(orders, "contract", "infer", "orders.csv", "--json"))
    assert found["columns"]["order_id"]["source"] == "Order ID"
    checked = jobforge(orders, "contract", "check", "orders.csv", "--contract", "c.yaml")
    assert checked.returncode == 0, checked.stderr
    assert "4 of 4 records pass c.yaml" in checked.stdout
    own = as_json(
        jobforge(orders, "contract", "check", "orders.csv", "--contract", "orders.json", "--json")
    )
    assert (own["rows"], own["passed"], own["stopped"]) == (4, 2, None)
    diff = jobforge(orders, "contract", "diff", "c.yaml", "orders.json").stdout
    assert "breaking" in diff
    same = jobforge(orders, "contract", "diff", "c.yaml", "c.yaml").stdout
    assert same == "no difference\n"
    schema = jobforge(orders, "contract", "export", "orders.json", "-f", "json-schema").stdout
    assert json.loads(schema)["required"] == ["id", "name"]
    assert not (orders / "data").exists()


def test_a_contract_that_would_stop_the_batch_is_exit_code_3(orders: Path) -> None:
    declared = json.loads((orders / "orders.json").read_text(encoding="utf-8"))
    (orders / "strict.json").write_text(json.dumps({**declared, "max_rejects": 0}))
    checked = jobforge(orders, "contract", "check", "orders.csv", "--contract", "strict.json")
    assert checked.returncode == 3
    assert "a run would stop" in checked.stdout
    done = jobforge(orders, "run", "orders.csv", "-t", "orders", "--contract", "strict.json")
    assert done.returncode == 3
    assert "JF409" in done.stderr
    assert not list((orders / "data" / "bronze").rglob("*.parquet"))


def test_from_reject_to_cure(orders: Path) -> None:
    ran = as_json(
        jobforge(orders, "run", "orders.csv", "-t", "orders", "--contract", "orders.json", "--json")
    )
    batch = ran["batch_id"]
    listed = jobforge(orders, "quarantine", "list").stdout
    assert "cast:qty" in listed
    assert "not_null:name" in listed
    shown = jobforge(orders, "quarantine", "show", batch).stdout
    assert "five" in shown
    done = jobforge(orders, "quarantine", "export", batch, "--csv", "r.csv", "--show-personal")
    assert done.stdout == "2 records in r.csv\n"
    text = (orders / "r.csv").read_text(encoding="utf-8").replace("five", "5")
    (orders / "r.csv").write_text(text, encoding="utf-8")
    done = jobforge(orders, "quarantine", "replay", "r.csv", "--batch", batch)
    assert done.returncode == 0, done.stderr
    assert f"which cures {batch}" in done.stdout
    done = jobforge(
        orders, "quarantine", "waive", batch, "--by", "J. Roy", "--why", "no name", "-l", "silver"
    )
    assert done.stdout == "silver: 1 rows waived by J. Roy: no name\n"
    waterfall = jobforge(orders, "account", batch).stdout
    assert "rejects of bronze: 1 cured" in waterfall
    assert "rejects of silver: 1 waived\n1 waived by J. Roy: no name\n" in waterfall
    assert as_json(jobforge(orders, "account", batch, "--json"))["source_records"] == 4
    rules = jobforge(orders, "history", "orders", "--rules").stdout
    assert "cast:qty" in rules
    versions = jobforge(orders, "contract", "versions", "orders").stdout
    assert "3 columns" in versions


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["account", "nothing"], 2, "JF101"),
        (["quarantine", "show", "0" * 8 + "-0000-0000-0000-" + "0" * 12], 2, "JF107"),
        (["quarantine", "list", "nothing"], 2, "JF107"),
        (["contract", "infer", "nothing.csv"], 1, "JF201"),
        (["contract", "check", "people.csv", "--contract", "nothing.yaml"], 2, "JF103"),
        (["contract", "versions", "nothing"], 2, "JF107"),
    ],
)
def test_wrong_words_of_the_new_commands(
    people: Path, words: list[str], code: int, said: str
) -> None:
    jobforge(people, "run", "people.csv", "-t", "people")
    done = jobforge(people, *words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_low_memory_is_said_to_the_allocator_before_polars_is_loaded(tmp_path: Path) -> None:
    """Polars puts its own options first when it is loaded, so that ours come last and count."""
    (tmp_path / "in.csv").write_text("a\n1\n")
    code = (
        "import atexit, os, sys; from jobforge.cli.main import main; "
        "atexit.register(lambda: print(os.environ['_RJEM_MALLOC_CONF'], file=sys.stderr)); "
        "sys.argv = ['jobforge', '-q', '--low-memory', 'run', 'in.csv', '--table', 't']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    options = done.stderr.strip().split(",")
    assert options[-2:] == ["dirty_decay_ms:0", "muzzy_decay_ms:0"]
    assert len(options) > 2


def run_people(folder: Path) -> None:
    command = ["--quiet", "run", "people.csv", "-t", "t", "--schema", "people.json"]
    assert jobforge(folder, *command).returncode == 0


def test_a_row_is_traced_and_a_line_followed(people: Path) -> None:
    ran = jobforge(people, "--quiet", "run", "people.csv", "-t", "t", "--schema", "people.json")
    assert ran.returncode == 0, ran.stderr
    done = jobforge(people, "--quiet", "trace", "t", "--where", "Code = '007'")
    assert done.returncode == 0, done.stderr
    assert "Pay: Pay='10' -> 10, by cast" in done.stdout
    assert "source people.csv, record 1, line 2, byte 9" in done.stdout
    assert "| 007,10" in done.stdout
    told = as_json(jobforge(people, "trace", "t", "--key", "Code=007", "--json"))
    assert told["rows"][0]["traces"][0]["source"]["raw"] == "007,10"
    done = jobforge(people, "--quiet", "impact", "people.csv:3")
    assert "bronze: quarantined by cast:Pay (is no Int64), open" in done.stdout
    told = as_json(jobforge(people, "impact", "people.csv", "--record", "3", "--json"))
    assert [fate["fate"] for fate in told["records"][0]["layers"]] == ["row"] * 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["trace", "t", "--where", "Code = '9'"], 2, "has no row with Code = '9'"),
        (["trace", "t", "--where", "Kode = '9'"], 2, "did you mean 'Code'?"),
        (["trace", "t", "--where", "select"], 2, "is no SQL condition"),
        (["trace", "t", "--key", "Code"], 2, "use NAME=VALUE"),
        (["trace", "t"], 2, "say which rows"),
        (["trace", "t", "--row", "1", "--limit", "some"], 2, "--limit is 'some'"),
        (["impact", "people.csv"], 2, "say which record"),
        (["impact", "people.csv:99"], 2, "has no record on line 99"),
        (["impact", "other.csv:1"], 2, "no batch read a file other.csv"),
        (["verify", "--since", "yesterday"], 2, "--since is 'yesterday'"),
        (["verify", "--against", "0123456789abcdef"], 1, ""),
        (["verify", "--head", "--against", "0123456789abcdef"], 2, "--head and --against"),
        (["verify", "--head", "--since", "1"], 2, "--head and --since"),
        (["verify", "--since", "99"], 2, "the head is 4"),
        (["verify", "--since", "2026-01-31"], 2, "such as 2026-01-31T00:00:00Z"),
        (["verify", "--head", "--data-root", "absent"], 1, "there is no data root absent"),
    ],
)
def test_wrong_questions_of_an_auditor(
    people: Path, words: list[str], code: int, said: str
) -> None:
    run_people(people)
    done = jobforge(people, "--quiet", *words)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert said in done.stderr


def test_a_changed_byte_and_the_head(people: Path) -> None:
    run_people(people)
    head = jobforge(people, "verify", "--head").stdout.split()
    sound = jobforge(people, "verify", "--against", head[1], "--since", "1")
    assert (sound.returncode, head[0]) == (0, "4")
    assert "everything is as it was published" in sound.stdout
    assert as_json(jobforge(people, "verify", "--json"))["sound"] is True
    later = jobforge(people, "verify", "--since", "4").stdout
    assert "files before entry 4 were not read" in later
    assert "everything else is as it was published" in later
    path = next((people / "data/gold").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = jobforge(people, "verify")
    assert done.returncode == 1
    assert f"changed: {path.relative_to(people / 'data')}" in done.stdout
