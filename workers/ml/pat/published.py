"""The Dartmouth weights as a model of the registry: somebody else's work, somebody else's figures, our reference of minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from workers.ml.pat.h5 import read_h5
from workers.ml.pat.model import Encoder
from workers.ml.pat.ship import About, ship
from workers.ml.pat.weeks import Reference, Transform, depresjon
from workers.ml.registry.card import Card

_ATTRIBUTES: Final = {
    "developer-contact": "Ruan, Heinz, Jacobson et al., Dartmouth (njacobsonlab on GitHub). Imported here.",
    "output-value": "96 numbers that describe a week of activity counts by the minute; each minute's share of the attention.",
    "output-type": "Analysis: a description of a recording, no prediction and no classification.",
    "intended-use": "Describing weeks of actigraphy, and as input of models that are evaluated by themselves.",
    "decision-role": "Informs nothing by itself. It must not be read as a sign of illness or health.",
    "out-of-scope": "Diagnosis, screening, triage, any decision about a person; devices that count in another unit.",
    "known-risks": "The weights come without means and SDs of minutes. Those of Depresjon are used, of another device than "
    "NHANES': embeddings differ from the authors' by more than rounding. In NHANES, PAT of any size tells depression at an AUC "
    "of .59 to .61.",
    "training-criteria": "By the paper: NHANES 2003-2006 and 2011-2014, seven days of minutes, scaled by cycle.",
}


def imported(file: Path, reference: Path, to: Path) -> Card:
    """Write checkpoint, ONNX and card of a published h5 file into a folder; `reference` is the folder of Depresjon.

    Raises NotPat when the file is no PAT, FileNotFoundError when the data set is not there.
    """
    shape, tensors = read_h5(file)
    encoder = Encoder(shape)
    encoder.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    people = [each for each in depresjon(reference) if len(each.weeks())]
    about = About(
        name=f"pat-{shape.name.lower()}-published",
        version="1.0",
        title=f"PAT-{shape.name}, published weights",
        method=f"PAT-{shape.name} (arXiv 2411.15240), encoder of {shape.parameters:,} parameters",
        summary=f"The published weights of {file.name}, read by shape. Minutes are scaled by the people of Depresjon.",
        licence="CC BY 4.0, Ruan, Heinz, Jacobson et al.",
        attributes=dict(_ATTRIBUTES),
        recipe={"command": f"./clarity models import {file.name}", "reference": "Depresjon, counts as they are"},
    )
    return ship(to, encoder.eval(), Reference.of(people, Transform.NONE), people, about)
