"""The msgqueue program: ``python -m msgqueue --help`` lists its settings."""

from functools import partial

from fanline.server import Service, run_program
from msgqueue.app import open_msgqueue
from msgqueue.settings import MsgQueueSettings

_DESCRIPTION = "Keep the one ordered, durable FIFO log: publishers push to it, subscribers pop from it."

if __name__ == "__main__":
    run_program(MsgQueueSettings, _DESCRIPTION, partial(Service.start, open_msgqueue))
