"""The import direction is held by a contract that really fails: it names wrong imports in a copy of the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import ROOT


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the contracts are about."""
    copy = tmp_path_factory.mktemp("tree")
    for room in ("webapp", "smtpd", "integrations"):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__", "static", "templates"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """What ``make lint`` runs, on *tree*."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_the_tree_keeps_its_contracts_and_a_wrong_import_breaks_them(tree: Path) -> None:
    kept = lint(tree)
    assert kept.returncode == 0, kept.stdout + kept.stderr

    wrong = {
        "smtpd/wrong.py": "import integrations.api\n",
        "webapp/core/rules/wrong.py": "import webapp.core.models\n",
        "webapp/core/services/wrong.py": "import flask\n",
        "webapp/wrong.py": "import smtpd.delivery\n",
        "integrations/wrong.py": "import webapp.admin.base\n",
    }
    for path, line in wrong.items():
        (tree / path).write_text(line)
    broken = lint(tree)
    assert broken.returncode != 0
    for path in wrong:
        assert path.removesuffix(".py").replace("/", ".") + " -> " in broken.stdout, (path, broken.stdout)
