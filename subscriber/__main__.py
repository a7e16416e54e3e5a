"""The subscriber program: ``python -m subscriber --help`` lists its settings."""

from functools import partial

from fanline.server import Service, run_program
from subscriber.app import open_subscriber
from subscriber.settings import SubscriberSettings

_DESCRIPTION = "Deliver messages: follow the log, route by topic, fan out."

if __name__ == "__main__":
    run_program(SubscriberSettings, _DESCRIPTION, partial(Service.start, open_subscriber), is_scalable=True)
