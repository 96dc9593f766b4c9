"""What the shipped tabular models are and what their cards say; the figures are added when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from workers.ml.evaluate.rows import Rows
from workers.ml.tabular import trials
from workers.ml.tabular.train import Spec

_COMMON: Final[dict[str, str]] = {
    "developer-contact": "The Clarity project, by its issue tracker.",
    "funding": "None.",
    "output-type": "Prediction: a probability.",
    "intended-users": "Clinicians who know the patient and read the card.",
    "decision-role": "Informs; it never replaces a clinical judgement, starts nothing and stops nothing by itself.",
    "fairness-approach": "None beyond leaving demographic variables out of the inputs.",
    "update-process": "Made anew by the command of its recipe; another version is another Device.",
    "validity-monitoring": "PSI of every input and of the probability against the training people (metric clarity_model_psi).",
}
_GPL: Final = "Model: Apache-2.0. Learned from data of R packages (GPL) whose rows are not in it."

RESPONSE: Final = Spec(
    name="treatment-response",
    use="treatment-response",
    title="Response to an antipsychotic at week 8",
    summary=(
        "Chance that the PANSS total has fallen by 20 % or more at week 8 of an antipsychotic, from its change after one and two "
        "weeks. Learned from completers of five risperidone trials; in another study it was much worse."
    ),
    licence=_GPL,
    horizon=56,
    unit="investigator",
    command="./clarity models train xgboost treatment-response",
    attributes=_COMMON
    | {
        "output-value": "Probability of a fall of the PANSS total by 20 % or more at week 8, counted from the start.",
        "intended-use": "To show how often patients with such a first fortnight responded later.",
        "intended-population": "Adults with schizophrenia two weeks into an antipsychotic who are likely to go on with it.",
        "out-of-scope": "Other diagnoses and treatments, children, anybody whose change of the first two weeks is not known.",
        "known-risks": "Completers only: who stopped early is not in it. Across studies AUC was .67 (docs/models/trials.md).",
        "training-criteria": "Patients of five risperidone trials with PANSS at weeks 1, 2 and 8.",
        "demographic-variables": "None are used, none are in the data.",
        "external-data": "NIMH schizophrenia collaborative study, change of the first week only, in SD units.",
        "external-tester": "This project.",
        "external-process": "Learned from the risperidone trials, tested once; `./clarity models evaluate trials`.",
        "validity-internal": "See the figures above: folds by investigator.",
        "validity-external": "AUC .67 (.61 to .72) over 325 patients, chance level on placebo; docs/models/trials.md.",
    },
)
OUTCOME: Final = Spec(
    name="outcome-imps-79",
    use="outcome-prediction",
    title="Severity at week 6 of an antipsychotic",
    summary=(
        "Chance that severity (IMPS item 79) is at most 3.5, between mildly and moderately ill, at week 6, from baseline, drug or "
        "placebo, and the change of the first week. Learned from completers of one study of 1964."
    ),
    licence=_GPL,
    horizon=42,
    unit="person",
    command="./clarity models train xgboost outcome-imps-79",
    rounds=60,
    attributes=_COMMON
    | {
        "output-value": "Probability that IMPS item 79 is at most 3.5 at week 6.",
        "intended-use": "To show how often patients with such a start were better later.",
        "intended-population": "Adults with schizophrenia, one week into treatment.",
        "out-of-scope": "Other diagnoses, present-day drugs without own validation, children.",
        "known-risks": "One old study, completers only, three drugs together.",
        "training-criteria": "Patients of the NIMH schizophrenia collaborative study with ratings at weeks 0, 1 and 6.",
        "demographic-variables": "None are used, none are in the data.",
        "validity-internal": "See the figures above: folds by person.",
    },
)


def risk(horizon: int) -> Spec:
    """Return the spec of an episode's risk within some days."""
    return Spec(
        name=f"episode-risk-{horizon:02}",
        use="risk-prediction",
        title=f"Risk of an episode within {horizon} days (learned from synthetic patients)",
        summary=(
            f"Chance that an episode lies on any of the next {horizon} days, from the twin's deviations and symptom trends. "
            "**Learned from invented patients of the demo only**: it shows that the machinery works and is worth nothing about "
            "real people. It tells an episode that has begun; of onsets ahead the demo gives no sign."
        ),
        licence="Apache-2.0.",
        horizon=horizon,
        unit="person",
        command=f"./clarity models train xgboost episode-risk-{horizon:02}",
        rounds=120,
        parameters={"max_depth": 3, "eta": 0.08, "min_child_weight": 10},
        attributes={
            **_COMMON,
            "output-value": f"Probability of an episode on any of the next {horizon} days.",
            "intended-use": "Demonstration, and a shape for a model learned from a site's own patients.",
            "intended-population": "Patients of the demo.",
            "out-of-scope": "Every decision about a real person.",
            "known-risks": "Synthetic effects are larger and cleaner than real ones; no probability here is one about a patient.",
            "training-criteria": "Invented patients of workers/demo (two seeds of 30, 90 days), from day 29 to the episode's end.",
            "demographic-variables": "None are used.",
            "training-representativeness": "None: the patients are invented.",
            "training-relevance": "None for care.",
            "validity-internal": "See the figures above, and docs/models/demo.md on seeds that were not learned from.",
        },
    )


HORIZONS: Final = (7, 14)
SEEDS: Final = (21, 22)
"""Demo cohorts that risk is learned from; docs/models/demo.md judges on others."""

TRIALS: Final[Mapping[str, Spec]] = {each.name: each for each in (RESPONSE, OUTCOME)}


def trial_rows(name: str, sets: Path) -> Rows:
    """Return the rows that a model of the trials is learned from."""
    folder = sets / "trials"
    return trials.risperidone(folder).only(trials.NAMES) if name == RESPONSE.name else trials.outcome(folder)
