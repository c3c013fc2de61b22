"""The list of planted bugs, and that a bug which no test notices is reported."""

from __future__ import annotations

import ast
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from prove.campaign import Broken, Trial
from prove.planted import ALL, Planted, check_fit, plant
from prove.planted.planting import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SMALL = """
import threading
from krakenonce.rule import NONCE_MAX, MARK_STEP, mark_for

def test_the_mark_has_an_end():
    assert mark_for(NONCE_MAX) == NONCE_MAX

def test_the_mark_is_ahead():
    if mark_for(0) != MARK_STEP:
        threading.Event().wait()

def test_that_always_fails():
    assert not MARK_STEP
"""
NOTICED = Planted(
    "the mark has no end",
    8,
    "src/krakenonce/rule.py",
    was="return min(nonce + MARK_STEP, NONCE_MAX)",
    becomes="return nonce + MARK_STEP",
    test="tests/test_small.py::test_the_mark_has_an_end",
)
HANGING = replace(
    NOTICED, name="the mark is not ahead", becomes="return nonce", test="tests/test_small.py::test_the_mark_is_ahead"
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Our sources, and a few tests of two of their lines."""
    root = tmp_path / "tree"
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "tests").mkdir()
    (root / "tests" / "test_small.py").write_text(SMALL, encoding="utf-8")
    return root


@pytest.mark.parametrize("bug", ALL, ids=lambda bug: bug.name)
def test_every_planted_bug_fits_its_file(bug: Planted) -> None:
    """Its text is there exactly once, and what it becomes is another and still Python."""
    assert check_fit(bug) != (ROOT / bug.file).read_text(encoding="utf-8")


def test_every_test_that_is_named_exists() -> None:
    """A test that was renamed takes its planted bugs along."""
    named = {bug.test.partition("[")[0] for bug in ALL}
    found = set()
    for file in {test.partition("::")[0] for test in named}:
        for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                found.add(f"{file}::{node.name}")
    assert named <= found


def test_every_promise_is_broken_by_some_bug() -> None:
    """All of docs/explanation/guarantees.md, and no bug is in the list twice."""
    assert {bug.promise for bug in ALL} == {*range(1, 16), "security", "judge"}
    assert len({bug.name for bug in ALL}) == len({(bug.file, bug.was, bug.becomes) for bug in ALL}) == len(ALL)


def test_a_bug_that_does_not_fit_any_more_is_reported(tree: Path, tmp_path: Path) -> None:
    """The message says which, and what to do; so does one that leaves no Python."""
    moved = replace(NOTICED, was="return nonce + 2 * MARK_STEP")
    with pytest.raises(Broken, match=r"'the mark has no end' no longer fits src/krakenonce/rule\.py.*bring it up"):
        plant(Trial(tmp_path / "run", 1, 60), [moved], tree)
    with pytest.raises(Broken, match=r"makes src/krakenonce/rule\.py no Python"):
        plant(Trial(tmp_path / "run", 1, 60), [replace(NOTICED, becomes="return (")], tree)


def test_bugs_that_are_noticed_are_counted(tree: Path, tmp_path: Path) -> None:
    """It is the copy that runs, and not what is installed; what hangs counts where that was foretold."""
    figures = plant(Trial(tmp_path / "run", 1, 60), [NOTICED, replace(HANGING, hangs=1)], tree)
    assert figures == {"bugs planted and caught": 2, "tests": 2, "promises": 1}


def test_bugs_that_no_test_notices_are_reported(tree: Path, tmp_path: Path) -> None:
    """A change that changes nothing, and one that is only code that cannot run."""
    bugs = [
        replace(NOTICED, name="nothing at all", becomes="return min(NONCE_MAX, nonce + MARK_STEP)"),
        replace(NOTICED, name="a slip", becomes="return nonsense"),
    ]
    with pytest.raises(Broken) as caught:
        plant(Trial(tmp_path / "run", 1, 60), bugs, tree)
    message = str(caught.value)
    assert "2 of 2 planted bugs were not caught" in message
    assert f"nothing at all (src/krakenonce/rule.py): {NOTICED.test} passes all the same" in message
    assert f"a slip (src/krakenonce/rule.py): {NOTICED.test} only finds that the planted code cannot run" in message


def test_a_test_that_fails_anyway_is_reported(tree: Path, tmp_path: Path) -> None:
    """It would notice everything, and so says nothing."""
    bug = replace(NOTICED, test="tests/test_small.py::test_that_always_fails")
    with pytest.raises(Broken, match=r"without a planted bug, these do not pass: .*::test_that_always_fails"):
        plant(Trial(tmp_path / "run", 1, 60), [bug], tree)
