"""What German writes short, and what is said for it: tables only."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the words of a list that is written as one text."""
    return frozenset(text.split())


MONTHS: tuple[str, ...] = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
    "Dezember",
)  # fmt: skip
MONTH_SHORT = {
    "Jan": 1, "Jän": 1, "Feb": 2, "Febr": 2, "Mär": 3, "Mrz": 3, "Apr": 4, "Jun": 6, "Jul": 7, "Aug": 8, "Sep": 9,
    "Sept": 9, "Okt": 10, "Nov": 11, "Dez": 12,
}  # fmt: skip
DAY_SHORT = {
    "Mo": "Montag", "Di": "Dienstag", "Mi": "Mittwoch", "Do": "Donnerstag", "Fr": "Freitag", "Sa": "Samstag",
    "So": "Sonntag",
}  # fmt: skip

# With the dot; those of several parts also with spaces between ("z. B."). The first letter may be a capital.
ABBREVIATIONS = {
    "z.B.": "zum Beispiel", "d.h.": "das heißt", "u.a.": "unter anderem", "u.ä.": "und ähnliches",
    "o.ä.": "oder ähnliches", "i.d.R.": "in der Regel", "z.T.": "zum Teil", "u.U.": "unter Umständen",
    "v.a.": "vor allem", "s.o.": "siehe oben", "s.u.": "siehe unten", "i.A.": "im Auftrag",
    "i.V.": "in Vertretung", "m.E.": "meines Erachtens", "a.D.": "außer Dienst", "n.Chr.": "nach Christus",
    "v.Chr.": "vor Christus", "u.s.w.": "und so weiter", "z.Z.": "zur Zeit", "z.Zt.": "zur Zeit",
    "o.g.": "oben genannt", "u.v.m.": "und vieles mehr", "u.v.a.": "und viele andere", "p.a.": "pro Jahr",
    "i.Allg.": "im Allgemeinen", "i.e.S.": "im engeren Sinne", "a.M.": "am Main", "a.d.": "an der",
    "i.Br.": "im Breisgau", "v.l.n.r.": "von links nach rechts", "z.Hd.": "zu Händen", "b.w.": "bitte wenden",
    "h.c.": "honoris causa", "u.a.m.": "und anderes mehr",
    "usw.": "und so weiter", "usf.": "und so fort", "etc.": "et zetera", "bzw.": "beziehungsweise",
    "ca.": "zirka", "ggf.": "gegebenenfalls", "evtl.": "eventuell", "inkl.": "inklusive",
    "einschl.": "einschließlich", "exkl.": "exklusive", "zzgl.": "zuzüglich", "abzgl.": "abzüglich",
    "vgl.": "vergleiche", "bzgl.": "bezüglich", "bspw.": "beispielsweise", "bes.": "besonders",
    "insb.": "insbesondere", "insbes.": "insbesondere", "max.": "maximal", "mind.": "mindestens",
    "min.": "minimal", "allg.": "allgemein", "lt.": "laut", "zzt.": "zurzeit", "geb.": "geboren",
    "gest.": "gestorben", "verst.": "verstorben", "verh.": "verheiratet", "gez.": "gezeichnet",
    "urspr.": "ursprünglich", "eigtl.": "eigentlich", "jew.": "jeweils", "od.": "oder", "u.": "und",
    "rd.": "rund", "tgl.": "täglich", "monatl.": "monatlich", "jährl.": "jährlich", "wg.": "wegen",
    "ugs.": "umgangssprachlich", "Dr.": "Doktor", "Prof.": "Professor", "Hr.": "Herr", "Hrn.": "Herrn",
    "Frl.": "Fräulein", "Dipl.": "Diplom", "Ing.": "Ingenieur", "Mag.": "Magister", "Priv.": "Privat",
    "Doz.": "Dozent", "Hl.": "Heilige", "Gebr.": "Gebrüder", "Sen.": "Senior", "Jun.": "Junior", "Mr.": "Mister",
    "Mrs.": "Missis", "Tel.": "Telefon", "Abt.": "Abteilung", "Anm.": "Anmerkung", "Hrsg.": "Herausgeber",
    "Jh.": "Jahrhundert", "Jhs.": "Jahrhunderts", "Jhd.": "Jahrhundert", "Jahrh.": "Jahrhundert",
    "Hbf.": "Hauptbahnhof", "Bhf.": "Bahnhof", "Str.": "Straße", "Std.": "Stunden", "Min.": "Minuten",
    "Sek.": "Sekunden", "Mio.": "Millionen", "Mrd.": "Milliarden", "Tsd.": "Tausend", "Stk.": "Stück",
    "MwSt.": "Mehrwertsteuer", "Mwst.": "Mehrwertsteuer", "Co.": "Co", "Hausnr.": "Hausnummer",
    "Vors.": "Vorsitzender", "Red.": "Redaktion", "Verf.": "Verfasser", "Übers.": "Übersetzung",
    "Zus.": "Zusatz", "Abb.": "Abbildung", "Aufl.": "Auflage", "Ausg.": "Ausgabe",
    "Bd.": "Band", "Abs.": "Absatz", "Nr.": "Nummer", "Nrn.": "Nummern",
    "Ziff.": "Ziffer", "Bsp.": "Beispiel",
}  # fmt: skip
# Words of their own at the end of a sentence.
NOT_LAST = words("max. mag. abt. geb. min. jun. sen. red. gest. bes. co. hl. ing. priv.")
# Only in front of a number.
NUMBERED = {
    "S": "Seite", "Jg": "Jahrgang", "Z": "Zeile", "H": "Heft", "Vers": "Version", "Max": "Maximal", "Fn": "Fußnote",
    "Rn": "Randnummer", "Art": "Artikel", "Kap": "Kapitel", "Pos": "Position", "Tab": "Tabelle", "Bl": "Blatt",
}  # fmt: skip
# Adjectives, which take the ending that their place asks for.
ADJECTIVES = {
    "sog": "sogenannt", "dt": "deutsch", "engl": "englisch", "frz": "französisch", "ital": "italienisch",
    "österr": "österreichisch", "schweiz": "schweizerisch", "lat": "lateinisch", "griech": "griechisch",
    "kath": "katholisch", "ev": "evangelisch", "europ": "europäisch", "amerik": "amerikanisch", "russ": "russisch",
    "gesetzl": "gesetzlich", "staatl": "staatlich", "wiss": "wissenschaftlich", "versch": "verschieden",
}  # fmt: skip

