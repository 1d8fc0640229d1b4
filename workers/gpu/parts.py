"""Part kind → function that runs it, for the parts that run in a child process."""

from workers.gpu.confusable_labels import neighbours
from workers.gpu.encode import encode
from workers.gpu.evaluate import evaluate
from workers.gpu.features import features
from workers.gpu.gates_with_teacher import check_with_teacher
from workers.gpu.prove import prove
from workers.gpu.train import train
from workers.runtime.run_part import Work

WORK: dict[str, Work] = {
    "encode": encode,
    "features": features,
    "train": train,
    "train_node": train,
    "evaluate": evaluate,
    "prove": prove,
    "neighbours": neighbours,
    "check": check_with_teacher,
}
