"""The CRM: its webhook, its login, its page.

    flask --app examples.crm.app run --port 9000

Reads from the environment: CRM_DATABASE (a file), CRM_SECRET_KEY (signs its session cookie), CRM_AGENTS (JSON, by name:
`password_hash` and the `phone_numbers` whose messages the agent sees), CRM_PLAIN_HTTP ("yes" on a developer's machine);
APP_SECRET and VERIFY_TOKEN (Meta's app); API_URL, EDGE_URL and MEDIA_TOKEN_SECRET (the media service).
"""

import hmac
import json
import os
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

import click
from flask import Flask, Response, abort, current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from examples.crm import store
from examples.crm.media import media_token, media_url
from examples.crm.webhook import is_signed, rows_of

OPEN_TO_ALL = frozenset({"verify", "receive", "login", "enter", "static"})
NOBODY = generate_password_hash("")


def create_app(environment: Mapping[str, str] = os.environ) -> Flask:
    """Make the application. Raises `KeyError` for a setting that is missing."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=environment["CRM_SECRET_KEY"],
        SESSION_COOKIE_NAME="crm_session",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=environment.get("CRM_PLAIN_HTTP") != "yes",
        MAX_CONTENT_LENGTH=4 * 1024 * 1024,
        AGENTS=json.loads(environment["CRM_AGENTS"]),
        **{
            name: environment[name]
            for name in ("CRM_DATABASE", "APP_SECRET", "VERIFY_TOKEN", "API_URL", "EDGE_URL", "MEDIA_TOKEN_SECRET")
        },
    )
    app.before_request(only_agents)
    app.after_request(with_precautions)
    app.add_url_rule("/webhook", view_func=verify, methods=["GET"])
    app.add_url_rule("/webhook", view_func=receive, methods=["POST"])
    app.add_url_rule("/login", view_func=login, methods=["GET"])
    app.add_url_rule("/login", view_func=enter, methods=["POST"])
    app.add_url_rule("/logout", view_func=leave, methods=["POST"])
    app.add_url_rule("/", view_func=messages, methods=["GET"])
    app.cli.add_command(export)
    return app


def setting(name: str) -> Any:
    """Give a setting of the running application."""
    return current_app.config[name]


# ---- Meta's webhook: as before; with forwarding it is the media service that calls it, with Meta's bytes ----


def verify() -> ResponseReturnValue:
    """Answer Meta's question whether this address is ours: needed as long as Meta calls it itself."""
    token = request.args.get("hub.verify_token", "")
    if not hmac.compare_digest(token.encode(), setting("VERIFY_TOKEN").encode()):
        abort(403)
    return Response(request.args.get("hub.challenge", ""), content_type="text/plain")


def receive() -> ResponseReturnValue:
    """Store what Meta has signed. Anything but 2xx brings it again, later."""
    body = request.get_data()
    if not is_signed(body, request.headers.get("X-Hub-Signature-256", ""), setting("APP_SECRET")):
        abort(401)
    with database() as opened:
        store.add(opened, rows_of(body))
    return "", 204


# ---- The agents' session: as before ----


def only_agents() -> ResponseReturnValue | None:
    """Send everybody to the login who has no session, whatever they ask for."""
    if request.endpoint in OPEN_TO_ALL or session.get("agent") in setting("AGENTS"):
        return None
    return redirect(url_for("login"))


def login() -> ResponseReturnValue:
    """Show the form."""
    return render_template("login.html")


def enter() -> ResponseReturnValue:
    """Begin a session, for the right name and password. A name that nobody has takes as long to refuse."""
    name = request.form["name"]
    known = setting("AGENTS").get(name, {})
    if not check_password_hash(known.get("password_hash", NOBODY), request.form["password"]) or not known:
        return render_template("login.html", wrong=True), 403
    session.clear()
    session["agent"] = name
    return redirect(url_for("messages"), 303)


def leave() -> ResponseReturnValue:
    """End the session."""
    session.clear()
    return redirect(url_for("login"), 303)


# ---- The page: new is that the address of each media is the media service's, with a token for this agent ----


def messages() -> ResponseReturnValue:
    """Show the newest messages of the numbers that the agent answers."""
    numbers = setting("AGENTS")[session["agent"]]["phone_numbers"]
    token = media_token(setting("MEDIA_TOKEN_SECRET"), numbers, time.time())

    def address(row: sqlite3.Row, **query: str) -> str:
        return media_url(setting("API_URL"), dict(row), token, **query)

    with database() as opened:
        rows = store.newest(opened, numbers)
    return render_template("messages.html", rows=rows, media=address, agent=session["agent"])


def with_precautions(response: Response) -> Response:
    """Let the page load media from the API and, where that redirects to, the edge; and nothing else from elsewhere."""
    api, media = setting("API_URL"), f"{setting('API_URL')} {setting('EDGE_URL')}"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self'; script-src 'self'; connect-src {api}; img-src {media};"
        f" media-src {media}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


# ---- For the operator ----


@click.command("export")
def export() -> None:
    """Write all rows as JSON lines, for the media service's backfill."""
    with database() as opened:
        for row in store.everything(opened):
            click.echo(json.dumps(row))


def database() -> Any:
    """Open the CRM's database."""
    return store.opened(setting("CRM_DATABASE"))
