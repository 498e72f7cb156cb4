"""A Flask app with sessions of its own and Flask-Login, below /account. Prints its port."""
import os
from datetime import datetime, timezone
from uuid import UUID

from flask import Flask, request, session
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from werkzeug.serving import make_server

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
manager = LoginManager(app)


class User(UserMixin):
    def __init__(self, name):
        self.id = name


@manager.user_loader
def load(name):
    return User(name)


@app.get("/account/login")
def login():
    login_user(User(request.args["name"]), remember="remember" in request.args)
    session.permanent = "permanent" in request.args
    return "logged in"


@app.get("/account/logout")
def logout():
    logout_user()
    return "logged out"


@app.post("/account/touch")
def touch():
    session["touched"] = session.get("touched", 0) + 1
    return current_user.id if current_user.is_authenticated else "nobody"


@app.get("/account/who")
def who():
    return current_user.id if current_user.is_authenticated else "nobody"


TYPES = {
    "pair": (1, "two"),
    "raw": b"\x00\xff",
    "when": datetime(2026, 11, 26, 12, 0, tzinfo=timezone.utc),
    "ticket": UUID(int=7),
    "big": 10**30,
    "list": [{"a": None}, 1.5],
}


@app.get("/account/keep")
def keep():
    session.update(TYPES)
    return "kept"


@app.get("/account/kept")
def kept():
    return "whole" if all(session.get(k) == v and type(session[k]) is type(v) for k, v in TYPES.items()) else "changed"


@app.get("/account/note")
def note():
    return repr(session.get("note"))


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()
