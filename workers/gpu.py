"""The kinds of part that run in a child process, where torch is."""

from workers.encode import encode
from workers.evaluate import evaluate
from workers.neighbours import neighbours
from workers.parts import Work
from workers.prove import prove
from workers.separations import check_with_teacher
from workers.train import train

WORK: dict[str, Work] = {
    "encode": encode, "train": train, "evaluate": evaluate, "prove": prove, "neighbours": neighbours,
    "check": check_with_teacher,
}  # fmt: skip
