"""What the documentation says is so: generated pages are in step, its example runs, its links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tests.workflow_tools import TIMEOUT

from radsens import cli
from radsens.products import reference

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("path", reference.pages())
def test_a_generated_page_is_in_step_with_the_models(path):
    assert (ROOT / path).read_text(encoding="utf-8") == reference.pages()[path], "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_the_pages_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("command", typer.main.get_command(cli.app).commands)
def test_the_help_of_each_command_gives_an_example_of_that_command(command):
    epilogue = typer.main.get_command(cli.app).commands[command].epilog
    assert f"radsens {command}" in epilogue


def test_the_example_of_an_error_source_is_one_file_and_one_line_and_keeps_the_contracts(tmp_path):
    page = (ROOT / "docs/add_a_source.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    package = tmp_path / "src" / "radsens"
    shutil.copytree(ROOT / "src" / "radsens", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "sources" / "absolute_gain.py").write_text(code, encoding="utf-8")
    registry = package / "sources" / "__init__.py"
    text = registry.read_text(encoding="utf-8").replace("import (\n", "import (\n    absolute_gain,\n", 1)
    registry.write_text(text.replace("for module in (\n", "for module in (\n        absolute_gain,\n"), encoding="utf-8")
    arguments = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_contract_of_sources.py",
        "-k",
        "absolute_gain and knowledge",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'src'}{os.pathsep}{tmp_path}"}
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"[1-9]\d* passed", done.stdout)
