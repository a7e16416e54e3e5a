"""Runs the publisher service: ``python -m publisher --help`` lists its settings."""

from fanline.server.process import main
from publisher.app import Publisher

if __name__ == "__main__":
    main(Publisher)
