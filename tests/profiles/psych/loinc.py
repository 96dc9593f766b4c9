"""Every LOINC code that we use: its names, the first the long common name, and where code and name were read together.

US Core and Synthea lie at `../shared/data`, and a test reads them again. The rest was read in R4's examples and in other people's
guides, see docs/codes.md. A row is added only by somebody who has seen code and name in a source.
"""

from __future__ import annotations

from typing import Final

US_CORE, EXAMPLES, SYNTHEA, MENTAL = "us-core", "r4-examples", "synthea-120", "synthea-mental-health"
PHR, HEALTHKIT, GAD, ACTIVITY = "HL7 PHR", "HealthKitOnFHIR", "LOINC panel 69737-5", "HL7 Physical Activity"
STEPS, EMS = "ABDM wellness record", "FHIR EMS"
AT_HAND: Final = (US_CORE, SYNTHEA, MENTAL)
"""Sources that tests read; the others are named for people."""

MOVING: Final = (
    "Moving or speaking so slowly that other people could have noticed. Or the opposite-being so fidgety or restless"
    " that you have been moving around a lot more than usual"
)

LOINC: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "11506-3": (("Progress note", "Provider-unspecified progress note"), EXAMPLES),
    "15074-8": (("Glucose [Moles/volume] in Blood",), EXAMPLES),
    "18842-5": (("Discharge summary",), EXAMPLES),
    "19870-5": (("Forced vital capacity [Volume] Respiratory system",), HEALTHKIT),
    "20150-9": (("FEV1",), HEALTHKIT),
    "2093-3": (("Cholesterol [Mass/volume] in Serum or Plasma", "Total Cholesterol"), MENTAL),
    "2339-0": (("Glucose [Mass/volume] in Blood", "Glucose"), MENTAL),
    "2708-6": (("Oxygen saturation in Arterial blood",), US_CORE),
    "2947-0": (("Sodium [Moles/volume] in Blood", "Sodium"), MENTAL),
    "29463-7": (("Body weight", "Body Weight"), US_CORE),
    "34117-2": (("History and physical note",), SYNTHEA),
    "38483-4": (("Creatinine [Mass/volume] in Blood", "Creatinine"), MENTAL),
    "39106-0": (("Temperature of Skin",), EMS),
    "39156-5": (("Body mass index (BMI) [Ratio]", "Body Mass Index"), US_CORE),
    "40443-4": (("Heart rate --resting",), HEALTHKIT),
    "41950-7": (("Number of steps in 24 hour Measured",), STEPS),
    "41981-2": (("Calories burned",), STEPS),
    "44249-1": (("PHQ-9 quick depression assessment panel [Reported.PHQ]",), US_CORE),
    "44250-9": (("Little interest or pleasure in doing things in last 2 weeks",), US_CORE),
    "44251-7": (("Poor appetite or overeating",), US_CORE),
    "44252-5": (("Trouble concentrating on things, such as reading the newspaper or watching television",), US_CORE),
    "44253-3": (
        (MOVING,),
        US_CORE,
    ),
    "44254-1": (("Feeling tired or having little energy",), US_CORE),
    "44255-8": (("Feeling down, depressed, or hopeless in last 2 weeks",), US_CORE),
    "44258-2": (
        ("Feeling bad about yourself-or that you are a failure or have let yourself or your family down",),
        US_CORE,
    ),
    "44259-0": (("Trouble falling or staying asleep, or sleeping too much",), US_CORE),
    "44260-8": (("Thoughts that you would be better off dead, or of hurting yourself in some way",), US_CORE),
    "44261-6": (("Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]",), US_CORE),
    "4548-4": (("Hemoglobin A1c/Hemoglobin.total in Blood",), SYNTHEA),
    "55423-8": (("Number of steps in unspecified time Pedometer",), STEPS),
    "59408-5": (("Oxygen saturation in Arterial blood by Pulse oximetry",), US_CORE),
    "6298-4": (("Potassium [Moles/volume] in Blood", "Potassium"), MENTAL),
    "68509-9": (("Not being able to stop or control worrying",), GAD),
    "69689-8": (("Becoming easily annoyed or irritable",), GAD),
    "69725-0": (("Feeling nervous, anxious or on edge",), GAD),
    "69733-4": (("Worrying too much about different things",), GAD),
    "69734-2": (("Trouble relaxing",), GAD),
    "69735-9": (("Being so restless that it is hard to sit still",), GAD),
    "69736-7": (("Feeling afraid as if something awful might happen",), GAD),
    "69737-5": (("Generalized anxiety disorder 7 item (GAD-7)",), MENTAL),
    "70274-6": (("Generalized anxiety disorder 7 item (GAD-7) total score [Reported.PHQ]",), MENTAL),
    "72166-2": (("Tobacco smoking status", "Tobacco smoking status NHIS"), US_CORE),
    "73985-4": (("Exercise activity",), ACTIVITY),
    "80404-7": (("R-R interval.standard deviation (Heart rate variability)",), HEALTHKIT),
    "8302-2": (("Body height", "Body Height"), US_CORE),
    "8310-5": (("Body temperature",), US_CORE),
    "8462-4": (("Diastolic blood pressure", "Diastolic Blood Pressure"), US_CORE),
    "8480-6": (("Systolic blood pressure", "Systolic Blood Pressure"), US_CORE),
    "85354-9": (("Blood pressure panel with all children optional", "Blood Pressure"), US_CORE),
    "8867-4": (("Heart rate",), SYNTHEA),
    "9279-1": (("Respiratory rate",), US_CORE),
    "93829-0": (("REM sleep duration",), PHR),
    "93830-8": (("Light sleep duration",), PHR),
    "93831-6": (("Deep sleep duration",), PHR),
    "93832-4": (("Sleep duration",), PHR),
    "LA6568-5": (("Not at all",), US_CORE),
    "LA6569-3": (("Several days",), US_CORE),
    "LA6570-1": (("More than half the days",), US_CORE),
    "LA6571-9": (("Nearly every day",), US_CORE),
}
"""By code: (names, source)."""
