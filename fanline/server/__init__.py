"""The server kit: everything that a service needs to run."""

from fanline.protocol import CHAT_SUBPROTOCOL, join_array, refusal, split_array
from fanline.security.authenticator import Unauthorized
from fanline.security.guesses import SECONDS_TO_REGAIN_ONE, GuessLimiter, network
from fanline.security.tls import link_context
from fanline.security.tokens import CHAT, Claims, TokenKey, find_token
from fanline.server import metrics
from fanline.server.accepting.rates import ClientRates, Excess
from fanline.server.access import address_of, query_of, single_header
from fanline.server.app import App, Endpoint, OpenedApp, OpenEndpoint, Page, StreamEndpoint
from fanline.server.channels.channel import Channel
from fanline.server.front.description import answer, ref, refusals
from fanline.server.http.event_stream import EventStream
from fanline.server.messages import MessageReader, PlainMessages, RefusalLimit, rate_refusal
from fanline.server.metrics import gauge, new_registry
from fanline.server.pages.web_page import WebPage, content_security_policy
from fanline.server.process import raise_file_limit, run_program
from fanline.server.request.problems import HttpProblem, ProblemCode, problem_of, status_of
from fanline.server.request.proxies import prefix_of
from fanline.server.service import Service
from fanline.server.tracing.hooks import (
    AppendMessage,
    Tracer,
    open_tracer,
    trace_commits,
    trace_deliveries,
    trace_publishing,
)
from fanline.server.websocket.connection import Connection, MakeHandler, Opening
from fanline.server.websocket.frame_stream import task_handler
from fanline.server.websocket.frames import text_frame
from fanline.server.websocket.handler import Handler
from fanline.server.websocket.handshake import Handshake
from fanline.setting_types import Bytes, Count, ListenUrls, PasswordFile, Port, Seconds
from fanline.settings import DEMO_PASSWORD, ServiceSettings, read_secret
from fanline.tasks import running_task
from fanline.token_bucket import RateLimiter

__all__ = [
    "CHAT",
    "CHAT_SUBPROTOCOL",
    "DEMO_PASSWORD",
    "SECONDS_TO_REGAIN_ONE",
    "App",
    "AppendMessage",
    "Bytes",
    "Channel",
    "Claims",
    "ClientRates",
    "Connection",
    "Count",
    "Endpoint",
    "EventStream",
    "Excess",
    "GuessLimiter",
    "Handler",
    "Handshake",
    "HttpProblem",
    "ListenUrls",
    "MakeHandler",
    "MessageReader",
    "OpenEndpoint",
    "OpenedApp",
    "Opening",
    "Page",
    "PasswordFile",
    "PlainMessages",
    "Port",
    "ProblemCode",
    "RateLimiter",
    "RefusalLimit",
    "Seconds",
    "Service",
    "ServiceSettings",
    "StreamEndpoint",
    "TokenKey",
    "Tracer",
    "Unauthorized",
    "WebPage",
    "address_of",
    "answer",
    "content_security_policy",
    "find_token",
    "gauge",
    "join_array",
    "link_context",
    "metrics",
    "network",
    "new_registry",
    "open_tracer",
    "prefix_of",
    "problem_of",
    "query_of",
    "raise_file_limit",
    "rate_refusal",
    "read_secret",
    "ref",
    "refusal",
    "refusals",
    "run_program",
    "running_task",
    "single_header",
    "split_array",
    "status_of",
    "task_handler",
    "text_frame",
    "trace_commits",
    "trace_deliveries",
    "trace_publishing",
]
