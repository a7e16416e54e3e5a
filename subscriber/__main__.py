"""Runs the subscriber service: ``python -m subscriber --help`` lists its settings."""

from fanline.program import main
from subscriber.app import Subscriber

if __name__ == "__main__":
    main(Subscriber)
