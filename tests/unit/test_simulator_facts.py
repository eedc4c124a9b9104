"""The fact files: every entry says where it is from, and every one is used."""

import dataclasses
import re
from pathlib import Path

import pytest

import sealane.simulator
from sealane.simulator import facts
from sealane.simulator.facts import reading, trading

FOLDER = Path(sealane.simulator.__file__).parent
ENTRIES = [
    (file, name, fact)
    for file in reading.FILES
    for name, fact in reading.read(file, (FOLDER / "facts" / file).read_text()).items()
]


@pytest.mark.parametrize(("file", "name", "fact"), ENTRIES, ids=[name for _, name, _ in ENTRIES])
def test_a_fact_says_where_it_is_from_and_is_used(file: str, name: str, fact: reading.Fact) -> None:
    assert len(fact.source) > 10
    assert re.fullmatch(r"20\d\d-[01]\d", fact.date)
    assert fact.confidence in ("documented", "seen", "chosen")
    assert hasattr(trading if file == "trading.toml" else facts, name)
    users = [*FOLDER.glob("*.py")]
    own = (FOLDER / "facts" / "__init__.py").read_text()
    assert (
        any(re.search(rf"\b{name}\b", path.read_text()) for path in users)
        or len(re.findall(rf"(?<!\")\b{name}\b(?!\")", own)) > 1
    ), f"{file}: {name} is used nowhere"


def test_every_data_file_is_read() -> None:
    assert sorted(path.name for path in (FOLDER / "facts").glob("*.toml")) == sorted(reading.FILES)


def test_no_error_text_stands_outside_the_facts() -> None:
    """A text in the code would have no source."""
    for path in FOLDER.glob("*.py"):
        code = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r'"E(API|General|Service|Order|Query):', code), path.name


GOOD = 'text = "EAPI:X"\nsource = "some page"\ndate = "2026-11"\nconfidence = "seen"\n'


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (GOOD.replace('date = "2026-11"\n', ""), "source, date and confidence"),
        (GOOD.replace("seen", "sure"), "confidence is one of"),
        (GOOD.replace('text = "EAPI:X"\n', ""), "either text or value"),
        (GOOD + "value = 1\n", "either text or value"),
        (GOOD + "why = 1\n", "either text or value"),
    ],
)
def test_an_entry_that_lacks_something_is_refused(table: str, said: str) -> None:
    assert reading.read("x.toml", f"[X]\n{GOOD}")["X"].value == "EAPI:X"
    with pytest.raises(ValueError, match=rf"x\.toml: X: .*{said}"):
        reading.read("x.toml", f"[X]\n{table}")


def test_the_data_files_go_into_the_wheel() -> None:
    """Everything under the package goes in unless something is left out by name."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'packages = ["src/sealane"]' in text
    assert "exclude" not in text.partition("[tool.hatch")[2].partition("[tool.uv]")[0]
    assert "toml" not in (Path(__file__).parents[2] / ".gitignore").read_text()


def test_the_page_lists_every_switch_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator-limits.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", page, re.MULTILINE)
    assert listed == [(field.name, repr(field.default)) for field in dataclasses.fields(facts.Switches)]
    for field in dataclasses.fields(facts.Switches):
        assert f"`{field.name}`" in (facts.Switches.__doc__ or "")


def test_the_page_lists_every_kind_of_fault_and_every_control_call() -> None:
    from sealane.simulator import fault_fields
    from sealane.simulator.control_calls import CONTROL_CALLS

    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    fields = fault_fields.COMMON.union(*fault_fields.KINDS.values()) - {"kind"}
    assert [
        name for name in (*fault_fields.KINDS, *sorted(fields)) if f"`{name}`" not in page and f'"{name}"' not in page
    ] == []
    assert [call for call in CONTROL_CALLS if f"`{call.method} {call.path}" not in page] == []