# Capitals that are named one by one though they could be read as a word.
SPELLED = words(
    """
    ARD EU USA UN UK UAE CDU CSU DDR BRD AG KI IT EDV EKG AEG ICE IC EC RE ORF ÖBB ÖVP SPÖ FPÖ AMS EM UKW AKW KKW BKA
    LKA IHK ADAC AOK BASF EZB IWF WHO OECD EKD TU FU LMU UKE IOC FAQ CEO CIA FBI DNA DNS RNA HIV VIP UV OP IQ ID IP API
    CPU GPU URL USB AMG GEZ ISO IEEE AI UI EUR SUV ABC RAF SA SED VEB IBM FAZ DAAD HNO OB IG ABS ÖPNV LTE OLED LED OSZE
    EWG OHG UG CO
    """
)
# Letters to be named that are not all capitals.
SPELLED_MIXED = ("GmbH", "AfD", "Kfz", "Lkw", "Pkw", "KfW", "MdB", "MdL", "StGB", "GbR", "UdSSR")

CURRENCIES = {
    # sign: one, many, gender, hundredths
    "€": ("Euro", "Euro", "m", "Cent"), "EUR": ("Euro", "Euro", "m", "Cent"),
    "Euro": ("Euro", "Euro", "m", "Cent"), "$": ("Dollar", "Dollar", "m", "Cent"),
    "US$": ("US-Dollar", "US-Dollar", "m", "Cent"), "USD": ("US-Dollar", "US-Dollar", "m", "Cent"),
    "Dollar": ("Dollar", "Dollar", "m", "Cent"), "£": ("Pfund", "Pfund", "n", "Pence"),
    "GBP": ("Pfund", "Pfund", "n", "Pence"), "CHF": ("Franken", "Franken", "m", "Rappen"),
    "Franken": ("Franken", "Franken", "m", "Rappen"), "sFr.": ("Franken", "Franken", "m", "Rappen"),
    "DM": ("Mark", "Mark", "f", "Pfennig"), "¥": ("Yen", "Yen", "m", ""), "₹": ("Rupie", "Rupien", "f", "Paise"),
    "₩": ("Won", "Won", "m", ""), "₽": ("Rubel", "Rubel", "m", "Kopeken"), "¢": ("Cent", "Cent", "m", ""),
}  # fmt: skip
MULTIPLIERS = {
    "Mio.": ("Million", "Millionen", "f"), "Mio": ("Million", "Millionen", "f"),
    "Million": ("Million", "Millionen", "f"), "Millionen": ("Million", "Millionen", "f"),
    "Mrd.": ("Milliarde", "Milliarden", "f"), "Mrd": ("Milliarde", "Milliarden", "f"),
    "Milliarde": ("Milliarde", "Milliarden", "f"), "Milliarden": ("Milliarde", "Milliarden", "f"),
    "Bio.": ("Billion", "Billionen", "f"), "Billionen": ("Billion", "Billionen", "f"),
    "Tsd.": ("tausend", "tausend", ""), "Tausend": ("tausend", "tausend", ""),
}  # fmt: skip

