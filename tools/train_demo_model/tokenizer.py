"""
The demo model's tokens: every word of its vocabulary is one, and bytes can spell all the rest.

    bytes, beginnings of words and words, "" | <|endoftext|> ... languages ... times

CTranslate2 and faster-whisper rely on this order, and on "" as the sign of a multilingual model.
"""

from functools import cached_property
from typing import Final

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tools.train_demo_model.words import LANGUAGES, WORDS

TIMES: Final = 1501
"""0.00 to 30.00 s, as many as Whisper has."""

_TIME_S: Final = 0.02


class Tokens:
    """The tokenizer, and the numbers of those tokens that mean something to Whisper."""

    def __init__(self) -> None:
        self.tokenizer = _build()
        self.end = self._id("<|endoftext|>")
        self.start = self._id("<|startoftranscript|>")
        self.translate = self._id("<|translate|>")
        self.transcribe = self._id("<|transcribe|>")
        self.previous = self._id("<|startofprev|>")
        self.no_speech = self._id("<|nospeech|>")
        self.no_times = self._id("<|notimestamps|>")
        self.first_time = self._id("<|0.00|>")
        self.space = self._id("Ġ")
        self.languages = {language: self._id(f"<|{language}|>") for language in LANGUAGES}
        self.words = {word: self._word(word) for word in WORDS}

    @cached_property
    def vocabulary(self) -> list[str]:
        """All tokens, by number."""
        numbers = self.tokenizer.get_vocab(with_added_tokens=True)
        return sorted(numbers, key=numbers.__getitem__)

    def time(self, tenths_s: int) -> int:
        """Return the token of a time."""
        return self.first_time + round(tenths_s * 0.1 / _TIME_S)

    def _id(self, token: str) -> int:
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise KeyError(token)
        return int(number)

    def _word(self, word: str) -> int:
        (number,) = self.tokenizer.encode(f" {word}").ids
        return int(number)


def _build() -> Tokenizer:
    """Merge the letters of each word from its left end, until the word is one token."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    numbers = {letter: n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        ((letters, _),) = splitter.pre_tokenize_str(f" {word}")
        for end in range(1, len(letters)):
            merges[letters[:end], letters[end]] = None
            numbers.setdefault(letters[: end + 1], len(numbers))
    numbers[""] = len(numbers)
    tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=list(merges)))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    special = [
        *("endoftext", "startoftranscript", *LANGUAGES, "translate", "transcribe", "startoflm"),
        *("startofprev", "nospeech", "notimestamps"),
        *(f"{number * _TIME_S:.2f}" for number in range(TIMES)),
    ]
    tokenizer.add_special_tokens(
        [AddedToken(f"<|{token}|>", special=True, normalized=False) for token in special]
    )
    return tokenizer
