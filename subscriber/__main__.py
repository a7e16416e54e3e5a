"""Runs the subscriber service: ``python -m subscriber --help`` lists its settings."""

from fanline.server.process import main
from subscriber.app import Subscriber

if __name__ == "__main__":
    main(Subscriber)
