"""Words of a text with their places, folded for comparison, and the word lists (`lexicon/README.md` says where they come from)."""

from __future__ import annotations

import gzip
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent.parent / "lexicon"
_WORD: Final = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f])*")
_SPECIAL: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i"}
    | dict(zip("\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456", "aeopcxyi", strict=True))
)
"""What decomposition leaves alone, and Cyrillic letters that look like Latin ones."""


@dataclass(frozen=True, slots=True)
class Word:
    """A run of letters and digits: where it is, as it is written, and folded."""

    start: int
    end: int
    text: str
    folded: str

    @property
    def is_capital(self) -> bool:
        """Tell whether it begins with a capital."""
        return self.text[:1].isupper()


@lru_cache(maxsize=65_536)
def fold(text: str) -> str:
    """Return text in lower case, without diacritics."""
    folded = text.casefold().translate(_SPECIAL)
    return "".join(char for char in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(char))


def clean(text: str) -> str:
    """Return text composed, without the characters that nobody sees and that could split a name."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(char for char in composed if unicodedata.category(char) not in ("Cf", "Cc") or char in "\n\t")


def words(text: str) -> list[Word]:
    """Return the words of a text in their order."""
    return [Word(m.start(), m.end(), m.group(), fold(m.group())) for m in _WORD.finditer(text)]


@cache
def _list(name: str) -> frozenset[str]:
    return frozenset(gzip.decompress((_FOLDER / f"{name}.txt.gz").read_bytes()).decode().split())


def ordinary(folded: str) -> bool:
    """Tell whether a word stands in the list of words that are not only names."""
    return folded in _list("words") or folded in CLINICAL or folded in ABBREVIATIONS


def first_name(folded: str) -> bool:
    """Tell whether it is among the first names of the census."""
    return folded in _list("first_names")


def last_name(folded: str) -> bool:
    """Tell whether it is among the last names of the census."""
    return folded in _list("last_names")


_ABBREVIATIONS: Final = """
acth adl alt ama anc asa ast bac bmi bnp bprs cbc cgi cgm cmp cns crp csf cssrs ct cv dep dka dlmo dna dob dx ect eds eos epds esr
fax fhx fsh gaf ger gerd gi glp gtt gu hcg hct hdl heent hgb hiv hpi hpv hrsd hsv htn hx icu imei inr iop ip iq itb ldl loc lpn maoi
mch mchc mcv moca mmse mri mrn nad nka nkda npi npo nsaid pcp pdf plt pmdd ppd ppi pti ptt qtc rbc rmssd ros rpr sdoh sgpt sgot sib
soc spo ssn ssrs std suds sws tbi tib tlc tpr uds uri url uti vin vldl vs waso wbc wnl zip dea iban ehr emr fhir loinc snomed
telemedicine telehealth telepsychiatry teletherapy telemonitoring videocall videoconference webcam wearables smartwatch
interdaily intradaily actigraph voiceprint chronotype hypomania hypomanic euthymic dysthymia cyclothymia alogia avolition akathisia
agoraphobia alexithymia
"""
CLINICAL_WORDS: Final = """
adhd asrm bpm cbt ckd copd dbt dsm ecg eeg emdr gad gfr hamd hba1c hrv icd ii iii iv isi lfts madrs mdd meq mse
ocd phq pmh prn psqi ptsd qids rem sdnn snri soap ssri tca tms tsh ymrs who whodas actigraphy anhedonia
bupropion citalopram escitalopram esketamine lamotrigine lumateperone lurasidone mirtazapine naltrexone
paliperidone risperidone semaglutide topiramate valproate vortioxetine xr sr er bid tid qid qhs qam mg mcg ml
kg lb mmol hr min wk mo yr yo alcoholics narcotics anonymous english spanish french german italian american
african asian european hispanic latino latina jewish christian muslim catholic january february march april may
june july august september october november december jan feb mar apr jun jul aug sep sept oct nov dec monday
tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun am pm alabama
alaska arizona arkansas california colorado connecticut delaware florida georgia hawaii idaho illinois indiana
iowa kansas kentucky louisiana maine maryland massachusetts michigan minnesota mississippi missouri montana
nebraska nevada hampshire jersey mexico york carolina dakota ohio oklahoma oregon pennsylvania rhode tennessee
texas utah vermont virginia washington wisconsin wyoming america usa us uk germany france spain italy canada
india china japan ireland england patient person place date phone email id url org
"""
CLINICAL: Final = frozenset(CLINICAL_WORDS.split())
"""Abbreviations, drugs, months, states and countries that the lists lack; a state or country tells nobody from anybody."""
ABBREVIATIONS: Final = frozenset(_ABBREVIATIONS.split())
