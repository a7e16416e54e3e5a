"""Everything that a service needs to run: listener, WebSocket, login, process, workers, health, metrics."""

from fanline.server import metrics
from fanline.server.access import address_of, query_of, single_header
from fanline.server.app import App, Endpoint, OpenedApp, OpenEndpoint, Page
from fanline.server.http.problems import HttpProblem, ProblemCode
from fanline.server.messages import MessageReader, PlainMessages
from fanline.server.process import raise_file_limit, run_program
from fanline.server.service import Service
from fanline.server.websocket.connection import Connection, Handler, MakeHandler, Opening
from fanline.server.websocket.frame_stream import task_handler
from fanline.server.websocket.frames import text_frame
from fanline.server.websocket.handshake import Handshake

__all__ = [
    "App",
    "Connection",
    "Endpoint",
    "Handler",
    "Handshake",
    "HttpProblem",
    "MakeHandler",
    "MessageReader",
    "OpenEndpoint",
    "OpenedApp",
    "Opening",
    "Page",
    "PlainMessages",
    "ProblemCode",
    "Service",
    "address_of",
    "metrics",
    "query_of",
    "raise_file_limit",
    "run_program",
    "single_header",
    "task_handler",
    "text_frame",
]
