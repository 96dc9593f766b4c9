"""The UCUM units that clinical data uses, as data (https://ucum.org/ucum, case-sensitive codes).

A row gives code, factor and definition; `*` marks metric units, which take prefixes. `mol` and the arbitrary units are
dimensions of their own here, so that an amount of substance never equals a bare number.
"""

from __future__ import annotations

from decimal import Decimal

PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
    "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip

# Dimensions: the SI-like bases of UCUM, and units that cannot be expressed in others.
BASES = (
    "m", "s", "g", "rad", "K", "C", "cd", "mol", "[iU]", "[arb'U]", "[CFU]", "[PFU]", "[ELU]", "[TCID_50]",
    "[USP'U]", "[anti'Xa'U]", "[GPL'U]", "[MPL'U]", "[APL'U]", "[bdsk'U]", "[todd'U]", "[D'ag'U]", "[FFU]", "[CCID_50]",
    "[BAU]", "[AU]", "[Amb'a'1'U]", "[knk'U]", "[mclg'U]", "[tb'U]", "[beth'U]", "[ka'U]", "[dye'U]", "[smgy'U]",
    "[pH]", "B", "[diop]", "[HPF]", "[LPF]", "[hp_X]", "[S]", "[IR]", "bit",
)  # fmt: skip
METRIC_BASES = frozenset({"m", "s", "g", "rad", "K", "C", "cd", "mol", "[iU]", "B", "bit"})

_ROWS = """
10* 10 1
10^ 10 1
[pi] 3.1415926535897932384626433832795028841971693993751058209749445923 1
% 0.01 1
[ppth] 0.001 1
[ppm] 0.000001 1
[ppb] 0.000000001 1
[pptr] 0.000000000001 1
min 60 s
h 60 min
d 24 h
wk 7 d
mo_j 30.4375 d
mo_s 29.53059 d
mo_g 30.436875 d
mo 30.4375 d
a_j 365.25 d
a_t 365.24219 d
a_g 365.2425 d
a 365.25 d
Hz* 1 s-1
N* 1 kg.m/s2
Pa* 1 N/m2
J* 1 N.m
W* 1 J/s
A* 1 C/s
V* 1 J/C
F* 1 C/V
Ohm* 1 V/A
S* 1 A/V
Wb* 1 V.s
T* 1 Wb/m2
H* 1 Wb/A
lm* 1 cd.sr
lx* 1 lm/m2
Bq* 1 s-1
Ci* 37000000000 Bq
Gy* 1 J/kg
Sv* 1 J/kg
sr* 1 rad2
deg 2 [pi].rad/360
' 1 deg/60
'' 1 '/60
l* 1 dm3
L* 1 l
ar* 100 m2
t* 1000 kg
bar* 100000 Pa
u* 1.66053906660e-24 g
eV* 1.602176634e-19 J
cal* 4.184 J
cal_th* 4.184 J
cal_IT* 4.1868 J
[Cal] 1 kcal
m[Hg]* 133.322 kPa
m[H2O]* 9.80665 kPa
[psi] 1 [lbf_av]/[sin_i]
[lbf_av] 1 [lb_av].[g]
[sin_i] 1 [in_i]2
[g] 9.80665 m/s2
atm 101325 Pa
g% 1 g/dl
dyn* 1 g.cm/s2
erg* 1 dyn.cm
P* 1 dyn.s/cm2
St* 1 cm2/s
G* 0.0001 T
[in_i] 2.54 cm
[ft_i] 12 [in_i]
[yd_i] 3 [ft_i]
[mi_i] 5280 [ft_i]
[nmi_i] 1852 m
[kn_i] 1 [nmi_i]/h
[in_us] 0.02540005080010160 m
[sft_i] 1 [ft_i]2
[cin_i] 1 [in_i]3
[gal_us] 231 [in_i]3
[qt_us] 0.25 [gal_us]
[pt_us] 0.5 [qt_us]
[foz_us] 0.0625 [pt_us]
[cup_us] 16 [tbs_us]
[tbs_us] 0.5 [foz_us]
[tsp_us] 1 [tbs_us]/3
[foz_m] 30 mL
[cup_m] 240 mL
[tbs_m] 15 mL
[tsp_m] 5 mL
[drp] 0.05 ml
[gr] 64.79891 mg
[lb_av] 7000 [gr]
[oz_av] 1 [lb_av]/16
[dr_av] 1 [oz_av]/16
[ston_av] 2000 [lb_av]
[stone_av] 14 [lb_av]
[oz_tr] 480 [gr]
[lb_tr] 12 [oz_tr]
[car_m] 0.2 g
eq* 1 mol
osm* 1 mol
kat* 1 mol/s
U* 0.000001 mol/min
[IU]* 1 [iU]
katal* 1 kat
[Ch] 1 mm/3
[MET] 3.5 mL/min/kg
R* 0.000258 C/kg
RAD* 0.01 J/kg
REM* 0.01 J/kg
By* 8 bit
Bd* 1 s-1
[degRe] 1.25 K
[PNU] 1 [arb'U]
[bpm] 1 /min
"""


def _rows() -> dict[str, tuple[Decimal, str]]:
    table = {}
    for row in _ROWS.strip().splitlines():
        code, factor, definition = row.split(" ")
        table[code.removesuffix("*") if code != "10*" else code] = (Decimal(factor), definition)
    return table


UNITS = _rows()
METRIC = METRIC_BASES | {
    code[:-1] for row in _ROWS.strip().splitlines() if (code := row.split(" ")[0]).endswith("*") and code != "10*"
}

# Units on scales with another zero: code -> (factor, offset), kelvin = (value + offset) * factor; only as a whole unit.
SCALES = {"Cel": (Decimal(1), Decimal("273.15")), "[degF]": (Decimal(5) / Decimal(9), Decimal("459.67"))}
