"""Names, places and words that notes are made of: common and rare, of several languages, some also ordinary words."""

from __future__ import annotations

from typing import Final

GIVEN: Final = (
    "Emma",
    "Liam",
    "Olivia",
    "Noah",
    "Aaliyah",
    "Mateo",
    "Sofía",
    "Chloë",
    "Zoë",
    "Siobhán",
    "Niamh",
    "Aoife",
    "Björn",
    "Åsa",
    "Søren",
    "Łukasz",
    "Małgorzata",
    "Jürgen",
    "Käthe",
    "François",
    "Hélène",
    "Renée",
    "Joaquín",
    "Íñigo",
    "Nguyễn",
    "Thị",
    "Wei",
    "Xiùlán",
    "Haruto",
    "Sakura",
    "Priya",
    "Arjun",
    "Oluwaseun",
    "Chidi",
    "Ngozi",
    "Kwame",
    "Amara",
    "Fatima",
    "Yusuf",
    "Layla",
    "Omid",
    "Shirin",
    "Anastasia",
    "Dmitri",
    "Svetlana",
    "Ioannis",
    "Eleni",
    "Giovanni",
    "Chiara",
    "Ruth",
    "Walter",
    "Doris",
    "Harold",
    "Ethel",
    "Grace",
    "Hope",
    "Will",
    "Mark",
    "Rose",
    "Joy",
    "Frank",
    "Dawn",
    "Miles",
    "Chance",
    "Faith",
    "Summer",
    "Jordan",
    "Taylor",
    "Casey",
    "Riley",
    "D'Andre",
    "LaToya",
    "Mary-Kate",
    "Jean-Luc",
    "Ana-Lucía",
    "Kai",
    "Bo",
    "Jo",
    "Al",
    "Zainab",
    "Ximena",
)
FAMILY: Final = (
    "Smith",
    "Johnson",
    "Nguyen",
    "García",
    "Rodríguez",
    "O'Brien",
    "O'Connor",
    "MacDonald",
    "McAllister",
    "Müller",
    "Schröder",
    "Weiß",
    "Kowalczyk",
    "Wójcik",
    "Novák",
    "Dvořák",
    "Andersson",
    "Sørensen",
    "Håkansson",
    "Lindqvist",
    "Dubois",
    "Lefèvre",
    "Béranger",
    "Rossi",
    "Ferrari",
    "Papadopoulos",
    "Ivanova",
    "Kuznetsov",
    "Chen",
    "Wang",
    "Zhang",
    "Kim",
    "Park",
    "Lee",
    "Tanaka",
    "Yamamoto",
    "Patel",
    "Krishnamurthy",
    "Singh",
    "Okafor",
    "Adeyemi",
    "Mensah",
    "Diallo",
    "Haddad",
    "Rahimi",
    "Khalil",
    "Cohen",
    "Abernathy",
    "Featherstone",
    "Quillfeather",
    "Throckmorton",
    "Vandermeer",
    "Young",
    "Long",
    "Brown",
    "Black",
    "White",
    "Green",
    "Price",
    "Hunter",
    "Carter",
    "Bishop",
    "King",
    "Rich",
    "Savage",
    "Stern",
    "Winter",
    "Smith-Jones",
    "García-Márquez",
    "Lloyd-Webber",
    "Al-Farsi",
    "Ibn-Rashid",
    "Hernández-Ruiz",
    "Achterberg",
    "Szczepański",
    "Ueda",
    "Oyelaran",
    "Trbovich",
)
PARTICLES: Final = ("", "", "", "", "", "", "van der ", "von ", "de la ", "Di ", "St. ")
CITIES: Final = (
    "Millbrook", "Cedar Falls", "Port Haven", "Ashgrove", "Lower Wexham", "Tucson", "Worcester", "Duluth", "Kalamazoo", "Reading",
    "Baton Rouge", "San Luis", "Eau Claire", "Brackwater", "Fairview Heights", "Schönberg", "Saint-Denis", "Little Rock", "Ottumwa",
)  # fmt: skip
STREETS: Final = (
    "Maple Street", "Oak Avenue", "Birchwood Lane", "Martin Luther King Boulevard", "2nd Street", "Old Mill Road", "Harbor View Drive",
    "Elm Court", "North Quince Terrace", "Saint Anne Place", "County Highway", "Sycamore Circle", "Prospect Parkway",
)  # fmt: skip
STATES: Final = (
    ("MA", "Massachusetts"),
    ("OH", "Ohio"),
    ("TX", "Texas"),
    ("CA", "California"),
    ("MN", "Minnesota"),
    ("PA", "Pennsylvania"),
)
ORGS: Final = (
    "Green Valley Hospital", "Ashgrove Behavioral Health", "St. Brigid Medical Center", "Thistledown Clinic", "Lakeshore Psychiatric Institute",
    "Northgate Recovery Center", "Holloway & Finch Associates", "Meridian Youth Services",
)  # fmt: skip
EMPLOYERS: Final = ("Walmart", "Kroger", "Boeing", "Ridgeline Foods", "Tesla", "Brightwater School", "Hilltop Bakery")

CLEAN: Final = tuple(
    line.strip()
    for line in """
    Mood has been low most days, with anhedonia and early waking.
    Sleep: 5.2 hours a night on average, efficiency 71 %, latency 48 min.
    PHQ-9 was 17 (moderately severe), GAD-7 was 12, ISI 19.
    Started sertraline 50 mg daily, increased to 100 mg after two weeks.
    Lithium level 0.8 mmol/L, TSH 2.1, creatinine 0.9.
    Denies suicidal ideation, plan or intent; C-SSRS negative.
    Past Medical History: Hypertension, type 2 diabetes, asthma.
    Mental Status Exam: Alert, oriented, cooperative. Speech normal. Affect constricted.
    Assessment: Major Depressive Disorder, recurrent, moderate (F33.1). Generalized Anxiety Disorder (F41.1).
    Plan: Continue quetiapine 300 mg at bedtime. Recheck metabolic panel. Return in 4 weeks.
    Resting heart rate 62 bpm, RMSSD 28 ms, 10,432 steps a day.
    Interdaily stability 0.41, intradaily variability 0.97, relative amplitude 0.82.
    Cognitive behavioral therapy weekly; behavioral activation homework was done on 4/7 days.
    Blood pressure 128/82, weight 81.4 kg, BMI 26.3.
    No side effects but mild nausea; no tremor.
    Risk of relapse is elevated because of shortened sleep and rising activity at night.
    Substance use: two beers on weekends, no cannabis.
    Venlafaxine XR 150 mg was tapered over three weeks because of sweating.
    Insight good, judgment fair. Will continue with the current regimen.
    The twin shows a phase delay of 1.5 hours since the dose was changed.
    Bipolar II disorder in remission; lamotrigine 200 mg.
    Appetite is reduced. Energy is low. Concentration is poor.
    Family history of depression and alcohol use disorder.
    Discussed risks and benefits of escitalopram; agreed to start 10 mg.
    Labs: WBC 6.1, Hgb 13.9, Plt 240, Na 140, K 4.2.
    Works night shifts; sleeps from 08:30 to 14:00.
    Hamilton Depression Rating Scale 21, Montgomery-Asberg 28.
    Score fell from 21 to 9 over 12 weeks, a response of 57 %.
    """.strip().splitlines()
)
"""Sentences without an identifier: what is replaced in them is replaced for nothing."""
