"""The files of the project, as the house rules see them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("fhir_server", "profiles", "terminology", "workers", "migrations")
TEXT = (".py", ".md", ".toml", ".yml", ".sh", ".js", ".ts", ".sql", ".ini", ".css", ".html")
ABSENT = {
    ".venv",
    ".git",
    ".clarity",
    "node_modules",
    "__pycache__",
    ".hypothesis",
    ".mypy_cache",
    ".ruff_cache",
    "dist",
}


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder`, without what tools make."""
    for path in sorted(folder.iterdir()):
        if path.name in ABSENT or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from walk(path)
        else:
            yield path


def code() -> list[Path]:
    """Return the Python files that we wrote and that run in production."""
    return [path for room in CODE for path in walk(ROOT / room) if path.suffix == ".py"]


def rooms() -> list[Path]:
    """Return the packages whose README is theirs, not that of a package above them."""
    packages = sorted({path.parent for path in code()})
    return [package for package in packages if package.relative_to(ROOT).parts[0] != "migrations"]


def name(path: Path) -> str:
    """Return the name of a file as a test shows it."""
    return str(path.relative_to(ROOT))
