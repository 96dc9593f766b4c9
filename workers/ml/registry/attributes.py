"""The 31 source attributes that 45 CFR 170.315(b)(11)(iv)(B) asks of a predictive decision support intervention."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NOT_PERFORMED: Final = "Not performed."
"""What stands where a card says nothing: silence must not look like an answer."""

SECTIONS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "Details and output": {
            "developer-contact": "Name and contact of the developer",
            "funding": "Funding source of the development",
            "output-value": "Value that is produced as output",
            "output-type": "Whether the output is a prediction, classification, recommendation, evaluation or analysis",
        },
        "Purpose": {
            "intended-use": "Intended use",
            "intended-population": "Intended patient population",
            "intended-users": "Intended users",
            "decision-role": "Role in decisions: informs, augments or replaces clinical management",
        },
        "Cautioned out-of-scope use": {
            "out-of-scope": "Tasks, situations or populations that users are cautioned against",
            "known-risks": "Known risks, inappropriate settings, inappropriate uses and known limitations",
        },
        "Development": {
            "training-criteria": "Inclusion and exclusion criteria of the training data",
            "demographic-variables": "Use of race, ethnicity, language, sexual orientation, gender, sex, age, social determinants",
            "training-representativeness": "Demographic representativeness of the training data",
            "training-relevance": "Relevance of the training data to the setting of use",
        },
        "Fairness in development": {
            "fairness-approach": "How the output was made fair",
            "bias-management": "How bias was managed, reduced or eliminated",
        },
        "External validation": {
            "external-data": "Data source, clinical setting or environment of the external validation",
            "external-tester": "Who conducted the external testing",
            "external-representativeness": "Demographic representativeness of the external data",
            "external-process": "Process of the external validation",
        },
        "Measures of performance": {
            "validity-internal": "Validity in data of the same source",
            "fairness-internal": "Fairness in data of the same source",
            "validity-external": "Validity in external data",
            "fairness-external": "Fairness in external data",
            "outcome-evaluation": "References to evaluations of the use on outcomes",
        },
        "Ongoing maintenance": {
            "validity-monitoring": "How validity is monitored over time",
            "validity-local": "Validity in local data",
            "fairness-monitoring": "How fairness is monitored over time",
            "fairness-local": "Fairness in local data",
        },
        "Updates": {
            "update-process": "How the model is updated and its validity and fairness corrected",
            "correction-frequency": "How often performance is corrected when risks are found",
        },
    }
)

ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {code: text for section in SECTIONS.values() for code, text in section.items()}
)
