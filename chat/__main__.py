"""Runs the chat service; ``python -m chat --help`` lists its settings."""

from chat.server import Server
from chat.settings import ChatSettings
from fanline.server.process import run_program


async def start(settings: ChatSettings) -> Server:
    """Start a chat server."""
    server = Server(settings)
    await server.start()
    return server


if __name__ == "__main__":
    run_program(ChatSettings, "Rooms, members, logins and a web page, on the pipeline.", start)
