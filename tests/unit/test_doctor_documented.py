"""docs/doctor.md holds every check of the code with its levels, and no other; each has a test that names it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCTOR = ROOT / "src" / "sealane" / "doctor"
MAKERS = ("ok", "warning", "fault", "skipped")


def levels_in_code():
    """The levels of each check, by the calls that make findings; a name that is not written out fails."""
    found = {}
    for path in DOCTOR.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}"
                found.setdefault(node.args[0].value, set()).add(node.func.id)
    return found


def rows_on_the_page():
    page = (ROOT / "docs" / "doctor.md").read_text()
    return re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]*)\| (.+) \| (.*)\|$", page, re.MULTILINE)


def test_the_page_has_every_check_with_its_levels():
    code = levels_in_code()
    assert len(code) > 50
    page = {check: set(filter(None, levels.replace(" ", "").split(","))) for check, levels, _, _ in rows_on_the_page()}
    assert set(page) == set(code)
    bad = {check: levels & {"warning", "fault"} for check, levels in code.items()}
    assert page == bad


def test_every_check_that_can_be_bad_has_a_remedy_on_the_page():
    for check, levels, finds, remedy in rows_on_the_page():
        assert finds.strip(), check
        assert bool(remedy.strip()) is bool(levels.strip()), check


def asserted():
    """The texts that stand in an assert of the doctor's tests, or in what is handed to a test that asserts."""
    for path in (ROOT / "tests").glob("*/test_doctor*.py"):
        functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        for function in functions if path != Path(__file__) else ():
            asserts = [node for node in ast.walk(function) if isinstance(node, ast.Assert)]
            found = [node for node in ast.walk(function) if asserts and isinstance(node, ast.Call | ast.Subscript)]
            for part in (*asserts, *found, *(function.decorator_list if asserts else ())):
                yield from (node.value for node in ast.walk(part) if isinstance(node, ast.Constant))


def test_every_check_has_a_test_that_asserts_something_of_it():
    told = set(asserted())
    assert "never said" not in told
    assert [check for check in levels_in_code() if check not in told] == []


def test_findings_are_made_by_their_makers_alone():
    """So that the page above is complete: nothing else makes a Finding but what copies one."""
    for path in DOCTOR.glob("*.py"):
        made = re.findall(r"\bFinding\(", path.read_text())
        assert len(made) == {"finding.py": 4, "examination.py": 1}.get(path.name, 0), path.name
