"""Patterns of the identifiers of 45 CFR 164.514(b)(2)(i), whoever they belong to; names are in `names.py`, dates in `dates.py`.

| letters | class | kind |
|---|---|---|
| B | geographic subdivisions smaller than a state | PLACE |
| C | ages over 89 | AGE |
| D, E | telephone and fax numbers | PHONE, FAX |
| F | electronic mail | EMAIL |
| G, H, I, J, K | social security, record, health plan, account, certificate and licence numbers | ID |
| L, M | vehicles and plates, devices and serial numbers | ID |
| N, O | web addresses, network addresses | URL, IP |
| P, Q | biometric identifiers, photographs | ID, IMAGE |
| R | anything else that is unique | ID |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from workers.gateway.deid.spans import Span

_CODE: Final = r"(?=[\w\-./]*\d)[A-Za-z0-9][\w]*(?:[\-./ ]?(?=[\w\-./]*\d)[\w]+){0,6}"
_IS: Final = r"(?:\s*(?:no\b\.?|nr\b\.?|number|num\b\.?|id\b|#|code|is|was|:|=|\(|-|\u2116))*[\s:#=(]*"
_LABELS: Final = "|".join(
    (
        r"SSN|social(?:\s+security)?(?:\s+(?:no\.?|number|#))?|soc\.?\s*sec\.?|tax(?:payer)?\s+id",
        r"MRN|MR\s?#|(?:medical|patient|hospital|health|chart|case|file|encounter|visit|accession|specimen|lab)\s+(?:record|chart|file)?\s*"
        r"(?:no\b\.?|number|num\b|id\b|#)|medical\s+record|chart\s*#|record\s*#|accession",
        r"(?:health\s+plan|insurance|beneficiary|member|subscriber|policy|group|payer|plan|medicare|medicaid|HICN|MBI)"
        r"(?:\s+(?:beneficiary|member|policy|plan|card|id\b|no\b\.?|number|\#))+|HICN|MBI|medicare|medicaid\s+(?:id|no)",
        r"(?:account|acct|bank|billing|invoice|claim|card|credit\s+card|iban|routing)\b\.?(?:\s+(?:no\b\.?|number|id\b|\#))?|IBAN",
        r"(?:licen[cs]e|certificate|certification|credential|registration|DEA|NPI|driver'?s\s+licen[cs]e|DL|passport|permit)\b"
        r"(?:\s+(?:no\b\.?|number|id\b|plate|\#))*",
        r"VIN|vehicle(?:\s+(?:id|identification|no|number|registration))*|(?:licen[cs]e\s+|number\s+)?plates?|tag\s+(?:no|number)|registration",
        r"(?:device|pacemaker|implant|pump|monitor|stimulator|wearable|watch|serial|lot|model|UDI|IMEI|S/N|SN)(?:\s+(?:id|serial|no\b\.?|number|s/n|\#))*",
        r"(?:finger|voice|palm|face|retina\w*|iris)\s?-?(?:print|scan|id|template)?\w*|biometric\w*(?:\s+(?:id|template|hash|code))*",
        r"(?:study|subject|participant|trial|research|protocol|barcode|ticket|reference|ref|tracking|confirmation|order|prescription|rx|user|login"
        r"|username|employee|badge|student|case|docket|inmate|unique|identifier)(?:\s+(?:id\b|no\b\.?|number|code|\#))+",
    )
)
_LABELLED: Final = re.compile(rf"(?<!\w)(?:{_LABELS}){_IS}(?P<v>{_CODE})", re.IGNORECASE)
_USERNAME: Final = re.compile(
    r"(?<!\w)(?:user\s?name|user\s?id|login|handle|skype|instagram|twitter|facebook|tiktok|snapchat|telegram|discord|screen name)"
    r"(?:\s+(?:is|was|name|id|handle))*\s*[:=]?\s*(?P<v>@?[A-Za-z0-9][\w.\-]*[\w])", re.IGNORECASE,
)  # fmt: skip

_STREET: Final = (
    r"(?:street|st|avenue|ave|av|road|rd|boulevard|blvd|drive|dr|lane|ln|court|ct|place|pl|square|sq|terrace|ter|circle|cir|way|trail|trl"
    r"|parkway|pkwy|highway|hwy|route|rte|alley|loop|row|walk|close|crescent|gardens?|grove|hill|heights|mews|pike|plaza|ridge|run|turnpike)"
)
_CAP: Final = r"[A-Z\u00c0-\u00de][\w'\u2019\-]*"
_STATES: Final = (
    r"(?:AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|IA|ID|IL|IN|KS|KY|LA|MA|MD|ME|MI|MN|MO|MS|MT|NC|ND|NE|NH|NJ|NM|NV|NY|OH|OK|OR|PA|RI|SC|SD|TN"
    r"|TX|UT|VA|VT|WA|WI|WV|WY|DC|Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho"
    r"|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana"
    r"|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania"
    r"|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|Wisconsin|Wyoming)"
)
_FACILITY: Final = (
    r"(?:Hospital|Clinic|Cent(?:er|re)|Medical Cent(?:er|re)|Health Cent(?:er|re)|Institute|University|College|(?:High |Middle |Elementary )?School"
    r"|Academy|Nursing Home|Hospice|Church|Pharmacy|Bank|Foundation|Associates|Partners|Inc\.?|LLC|Corp(?:oration)?\.?|Ltd\.?|GmbH|Company"
    r"|Shelter|Rehab(?:ilitation)?|Lodge|Manor|Prison|Jail|County|Township|Borough|Parish|District|Park|Airport|Station|Library|Mall)"
)
_UNIT: Final = (
    r"(?:steps?|mg|mcg|ug|g|kg|ml|ms|bpm|kcal|cal|calories|units?|iu|min(?:ute)?s?|hours?|hrs?|seconds?|sec|days?|weeks?|months?|years?"
    r"|counts?|epochs?|samples?|meters?|metres?|km|miles?|percent|%|mmol|dollars|usd|eur|lux|readings?)"
)

# (kind, rank, pattern); the group `v` is the identifier where the pattern also holds what announces it
_TABLE: Final[tuple[tuple[str, int, re.Pattern[str]], ...]] = tuple(
    (kind, rank, re.compile(pattern, flags))
    for kind, rank, flags, pattern in (
        ("EMAIL", 2, re.I, r"[\w.+\-%']+\s?@\s?[\w\-]+(?:(?:\.|\s\.\s)[\w\-]+)+"),
        ("EMAIL", 2, re.I, r"[\w.+\-]+\s*[\[(<{ ]\s*at\s*[\])>} ]\s*[\w\-]+(?:\s*(?:[\[(<{ ]\s*dot\s*[\])>} ]|\.)\s*[\w\-]+)*"
                           r"\s*(?:[\[(<{ ]\s*dot\s*[\])>} ]|\.)\s*(?:com|org|net|edu|gov|io|de|uk|info|example|test)\b"),
        ("URL", 2, re.I, r"\b(?:https?|s?ftp|ssh|file|s3)\s?:\s?/{1,3}[^\s<>\"']+|\b(?:https?|s?ftp)\s?:\s?[^\s<>\"']+|\bssh:[^\s<>\"']*@[^\s<>\"']+"),
        ("URL", 2, re.I, r"\bdata:(?=[^\s<>\"']*[,;/])[^\s<>\"']+"),
        ("URL", 2, re.I, r"(?<![@\w])(?:www\.)[^\s<>\"']+"),
        ("URL", 2, re.I, r"(?<![@\w.])[\w\-]+(?:\.[\w\-]+)*\.(?:com|org|net|edu|gov|io|me|info|de|uk|co|us|ly|app|example|health)\b(?:[/:?#][^\s<>\"']*)?"),
        ("IP", 2, 0, r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:/\d{1,2}|:\d{1,5})?(?![\d.]\d)"),
        ("IP", 2, re.I, r"(?<![\w:])(?:[0-9a-f]{2}[:\-]){5}[0-9a-f]{2}(?![\w:])"),
        ("IP", 2, re.I, r"(?<![\w:])(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:){1,7}:(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?"
                        r"|::[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})(?![\w:])"),
        ("FAX", 2, re.I, r"\b(?:fax|facsimile|telefax)(?:\s*(?:no\.?|number|#|is|:|at))*\s*(?P<v>\+?[(\d][\d\s().\-/]{5,18}\d)"),
        ("PHONE", 2, 0, r"(?<![\w.\-])(?:\+?1[\s.\-]?)?\(?[2-9]\d{2}\)?[\s.\-/]{0,3}\d{3}[\s.\-]{0,3}\d{4}(?:\s*(?:x|ext\.?|extension)\s*\d{1,6})?(?![\w]|[.\-]\d)"),
        ("PHONE", 2, 0, r"(?<![\w.])(?:\+|00)[1-9]\d{0,2}[\s.\-/(]*\d(?:[\s.\-/()]{0,3}\d){5,12}(?!\d)"),
        ("PHONE", 1, 0, r"(?<![\d\w.\-/])0\d{2,5}[\s\-/]{1,3}\d{2,4}(?:[\s\-]?\d{2,4}){1,3}(?!\d)"),
        ("PHONE", 1, 0, r"(?<![\d\w.\-/])[2-9]\d{2}[\-.]\d{4}(?![\d\-])"),
        ("PHONE", 2, re.I, r"\b(?:phone|tel(?:ephone)?|cell|mobile|pager|beeper|call(?:ed|s)?|reach(?:ed|able)?|contact|home|work|text(?:ed)?|ext(?:ension)?|landline"
                           r"|voicemail|whatsapp)\b\.?(?:\s*(?:her|him|them|me|back|no\.?|number|#|is|:|at|on|to|via))*\s*(?P<v>\+?[(\d][\d\s().\-/]{2,18}\d)(?!\s?(?:%|mg|minutes|hours|times))"),
        ("ID", 2, 0, r"(?<![\d\-])\d{3}[\s\-.]\d{2}[\s\-.]\d{4}(?![\d\-])"),
        ("ID", 2, re.I, r"(?:xxx|\*{3})[\s\-]?(?:xx|\*{2})[\s\-]?\d{4}\b|\b(?:ssn|social|account|card)\b[^.\n]{0,30}\b(?:ending|ends|last\s+(?:four|4))\b\D{0,15}(?P<v>\d{4})"),
        ("ID", 2, re.I, r"(?<![\w\-])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?!\w)"),
        ("ID", 2, 0, r"(?<!\w)[A-HJ-NPR-Z0-9]{17}(?!\w)"),
        ("ID", 2, 0, r"(?<!\w)[A-Z]{2}\d{2}[ ]?(?:[A-Z0-9]{4}[ ]?){2,7}[A-Z0-9]{1,4}(?!\w)"),
        ("ID", 2, 0, r"\(01\)\d{14}(?:\(\d{2}\)[\w\-]+)*"),
        ("ID", 2, 0, r"(?<![\d.])\d{4}[ \-]\d{4}[ \-]\d{4}[ \-]\d{1,7}(?!\d)"),
        ("ID", 1, 0, r"(?<![\w.,\-])\d{7,}(?![\w]|[.,]\d)"),
        ("ID", 1, re.I, rf"(?<![\w.,\-/])\d{{5,6}}(?![\w\-]|[.,]\d|\s?{_UNIT}\b)"),
        ("ID", 1, 0, r"(?<![\w\-])(?!\d{4}-\d\d-\d\dT\d)(?=[A-Za-z\d\-/_]*[A-Za-z])(?=(?:[A-Za-z\-/_]*\d){4})[A-Za-z\d]+(?:[\-/_][A-Za-z\d]+)*(?![\w])"),
        ("ID", 1, 0, r"(?<![\w\-])(?=[A-Za-z\d]*\d)(?=[A-Za-z\d]*[A-Z])[A-Z\d]{1,4}-\d{3,}(?:-[A-Z\d]+)*(?!\w)"),
        ("ID", 1, 0, r"(?<![\w@.])@\w[\w.]{2,30}(?!\w)"),
        ("IMAGE", 2, re.I, r"(?<!\w)[\w\-./\\]+\.(?:jpe?g|png|gif|bmp|tiff?|heic|webp|dcm|mp4|mov|avi)\b"),
        ("IMAGE", 2, re.I, r"\b(?:photo(?:graph)?|image|picture|portrait|selfie|headshot|snapshot|video)\b(?:\s*(?:no\.?|number|id|file|#|:|named|called))*"
                           r"\s*(?P<v>(?=[\w\-]*\d)[\w\-]{4,})"),
        ("AGE", 2, re.I, r"(?<![\d.])(?P<v>9\d|1[0-4]\d)(?=[\s\-]*(?:years?|yrs?|y\.?\s?/?o\.?|yo)\b[\s\-]*(?:of\s+age|old)?)"),
        ("AGE", 2, re.I, r"\b(?:age[ds]?|turn(?:ed|s|ing)|aged)\s*(?:of|is|was|:)?\s*(?P<v>9\d|1[0-4]\d)\b(?!\s*(?:%|mg|bpm|minutes|kg))"),
        ("AGE", 2, re.I, r"\b(?P<v>ninety(?:[\s\-](?:one|two|three|four|five|six|seven|eight|nine))?|one hundred(?: and \w+)?)(?=[\s\-]*(?:years?|yrs?)[\s\-]*old\b)"),
        ("PLACE", 2, re.I, rf"(?<![\w.\-/])\d{{1,6}}(?:[\-/]?[A-Za-z])?\s+(?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\.?\s+)?(?-i:(?:{_CAP}|\d{{1,3}}(?:st|nd|rd|th))\s+){{1,4}}{_STREET}\b\.?"
                           r"(?:,?\s*(?:apt|apartment|suite|ste|unit|fl|floor|rm|room|#)\.?\s*#?\s*[\w\-]+)?"),
        ("PLACE", 1, 0, rf"(?<!\w)(?:{_CAP}\s+){{1,3}}(?:Street|Avenue|Road|Boulevard|Lane|Terrace|Parkway|Highway|Blvd|Ave|Rd)\b\.?"),
        ("PLACE", 2, 0, r"(?<!\w)[A-Z\u00c0-\u00de][\w\-]*(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse)\s*\d{1,4}[a-z]?\b"),
        ("PLACE", 2, re.I, r"\bP\.?\s?O\.?\s?Box\s*#?\s*\d+|\b(?:apt|apartment|suite|ste|unit|room|rm)\.?\s*#?\s*\d+[A-Za-z]?\b"),
        ("PLACE", 2, 0, rf"(?<!\w)(?P<v>{_CAP}(?:[ \-]{_CAP}){{0,3}}),\s*{_STATES}\b(?=\W|$)"),
        ("PLACE", 2, 0, rf"(?<!\w)(?P<v>{_CAP}(?:[ \-]{_CAP}){{0,3}})\s+(?:{_STATES}\s+\d{{5}}|(?![A-Z]{{2}}\b){_STATES})\b(?=\W|$)"),
        ("PLACE", 2, 0, rf"\b{_STATES},?\s+(?P<v>\d{{5}}(?:-\d{{4}})?)(?!\d)"),
        ("PLACE", 1, 0, r"(?<![\w.,\-])\d{5}-\d{4}(?![\w\-])"),
        ("PLACE", 2, re.I, r"\b(?:zip|postal|post)\s?-?(?:code)?\s*(?:is|:|=)?\s*(?P<v>[A-Z0-9]{3,5}(?:[\- ][A-Z0-9]{3,4})?)(?=\W|$)"),
        ("PLACE", 2, 0, r"(?<!\w)[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}(?!\w)"),
        ("PLACE", 2, 0, r"(?i:\b(?:lives?|living|lived|resid(?:es?|ed|ing)|moved|relocat(?:ed|ing)|born|raised|grew up|travel(?:l?ed|s)?|drove|flew|home|native|house|apartment"
                        rf"|family|works?|worked|shelter|stays?|stayed|staying)\s+(?:back\s+)?(?:in|to|from|near|at|of|outside|around)\s+)(?:the\s+)?(?P<v>{_CAP}(?:[ \-](?:{_CAP}|of|upon|on|de|la))*)"),
        ("ORG", 2, 0, rf"(?<!\w)(?:{_CAP}\.?[ ](?:of[ ]|and[ ]|&[ ])?){{1,5}}{_FACILITY}(?!\w)"),
        ("ORG", 1, 0, rf"(?i:\b(?:works?|worked|working|employed|job|shifts?|admitted|transferred|referred|enrolled|studies|studied|attends|attended|treated|hospitali[sz]ed|seen)\s+(?:at|for|by|with|to|in)\s+)(?!(?:Dr|Mr|Mrs|Ms|Prof)\b)"
                      rf"(?:the\s+)?(?P<v>{_CAP}(?:[ ](?:{_CAP}|of|and|&))*)"),
    )
)  # fmt: skip


def find(text: str) -> Iterator[Span]:
    """Yield what looks like an identifier; spans may overlap."""
    for kind, rank, pattern in _TABLE:
        for found in pattern.finditer(text):
            group = "v" if "v" in pattern.groupindex and found["v"] is not None else 0
            yield Span(found.start(group), found.end(group), kind, "", rank)
    for pattern in (_LABELLED, _USERNAME):
        for found in pattern.finditer(text):
            yield Span(found.start("v"), found.end("v"), "ID", "", 2)
