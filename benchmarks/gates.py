"""How long the quality gates take over a large set, and how much memory: `python -m benchmarks.gates --labels 100000`.

The set is drawn from small lists of words, so that many labels share lines and have near-twins: harder than what an LLM
writes, whose words are more. Times are of the processor, for others may be at work on the machine.
"""

import argparse
import random
import resource
import time
from collections.abc import Iterator, Sequence

from attributes.gates.evaluate import evaluate_gates
from attributes.types import Entry, Line

SIZES = "small large long short broad narrow thick thin plump slender stocky rounded pointed curved hooked flat".split
COLOURS = "black white brown gray red blue green yellow orange pink purple buff chestnut olive rufous cream".split
PARTS = "bill wings tail head crown back breast belly flanks legs feet eyes throat nape rump mantle cheeks cap".split
MARKS = "stripes spots bars streaks patches bands edges tips scaling mottling speckles ring line".split
LOOKS = "distinct faint bold fine irregular dense sparse wavy glossy iridescent mottled barred plain velvety".split
SYLLABLES = "ba ke lo mi nu ra si to va wen xor yul zan cre dri fla gri klo pre sto".split
KINDS = "warbler finch gull tern wren sparrow owl hawk".split


def names(num_labels: int) -> list[str]:
    """Different names of two or three words."""
    draw, found = random.Random(0), dict[str, None]()
    while len(found) < num_labels:
        middle = "".join(draw.choices(SYLLABLES(), k=3))
        found.setdefault(f"{draw.choice(COLOURS())}-{draw.choice(PARTS())} {middle} {draw.choice(KINDS())}")
    return list(found)


def entries(labels: Sequence[str]) -> Iterator[Entry]:
    """The same set at every call: a sentence and six phrases a label."""
    draw = random.Random(1)
    sizes, colours, parts, marks, looks = SIZES(), COLOURS(), PARTS(), MARKS(), LOOKS()

    def often(words: list[str]) -> str:
        return words[min(int(draw.expovariate(4 / len(words))), len(words) - 1)]

    def phrase() -> str:
        which = draw.randrange(3)
        if which == 0:
            return f"a {often(sizes)} {often(colours)} {often(parts)}"
        if which == 1:
            return f"{often(colours)} {often(parts)} with {often(looks)} {often(colours)} {often(marks)}"
        return f"a {often(looks)}, {often(sizes)} {often(parts)} that is {often(colours)} and {often(colours)}"

    for label in labels:
        sentence = Line("sentence", f"The {label} has {phrase()}, {phrase()}, and {phrase()}.")
        yield Entry(label, lines=(sentence, *(Line("phrase", phrase()) for _ in range(6))))


def main() -> None:
    """Print the times, the memory and the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates")
    parser.add_argument("--labels", type=int, default=100_000)
    labels = names(parser.parse_args().labels)
    began = time.process_time()
    for _ in entries(labels):
        pass
    drawing_s = time.process_time() - began
    began = time.process_time()
    report = evaluate_gates(lambda: entries(labels))
    took_s = time.process_time() - began - 2 * drawing_s
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{report.num_labels:,} labels, {report.num_lines:,} lines: {took_s:.1f} s of the processor, {most_mb:.0f} MB"
    )
    for result in report.results:
        print(f"  {result.gate:13} {'-' if result.figure is None else format(result.figure, '.4g')}")


if __name__ == "__main__":
    main()
