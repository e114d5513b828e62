"""The local run: the whole system on 127.0.0.1, without an account. `make run`, or `with running_stack() as stack`.

Handlers and template are the deployed ones. What surrounds them is local: moto for AWS, a simulator for Meta, an
edge for CloudFront, a gateway for API Gateway. Handlers are told where they are by environment variables only.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from local import containers, event_sources, sample
from local import environments as lambdas
from local import template as templates
from local.cloud import ENDPOINT, Access, CloudError, Moto, provision
from local.edge import Edge, readable_keys
from local.environments import Environments, InvocationError
from local.gateway import Gateway
from local.graph import MetaSimulator
from local.intrinsics import TemplateError
from local.options import (
    APP_SECRET,
    DISPLAY_PHONE_NUMBER,
    KEY_ID,
    MEDIA_TOKEN_SECRET,
    PHONE_NUMBER_ID,
    VERIFY_TOKEN,
    WABA_ID,
    BadSetting,
    Options,
    graph_parameters,
    make_key_pair,
    make_media_token,
    options_from,
    secret_values,
    with_keys_of_its_own,
)
from local.page import Page
from local.pipes import Event, Relay, relays
from local.server import HOST, NoSuchAddress, PortTaken, Server, for_programs, serve
from local.template import Function, Template

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROOT = templates.PATH.parent
STATE = ROOT / ".local"
"""The one folder that the local run writes to."""
PAUSE = 0.5
"""Seconds between two looks at the processes."""


@dataclass(frozen=True)
class Stack:
    """A running system. Its texts are what `.local/stack.env` holds, under the same names in upper case."""

    api_url: str
    page_url: str
    edge_url: str
    graph_url: str
    table_name: str
    bucket_name: str
    queue_url: str
    dead_letter_queue_url: str
    event_bus_name: str
    apps_secret_id: str
    graph_secret_id: str
    graph_version: str
    retention_days: str
    app_secret: str
    verify_token: str
    phone_number_id: str
    waba_id: str
    media_token: str
    media_token_secret: str
    access: Access
    template: Template
    functions: Environments
    relays: tuple[Relay, ...]
    meta: MetaSimulator
    moto: Moto | None
    container_variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By function, for `sam local --env-vars`; nothing where AWS is in several places, which sam cannot be told."""

    @property
    def environment(self) -> dict[str, str]:
        """Everything that a script or a test needs, by name."""
        values = {own.name.upper(): getattr(self, own.name) for own in fields(self)}
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        return {**texts, **self.access.environment}

    @property
    def alive(self) -> bool:
        """Whether every process that nothing replaces is running."""
        return self.moto is None or self.moto.alive

    def events(self) -> list[Event]:
        """Give the newest events that went to the event bus, the oldest first; no pipe, no events."""
        return [event for relay in self.relays for event in list(relay.heard)]

    @contextmanager
    def background(self) -> Iterator[None]:
        """Let the queue worker, the schedules and the pipes run meanwhile. A batch in progress at the end is not lost.

        With `Options.background` they run all the time, and this would be a second worker.
        """
        with event_sources.running(self.template, self.access, self.functions, self.relays):
            yield


class _Later:
    """A WSGI application that is known only after its address; until then, 503."""

    def __init__(self) -> None:
        self.app: WSGIApplication | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.app:
            return self.app(environ, start_response)
        start_response("503 Service Unavailable", [("Content-Length", "0"), ("Retry-After", "1")])
        return []


class _Places:
    """The addresses of the local run, taken before anything answers there: each part has to know the others'."""

    def __init__(self, api_port: int, edge_name: str | None = None, listen: str | None = None) -> None:
        self._servers: list[Server] = []
        self.api, self.api_url = self._take(api_port)
        self.graph, self.graph_url = self._take()
        # The Graph once more, for containers; without a door of theirs it is where it is.
        self.door, self.door_url = self._take(host=listen) if listen else (_Later(), self.graph_url)
        self.page, self.page_url = self._take()
        self.edge, self.edge_url = self._take()
        if edge_name:
            self.edge_url = f"http://{edge_name}:{urlsplit(self.edge_url).port}"

    def _take(self, port: int = 0, host: str = HOST) -> tuple[_Later, str]:
        content = _Later()
        server = serve(content, port, host)
        self._servers.append(server)
        return content, server.url

    def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        for server in self._servers:
            server.close()


