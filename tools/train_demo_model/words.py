"""What the demo model can hear: its languages, words and speakers; and who is kept for testing."""

from typing import Final, NamedTuple

LANGUAGES: Final = ("en", "de", "es")

_COMMON: Final = (
    ("zero", "null", "cero"),
    ("one", "eins", "uno"),
    ("two", "zwei", "dos"),
    ("three", "drei", "tres"),
    ("four", "vier", "cuatro"),
    ("five", "fünf", "cinco"),
    ("six", "sechs", "seis"),
    ("seven", "sieben", "siete"),
    ("eight", "acht", "ocho"),
    ("nine", "neun", "nueve"),
    ("yes", "ja", "sí"),
    ("no", "nein", "no"),
    ("hello", "hallo", "hola"),
    ("world", "welt", "mundo"),
)
_ENGLISH_ONLY: Final = (
    *("stop", "go", "left", "right", "up", "down", "on", "off", "start", "play"),
    *("please", "thanks", "open", "close", "music", "light"),
)

VOCABULARY: Final = {
    "en": tuple(row[0] for row in _COMMON) + _ENGLISH_ONLY,
    "de": tuple(row[1] for row in _COMMON),
    "es": tuple(row[2] for row in _COMMON),
}
WORDS: Final = tuple(dict.fromkeys(word for each in VOCABULARY.values() for word in each))
"""Each once; Spanish and English share "no"."""

_ENGLISH: Final = {word: row[0] for row in _COMMON for word in row}


def in_english(word: str) -> str:
    """Translate a word of any of the languages."""
    return _ENGLISH.get(word, word)


class Speakers(NamedTuple):
    """Voices of espeak-ng, `accent+variant`, and how fast they may speak, in words a minute."""

    accents: dict[str, tuple[str, ...]]
    variants: tuple[str, ...]
    words_a_minute: tuple[int, ...]


TRAINING: Final = Speakers(
    accents={
        "en": (
            *("en-us", "en-us", "en", "en", "en-gb-x-rp", "en-gb-scotland"),
            *("en-gb-x-gbclan", "en-029", "en-us-nyc"),
        ),
        "de": ("de",),
        "es": ("es", "es-419"),
    },
    # Neither whispers, robots and croaks nor what is related to a variant below.
    variants=(
        *("", "m1", "m2", "m3", "m4", "m5", "m8", "f1", "f2", "f4", "f5"),
        *("klatt", "klatt2", "klatt3", "klatt4", "adam", "Alex", "Alicia", "Andrea", "anika"),
        *("antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "Denis", "Diogo", "ed"),
        *("edward", "edward2", "Gene", "Gene2", "grandma", "grandpa", "gustave", "Henrique"),
        *("Hugo", "iven", "iven2", "iven3", "iven4", "Jacky", "john", "kaukovalta", "Lee"),
        *("linda", "marcelo", "Marco", "Mario", "Michael", "michel", "miguel", "Mike"),
        *("norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby"),
        *("steph", "steph2", "steph3", "travis", "victor", "zac"),
    ),
    words_a_minute=(110, 115, 126, 130, 142, 146, 157, 161, 173, 177, 187, 192, 204),
)

HELD_OUT: Final = Speakers(
    accents={"en": ("en-us", "en", "en-gb-x-gbcwmd"), "de": ("de",), "es": ("es", "es-419")},
    variants=("m6", "m7", "f3", "Andy", "Annie", "david", "max"),
    words_a_minute=(122, 138, 152, 168, 182, 198),
)
"""The model is never trained with these variants and speeds, nor with the third English accent."""
