"""Time and memory of the quality gates on a large attribute set: `python -m benchmarks.gates --labels 100000`.

The set is sampled from short word lists, so that many labels share lines and have near-duplicates. This is harder than
the output of an LLM, whose vocabulary is larger. Times are CPU times, because the machine may be shared.
"""

import argparse
import random
import resource
import time
from collections.abc import Iterator, Sequence

from attributes.gates.evaluate import evaluate_gates
from attributes.types import Entry, Line


def _words(text: str) -> list[str]:
    return text.split()


SIZES = _words("small large long short broad narrow thick thin plump slender stocky rounded pointed curved hooked flat")
COLOURS = _words("black white brown gray red blue green yellow orange pink purple buff chestnut olive rufous cream")
PARTS = _words("bill wings tail head crown back breast belly flanks legs feet eyes throat nape rump mantle cheeks cap")
MARKS = _words("stripes spots bars streaks patches bands edges tips scaling mottling speckles ring line")
LOOKS = _words("distinct faint bold fine irregular dense sparse wavy glossy iridescent mottled barred plain velvety")
SYLLABLES = _words("ba ke lo mi nu ra si to va wen xor yul zan cre dri fla gri klo pre sto")
KINDS = _words("warbler finch gull tern wren sparrow owl hawk")


def names(num_labels: int) -> list[str]:
    """Distinct label names of three words."""
    rng, found = random.Random(0), dict[str, None]()
    while len(found) < num_labels:
        middle = "".join(rng.choices(SYLLABLES, k=3))
        found.setdefault(f"{rng.choice(COLOURS)}-{rng.choice(PARTS)} {middle} {rng.choice(KINDS)}")
    return list(found)


def entries(labels: Sequence[str]) -> Iterator[Entry]:
    """One sentence and six phrases per label; every call gives the same entries."""
    rng = random.Random(1)

    def skewed_choice(words: list[str]) -> str:
        return words[min(int(rng.expovariate(4 / len(words))), len(words) - 1)]

    def phrase() -> str:
        pick = skewed_choice
        template = rng.randrange(3)
        if template == 0:
            return f"a {pick(SIZES)} {pick(COLOURS)} {pick(PARTS)}"
        if template == 1:
            return f"{pick(COLOURS)} {pick(PARTS)} with {pick(LOOKS)} {pick(COLOURS)} {pick(MARKS)}"
        return f"a {pick(LOOKS)}, {pick(SIZES)} {pick(PARTS)} that is {pick(COLOURS)} and {pick(COLOURS)}"

    for label in labels:
        sentence = Line("sentence", f"The {label} has {phrase()}, {phrase()}, and {phrase()}.")
        yield Entry(label, lines=(sentence, *(Line("phrase", phrase()) for _ in range(6))))


def main() -> None:
    """Print the CPU time, the peak memory and the figure of each gate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates")
    parser.add_argument("--labels", type=int, default=100_000, help="number of labels")
    labels = names(parser.parse_args().labels)
    start_s = time.process_time()
    for _ in entries(labels):
        pass
    sampling_s = time.process_time() - start_s
    start_s = time.process_time()
    report = evaluate_gates(lambda: entries(labels))
    gates_s = time.process_time() - start_s - 2 * sampling_s  # the gates iterate over the entries twice
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{report.num_labels:,} labels, {report.num_lines:,} lines: {gates_s:.1f} s of CPU, {peak_mb:.0f} MB")
    for result in report.results:
        print(f"  {result.gate:13} {'-' if result.figure is None else format(result.figure, '.4g')}")


if __name__ == "__main__":
    main()
