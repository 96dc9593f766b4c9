"""A model card as Markdown: what stands in `docs/models/<name>.md` and inside the Library."""

from __future__ import annotations

from collections.abc import Iterator

from workers.ml.registry.attributes import NOT_PERFORMED, SECTIONS
from workers.ml.registry.card import Card, Figure

WARNING = "**Never a diagnosis.** A number of this model is one more observation; a clinician decides what it means."


def page(card: Card) -> str:
    """Return the card's page; equal cards give equal pages."""
    return "\n".join((*_head(card), *_figures(card), *_attributes(card))) + "\n"


def _head(card: Card) -> Iterator[str]:
    yield f"# {card.title}\n"
    yield f"Model `{card.name}`, version {card.version}: {card.method}. {card.summary}\n"
    yield f"{WARNING}\n"
    if card.comparator:
        yield f"Shown beside the simpler model `{card.comparator}`.\n"
    yield "| file | format | for | bytes | sha256 |\n|---|---|---|---|---|"
    for each in card.artefacts:
        yield f"| `{each.location}` | {each.format} | {each.purpose} | {each.bytes:,} | `{each.sha256}` |"
    yield f"\nLicence: {card.licence}"
    if card.limits:
        yield "\n## No answer outside of\n"
        yield "\n".join(f"- {name}: {value:g}" for name, value in card.limits.items())
    if card.recipe:
        yield "\n## Recipe\n"
        yield "\n".join(f"- {name}: `{value}`" for name, value in card.recipe.items())


def _figures(card: Card) -> Iterator[str]:
    yield "\n## What it is worth\n"
    if not card.figures:
        yield NOT_PERFORMED
        return
    yield "| measure | value | 95 % interval | people | protocol | beside |\n|---|---|---|---|---|---|"
    for each in card.figures:
        number = f"{each.value:.3g} | {_interval(each)} | {each.people}"
        yield f"| {each.measure} | {number} | {each.protocol} | {each.comparator or ''} |"


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return "not computed"
    return f"{figure.low:.3g} to {figure.high:.3g}"


def _attributes(card: Card) -> Iterator[str]:
    yield "\n## Source attributes (45 CFR 170.315(b)(11)(iv)(B))"
    for title, attributes in SECTIONS.items():
        yield f"\n### {title}\n"
        yield "\n".join(f"- **{text}**: {card.attribute(code)}" for code, text in attributes.items())