# sign: one, many, gender
UNITS = {
    "km": ("Kilometer", "Kilometer", "m"), "m": ("Meter", "Meter", "m"), "dm": ("Dezimeter", "Dezimeter", "m"),
    "cm": ("Zentimeter", "Zentimeter", "m"), "mm": ("Millimeter", "Millimeter", "m"),
    "nm": ("Nanometer", "Nanometer", "m"), "µm": ("Mikrometer", "Mikrometer", "m"),
    "kg": ("Kilogramm", "Kilogramm", "n"), "g": ("Gramm", "Gramm", "n"), "mg": ("Milligramm", "Milligramm", "n"),
    "µg": ("Mikrogramm", "Mikrogramm", "n"), "t": ("Tonne", "Tonnen", "f"), "l": ("Liter", "Liter", "m"),
    "L": ("Liter", "Liter", "m"), "ml": ("Milliliter", "Milliliter", "m"), "cl": ("Zentiliter", "Zentiliter", "m"),
    "dl": ("Deziliter", "Deziliter", "m"), "hl": ("Hektoliter", "Hektoliter", "m"),
    "km/h": ("Kilometer pro Stunde", "Kilometer pro Stunde", "m"),
    "m/s": ("Meter pro Sekunde", "Meter pro Sekunde", "m"),
    "m/s²": ("Meter pro Quadratsekunde", "Meter pro Quadratsekunde", "m"),
    "l/100 km": ("Liter auf hundert Kilometer", "Liter auf hundert Kilometer", "m"),
    "g/km": ("Gramm pro Kilometer", "Gramm pro Kilometer", "n"),
    "km²": ("Quadratkilometer", "Quadratkilometer", "m"), "km2": ("Quadratkilometer", "Quadratkilometer", "m"),
    "m²": ("Quadratmeter", "Quadratmeter", "m"), "m2": ("Quadratmeter", "Quadratmeter", "m"),
    "qm": ("Quadratmeter", "Quadratmeter", "m"), "cm²": ("Quadratzentimeter", "Quadratzentimeter", "m"),
    "m³": ("Kubikmeter", "Kubikmeter", "m"), "m3": ("Kubikmeter", "Kubikmeter", "m"),
    "cbm": ("Kubikmeter", "Kubikmeter", "m"), "cm³": ("Kubikzentimeter", "Kubikzentimeter", "m"),
    "ha": ("Hektar", "Hektar", "m"), "h": ("Stunde", "Stunden", "f"), "Std.": ("Stunde", "Stunden", "f"),
    "Std": ("Stunde", "Stunden", "f"), "min": ("Minute", "Minuten", "f"), "min.": ("Minute", "Minuten", "f"),
    "Min.": ("Minute", "Minuten", "f"), "Min": ("Minute", "Minuten", "f"), "s": ("Sekunde", "Sekunden", "f"),
    "sec": ("Sekunde", "Sekunden", "f"), "Sek.": ("Sekunde", "Sekunden", "f"), "Uhr": ("Uhr", "Uhr", ""),
    "ms": ("Millisekunde", "Millisekunden", "f"), "Hz": ("Hertz", "Hertz", "n"),
    "kHz": ("Kilohertz", "Kilohertz", "n"), "MHz": ("Megahertz", "Megahertz", "n"),
    "GHz": ("Gigahertz", "Gigahertz", "n"), "kB": ("Kilobyte", "Kilobyte", "n"), "KB": ("Kilobyte", "Kilobyte", "n"),
    "MB": ("Megabyte", "Megabyte", "n"), "GB": ("Gigabyte", "Gigabyte", "n"), "TB": ("Terabyte", "Terabyte", "n"),
    "kbit/s": ("Kilobit pro Sekunde", "Kilobit pro Sekunde", "n"),
    "Mbit/s": ("Megabit pro Sekunde", "Megabit pro Sekunde", "n"),
    "Gbit/s": ("Gigabit pro Sekunde", "Gigabit pro Sekunde", "n"), "W": ("Watt", "Watt", "n"),
    "kW": ("Kilowatt", "Kilowatt", "n"), "MW": ("Megawatt", "Megawatt", "n"), "GW": ("Gigawatt", "Gigawatt", "n"),
    "kWh": ("Kilowattstunde", "Kilowattstunden", "f"), "Wh": ("Wattstunde", "Wattstunden", "f"),
    "MWh": ("Megawattstunde", "Megawattstunden", "f"), "V": ("Volt", "Volt", "n"),
    "kV": ("Kilovolt", "Kilovolt", "n"), "mA": ("Milliampere", "Milliampere", "n"),
    "mAh": ("Milliamperestunde", "Milliamperestunden", "f"), "PS": ("P S", "P S", "n"),
    "dB": ("Dezibel", "Dezibel", "n"), "Pa": ("Pascal", "Pascal", "n"), "hPa": ("Hektopascal", "Hektopascal", "n"),
    "bar": ("Bar", "Bar", "n"), "kcal": ("Kilokalorie", "Kilokalorien", "f"), "kJ": ("Kilojoule", "Kilojoule", "n"),
    "px": ("Pixel", "Pixel", "n"), "EL": ("Esslöffel", "Esslöffel", "m"), "TL": ("Teelöffel", "Teelöffel", "m"),
    "Stk.": ("Stück", "Stück", "n"), "Pfd.": ("Pfund", "Pfund", "n"), "ct": ("Cent", "Cent", "m"),
    "°C": ("Grad Celsius", "Grad Celsius", "n"), "° C": ("Grad Celsius", "Grad Celsius", "n"),
    "°F": ("Grad Fahrenheit", "Grad Fahrenheit", "n"), "°": ("Grad", "Grad", "n"),
    "%": ("Prozent", "Prozent", "n"), "‰": ("Promille", "Promille", "n"),
}  # fmt: skip

