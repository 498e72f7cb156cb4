"""A Flask app that leaves its sessions to cloakroom. Prints its port: python3 tests/apps/flask_app.py"""
import sys
from urllib.parse import quote, unquote

from flask import Flask, request
from werkzeug.serving import make_server

app = Flask(__name__)


def field(name):
    return unquote(request.headers.get("X-Session-" + name, ""))


@app.get("/visit")
def visit():
    visits = int(field("Visits") or 0) + 1
    return f"visits={visits}", {"X-Session-Set-Visits": str(visits)}


@app.get("/login")
def login():
    return "logged in", {"X-Session-Principal": quote(request.args.get("name", ""))}


@app.get("/logout")
def logout():
    return "logged out", {"X-Session-Principal": ""}


@app.get("/store")
def store():
    return "stored", {"X-Session-Set-Note": quote('Zoë 100% + "quoted"; ü')}


@app.get("/read")
def read():
    return field("Note")


@app.get("/who")
def who():
    return field("Principal")


if __name__ == "__main__":
    server = make_server("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0, app)
    print(server.server_port, flush=True)
    server.serve_forever()
