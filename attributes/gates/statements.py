"""Statements that say nothing about appearance, found by their form: `It is a seabird.`, `They live in flocks.`

The list of non-visual words (`nonvisual.txt`) holds words that are rarely visible anywhere. Other words are non-visual
only as the predicate of the thing described: `It flies at night` is about behaviour, and `a stripe that flies up to the
eye` is not. A statement is a subject (`it`, `this bird`, the label's name) followed by

    a category              is a seabird, are mammals, is a species of owl, is the state bird of Ohio
    a behaviour or history  lives, costs, needs, was invented, is considered lucky
    an opinion              is loyal, is popular

A category with a word that may be visible (`is a small bird`, `is a cylinder`) is not such a statement.
"""

import re
from collections.abc import Iterator, Sequence

from attributes.gates.label_names import without_name
from attributes.gates.words.lemmas import lemma, listed
from attributes.gates.words.lemmas import words as all_words

_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)")
_NAME = ""  # a word of the label's name in the words of `without_name`
_MAX_BETWEEN = 2  # words between `this` and `bird`
_MAX_CATEGORY = 6  # words of a category

_PRONOUNS = listed("it they he she")
_DETERMINERS = listed("this these that those the a an most many some all such both")
_COPULAS = listed("is are was were be been isn't aren't wasn't it's they're")
_AUXILIARIES = listed(
    "can may might could will would must should has have had do does did cannot can't don't doesn't to"
)
_ADVERBS = listed(
    "also often usually typically generally commonly normally mostly mainly primarily sometimes always never"
    " rarely frequently widely very quite really highly extremely not still now only just even currently"
    " historically originally traditionally occasionally probably likely well fairly rather particularly"
    " especially most more too so thus actually simply essentially basically almost nearly both known said"
    " thought believed"
)
_THINGS = listed(
    "bird animal plant flower tree species breed fish insect creature mammal reptile dog cat vehicle car aircraft"
    " building dish food dessert object item tool device instrument place thing label class category subject one"
    " type kind machine structure flowers birds animals plants dogs cats shrub herb fruit bug activity sport game"
    ""
)