# What a Roman numeral follows: these are counted ("Kapitel vier") ...
ROMAN_COUNTED = words(
    "kapitel teil band buch akt szene artikel abschnitt stufe phase klasse liga gruppe typ anhang titel weltkrieg"
)
# ... and these are ranked ("Ludwig der Vierzehnte"), the second ones by "die".
ROMAN_RANKED = words(
    """
    ludwig wilhelm friedrich heinrich karl otto konrad rudolf leopold josef joseph franz ferdinand maximilian albrecht
    albert georg gustav christian johannes benedikt pius leo gregor clemens innozenz nikolaus alexander peter paul iwan
    napoleon philipp richard eduard jakob ramses ptolemäus urban bonifatius sixtus julius alfons karol august ernst
    adolf johann robert felipe lothar harald olaf mehmed selim
    """
)
ROMAN_RANKED_SHE = words("elisabeth katharina maria margarethe margrethe christina isabella kleopatra anna viktoria")

URL_SIGNS = {
    ".": "Punkt", "/": "Slash", "-": "Bindestrich", "_": "Unterstrich", "?": "Fragezeichen", "=": "gleich",
    "&": "und", "#": "Raute", "%": "Prozent", "~": "Tilde", "+": "plus", ":": "Doppelpunkt", "@": "ät",
}  # fmt: skip

# Signs that are said wherever they stand.
SIGNS = {
    "&": "und", "@": "ät", "×": "mal", "÷": "geteilt durch", "±": "plus minus", "≈": "ungefähr",
    "≤": "kleiner gleich", "≥": "größer gleich", "≠": "ungleich", "№": "Nummer", "°": "Grad", "%": "Prozent",
    "‰": "Promille", "€": "Euro", "£": "Pfund", "$": "Dollar", "¥": "Yen", "¢": "Cent", "²": "hoch zwei",
    "³": "hoch drei",
}  # fmt: skip
