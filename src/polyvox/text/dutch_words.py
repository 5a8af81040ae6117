"""What Dutch writes short, and what is said for it: tables only."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the words of a list that is written as one text."""
    return frozenset(text.split())


MONTHS: tuple[str, ...] = (
    "januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober", "november",
    "december",
)  # fmt: skip
MONTH_SHORT = {
    "jan": 1, "feb": 2, "febr": 2, "mrt": 3, "apr": 4, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9, "okt": 10,
    "nov": 11, "dec": 12,
}  # fmt: skip
DAY_SHORT = {
    "ma": "maandag", "di": "dinsdag", "wo": "woensdag", "do": "donderdag", "vr": "vrijdag", "za": "zaterdag",
    "zo": "zondag",
}  # fmt: skip

# With the dot; those of several parts also with spaces between ("d. w. z."). The first letter may be a capital.
ABBREVIATIONS = {
    "d.w.z.": "dat wil zeggen", "o.a.": "onder andere", "o.m.": "onder meer", "i.p.v.": "in plaats van",
    "m.b.t.": "met betrekking tot", "t.o.v.": "ten opzichte van", "n.a.v.": "naar aanleiding van",
    "a.u.b.": "alstublieft", "s.v.p.": "alstublieft", "t.a.v.": "ter attentie van", "i.v.m.": "in verband met",
    "o.l.v.": "onder leiding van", "m.a.w.": "met andere woorden", "e.d.": "en dergelijke",
    "o.i.d.": "of iets dergelijks", "m.i.": "mijns inziens", "n.v.t.": "niet van toepassing",
    "z.s.m.": "zo snel mogelijk", "t.z.t.": "te zijner tijd", "e.a.": "en anderen", "a.s.": "aanstaande",
    "j.l.": "jongstleden", "a.d.h.v.": "aan de hand van", "d.m.v.": "door middel van", "o.b.v.": "op basis van",
    "t.g.v.": "ten gevolge van", "t.b.v.": "ten behoeve van", "i.t.t.": "in tegenstelling tot",
    "i.h.a.": "in het algemeen", "i.h.b.": "in het bijzonder", "m.m.v.": "met medewerking van",
    "a.h.w.": "als het ware", "m.n.": "met name", "m.u.v.": "met uitzondering van", "t.t.v.": "ten tijde van",
    "p.p.": "per persoon", "p.st.": "per stuk", "i.o.": "in opdracht", "i.s.m.": "in samenwerking met",
    "o.g.v.": "op grond van", "i.g.v.": "in geval van", "b.g.g.": "bij geen gehoor", "v.d.": "van de",
    "v.Chr.": "voor Christus", "n.Chr.": "na Christus", "e.v.": "en volgende", "t.w.": "te weten",
    "w.o.": "waaronder", "z.g.": "zogenaamd", "m.b.v.": "met behulp van", "i.e.": "dat is",
    "t.e.m.": "tot en met",
    "bvb.": "bijvoorbeeld",
    "bijv.": "bijvoorbeeld", "bv.": "bijvoorbeeld", "enz.": "enzovoort", "etc.": "et cetera", "ca.": "circa",
    "evt.": "eventueel", "incl.": "inclusief", "excl.": "exclusief", "max.": "maximaal", "min.": "minimaal",
    "resp.": "respectievelijk", "vgl.": "vergelijk", "zgn.": "zogenaamde", "jl.": "jongstleden",
    "ong.": "ongeveer", "plm.": "plusminus", "m.": "met", "vnl.": "voornamelijk", "tw.": "te weten",
    "mogl.": "mogelijk", "oorspr.": "oorspronkelijk", "vermoed.": "vermoedelijk", "ned.": "Nederlands",
    "eng.": "Engels", "lat.": "Latijn", "geb.": "geboren", "overl.": "overleden", "dhr.": "de heer",
    "mevr.": "mevrouw", "mw.": "mevrouw", "mej.": "mejuffrouw", "dr.": "doctor", "drs.": "doctorandus",
    "prof.": "professor", "ir.": "ingenieur", "ing.": "ingenieur", "mr.": "meester", "ds.": "dominee",
    "fam.": "familie", "jr.": "junior", "sr.": "senior", "red.": "redactie", "afd.": "afdeling",
    "gem.": "gemiddeld", "tel.": "telefoon", "nr.": "nummer", "nrs.": "nummers", "blz.": "bladzijde",
    "afb.": "afbeelding", "hfst.": "hoofdstuk", "vb.": "voorbeeld", "vs.": "versus", "aant.": "aantekening",
    "uitg.": "uitgave", "vert.": "vertaling", "mln.": "miljoen", "mld.": "miljard", "str.": "straat",
    "secr.": "secretaris", "burg.": "burgemeester", "gebr.": "gebroeders", "wed.": "weduwe",
}  # fmt: skip
# Words of their own at the end of a sentence.
NOT_LAST = words("max. min. geb. ing. ir. red. gem. vert. wed. m. vs. lat. ned. eng. burg. tw. ong. sr. fam.")
# Only in front of a number.
NUMBERED = {
    "p": "pagina", "pag": "pagina", "art": "artikel", "par": "paragraaf", "fig": "figuur", "dl": "deel",
    "jrg": "jaargang", "no": "nummer", "No": "nummer", "st": "stuks", "vers": "versie", "toestel": "toestel",
    "pp": "pagina's", "lid": "lid", "Art": "Artikel", "tab": "tabel", "bijl": "bijlage", "kl": "klas", "P": "pagina",
}  # fmt: skip

