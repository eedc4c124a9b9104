"""The house's law as ordinary tests: sizes, names, clocks. What a linter does not know."""

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROSE = [path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
MEDIAN_FUNCTION_LINES_MAX = 8
BANNED_NAMES = {"utils": "say what it does", "helpers": "say whom it helps", "common": "say what is shared", "misc": ""}
STRAY_CLOCKS = re.compile(r"\btime\.(time|time_ns|monotonic|monotonic_ns|perf_counter)\b|datetime\.now|\.utcnow\(")
# The shells' own clock, limits on the wire; faces, simulator and test kit own theirs.
CLOCKS_ALLOWED = (
    "store/clock.py",
    "transport/http.py",
    "store/postgres/limit.py",
    "store/redis/wire.py",
    "cli/demo/",
    "simulator/clock.py",
    "sealane/testing/",
)


def functions(path):
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def lines(function):
    """Lines of code: a docstring is no burden."""
    start = (
        function.body[0].end_lineno + 1 if ast.get_docstring(function) and len(function.body) > 1 else function.lineno
    )
    return function.end_lineno - start + 1


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT / "src")) for path in SOURCES])
def test_a_file_keeps_the_law(path):
    assert len(path.read_text().splitlines()) <= FILE_LINES_MAX
    assert path.stem not in BANNED_NAMES
    for function in functions(path):
        assert lines(function) <= FUNCTION_LINES_MAX, function.name
    if not any(place in str(path) for place in CLOCKS_ALLOWED):
        assert not STRAY_CLOCKS.search(path.read_text()), "time is passed in"


def test_functions_are_short():
    assert (
        statistics.median(lines(function) for path in SOURCES for function in functions(path))
        <= MEDIAN_FUNCTION_LINES_MAX
    )


def test_tests_do_not_sleep():
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            assert not re.search(r"^\s*(await )?(time|asyncio)\.sleep\((?!0\))", path.read_text(), re.MULTILINE), path


def test_every_error_is_in_the_tree():
    from sealane import errors

    drawn = errors.__doc__
    for name, thing in vars(errors).items():
        if isinstance(thing, type) and issubclass(thing, errors.SealaneError):
            assert name in drawn
