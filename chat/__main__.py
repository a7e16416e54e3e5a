"""Runs the chat service; ``python -m chat --help`` lists its settings."""

from chat.server import Server
from chat.settings import ChatSettings
from fanline.server.process import run_program

if __name__ == "__main__":
    run_program(ChatSettings, "Rooms, members, logins and a web page, on the pipeline.", Server)