# Capitals that are named one by one though they could be read as a word.
SPELLED = words(
    """
    EU USA UK UN EK EO OV OM IC IT ICT AI ID IP IQ API URL USB GPU CPU UI AED EHBO ROC TU VU CEO CFO COO AZC KNMI ABN
    ING AIVD UWV NOS KRO ANP ANWB AOW WAO CAO CDA RIVM CU VOC VPRO EEG ECB IMF WHO DNA RNA ADHD AZ NEC HBO MBO VMBO VWO
    AMC UMC LUMC ISO CIA FBI FAQ LED OLED EUR ISBN OCW UMTS ZZP COA IND VIP SUV CO UV AFM AFC UTC EPD ECG ABS ESP MRI
    """
)
# Letters to be named that are not all capitals.
SPELLED_MIXED = (
    "tv", "cd", "dvd", "pc", "wc", "btw", "hbo", "mbo", "vwo", "vmbo", "wk", "ek", "sms", "cao", "aow", "gps", "ov",
    "ehbo", "zzp", "ict", "dna", "adhd", "nv", "UvA", "RuG", "TUe", "mkb", "ggz", "ggd", "http", "https", "html", "pdf",
)  # fmt: skip

CURRENCIES = {
    # sign: one, many, gender, hundredths
    "€": ("euro", "euro", "", "cent"), "EUR": ("euro", "euro", "", "cent"), "euro": ("euro", "euro", "", "cent"),
    "$": ("dollar", "dollar", "", "cent"), "US$": ("dollar", "dollar", "", "cent"),
    "USD": ("dollar", "dollar", "", "cent"), "dollar": ("dollar", "dollar", "", "cent"),
    "£": ("pond", "pond", "", "pence"), "GBP": ("pond", "pond", "", "pence"), "CHF": ("frank", "frank", "", "rappen"),
    "¥": ("yen", "yen", "", ""), "₹": ("roepie", "roepie", "", "paise"), "₩": ("won", "won", "", ""),
    "₽": ("roebel", "roebel", "", "kopeken"), "¢": ("cent", "cent", "", ""), "BEF": ("frank", "frank", "", ""),
}  # fmt: skip
MULTIPLIERS = {
    "mln.": ("miljoen", "miljoen", ""), "mln": ("miljoen", "miljoen", ""), "miljoen": ("miljoen", "miljoen", ""),
    "mio.": ("miljoen", "miljoen", ""), "mio": ("miljoen", "miljoen", ""), "mld.": ("miljard", "miljard", ""),
    "mld": ("miljard", "miljard", ""), "miljard": ("miljard", "miljard", ""), "duizend": ("duizend", "duizend", ""),
    "bln.": ("biljoen", "biljoen", ""), "biljoen": ("biljoen", "biljoen", ""),
}  # fmt: skip

