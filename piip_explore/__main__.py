"""The program `piip-explore`, also as `python -m piip_explore`: Ctrl-C is answered before anything slow is imported."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line; an interrupt while it is imported ends it like one later: one line, status 1."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # a shell's background jobs ignore it, and so may we
        signal.signal(signal.SIGINT, _interrupted)
    from piip_explore.cli import main as run

    signal.signal(signal.SIGINT, handler)
    run()


def _interrupted(number: int, frame: FrameType | None) -> None:
    os.write(2, b"piip-explore: interrupted\n")
    os._exit(1)  # an exception may be lost within an import, or come out of it as another


if __name__ == "__main__":
    main()
