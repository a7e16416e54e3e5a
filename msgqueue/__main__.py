"""Runs the msgqueue service: ``python -m msgqueue --help`` lists its settings."""

from fanline.server.process import main
from msgqueue.app import MsgQueue

if __name__ == "__main__":
    main(MsgQueue)