# sign: one, many, gender (which nothing asks for)
UNITS = {
    sign: (one, many or one, "")
    for sign, (one, many) in {
        "km": ("kilometer", ""), "m": ("meter", ""), "dm": ("decimeter", ""), "cm": ("centimeter", ""),
        "mm": ("millimeter", ""), "nm": ("nanometer", ""), "µm": ("micrometer", ""), "kg": ("kilogram", ""),
        "g": ("gram", ""), "gr": ("gram", ""), "gr.": ("gram", ""), "mg": ("milligram", ""), "µg": ("microgram", ""),
        "t": ("ton", ""), "l": ("liter", ""), "L": ("liter", ""), "ml": ("milliliter", ""), "cl": ("centiliter", ""),
        "dl": ("deciliter", ""), "hl": ("hectoliter", ""), "km/u": ("kilometer per uur", ""),
        "km/h": ("kilometer per uur", ""), "km/uur": ("kilometer per uur", ""), "m/s": ("meter per seconde", ""),
        "g/km": ("gram per kilometer", ""), "km²": ("vierkante kilometer", ""), "km2": ("vierkante kilometer", ""),
        "m²": ("vierkante meter", ""), "m2": ("vierkante meter", ""), "cm²": ("vierkante centimeter", ""),
        "m³": ("kubieke meter", ""), "m3": ("kubieke meter", ""), "cm³": ("kubieke centimeter", ""),
        "ha": ("hectare", ""), "u": ("uur", ""), "u.": ("uur", ""), "h": ("uur", ""), "min": ("minuut", "minuten"),
        "min.": ("minuut", "minuten"), "s": ("seconde", "seconden"), "sec": ("seconde", "seconden"),
        "sec.": ("seconde", "seconden"), "ms": ("milliseconde", "milliseconden"), "Hz": ("hertz", ""),
        "kHz": ("kilohertz", ""), "MHz": ("megahertz", ""), "GHz": ("gigahertz", ""), "kB": ("kilobyte", ""),
        "KB": ("kilobyte", ""), "MB": ("megabyte", ""), "GB": ("gigabyte", ""), "TB": ("terabyte", ""),
        "kbit/s": ("kilobit per seconde", ""), "Mbit/s": ("megabit per seconde", ""),
        "Gbit/s": ("gigabit per seconde", ""), "Mbps": ("megabit per seconde", ""), "W": ("watt", ""),
        "kW": ("kilowatt", ""), "MW": ("megawatt", ""), "GW": ("gigawatt", ""), "kWh": ("kilowattuur", ""),
        "Wh": ("wattuur", ""), "MWh": ("megawattuur", ""), "V": ("volt", ""), "kV": ("kilovolt", ""),
        "mA": ("milliampère", ""), "mAh": ("milliampère-uur", ""), "pk": ("paardenkracht", ""), "dB": ("decibel", ""),
        "Pa": ("pascal", ""), "hPa": ("hectopascal", ""), "bar": ("bar", ""), "kcal": ("kilocalorie", "kilocalorieën"),
        "kJ": ("kilojoule", ""), "px": ("pixel", "pixels"), "el": ("eetlepel", "eetlepels"),
        "tl": ("theelepel", "theelepels"), "ct": ("cent", ""), "ct.": ("cent", ""),
        "°C": ("graad Celsius", "graden Celsius"), "° C": ("graad Celsius", "graden Celsius"),
        "°F": ("graad Fahrenheit", "graden Fahrenheit"), "°": ("graad", "graden"), "%": ("procent", ""),
        "‰": ("promille", ""),
    }.items()
}  # fmt: skip
# What is "half", not "halve".
HET_WORDS = words("uur jaar pond brood procent dozijn glas kopje kilogram gram ons blik pak biertje miljoen miljard")

# What a Roman numeral follows: these are counted ("hoofdstuk vier") ...
ROMAN_COUNTED = words(
    "hoofdstuk deel boek bedrijf akte artikel paragraaf wereldoorlog klasse fase groep type bijlage band"
)
# ... and these are ranked ("Willem de Tweede").
ROMAN_RANKED = words(
    """
    willem lodewijk karel filips philips hendrik frederik jan johannes paulus benedictus pius leo gregorius clemens
    innocentius nicolaas alexander peter napoleon maximiliaan leopold boudewijn albert george elizabeth elisabeth
    catharina maria eduard jacobus richard otto koenraad rudolf ferdinand floris diederik dirk reinoud arnold wilhelm
    friedrich ludwig lotharius urbanus alfons ramses christiaan gustaaf franciscus
    """
)

URL_SIGNS = {
    ".": "punt", "/": "slash", "-": "streepje", "_": "liggend streepje", "?": "vraagteken", "=": "is", "&": "en",
    "#": "hekje", "%": "procent", "~": "tilde", "+": "plus", ":": "dubbele punt", "@": "apenstaartje",
}  # fmt: skip

# Signs that are said wherever they stand.
SIGNS = {
    "&": "en", "@": "apenstaartje", "×": "maal", "÷": "gedeeld door", "±": "plus min", "≈": "ongeveer",
    "≤": "hoogstens", "≥": "minstens", "≠": "is niet gelijk aan", "§": "paragraaf", "№": "nummer", "°": "graden",
    "%": "procent", "‰": "promille", "€": "euro", "£": "pond", "$": "dollar", "¥": "yen", "¢": "cent",
    "²": "kwadraat", "³": "tot de derde",
}  # fmt: skip
