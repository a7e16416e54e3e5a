"""The publisher program: ``python -m publisher --help`` lists its settings."""

from functools import partial

from fanline.server import Service, run_program
from publisher.app import open_publisher
from publisher.settings import PublisherSettings

_DESCRIPTION = "Accept messages: authenticate, validate, limit, forward, acknowledge."

if __name__ == "__main__":
    run_program(PublisherSettings, _DESCRIPTION, partial(Service.start, open_publisher), is_scalable=True)
