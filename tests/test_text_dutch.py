import unicodedata

import pytest

from polyvox.text import front_end, sentences
from polyvox.text.normalize import Kind, normalize


def spoken(text, language="nl"):
    return " ".join(piece.spoken for piece in normalize(text, language))


CASES = [
    # cardinals
    ("1.000.000 euro", "een miljoen euro"),
    ("1 000 mensen", "duizend mensen"),
    ("101, 1001 en 2345", "honderdeen , duizend één en tweeduizend driehonderdvijfenveertig"),
    ("12.345", "twaalfduizend driehonderdvijfenveertig"),
    ("21 dagen, 1 appel", "eenentwintig dagen , één appel"),
    ("007", "nul nul zeven"),
    ("3,14, 3,05 en 0,5", "drie komma veertien , drie komma nul vijf en nul komma vijf"),
    ("3,14159", "drie komma één vier één vijf negen"),
    ("2,5 mld. mensen, 5 mln", "twee komma vijf miljard mensen , vijf miljoen"),
    ("tot -5 gedaald", "tot min vijf gedaald"),
    # ordinals
    ("1e, 2de, 3e eeuw", "eerste , tweede , derde eeuw"),
    ("de 20ste, 8ste en 21e", "de twintigste , achtste en eenentwintigste"),
    ("de 17de-eeuwse schilder", "de zeventiende eeuwse schilder"),
    ("de 100ste", "de honderdste"),
    # dates
    ("op 3 oktober 2024", "op drie oktober tweeduizend vierentwintig"),
    ("3-10-2024 en 3/10/2024", "drie oktober tweeduizend vierentwintig en drie oktober tweeduizend vierentwintig"),
    ("03.10.2024", "drie oktober tweeduizend vierentwintig"),
    ("3 okt. 2024, 3 okt 2024", "drie oktober tweeduizend vierentwintig , drie oktober tweeduizend vierentwintig"),
    ("2024-10-03", "drie oktober tweeduizend vierentwintig"),
    ("3-10-'89", "drie oktober negenentachtig"),
    ("1 januari", "één januari"),
    ("di. 5 nov. a.s. om", "dinsdag vijf november aanstaande om"),
    ("ma-vr 9-17 uur", "maandag tot vrijdag negen tot zeventien uur"),
    ("ma t/m vr", "maandag tot en met vrijdag"),
    # years
    ("1998, 2010", "negentienhonderdachtennegentig , tweeduizend tien"),
    ("1905, 1900 en 2000", "negentienhonderdvijf , negentienhonderd en tweeduizend"),
    ("de jaren 90, de jaren '80", "de jaren negentig , de jaren tachtig"),
    ("2010 t/m 2015", "tweeduizend tien tot en met tweeduizend vijftien"),
    ("1914-1918", "negentienhonderdveertien tot negentienhonderdachttien"),
    ("50 v.Chr. was", "vijftig voor Christus was"),
    # times
    ("14:30 uur, 14.30 u. en 14.30 uur", "veertien uur dertig , veertien uur dertig en veertien uur dertig"),
    ("7u30, 7u, 7 uur", "zeven uur dertig , zeven uur , zeven uur"),
    ("1 uur, 00:05", "één uur , nul uur vijf"),
    ("van 14.30-16.00 uur", "van veertien uur dertig tot zestien uur"),
    ("schaal 1:100", "schaal één op honderd"),
    # money
    ("€ 12,50 en 12,50 euro", "twaalf euro vijftig en twaalf euro vijftig"),
    ("€ 5,-, 5,- en € 5,–", "vijf euro , vijf euro en vijf euro"),
    ("€ 1, € 0,99, € 1,01", "één euro , negenennegentig cent , één euro één"),
    ("$5, EUR 5", "vijf dollar , vijf euro"),
    ("€ 1,5 miljoen", "één komma vijf miljoen euro"),
    ("€ 5-10", "vijf tot tien euro"),
    ("5 €/maand", "vijf euro per maand"),
    # percent, ranges, scores and units
    ("5%, 10-15 %", "vijf procent , tien tot vijftien procent"),
    ("3,5 %", "drie komma vijf procent"),
    ("10–15 mensen", "tien tot vijftien mensen"),
    ("Ajax won met 3-1", "Ajax won met drie één"),
    ("5 km/u, 20 °C, 1 °C", "vijf kilometer per uur , twintig graden Celsius , één graad Celsius"),
    ("3 kg, 100 m², 15.000 m2", "drie kilogram , honderd vierkante meter , vijftienduizend vierkante meter"),
    ("1 min, 5 min. later", "één minuut , vijf minuten later"),
    ("10 x 5, 3x", "tien maal vijf , drie keer"),
    ("18-jarige, 2-persoonsbed", "achttienjarige , tweepersoonsbed"),
    # fractions
    ("1/2, 3/4, 1/3, 5/8", "een half , drie kwart , een derde , vijf achtste"),
    ("1½ liter, 1 1/2 uur", "anderhalve liter , anderhalf uur"),
    ("2½ uur, ½ l", "twee en een half uur , een halve liter"),
    # telephone, postal and version numbers
    ("020-1234567", "nul twee nul , één twee drie vier vijf zes zeven"),
    ("06 12345678", "nul zes , één twee drie vier vijf zes zeven acht"),
    ("+31 (0)6 1234567", "plus drie één , zes , één twee drie vier vijf zes zeven"),
    ("1012 AB Amsterdam", "tien twaalf A B Amsterdam"),
    ("in 2024 EU", "in tweeduizend vierentwintig E U"),
    ("versie 3.11.2", "versie drie punt elf punt twee"),
    # abbreviations
    ("bijv. dit, bv. dat, d.w.z. zo", "bijvoorbeeld dit , bijvoorbeeld dat , dat wil zeggen zo"),
    ("o.a. appels, enz.", "onder andere appels , enzovoort ."),
    ("Dhr. Jansen, mevr. De Vries, mw. Smit", "De heer Jansen , mevrouw De Vries , mevrouw Smit"),
    ("prof. dr. Mulder", "professor doctor Mulder"),
    ("nr. 5, blz. 12, art. 3", "nummer vijf , bladzijde twaalf , artikel drie"),
    ("i.p.v. dit m.b.t. dat t.o.v. die", "in plaats van dit met betrekking tot dat ten opzichte van die"),
    ("n.a.v. uw brief, a.u.b.", "naar aanleiding van uw brief , alstublieft ."),
    ("St. Nicolaas, St.-Truiden", "Sint Nicolaas , Sint Truiden"),
    ("Dorpsstr. 5", "Dorpsstraat vijf"),
    ("ca. 100 incl. btw", "circa honderd inclusief B T W"),
    ("A. v.d. Heuvel", "A van de Heuvel"),
    ("en/of t/m", "en of tot en met"),
    # Roman numerals
    ("Willem II, Lodewijk XIV was", "Willem de Tweede , Lodewijk de Veertiende was"),
    ("hoofdstuk IV, de XIXe eeuw", "hoofdstuk vier , de negentiende eeuw"),
    # acronyms
    ("EU, NS, KPN en NAVO", "E U , N S , K P N en NAVO"),
    ("de PvdA en D66", "de P van de A en D zesenzestig"),
    ("tv, tv's en cd's", "T V , T V's en C D's"),
    ("EU-lidstaten, CO₂", "E U lidstaten , C O twee"),
    # apostrophes
    ("'s avonds in 's-Hertogenbosch", "'s avonds in 's-Hertogenbosch"),
    ("’t Is zo’n mooie foto’s", "'t Is zo'n mooie foto's"),
    # addresses and signs
    ("jan@voorbeeld.nl", "jan apenstaartje voorbeeld punt N L"),
    ("https://example.com/a_b", "example punt com slash A liggend streepje B"),
    ("x² = 9, § 5", "x kwadraat is negen , paragraaf vijf"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_dutch(text, expected):
    assert spoken(text) == expected


@pytest.mark.parametrize("expected", [expected for _, expected in CASES])
def test_what_is_spoken_stays_as_it_is(expected):
    assert spoken(expected) == expected


def test_belgium_reads_dutch():
    assert spoken("7u30", "nl-BE") == "zeven uur dertig"


def test_words_point_at_what_they_are_said_for():
    text = "Op 3-10-2010 bijv. 's avonds."
    assert [(piece.spoken, text[piece.start : piece.end]) for piece in normalize(text, "nl")] == [
        ("Op", "Op"), ("drie", "3-10-2010"), ("oktober", "3-10-2010"), ("tweeduizend", "3-10-2010"),
        ("tien", "3-10-2010"), ("bijvoorbeeld", "bijv."), ("'s", "'s"), ("avonds", "avonds"), (".", "."),
    ]  # fmt: skip
    assert normalize("tv", "nl")[0].kind is Kind.LETTERS


@pytest.mark.parametrize(
    "text",
    [
        "Hij kwam op 3 okt. 2024 in de stad.",
        "Neem bijv. dit, of d.w.z. De rest.",
        "Dhr. Jansen en mevr. De Vries, prof. dr. Smit.",
        "Appels enz. kopen wij hier.",
        "Zie blz. 12 en art. 5 van nr. 3.",
        "De B.V. is groot in St. Nicolaas.",
        "Om 14.30 u. in de Dorpsstr. 5.",
    ],
)
def test_one_sentence(text):
    assert [sentence.text for sentence in sentences(text, "nl")] == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Appels, enz. De rest ook.", ["Appels, enz.", "De rest ook."]),
        ("Om 14.30 u. De trein ging.", ["Om 14.30 u.", "De trein ging."]),
        ("Het was in 2003. Daarna kwam hij.", ["Het was in 2003.", "Daarna kwam hij."]),
        ("Dat is zo. Een muur van 5 m. Dat is hoog.", ["Dat is zo.", "Een muur van 5 m.", "Dat is hoog."]),
        ("Hij ging. 's Avonds kwam hij.", ["Hij ging.", "'s Avonds kwam hij."]),
    ],
)
def test_several_sentences(text, expected):
    assert [sentence.text for sentence in sentences(text, "nl-be")] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1998", "nˈeːɣəntˌinhɔndərt ˌɑxtənˈeːɣəntəx"),
        ("2010", "tʋˈeːdœyzən tˈin"),
        ("de 3e eeuw", "də dˈɛrdə ˈeʊ"),
        ("'s avonds", "s ˈaːvɔnts"),
        ("mevr. Smit", "mə vrˈʌʊ smˈɪt"),
        ("de NS", "də ˌɛnˈɛs"),
        ("twee tv's", "tʋˈeː tˈeː fˈeːs"),
    ],
)
def test_how_espeak_says_it(text, expected):
    assert "".join(front_end("espeak", "nl").phonemes(text).symbols) == unicodedata.normalize("NFD", expected)
