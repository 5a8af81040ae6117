"""What tells where a sentence ends, by language: abbreviations, and words that usually open one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from polyvox.text import german_grammar


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Habits:
    """A language's words around dots, all in small letters; abbreviations without their last dot."""

    # A dot behind these never ends a sentence: something that belongs to them follows.
    titles: frozenset[str]
    # Not in front of a number.
    numbered: frozenset[str]
    # Not in front of a number, nor of a small letter.
    months: frozenset[str]
    # These end one only if a word that usually opens a sentence follows.
    short: frozenset[str]
    openers: frozenset[str]
    # A line that ends in one of these goes on in the next one.
    joining: frozenset[str]
    # These end one in front of a capital, but for the words that belong to a time.
    halves_of_day: frozenset[str] = frozenset()
    behind_times: frozenset[str] = frozenset()
    # Words that end in one of these are like the short ones.
    short_ends: tuple[str, ...] = ()
    # A letter that is a word.
    pronoun: str = ""
    # Whether the figures or Roman numeral between two places, and the dot behind them, rank something.
    ranks: Callable[[str, int, int], bool] | None = None


_ENGLISH = Habits(
    titles=_words(
        """
        dr mr mrs ms mx prof rev fr gen sen rep gov capt cpt lt col maj sgt cpl cmdr adm hon pres messrs mme mlle
        e.g i.e eg ie vs viz cf ca approx al
        """
    ),
    numbered=_words("no nos nr fig figs vol vols ch chap sec art p pp pg par eq ref ed op"),
    months=_words("jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat"),
    short=_words("st ave blvd rd mt ft inc ltd co corp jr sr bros dept est assn univ etc esq phd"),
    openers=_words(
        """
        the a an it its he she they we you i this that these those there then but and so or if when while after
        before as at in on for from with his her their our my your what who why how where which is are was were do
        does did can could will would should may not no yes however meanwhile although because since once today now
        here one some many most all every each another both to by let please
        """
    ),
    joining=_words(
        """
        a an the and or but nor of for to in on at by with from as than that my your his her its our their
        """
    ),
    halves_of_day=_words("a.m p.m"),
    behind_times=_words(
        """
        est edt cst cdt mst mdt pst pdt gmt utc bst cet cest et pt ct monday tuesday wednesday thursday friday
        saturday sunday january february march april may june july august september october november december
        """
    ),
    pronoun="i",
)
_GERMAN = Habits(
    titles=_words(
        """
        dr mr mrs prof hr hrn fr frl st dipl ing priv doz hl gebr z.b d.h i.d.r v.a z.t u.u m.e i.a s.o s.u vgl
        ca bzw inkl exkl einschl evtl ggf sog bspw lt zzgl abzgl bzgl insb insbes mind eigtl urspr od wg
        verst gez dt engl frz ital österr schweiz lat kath ev europ amerik russ staatl gesetzl zzt z.zt o.g i.e a.d
         v.l v.d i.allg i.e.s z.hd nachm vorm jew monatl jährl
        """
    ),
    numbered=_words("nr nrn abs art kap bd abb tab bl ziff pos rn fn aufl ausg jg §"),
    months=_words("jan jän feb febr mär mrz apr jun jul aug sep sept okt nov dez mo di mi do fr sa so"),
    short=_words(
        """
        geb gest
        usw usf etc u.a u.ä o.ä u.v.m u.v.a str mio mrd tsd std min sek jh jhd jhs hbf bhf n.chr v.chr e.v co jr sen
        jun mwst a.d a.m i.br p.a abt anm hrsg red verf stk f ff max u.s.w
        """
    ),
    openers=_words(
        """
        der die das den dem des ein eine einen einem einer eines er sie es wir ihr ich du man mein meine dein sein
        seine ihre unser unsere dieser diese dieses diesen diesem jener jene jenes jeder jede jedes alle alles viele
        manche einige kein keine beide und aber oder denn doch sondern wenn weil als ob da dass damit obwohl während
        nachdem bevor bis seit wo wer was wie wann warum wieso weshalb welche welcher dann danach dort hier jetzt
        nun heute gestern morgen so auch nur noch schon sehr nicht in im an am auf aus bei beim mit nach von vom vor
        zu zum zur für um über unter durch ohne gegen trotz wegen außerdem deshalb daher darum jedoch dabei dafür
        dadurch allerdings trotzdem vielleicht natürlich bitte ja nein ist sind war waren hat haben wird werden kann
        können soll muss
        """
    ),
    joining=_words(
        """
        der die das den dem des ein eine einen einem einer eines und oder aber von vom zu zum zur in im an am auf
        mit bei für als dass sein seine ihr ihre unser unsere
        """
    ),
    short_ends=("str", "nr"),
    ranks=german_grammar.ranks_or_dates,
)
_DUTCH = Habits(
    titles=_words(
        """
        dr drs dhr mevr mw mej prof mr mrs ds fam st d.w.z o.a o.m i.p.v m.b.t t.o.v n.a.v t.a.v i.v.m o.l.v
        m.a.w a.d.h.v d.m.v o.b.v t.g.v t.b.v i.t.t m.m.v m.u.v t.t.v i.s.m o.g.v i.g.v m.b.v bijv bv ca evt incl
        excl resp vgl zgn ong plm vnl v.d m.n i.e t.w w.o i.h.b overl jl vs gebr burg mogl
        """
    ),
    numbered=_words("nr nrs blz pag pp art hfst par afb fig dl jrg no tel lid tab bijl kl"),
    months=_words("jan feb febr mrt apr jun jul aug sep sept okt nov dec ma di wo do vr za zo"),
    short=_words(
        """
        max min gem geb ing ir enz etc e.d e.a o.i.d a.u.b s.v.p n.v.t z.s.m t.z.t a.s
        mln mld str jr sr v.chr n.chr e.v b.v n.v u p.p p.st
        m.i i.h.a a.h.w sec
        """
    ),
    openers=_words(
        """
        de het een 't hij zij ze wij we jullie jij je u ik men er dit dat deze die en maar of want dus als toen
        terwijl omdat hoewel nadat voordat zodra dan daarna daar hier nu vandaag gisteren morgen zo ook nog al niet
        geen in op aan bij met naar van voor uit over onder door zonder tegen na tot om te wie wat waar wanneer
        waarom hoe welke zijn haar ons onze mijn jouw uw hun alle alles veel sommige beide echter daarom bovendien
        misschien natuurlijk ja nee is was waren heeft hebben wordt worden kan kunnen zal moet volgens sinds tijdens
        """
    ),
    joining=_words(
        """
        de het een en of maar van voor in op aan bij met naar te om als dat die zijn haar hun onze mijn uw
        """
    ),
    short_ends=("str", "nr"),
)
_LANGUAGES = {"de": _GERMAN, "nl": _DUTCH}


def habits_of(language: str) -> Habits:
    """Return the habits of a language ("de", "nl-be"); English ones where it has none of its own."""
    return _LANGUAGES.get(language.lower().replace("_", "-").partition("-")[0], _ENGLISH)