@contextmanager
def running_stack(options: Options | None = None) -> Iterator[Stack]:
    """Start everything, give the running system, and end everything.

    Raises `local.server.PortTaken` and `NoSuchAddress`, `CloudError`, `InvocationError` when a handler cannot be
    imported, and botocore's errors when an emulator does not answer.
    """
    options = with_keys_of_its_own(options or Options())
    with ExitStack() as closing:
        places = _Places(options.api_port, options.parameters.get("EdgeDomain"), options.listen)
        closing.callback(places.close)
        _clear(options)
        lambdas.prepare()
        access, moto = _find_cloud(options, closing)
        private_key, public_key = make_key_pair()
        template = _provisioned(options, places, access, private_key)
        declared = _functions(template, places, options)
        functions = closing.enter_context(Environments(declared, access.environment, logs=options.logs))
        stack = _assembled(options, places, access, template, functions, moto)
        _open(places, stack, public_key, own_graph=options.graph_url is None)
        stack = replace(stack, container_variables=_for_containers(options, places, stack, declared))
        _warm(template, functions, background=options.background)
        closing.callback(places.close)  # before the rest ends, so that nobody is served by half a system
        if options.background:
            closing.enter_context(stack.background())
        if options.announcement:
            closing.enter_context(_announced(stack, options.announcement, options.env_vars))
        yield stack


def _clear(options: Options) -> None:
    """Remove what an earlier run left behind. Our port is ours now, so none is running any more."""
    for path in (options.announcement, options.env_vars, options.logs):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)


def _find_cloud(options: Options, closing: ExitStack) -> tuple[Access, Moto | None]:
    """Give access to the user's own emulator, or to moto, started for what the user does not name."""
    access = options.access
    if ENDPOINT in access.endpoints:
        return access, None
    moto = Moto(STATE / "tmp", containers.Door(options.listen, access.key_id) if options.listen else None)
    closing.callback(moto.close)
    moto.wait()
    return replace(access, endpoints={**access.endpoints, ENDPOINT: moto.url}), moto


def _provisioned(options: Options, places: _Places, access: Access, private_key: str) -> Template:
    """Give the template with local parameters, its resources made, and their names known to it."""
    page_port = urlsplit(places.page_url).port
    template = templates.load(
        {
            "AllowedOrigins": ",".join((places.page_url, f"http://localhost:{page_port}", *options.origins)),
            "Events": "on",
            **graph_parameters(options.graph_url or places.graph_url),
            **options.parameters,
        }
    )
    secrets = secret_values(options.graph_token, private_key, time.time())
    physical = provision(access, template, secrets)
    edge = urlsplit(places.edge_url).netloc
    return template.with_physical({**physical, "Distribution.DomainName": edge})


def _functions(template: Template, places: _Places, options: Options) -> list[Function]:
    def adapted(function: Function) -> Function:
        own = function.environment
        # The template's address of the edge is https, as CloudFront's is.
        edge = {"EDGE_URL": places.edge_url} if "EDGE_URL" in own else {}
        return replace(function, environment={**own, **edge, **options.variables})

    return [adapted(function) for function in templates.functions(template).values()]


def _assembled(
    options: Options,
    places: _Places,
    access: Access,
    template: Template,
    functions: Environments,
    moto: Moto | None,
) -> Stack:
    return Stack(
        api_url=places.api_url,
        page_url=places.page_url,
        edge_url=places.edge_url,
        graph_url=options.graph_url or places.graph_url,
        table_name=template.resolve({"Ref": "Table"}),
        bucket_name=template.resolve({"Ref": "Bucket"}),
        queue_url=template.resolve({"Ref": "FetchQueue"}),
        dead_letter_queue_url=template.resolve({"Ref": "FetchDeadLetterQueue"}),
        event_bus_name=template.resolve(template.document["Outputs"]["EventBusName"]["Value"]),
        apps_secret_id=template.resolve({"Ref": "AppsSecret"}),
        graph_secret_id=template.resolve({"Ref": "GraphSecret"}),
        graph_version=str(template.parameter("GraphVersion")),
        retention_days=str(template.parameter("RetentionDays")),
        app_secret=APP_SECRET,
        verify_token=VERIFY_TOKEN,
        phone_number_id=PHONE_NUMBER_ID,
        waba_id=WABA_ID,
        media_token=make_media_token(time.time()),
        media_token_secret=MEDIA_TOKEN_SECRET,
        access=access,
        template=template,
        functions=functions,
        relays=relays(template, access),
        meta=_simulator(options, places),
        moto=moto,
    )


