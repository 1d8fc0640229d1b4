"""`python -m tests.distill.training.loggers.log_run LOGGER FOLDER`: log a run that is interrupted and resumed.

In a process of its own, because the libraries warn when they are imported.
"""

import sys
from pathlib import Path
from typing import cast

from distill.training.loggers import run_log
from distill.training.loggers.run_log import RunLog
from limbeck.shared.parts import LoggerName
from tests.distill.training.loggers.records import EVALUATION, record, step_metrics

if __name__ == "__main__":
    run_log.CLOSE_TIMEOUT_S = 60.0
    name, folder = cast(LoggerName, sys.argv[1]), Path(sys.argv[2])
    for steps in (range(1, 6), range(4, 7)):
        with RunLog([name], record(folder), warn=sys.exit) as log:
            for step in steps:
                log.step(step_metrics(step))
    with RunLog([name], record(folder), warn=sys.exit) as log:
        log.evaluation(EVALUATION, step=6)