_CATEGORIES = _THINGS | listed(
    "amphibian arachnid crustacean mollusk mollusc invertebrate vertebrate primate rodent marsupial carnivore"
    " herbivore omnivore predator scavenger raptor passerine songbird seabird shorebird waterbird waterfowl wader"
    " warbler sparrow finch gull tern duck goose swan owl hawk eagle falcon heron egret woodpecker flycatcher"
    " wren thrush swallow vireo oriole blackbird hummingbird kingfisher cormorant pelican grebe auk puffin jay"
    " crow raven shrike tanager grosbeak bunting terrier spaniel hound retriever sheepdog setter pointer poodle"
    " bulldog mastiff horse pony cow ox sheep goat pig bear wolf fox monkey ape lemur whale dolphin porpoise seal"
    " shark ray snake lizard turtle tortoise frog toad salamander newt spider scorpion beetle butterfly moth bee"
    " wasp ant fly dragonfly grasshopper cricket crab lobster shrimp snail slug worm orchid lily rose perennial"
    " annual herb grass fern moss fungus mushroom vegetable legume berry nut grain spice cultivar hybrid"
    " wildflower houseplant succulent evergreen conifer automobile truck van suv sedan coupe convertible"
    " hatchback wagon minivan airliner airplane aeroplane jet plane helicopter boat ship bus train motorcycle"
    " bicycle snack meal beverage drink appetizer delicacy cuisine staple condiment pastry establishment"
    " institution facility business location area landmark monument organization company product brand gadget"
    " appliance utensil weapon toy garment accessory hobby exercise dance technique practice profession event"
    " festival holiday art pet companion livestock wildlife beast organism pest weed invader native resident"
    " migrant visitor relative cousin member family genus order symbol emblem mascot example variety subspecies"
    " form model version material substance mineral element resource source part concept term word favorite"
    " favourite choice classic treat gift investment bargain"
)
_MODIFIERS = listed(
    "common rare popular domestic domesticated wild native tropical subtropical temperate marine aquatic"
    " terrestrial arboreal freshwater saltwater flightless migratory nocturnal diurnal famous well-known"
    " important traditional modern ancient national state official international local regional american north"
    " south african asian european australian indian chinese japanese italian french german spanish mexican"
    " british english canadian russian greek turkish korean thai brazilian southern northern eastern western"
    " central arctic antarctic garden farm working hunting herding toy guard family companion new old world sea"
    " water land song game bird fish dog cat plant flower fruit food flowering carnivorous herbivorous omnivorous"
    " predatory poisonous venomous toxic dangerous harmless endangered threatened extinct invasive edible"
    " medicinal ornamental perennial annual deciduous evergreen passenger commercial military luxury sports"
    " racing sport martial musical kitchen household medical public religious historic historical natural"
    " artificial useful favorite favourite great good best perfect excellent ideal cold-blooded warm-blooded warm"
    " cold blooded egg-laying egg laying social intelligent friendly loyal true type kind species breed of genus"
    " insect-eating insect eating seed meat plant-eating expensive cheap affordable hardy easy difficult simple"
    " basic typical general specific particular certain different other"
)
_VISIBLE_NOUNS = listed(
    "cylinder sphere ball cube box disc disk ring tube square circle rectangle triangle oval cone pyramid rod"
    " stick sheet strip line dot spot stripe cross star block dome arch cluster pile stack mass spiral loop"
    " ribbon blade wedge arrow heart crescent diamond hexagon octagon polygon grid lattice net web mesh photo"
    " photograph picture image drawing painting view close-up closeup portrait scene sight pair set group bunch"
    " piece row lot mix blend combination mixture must white black red blue green yellow brown gray grey pink"
    " purple orange beauty giant dwarf slope hill curve bowl cup bag basket bottle jar pot tower column needle"
    " thread rope wire chain wheel slab bar plate layer shell cap hat hood skirt robe dress"
)
_OF = listed(
    "species member breed type kind genus family subspecies variety cultivar symbol native resident relative"
    " cousin source part form example class category style brand bird flower tree animal"
)
"""Categories that `of` may follow: `a member of the cat family`, and not `a picture of a cat`."""
_AFTER_CATEGORY = listed("from native found belonging endemic indigenous related known considered")
_END_OF_CATEGORY = _AFTER_CATEGORY | listed(
    "of in that which who with and or but for used made by on at to where when whose as such having consisting without"
)
_CLAUSES = listed("that which who with where whose")  # what follows them may be visible
_FAMILIES = listed("family order genus class phylum group")
_ACTIVE = listed(
    "live lives lived inhabit inhabits reside resides dwell dwells occur occurs eat eats ate feed feeds hunt"
    " hunts prey preys drink drinks forage forages migrate migrates breed breeds reproduce reproduces nest nests"
    " hibernate hibernates sleep sleeps belong belongs originate originates originated evolved descend descends"
    " descended symbolize symbolizes symbolise symbolises represent represents smell smells taste"
    " tastes sing sings bark barks howl howls chirp chirps fly flies swim swims cost costs sell sells retail"
    " retails require requires need needs prefer prefers likes loves enjoys help helps protects survive survives"
    " thrive thrives communicate communicates pollinate pollinates attract attracts kill kills bites hatch"
    " hatches lays gives became began dates"
)
_PASSIVE = listed(
    "considered believed thought regarded called named classified related associated eaten kept cultivated"
    " threatened endangered introduced discovered invented manufactured founded developed celebrated worshipped"
    " worshiped domesticated hunted sold raised trained prized valued loved admired imported exported pollinated"
    " protected feared revered descended derived spoken enjoyed consumed"
    " harvested farmed recommended awarded owned"
)
_OPINIONS = listed(
    "loyal friendly intelligent smart clever affectionate playful docile obedient brave lucky unlucky sacred holy"
    " dangerous harmless poisonous venomous toxic edible healthy nutritious delicious tasty expensive cheap"
    " affordable valuable popular famous common uncommon rare extinct protected endemic nocturnal diurnal"
    " carnivorous herbivorous omnivorous migratory monogamous territorial gregarious timid curious energetic lazy"
    " noisy loud fast agile important useful reliable safe worth comfortable economical efficient versatile hardy"
    " warm-blooded cold-blooded trainable protective watchful independent stubborn hypoallergenic fragrant"
    " aromatic vocal adaptable resilient helpful perfect ideal great excellent beloved"
)
_VERBS = _COPULAS | _AUXILIARIES | _ACTIVE | listed("it he she")  # `it's` is the word `it`
_VISIBLE_AFTER_OPINION = listed("colored coloured looking shaped sized in")