def _simulator(options: Options, places: _Places) -> MetaSimulator:
    meta = MetaSimulator(
        app_secret=APP_SECRET,
        token=options.graph_token,
        phone_number_id=PHONE_NUMBER_ID,
        waba_id=WABA_ID,
        display_phone_number=DISPLAY_PHONE_NUMBER,
    )
    meta.url, meta.webhook_url = places.graph_url, f"{places.api_url}/webhook"
    meta.add_media(sample.CONTENT, sample.MIME_TYPE, media_id=sample.MEDIA_ID)
    return meta


def _for_containers(
    options: Options, places: _Places, stack: Stack, functions: Iterable[Function]
) -> dict[str, dict[str, str]]:
    """Give the variables of the functions in containers, which reach what is ours by another name."""
    if stack.access.endpoints.keys() != {ENDPOINT}:
        return {}
    name, aws = containers.name_for_containers(options.listen), stack.access.endpoints[ENDPOINT]
    outside = {places.graph_url: f"http://{name}:{urlsplit(places.door_url).port}"}
    if stack.moto:
        outside[aws] = f"http://{name}:{stack.moto.door_port or urlsplit(aws).port}"
    return containers.variables(functions, aws, outside)


def _open(places: _Places, stack: Stack, public_key: str, *, own_graph: bool) -> None:
    """Put what answers at each address there."""
    template, access = stack.template, stack.access
    edge = Edge(
        {KEY_ID: public_key},
        access.client("s3"),
        stack.bucket_name,
        templates.edge_behaviours(template),
        readable_keys(template),
    )
    page = Page(
        meta=stack.meta,
        dynamodb=access.client("dynamodb"),
        table_name=stack.table_name,
        api_url=stack.api_url,
        edge_url=stack.edge_url,
        media_token=stack.media_token,
        own_graph=own_graph,
    )
    edge.url, page.url = stack.edge_url, stack.page_url
    page.heard = stack.events
    places.graph.app, places.edge.app, places.page.app = for_programs(stack.meta.app), edge.app, page.app
    places.door.app = containers.for_graph_clients(for_programs(stack.meta.app))
    places.api.app = Gateway(templates.routes(template), templates.api_cors(template), stack.functions).app


def _warm(template: Template, functions: Environments, *, background: bool) -> None:
    """Start an environment of each function that is called: the first request is quick, a bad handler shows."""
    called = {route.function for route in templates.routes(template)}
    if background:
        called |= event_sources.background_functions(template)
    with ThreadPoolExecutor() as threads:
        for _ in threads.map(functions.warm, called):
            pass


