"""What the card of our own small PAT-S says: whom it has learnt from, what it is for, what was not done."""

from __future__ import annotations

from typing import Final

from workers.ml.pat.recipe import Recipe
from workers.ml.pat.ship import About
from workers.ml.pat.train import Pretrained
from workers.ml.registry.card import Figure

NAME: Final = "pat-s-depresjon"
COMMAND: Final = "./clarity models train pat --sets ../shared/data"
_LIMITS: Final = (
    "Very few people, one device (Actiwatch AW4), one country, 2003. Counts of other devices have another scale. An embedding of "
    "96 numbers has no clinical meaning of its own. PAT of any size tells depression at an AUC of about .59 to .61 in NHANES; "
    "the published figures are of the Dartmouth weights and must not be claimed for this checkpoint."
)
_ATTRIBUTES: Final = {
    "developer-contact": "The developers of Clarity; see the repository's issues.",
    "funding": "No external funding is recorded in the repository.",
    "output-value": "96 numbers that describe a week of activity counts by the minute; each minute's share of the attention.",
    "output-type": "Analysis: a description of a recording, no prediction and no classification.",
    "intended-use": "Describing weeks of actigraphy of one person, to compare them with other weeks and as input of models "
    "that are evaluated by themselves.",
    "intended-population": "Adults who wear an actigraph on the wrist day and night.",
    "intended-users": "Researchers and developers; clinicians only through models and views that are built on it and say so.",
    "decision-role": "Informs nothing by itself. It must not be read as a sign of illness or health.",
    "out-of-scope": "Diagnosis, screening, triage, any decision about a person; devices that count in another unit; children.",
    "known-risks": _LIMITS,
    "training-criteria": "The people of Depresjon (Garcia-Ceja et al. 2018) with at least seven full days in a row among the "
    "scored days; days that are not whole (a change to summer time) end a recording. No other exclusions, no imputation.",
    "demographic-variables": "None is used. Age bands and sex are known of the people in the data and were not given to the model.",
    "training-representativeness": "23 people with depression (10 women, 13 men) and 32 controls (20 women, 12 men), Norway; "
    "ethnicity, language and social determinants are not recorded.",
    "training-relevance": "In- and outpatients with unipolar or bipolar depression beside controls; another device or country is "
    "another setting.",
    "bias-management": "People are kept apart in every split; weeks too far from those of training get no answer.",
    "validity-internal": "Depresjon, five folds by person, everything made anew in each (docs/models/pat.md): pretraining on so "
    "few people adds nothing to random weights, and hand-made features tell depression better. The embedding describes, no more.",
    "update-process": "A new version is trained by the command of the recipe, gets another Device, and is evaluated anew before "
    "it is shipped.",
}
_PROTOCOL: Final = (
    "Depresjon, 5 folds by person, pretrained in each for 60 steps, logistic regression on the mean embedding"
)
FIGURES: Final = (
    Figure("AUC", _PROTOCOL, 0.784, 54, 0.632, 0.885, "random weights .788, 34 hand-made features .929"),
    Figure("difference of AUC to random weights", _PROTOCOL, -0.004, 54, -0.063, 0.053),
)
"""What `./clarity models evaluate pat` said of this recipe; the shipped weights have 120 steps and all people."""


def about(made: Pretrained, recipe: Recipe, figures: tuple[Figure, ...] = FIGURES) -> About:
    """Return what the card says."""
    return About(
        name=NAME,
        version="1.0",
        title="PAT-S pretrained by Clarity on Depresjon (not the Dartmouth weights)",
        method="PAT-S (Ruan et al. 2024, arXiv 2411.15240), encoder of 274,720 parameters, log1p of counts",
        summary=(
            f"A week of activity counts as 96 numbers, learnt by masked reconstruction from {made.weeks} overlapping weeks "
            f"of {len(made.people)} people of Depresjon alone. Not the published weights; the published figures are not theirs."
        ),
        licence=(
            "Apache-2.0 for the weights. Architecture: PAT, CC BY 4.0, Ruan, Heinz, Jacobson et al. Data: Depresjon, "
            "Garcia-Ceja et al. 2018, free with citation."
        ),
        attributes=dict(_ATTRIBUTES),
        recipe={
            "command": COMMAND,
            "seed": recipe.seed,
            "steps": made.steps,
            "batch": recipe.batch,
            "rate": recipe.rate,
            "masked": recipe.masked,
            "people trained on": len(made.people),
            "people judging epochs": len(made.judges),
            "weeks": made.weeks,
            "best loss on people not trained on": round(made.loss, 4),
        },
        figures=figures,
    )
