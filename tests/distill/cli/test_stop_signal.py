"""Stop requests by signal."""

import os
import signal

from distill.cli.stop_signal import StopSignal


def test_first_signal_requests_a_stop_and_restores_the_previous_handler() -> None:
    previous = signal.getsignal(signal.SIGTERM)
    should_stop = StopSignal()
    try:
        assert not should_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert should_stop()
        assert signal.getsignal(signal.SIGTERM) is previous
    finally:
        should_stop.restore()
