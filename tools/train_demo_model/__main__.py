"""
Make the demo model anew: `python -m tools.train_demo_model`, or `make demo-model`.

    espeak-ng ──▶ bank ──▶ training ──▶ model directory ──▶ table of word error rates
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.train_demo_model import evaluation
from tools.train_demo_model.words import TRAINING

ROOT: Final = Path(__file__).parents[2]
MODEL: Final = ROOT / "services/transcriber/demo_model"
STEPS: Final = 5600
PHRASES: Final = 12_000
CLIPS: Final = 40
"""Of 8 s in a row of the table; there are a quarter as many windows of 28 s."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_demo_model", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the training (%(default)s)")
    parser.add_argument("--seed", type=int, default=3, help="of all that is random (%(default)s)")
    parser.add_argument("--out", type=Path, default=MODEL, help="the model's directory")
    parser.add_argument(
        "--work",
        type=Path,
        default=ROOT / "var/demo-model",
        help="what was spoken and how far the training is: 0.5 GB; a second run goes on from there",
    )
    parser.add_argument("--only-measure", action="store_true", help="the model that is there")
    asked = parser.parse_args(arguments)
    if not asked.only_measure:
        _make(asked.work, asked.out, steps=asked.steps, seed=asked.seed)
    _measure(asked.out)


def _make(work: Path, out: Path, *, steps: int, seed: int) -> None:
    # Measuring needs none of it: torch is no dependency of decibus.
    from tools.train_demo_model import bank, conversion, network, training  # noqa: PLC0415

    if not (work / "phrases.npz").exists():
        bank.fill(work, TRAINING, phrases=PHRASES, seed=seed)
    weights = training.Training(bank.Bank(work), work, steps=steps, seed=seed).run()
    conversion.convert(network.finished(weights), network.HEADS, out)


def _measure(model: Path) -> None:
    print("| case | clips | words | WER | language right |\n|---|---|---|---|---|")
    for case in evaluation.CASES:
        count = CLIPS if case.longest_s < 10.0 else CLIPS // 4
        score = evaluation.score(model, case, count=count)
        right = f"{score.right_language / score.clips:.0%}" if case.detect else ""
        print(f"| {case.name} | {score.clips} | {score.words} | {score.error_rate:.1%} | {right} |")
    for sound, words in evaluation.hallucinations(model).items():
        print(f"{sound}: {words or 'no words'}")


if __name__ == "__main__":
    main()
