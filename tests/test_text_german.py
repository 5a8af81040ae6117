import unicodedata

import pytest

from polyvox.text import front_end, sentences
from polyvox.text.normalize import Kind, normalize


def spoken(text, language="de"):
    return " ".join(piece.spoken for piece in normalize(text, language))


CASES = [
    # cardinals
    ("1.000.000 Euro", "eine Million Euro"),
    ("1 000 Leute", "eintausend Leute"),
    ("1'234", "eintausendzweihundertvierunddreißig"),
    ("101.000", "einhunderteintausend"),
    ("21 Tage", "einundzwanzig Tage"),
    ("007", "null null sieben"),
    ("12345678901", "eins zwei drei vier fünf sechs sieben acht neun null eins"),
    ("3,14 und 0,5", "drei Komma eins vier und null Komma fünf"),
    ("1,5 Mio. Euro", "eins Komma fünf Millionen Euro"),
    ("2 Mrd. und 1 Mio. Menschen", "zwei Milliarden und eine Million Menschen"),
    ("auf -5 gefallen", "auf minus fünf gefallen"),
    # one agrees with what follows
    ("1 Stunde, 1 Tag, 1 Jahr", "eine Stunde , ein Tag , ein Jahr"),
    ("in 1 Stunde, vor 1 Jahr", "in einer Stunde , vor einem Jahr"),
    ("für 1 Tag", "für einen Tag"),
    ("1 kg, 1 t, 1 °C, 1 %", "ein Kilogramm , eine Tonne , ein Grad Celsius , ein Prozent"),
    ("1 neue Nachricht", "eine neue Nachricht"),
    ("Kapitel 1 und Nr. 1", "Kapitel eins und Nummer eins"),
    ("1 bis 2 Tage", "ein bis zwei Tage"),
    # ordinals and their endings
    ("am 3. Oktober", "am dritten Oktober"),
    ("der 3. Mann", "der dritte Mann"),
    ("3. Platz", "dritter Platz"),
    ("auf dem 3. Platz", "auf dem dritten Platz"),
    ("in der 2. Klasse, in 2. Klasse", "in der zweiten Klasse , in zweiter Klasse"),
    ("sein 3. Kind, ein 2. Versuch", "sein drittes Kind , ein zweiter Versuch"),
    ("im 3. und 4. Jahrhundert", "im dritten und vierten Jahrhundert"),
    ("im 19. Jh. lebte", "im neunzehnten Jahrhundert lebte"),
    ("der 1. FC Köln", "der erste F C Köln"),
    ("jeder 3. Deutsche", "jeder dritte Deutsche"),
    ("Heute ist der 3.", "Heute ist der dritte ."),
    ("Das war im Jahr 2003.", "Das war im Jahr zweitausenddrei ."),
    ("Er wohnt in Zimmer 12.", "Er wohnt in Zimmer zwölf ."),
    ("im II. Weltkrieg", "im zweiten Weltkrieg"),
    # dates
    ("am 03.10.2024", "am dritten Oktober zweitausendvierundzwanzig"),
    ("am 3.10. um", "am dritten Oktober um"),
    ("vom 3.10. bis 5.10.", "vom dritten Oktober bis fünften Oktober ."),
    ("Berlin, 3. Okt. 2024", "Berlin , dritter Oktober zweitausendvierundzwanzig"),
    ("Montag, den 3. Oktober", "Montag , den dritten Oktober"),
    ("vom 3. bis zum 5. Mai", "vom dritten bis zum fünften Mai"),
    ("2024-10-03", "dritter Oktober zweitausendvierundzwanzig"),
    ("am 22.3.89", "am zweiundzwanzigsten März neunundachtzig"),
    ("Fr., 3. Mai", "Freitag , dritter Mai"),
    ("Mo–Fr 8–18 Uhr", "Montag bis Freitag acht bis achtzehn Uhr"),
    # years
    ("1998, 2010 und 1905", "neunzehnhundertachtundneunzig , zweitausendzehn und neunzehnhundertfünf"),
    ("1914-1918", "neunzehnhundertvierzehn bis neunzehnhundertachtzehn"),
    ("die 1990er Jahre", "die neunzehnhundertneunziger Jahre"),
    ("in den 80ern, die '90er", "in den achtzigern , die neunziger"),
    ("50 v. Chr.", "fünfzig vor Christus ."),
    ("die Saison 2019/20", "die Saison zweitausendneunzehn zwanzig"),
    # times
    ("um 14:30 Uhr", "um vierzehn Uhr dreißig"),
    ("um 14.30 Uhr", "um vierzehn Uhr dreißig"),
    ("7 Uhr, 1 Uhr, 00:05", "sieben Uhr , ein Uhr , null Uhr fünf"),
    ("9:00–12:30", "neun Uhr bis zwölf Uhr dreißig"),
    ("10:30:15", "zehn Uhr dreißig und fünfzehn Sekunden"),
    ("Es stand 3:1.", "Es stand drei zu eins ."),
    # money
    ("12,50 € und EUR 12,50", "zwölf Euro fünfzig und zwölf Euro fünfzig"),
    ("12,50 Euro", "zwölf Euro fünfzig"),
    ("3,- € oder 3,–", "drei Euro oder drei Euro"),
    ("1 €, 0,99 €, 1,01 €", "ein Euro , neunundneunzig Cent , ein Euro eins"),
    ("mit 1 €", "mit einem Euro"),
    ("$5 und 5 $", "fünf Dollar und fünf Dollar"),
    ("€ 1,5 Mio.", "eins Komma fünf Millionen Euro"),
    ("CHF 12.50", "zwölf Franken fünfzig"),
    ("5-10 €", "fünf bis zehn Euro"),
    # percent, ranges and units
    ("10-15, 10–15 %", "zehn bis fünfzehn , zehn bis fünfzehn Prozent"),
    ("eine 5%ige Lösung", "eine fünfprozentige Lösung"),
    ("5 km/h, 20 °C, 100 m²", "fünf Kilometer pro Stunde , zwanzig Grad Celsius , einhundert Quadratmeter"),
    ("5 Std. 30 Min. später", "fünf Stunden dreißig Minuten später"),
    ("bei −3,5 °C", "bei minus drei Komma fünf Grad Celsius"),
    ("5 €/Monat", "fünf Euro pro Monat"),
    ("10 x 5, 3x täglich", "zehn mal fünf , dreimal täglich"),
    ("10-jährig, 18-Jährige, 2-fach", "zehnjährig , Achtzehnjährige , zweifach"),
    ("5-km-Lauf", "fünf Kilometer Lauf"),
    # fractions
    ("1/2, 3/4 und 2/3", "ein halb , drei Viertel und zwei Drittel"),
    ("½ l, 1/2 Stunde", "ein halber Liter , eine halbe Stunde"),
    ("2½ Stunden, 2 1/2", "zweieinhalb Stunden , zweieinhalb"),
    # telephone, postal and version numbers
    ("Tel. 030 123456", "Telefon null drei null , eins zwei drei vier fünf sechs"),
    ("+49 (0)30 12345", "plus vier neun , drei null , eins zwei drei vier fünf"),
    ("Musterstr. 5, 10115 Berlin", "Musterstraße fünf , eins null eins eins fünf Berlin"),
    ("Version 2.0 und 3.11.2", "Version zwei Punkt null und drei Punkt elf Punkt zwei"),
    # Roman numerals
    ("Ludwig XIV. war König.", "Ludwig der Vierzehnte war König ."),
    ("unter König Wilhelm II. gebaut", "unter König Wilhelm dem Zweiten gebaut"),
    ("das Schloss Ludwigs XIV.", "das Schloss Ludwigs des Vierzehnten ."),
    ("Elisabeth II. und", "Elisabeth die Zweite und"),
    ("Kapitel IV", "Kapitel vier"),
    # laws, books, abbreviations
    ("§ 5 Abs. 2 Nr. 3", "Paragraf fünf Absatz zwei Nummer drei"),
    ("S. 12 ff. und S. 3", "Seite zwölf fortfolgende und Seite drei"),
    ("z. B. heute, z.B. so, Z. B. du", "zum Beispiel heute , zum Beispiel so , Zum Beispiel du"),
    ("d. h. u. a. das", "das heißt unter anderem das"),
    ("Äpfel usw.", "Äpfel und so weiter ."),
    ("bzw. ca. 5 inkl. ggf. evtl.", "beziehungsweise zirka fünf inklusive gegebenenfalls eventuell ."),
    ("Prof. Dr. Meier, Hr. X, Fr. Müller", "Professor Doktor Meier , Herr X , Frau Müller"),
    ("Bahnhofstr. 5, Berliner Str. 7", "Bahnhofstraße fünf , Berliner Straße sieben"),
    ("St. Pauli", "Sankt Pauli"),
    ("die sog. Krise, den sog. Kern", "die sogenannte Krise , den sogenannten Kern"),
    ("weil ich ihn mag.", "weil ich ihn mag ."),
    # acronyms
    ("ARD, EU, USA und BMW", "A R D , E U , U S A und B M W"),
    ("NATO und UNO", "NATO und UNO"),
    ("die GmbH, zwei LKWs", "die G M B H , zwei L K Ws"),
    ("die EU-Kommission", "die E U Kommission"),
    ("J. W. Goethe", "J W Goethe"),
    # addresses and signs
    ("max@example.de", "max ät example Punkt D E"),
    ("www.example.com/a-b", "W W W Punkt example Punkt com Slash A Bindestrich B"),
    ("x² + 5 = 9", "x hoch zwei plus fünf gleich neun"),
    ("H₂O", "H zwei O"),
    ("„Ja“, sagte er – und ging…", "Ja , sagte er , und ging ."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_german(text, expected):
    assert spoken(text) == expected


@pytest.mark.parametrize("expected", [expected for _, expected in CASES])
def test_what_is_spoken_stays_as_it_is(expected):
    assert spoken(expected) == expected


def test_austria_and_switzerland_read_german():
    assert spoken("am 3. Mai", "de-AT") == spoken("am 3. Mai", "de_ch") == "am dritten Mai"


def test_words_point_at_what_they_are_said_for():
    text = "Am 3. Mai z. B. um 14:30 Uhr."
    assert [(piece.spoken, text[piece.start : piece.end]) for piece in normalize(text, "de")] == [
        ("Am", "Am"), ("dritten", "3."), ("Mai", "Mai"), ("zum", "z. B."), ("Beispiel", "z. B."), ("um", "um"),
        ("vierzehn", "14:30 Uhr"), ("Uhr", "14:30 Uhr"), ("dreißig", "14:30 Uhr"), (".", "."),
    ]  # fmt: skip
    assert normalize("GmbH", "de")[0].kind is Kind.LETTERS


@pytest.mark.parametrize(
    "text",
    [
        "Er kam am 3. Oktober in die Stadt.",
        "Das gilt z. B. heute.",
        "Oder d. h. Der Mann kommt nicht.",
        "Prof. Dr. Müller und Hr. Meier kamen.",
        "Der 2. Weltkrieg und der 1. FC Köln.",
        "Unter Ludwig XIV. wurde gebaut.",
        "Es gilt Art. 5 Abs. 2 Nr. 3 des Gesetzes.",
        "Um 14.30 Uhr in der Bahnhofstr. 5.",
        "Er zahlte 5 Mio. Euro usw. an ihn.",
        "Vom 3. bis 5. Mai am 3.10. um acht.",
    ],
)
def test_one_sentence(text):
    assert [sentence.text for sentence in sentences(text, "de")] == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Es war im Jahr 2003. Danach ging er.", ["Es war im Jahr 2003.", "Danach ging er."]),
        ("Wir treffen uns am 3. Das wird schön.", ["Wir treffen uns am 3.", "Das wird schön."]),
        ("Er wohnt in Nr. 12. Peter auch.", ["Er wohnt in Nr. 12.", "Peter auch."]),
        ("Äpfel usw. Dann kam er.", ["Äpfel usw.", "Dann kam er."]),
        ("Ludwig XIV. Der König kam.", ["Ludwig XIV.", "Der König kam."]),
        ("Ich mag. Das ist so. Sie nicht.", ["Ich mag.", "Das ist so.", "Sie nicht."]),
        ("1. Erstens\n2. Zweitens", ["1. Erstens", "2. Zweitens"]),
    ],
)
def test_several_sentences(text, expected):
    assert [sentence.text for sentence in sentences(text, "de-at")] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1998", "nˈɔøntseːnhˌʊndɜt ˈaxtʊndnˌɔøntsɪç"),
        ("2010", "tsvˈaɪtaʊzənt tsˈeːn"),
        ("am 3. Mai", "am dɾˈɪtən mˈaɪ"),
        ("z. B. EU", "tsʊm bˈaɪʃpiːl ˌeːˈuː"),
        ("ca. 5 $", "tsˈɪɾkɑː fˈʏnf dˈɔlɑːɾ"),
        ("die BMW AG", "diː bˌeːˌɛmvˈeː ˌɑːɡˈeː"),
        ("zwei LKWs", "tsvˈaɪ ˌɛlkˈɑː vˈeːs"),
    ],
)
def test_how_espeak_says_it(text, expected):
    assert "".join(front_end("espeak", "de").phonemes(text).symbols) == unicodedata.normalize("NFD", expected)