def statements(text: str, own_name: Sequence[str]) -> Iterator[str]:
    """The predicates of the statements in a text about the label `own_name` (`label_names.name_words`)."""
    if _VERBS.isdisjoint(all_words(text)):  # most phrases
        return
    for sentence in _SENTENCE_END.split(text):
        _, words = without_name(sentence, own_name)
        start = _after_subject(words)
        if start is not None and (length := _category(words[start:]) or _behaviour(words[start:])):
            yield " ".join(words[start : start + length])


def _after_subject(words: Sequence[str]) -> int | None:
    """The index of the word after the subject; None if the sentence does not begin with such a subject."""
    first = next((index for index, word in enumerate(words) if word not in _DETERMINERS), len(words))
    if first < len(words) and words[first] in (_NAME, *_PRONOUNS):
        return next((index for index in range(first, len(words)) if words[index] not in (_NAME, *_PRONOUNS)), None)
    if first == 0 or first == len(words):
        return None
    if words[first] in _COPULAS:
        return first
    for index in range(first, min(first + _MAX_BETWEEN + 1, len(words))):
        if words[index] in _THINGS:
            return index + 1
    return None


def _skip(words: Sequence[str], *skipped: frozenset[str]) -> int:
    return next((index for index, word in enumerate(words) if not any(word in some for some in skipped)), len(words))


def _category(words: Sequence[str]) -> int:
    """The number of words of a category with its verb, as in `is a seabird`; 0 if `words` do not begin with one."""
    start = _skip(words, _COPULAS, _AUXILIARIES, _ADVERBS)
    if words[start : start + 3] == ["one", "of", "the"]:
        start += 2
    article = words[start] if start < len(words) and words[start] in ("a", "an", "the") else ""
    if not _COPULAS.intersection(words[:start]) and not (article and start == 0):  # `it's a bird` is [it, a, bird]
        return 0
    start += bool(article)
    length = _skip_until(words[start:], _END_OF_CATEGORY)
    noun_phrase, after = words[start : start + length], words[start + length :]
    if not 0 < length <= _MAX_CATEGORY or not _is_category(noun_phrase, article, bool(after)):
        return 0
    if not after or (after[0] in _AFTER_CATEGORY and _CLAUSES.isdisjoint(after[1:2])):
        return start + length
    if after[0] == "of" and lemma(noun_phrase[-1]) in _OF and _CLAUSES.isdisjoint(after):
        return start + length + 1
    return start + length if after[0] in ("in", "of") and _FAMILIES.intersection(after[1:6]) else 0


def _is_category(words: Sequence[str], article: str, has_more: bool) -> bool:
    """Whether a noun phrase is a category without a visible word. A single unknown noun is: `a pachyderm`."""
    *modifiers, head = words
    if not all(word in _MODIFIERS or lemma(word) in _CATEGORIES for word in modifiers):
        return False
    if lemma(head) in _CATEGORIES:
        return bool(article) or head != lemma(head)
    is_noun = head.isalpha() and lemma(head) not in _VISIBLE_NOUNS
    return is_noun and article in ("a", "an") and not modifiers and not has_more


def _behaviour(words: Sequence[str]) -> int:
    """The number of words of a verb of behaviour, use or history, or of an opinion; 0 if `words` begin with none."""
    at = _skip(words, _COPULAS, _AUXILIARIES, _ADVERBS)
    if at == len(words):
        return 0
    is_passive = not _COPULAS.isdisjoint(words[:at])
    if words[at] in (_PASSIVE if is_passive else _ACTIVE):
        return at + 1
    after = words[at + 1] if at + 1 < len(words) else ""
    return at + 1 if is_passive and words[at] in _OPINIONS and after not in _VISIBLE_AFTER_OPINION else 0


def _skip_until(words: Sequence[str], ends: frozenset[str]) -> int:
    return next((index for index, word in enumerate(words) if word in ends), len(words))
