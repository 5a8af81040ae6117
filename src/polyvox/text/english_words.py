"""What English writes short, and what is said for it: tables only."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
MONTH_SHORT = {
    "Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "Jun": 6, "Jul": 7, "Aug": 8, "Sep": 9, "Sept": 9, "Oct": 10,
    "Nov": 11, "Dec": 12,
}  # fmt: skip
DAY_SHORT = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
    "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip

# In front of a name, with or without the dot.
TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Dr": "Doctor", "Prof": "Professor",
}  # fmt: skip
# Always with the dot.
ABBREVIATIONS = {
    "Rev": "Reverend", "Gen": "General", "Sen": "Senator", "Rep": "Representative", "Gov": "Governor",
    "Capt": "Captain", "Lt": "Lieutenant", "Col": "Colonel", "Maj": "Major", "Sgt": "Sergeant",
    "Cpl": "Corporal", "Cmdr": "Commander", "Adm": "Admiral", "Hon": "Honorable", "Pres": "President",
    "Messrs": "Messieurs", "Jr": "Junior", "Sr": "Senior", "Esq": "Esquire", "Inc": "Incorporated",
    "Ltd": "Limited", "Co": "Company", "Corp": "Corporation", "Bros": "Brothers", "Dept": "Department",
    "dept": "department", "Univ": "University", "Assn": "Association", "Ave": "Avenue", "Blvd": "Boulevard",
    "Rd": "Road", "Mt": "Mount", "Ft": "Fort", "Sq": "Square", "etc": "et cetera", "vs": "versus",
    "Vs": "versus", "approx": "approximately", "cf": "compare", "viz": "namely", "ca": "circa", "al": "al",
    "govt": "government", "min": "minutes", "max": "maximum", "hrs": "hours", "hr": "hour", "lbs": "pounds",
    "lb": "pound", "oz": "ounces",
}  # fmt: skip
# Only in front of a number.
NUMBERED = {
    "No": "number", "no": "number", "Nos": "numbers", "nos": "numbers", "Nr": "number", "Fig": "figure",
    "fig": "figure", "Figs": "figures", "figs": "figures", "Vol": "volume", "vol": "volume", "Ch": "chapter",
    "ch": "chapter", "Sec": "section", "sec": "section", "Art": "article", "art": "article", "Eq": "equation",
    "eq": "equation", "p": "page", "pp": "pages", "pg": "page", "Op": "opus", "op": "opus",
    "ext": "extension", "Ext": "extension", "Apt": "apartment", "apt": "apartment",
}  # fmt: skip

# Capitals that are named one by one though they could be read as a word.
SPELLED = _words(
    """
    FBI CIA NSA USA UK EU UN UAE AI API CEO CFO CTO COO CPU GPU URL ID IQ EQ IP UI UX ATM DIY FAQ EPA IRS IBM UFO
    VIP USB SUV ABC BBC NBC CBS ESPN DNA RNA HIV IOU ETA EST EDT PDT PST AC DC AD BC BCE CE GDP IPO ISO IEEE ACLU
    AARP AOL UPS USPS UCLA USC MIT CO IOC OECD OLED LED RSVP ASAP AKA DUI EMT ER ICU MRI OCR OS PA VAT VPN XML SEO SQL
    """
)

CURRENCIES = {
    # sign: one, many, one hundredth, hundredths
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
}
MULTIPLIERS = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "mm": "million",
    "b": "billion", "B": "billion", "bn": "billion", "t": "trillion", "T": "trillion", "tn": "trillion",
    "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion",
    "hundred": "hundred",
}  # fmt: skip

# sign: one, many
UNITS = {
    "km": ("kilometer", "kilometers"), "m": ("meter", "meters"), "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"), "nm": ("nanometer", "nanometers"),
    "µm": ("micrometer", "micrometers"), "mi": ("mile", "miles"), "ft": ("foot", "feet"),
    "yd": ("yard", "yards"), "yds": ("yard", "yards"), "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"), "mg": ("milligram", "milligrams"), "µg": ("microgram", "micrograms"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "l": ("liter", "liters"), "L": ("liter", "liters"), "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"), "cl": ("centiliter", "centiliters"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "kmh": ("kilometer per hour", "kilometers per hour"), "mph": ("mile per hour", "miles per hour"),
    "m/s": ("meter per second", "meters per second"),
    "m/s²": ("meter per second squared", "meters per second squared"),
    "km²": ("square kilometer", "square kilometers"), "m²": ("square meter", "square meters"),
    "cm²": ("square centimeter", "square centimeters"), "m³": ("cubic meter", "cubic meters"),
    "cm³": ("cubic centimeter", "cubic centimeters"), "cc": ("c c", "c c"), "ha": ("hectare", "hectares"),
    "s": ("second", "seconds"), "sec": ("second", "seconds"), "secs": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"), "min": ("minute", "minutes"), "mins": ("minute", "minutes"),
    "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"),
    "kB": ("kilobyte", "kilobytes"), "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"), "TB": ("terabyte", "terabytes"),
    "PB": ("petabyte", "petabytes"), "KiB": ("kibibyte", "kibibytes"), "MiB": ("mebibyte", "mebibytes"),
    "GiB": ("gibibyte", "gibibytes"), "kbps": ("kilobit per second", "kilobits per second"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"), "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"), "MW": ("megawatt", "megawatts"), "GW": ("gigawatt", "gigawatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"), "Wh": ("watt hour", "watt hours"),
    "mAh": ("milliamp hour", "milliamp hours"), "V": ("volt", "volts"), "kV": ("kilovolt", "kilovolts"),
    "mA": ("milliamp", "milliamps"), "hp": ("horsepower", "horsepower"), "dB": ("decibel", "decibels"),
    "Pa": ("pascal", "pascals"), "hPa": ("hectopascal", "hectopascals"), "psi": ("p s i", "p s i"),
    "kcal": ("kilocalorie", "kilocalories"), "cal": ("calorie", "calories"),
    "kJ": ("kilojoule", "kilojoules"), "px": ("pixel", "pixels"), "rpm": ("r p m", "r p m"),
    "mpg": ("mile per gallon", "miles per gallon"), "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"), "°": ("degree", "degrees"),
    "%": ("percent", "percent"), "¢": ("cent", "cents"), "€": ("euro", "euros"), "£": ("pound", "pounds"),
}  # fmt: skip

FRACTIONS = {
    "½": "one half", "¼": "one quarter", "¾": "three quarters", "⅓": "one third", "⅔": "two thirds",
    "⅛": "one eighth", "⅜": "three eighths", "⅝": "five eighths", "⅞": "seven eighths",
}  # fmt: skip

# What an uppercase Roman numeral follows: these are counted ("Chapter four") ...
ROMAN_COUNTED = _words(
    """
    war chapter part act volume vol book section phase type bowl article title appendix scene class mark stage
    level episode season grade tier
    """
)
# ... and these are ranked ("Elizabeth the second").
ROMAN_RANKED = _words(
    """
    henry elizabeth george louis charles edward richard william james philip mary pius benedict leo gregory clement
    innocent nicholas alexander catherine ferdinand frederick napoleon ivan peter ramses ptolemy paul urban john
    robert francis gustav christian alfonso otto king queen pope wilhelm rudolf leopold umberto victor
    """
)

# Signs in addresses.
URL_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "?": "question mark", "=": "equals", "&": "and",
    "#": "hash", "%": "percent", "~": "tilde", "+": "plus", ":": "colon", "@": "at",
}  # fmt: skip

# Signs that are said wherever they stand.
SIGNS = {
    "&": "and", "@": "at", "×": "times", "÷": "divided by", "±": "plus or minus", "≈": "about",
    "≤": "at most", "≥": "at least", "≠": "is not", "§": "section", "№": "number", "°": "degrees",
    "%": "percent", "‰": "per mille", "€": "euros", "£": "pounds", "$": "dollars", "¥": "yen", "¢": "cents",
    "²": "squared", "³": "cubed",
    **FRACTIONS,
}  # fmt: skip
