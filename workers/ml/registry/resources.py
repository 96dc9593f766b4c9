"""A model as FHIR: the software Device that answers are performed by, and its card as a Library. Pure and deterministic."""

from __future__ import annotations

import base64
from typing import Any

from workers.ml.registry.attributes import ATTRIBUTES
from workers.ml.registry.card import Card
from workers.ml.registry.page import page
from workers.twin.codes import BASE, SNOMED, profile
from workers.twin.resources import concept, meta

Resource = dict[str, Any]
NOTE = "Predicts or summarises by statistics. Not a medical device and not a diagnosis."


def model_id(card: Card) -> str:
    """Return the id that a model's Device and Library have: another version is another Device."""
    return f"model-{card.name}-{card.version}"


def model_device(card: Card, base: str = BASE) -> Resource:
    """Return the software Device of a model; a RiskAssessment's `performer`, an Observation's `device`."""
    card_part = {"url": "card", "valueReference": {"reference": library_of(card)}}
    return {
        "resourceType": "Device",
        "id": model_id(card),
        "meta": meta("software-device", base),
        "extension": [{"url": profile("model-card-reference", base), "extension": [card_part]}],
        "identifier": [{"system": f"{base}/NamingSystem/software", "value": model_id(card)}],
        "status": "active",
        "manufacturer": "Clarity",
        "deviceName": [{"name": card.title, "type": "model-name"}],
        "type": {"coding": [{"system": SNOMED, "code": "706687001", "display": "Software"}]},
        "version": [
            {"type": {"text": "model"}, "value": card.version},
            *({"type": {"text": f"sha256 of {a.location}"}, "value": a.sha256} for a in card.artefacts),
        ],
        "note": [{"text": NOTE}],
    }


def model_library(card: Card, base: str = BASE) -> Resource:
    """Return the model card as a Library: its page as Markdown, the 31 source attributes one by one as extensions."""
    url = profile("model-source-attribute", base)
    attributes = [
        {
            "url": url,
            "extension": [
                {"url": "attribute", "valueCode": code},
                {"url": "performed", "valueBoolean": code in card.attributes},
                {"url": "text", "valueMarkdown": card.attribute(code)},
            ],
        }
        for code in ATTRIBUTES
    ]
    text = base64.b64encode(page(card).encode()).decode()
    return {
        "resourceType": "Library",
        "id": model_id(card),
        "meta": meta("model-card", base),
        "extension": attributes,
        "url": f"{base}/Library/{card.name}",
        "version": card.version,
        "name": "".join(part.capitalize() for part in card.name.split("-")),
        "title": card.title,
        "status": "active",
        "experimental": False,
        "type": concept("model-card", "Model card", base),
        "publisher": "Clarity",
        "description": card.summary,
        "purpose": card.attribute("intended-use"),
        "usage": f"{card.attribute('decision-role')}\n\n{card.attribute('out-of-scope')}",
        "copyright": card.licence,
        "content": [{"contentType": "text/markdown", "title": f"Model card: {card.title}", "data": text}],
    }


def device_of(card: Card) -> str:
    """Return the reference to a model's Device."""
    return f"Device/{model_id(card)}"


def library_of(card: Card) -> str:
    """Return the reference to a model's card."""
    return f"Library/{model_id(card)}"
