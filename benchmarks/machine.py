"""The record of what was measured on: machine, interpreters and libraries."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

_LIBRARIES = {
    "python": ["jobforge", "polars", "pyarrow", "deltalake", "numpy", "duckdb", "pandas"],
    "dbt": ["dbt-core", "dbt-duckdb", "duckdb"],
    "dlt": ["dlt", "pyarrow"],
}
_ASK = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def processor() -> str:
    """The processor's name where the system tells it."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def machine() -> dict[str, object]:
    """Architecture, cores, memory, and how busy the machine is already."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "arch": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 1024**3, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def versions(dbt_python: str, dlt_python: str) -> dict[str, dict[str, str]]:
    """The libraries of each interpreter; without one, nothing of it."""
    interpreters = {"python": sys.executable, "dbt": dbt_python, "dlt": dlt_python}
    found: dict[str, dict[str, str]] = {}
    for tool, python in interpreters.items():
        if shutil.which(python) is None:
            continue
        command = [python, "-c", _ASK, *_LIBRARIES[tool]]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told: dict[str, str] = json.loads(done.stdout)
        if tool == "python" or _LIBRARIES[tool][0] in told:
            found[tool] = told
    return found