@contextmanager
def _announced(stack: Stack, path: Path, env_vars: Path | None) -> Iterator[None]:
    """Keep a file of KEY=VALUE lines, and one for `sam local`, while the system is ready; they disappear with us.

    A shell that waits for our end removes them: we could not when we are killed.
    """
    texts = {path: "".join(f"{name}={value}\n" for name, value in sorted(stack.environment.items()))}
    if env_vars and stack.container_variables:
        texts = {env_vars: json.dumps(stack.container_variables, indent=2) + "\n", **texts}
    command = ["/bin/sh", "-c", 'cat >/dev/null; rm -f -- "$@"', "sh", *map(str, texts)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as remover:
        try:
            for file, text in texts.items():
                _appear(file, text)
            yield
        finally:
            cast("IO[bytes]", remover.stdin).close()


def _appear(path: Path, text: str) -> None:
    """Write a file that is there as a whole, or not at all, and that nobody else can read."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)  # it holds a token for all numbers, and perhaps credentials of yours
    draft.write_text(text, "utf-8")
    draft.replace(path)


# ---- As a program ----


Companion = Callable[[Stack], AbstractContextManager[object]]
"""A program that runs beside the system, and ends before it."""


def main(companion: Companion = nullcontext) -> int:
    """Run until Ctrl-C or SIGTERM. Gives the exit code. A companion may raise `BadSetting` when it cannot start."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    stopping = _stop_on_signals()
    try:
        with _with_files(options_from(os.environ)) as options:
            return _run(options, stopping, companion)
    except PortTaken as error:
        problem = f"Port {error.port} is taken. Choose another one: API_PORT={error.port + 1} make run"
    except NoSuchAddress as error:
        problem = f"This machine has no address {error.host}: LISTEN must be one of its own, as ip address shows them"
    except InvocationError as error:
        problem = f"A handler does not start: {error}\nThe whole story is in {_shown(options.logs)}"
    except (BadSetting, CloudError, TemplateError, BotoCoreError, ClientError) as error:
        problem = f"The local run cannot start: {error}"
    finally:
        lambdas.release()
    print(problem, file=sys.stderr)
    return 1


@contextmanager
def _with_files(options: Options) -> Iterator[Options]:
    """Name this run's files, stack.env and the others; with the port in their names while another run has those."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "stack.lock").open("w") as lock:
        tag = "" if _locked(lock) else f"-{options.api_port or os.getpid()}"
        yield replace(
            options,
            announcement=STATE / f"stack{tag}.env",
            env_vars=STATE / f"env-vars{tag}.json",
            logs=STATE / f"handlers{tag}.log",
        )


def _locked(file: IO[str]) -> bool:
    """Lock a file until it is closed or this process ends, however it ends; tell whether nobody else had it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stop_on_signals() -> threading.Event:
    """Give an event that Ctrl-C, SIGTERM and a closed terminal set. The second Ctrl-C ends us at once."""
    stopping = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(1)  # all other processes notice, and end, too
        stopping.set()

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, stop)
    return stopping


def _run(options: Options, stopping: threading.Event, companion: Companion) -> int:
    started = time.monotonic()
    with running_stack(options) as stack:
        print(_greeting(stack, options, time.monotonic() - started), flush=True)
        with companion(stack):
            while not stopping.wait(PAUSE):
                if not stack.alive:
                    print("moto's server has ended by itself, so everything ends.", file=sys.stderr)
                    return 1
    print("Stopped.")
    return 0


def _greeting(stack: Stack, options: Options, seconds: float) -> str:
    cloud = "moto" if stack.moto else "yours"
    graph = "yours" if options.graph_url else "simulated"
    step = "send a media id that your Graph knows" if options.graph_url else "choose a file, send it"
    return f"""
  Ready in {seconds:.1f} s. Everything runs on this machine, and forgets all when it ends.

    Inbox       {stack.page_url}   the simulator alone: /simulator
    API         {stack.api_url}   webhook: /webhook, media: /media/messages/<message_id>
    Edge        {stack.edge_url}   CloudFront's part
    Graph       {stack.graph_url}   Meta's part, {graph}
    AWS         {stack.access.endpoints[ENDPOINT]}   {cloud}

{_background(stack.template)}
  Next: open the inbox with the simulator beside it, {step}, and see it come back as an agent does.
  Addresses and credentials for scripts: {_shown(options.announcement)}   What the handlers log: {_shown(options.logs)}
{_door(stack, options)}  Ctrl-C ends it.
"""


def _door(stack: Stack, options: Options) -> str:
    if not stack.container_variables:
        return ""
    reached = containers.name_for_containers(options.listen)
    return f"  For sam local: {_shown(options.env_vars)}, whose containers reach all this as {reached}\n"


def _background(template: Template) -> str:
    workers = [f"    {source.function} takes jobs from the queue." for source in templates.queue_sources(template)]
    calls = [f"    {own.function} runs every {own.period:.0f} s." for own in templates.schedules(template)]
    return "".join(f"{line}\n" for line in (*workers, *calls))


def _shown(path: Path | None) -> str:
    return str(path.relative_to(ROOT)) if path else "standard error"


if __name__ == "__main__":
    sys.exit(main())
