"""One place per concern (style.md §4): who else calls the clock, the environment, JSON or arq is named here."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, TEXT, code, name, walk

DOORS = {
    "os.environ": {"fhir_server/settings.py"},
    "os.getenv": {"fhir_server/settings.py"},
    "datetime.now": {"fhir_server/kit/clock.py"},
    "datetime.utcnow": set(),
    "date.today": set(),
    "time.time": {"fhir_server/kit/clock.py"},
    "uuid.uuid4": {"fhir_server/kit/ids.py"},
    "json.loads": {"fhir_server/kit/json.py"},
    "json.dumps": {"fhir_server/kit/json.py"},
    "json.load": set(),
    "json.dump": set(),
    "pickle.loads": set(),
    "pickle.dumps": set(),
}
IMPORTS = {
    "arq": ("workers/queue.py",),
    "torch": ("workers/ml/",),
    "xgboost": ("workers/ml/",),
    "requests": (),
    "pickle": (),
}
BUILD_TOOLS = ("profiles/build", "migrations/")  # run by hand, not by the server
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", r"\bX{3}\b", "HA" + "CK", "NotImplemented" + "Error")))
MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root|tmp/w)/")


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def names_of(tree: ast.AST) -> dict[str, str]:
    """Return what the names of a module stand for, so that `from uuid import uuid4` is seen too."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def uses(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = names_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)) and (text := dotted(node)):
            head, _, rest = text.partition(".")
            full = f"{names.get(head, head)}.{rest}".rstrip(".")
            yield node.lineno, full.replace("datetime.datetime.", "datetime.").replace("datetime.date.", "date.")


def test_the_clock_the_environment_ids_and_json_have_one_door_each() -> None:
    outside = [
        f"{name(path)}:{line} {used}"
        for path in code()
        if not name(path).startswith(BUILD_TOOLS)
        for line, used in uses(path)
        if used in DOORS and name(path) not in DOORS[used]
    ]
    assert not outside


@pytest.mark.parametrize("library", IMPORTS)
def test_some_libraries_are_imported_in_one_room_only(library: str) -> None:
    outside = []
    for path in code():
        named = {module.partition(".")[0] for module in names_of(ast.parse(path.read_text())).values()}
        if library in named and not name(path).startswith(IMPORTS[library]):
            outside.append(name(path))
    assert not outside


def test_nothing_is_left_unfinished() -> None:
    left = [
        f"{name(path)}:{number} {line.strip()[:80]}"
        for path in walk(ROOT)
        if path.suffix in TEXT or path.name == "clarity"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not left


def test_no_path_of_one_machine_is_committed() -> None:
    found = [
        f"{name(path)}:{number} {line.strip()[:80]}"
        for path in walk(ROOT)
        if path.suffix in TEXT or path.name == "clarity"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE.search(line) and path != Path(__file__).resolve()
    ]
    assert not found


def test_no_class_is_called_a_manager_a_helper_or_a_util() -> None:
    vague = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path in code()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Helper|Utils?|Impl)$", node.name)
    ]
    assert not vague


def test_no_exception_is_swallowed_without_a_reason() -> None:
    """`except …: pass` needs a comment on the same line that says why."""
    silent = []
    for path in code():
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.ExceptHandler) or not isinstance(node.body[0], ast.Pass):
                continue
            if "#" not in lines[node.body[0].lineno - 1] + lines[node.lineno - 1]:
                silent.append(f"{name(path)}:{node.lineno}")
    assert not silent
