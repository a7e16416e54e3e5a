"""The chat program; ``python -m chat --help`` lists its settings."""

from functools import partial

from chat.app import open_chat
from chat.settings import ChatSettings
from fanline.server import Service, run_program

_DESCRIPTION = "Rooms, members, logins and a web page, on the pipeline."

if __name__ == "__main__":
    run_program(ChatSettings, _DESCRIPTION, partial(Service.start, open_chat))
