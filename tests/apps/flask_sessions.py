"""Flask's own sessions, cookie by cookie, in step with a test: each line out is answered by a line in.

    written SEED COUNT  random sessions: a cookie out; back comes the cookie as the other side wrote it anew, and what it
                        would show an app, as JSON. Held against what was in the session.
    read COUNT          a cookie and JSON of what is in it come in; held against what Flask finds there.
"""
import base64, json, random, sys, unicodedata, uuid
from datetime import datetime, timedelta, timezone

from flask import Flask
from markupsafe import Markup
from werkzeug.http import http_date

app = Flask(__name__)
app.secret_key = "dev-secret-1"
app.config["SECRET_KEY_FALLBACKS"] = ["dev-secret-0"]
flask = app.session_interface

TAGS = [" di", " t", " b", " m", " u", " d"]
LETTERS = "abcXYZ 019_-\"\\/<>&';,=%\n\t\x00\x7fëßé日本🎩\u2028\uffff\ud800"


def text(dice):
    kind = dice.random()
    if kind < 0.1:
        return dice.choice(["abc", "ë🎩", " "]) * dice.randrange(400)
    return "".join(dice.choices(LETTERS if kind < 0.5 else "abcdefgh ", k=dice.randrange(20)))


def name(dice):
    return dice.choice(TAGS) if dice.random() < 0.15 else text(dice)


def value(dice, deep=0):
    kind = dice.randrange(15 if deep < 4 else 11)
    if kind < 3:
        return text(dice)
    if kind == 3:
        return dice.choice([None, True, False])
    if kind == 4:
        return dice.choice([0, -1, 2**53 + 1, 10**40, -(2**64), dice.randrange(10**9)])
    if kind == 5:
        return dice.choice([0.1, -0.0, 1e300, 5e-324, 1.5, float("inf"), dice.random()])
    if kind == 6:
        return dice.randbytes(dice.randrange(40))
    if kind == 7:
        return Markup(text(dice))
    if kind == 8:
        return uuid.UUID(int=dice.getrandbits(128))
    if kind < 11:
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=dice.randrange(4 * 10**9))
    if kind == 11:
        return tuple(value(dice, deep + 1) for _ in range(dice.randrange(4)))
    if kind == 12:
        return [value(dice, deep + 1) for _ in range(dice.randrange(4))]
    if kind == 13:
        return {dice.choice(TAGS): value(dice, deep + 1)}
    return {name(dice): value(dice, deep + 1) for _ in range(dice.randrange(5))}


def same(a, b):
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return sorted(a) == sorted(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b) if isinstance(a, float) else a == b


def shown(v):
    """What an app that knows no Python is to be shown."""
    if isinstance(v, bytes):
        return base64.b64encode(v).decode()
    if isinstance(v, (Markup, uuid.UUID)):
        return str(v)
    if isinstance(v, datetime):
        return http_date(v)
    if isinstance(v, (tuple, list)):
        return [shown(x) for x in v]
    if isinstance(v, dict):
        return {k: shown(x) for k, x in v.items()}
    if isinstance(v, float) and v in (float("inf"), float("-inf")):
        raise ValueError
    return v


def fields(session):
    """The shown ones of a session, where a field can hold them."""
    found = {}
    for k, v in session.items():
        try:
            v = shown(v)
        except ValueError:
            continue
        control = isinstance(v, str) and any(unicodedata.category(c) in ("Cc", "Cs") for c in v)
        if not control and not any(unicodedata.category(c) == "Cs" for c in k):
            found[k] = v
    return found


def write(data):
    """As save_session writes it, in Set-Cookie."""
    with app.test_request_context():
        session = flask.session_class()
        session.update(data)
        response = app.response_class()
        flask.save_session(app, session, response)
        return response.headers["Set-Cookie"].split("session=")[1].split(";")[0]


def read(cookie):
    """As open_session finds it."""
    with app.test_request_context(headers={"Cookie": f"session={cookie}"}) as context:
        return dict(flask.open_session(app, context.request))


def written(seed, count):
    dice = random.Random(seed)
    deflated = 0
    for turn in range(count):
        data = {name(dice): value(dice) for _ in range(dice.randrange(1, 7))}
        if dice.random() < 0.2:
            data["_permanent"] = True
        cookie = write(data)
        deflated += cookie.startswith(".")
        print(cookie, flush=True)
        again, told = sys.stdin.readline().rstrip("\n").split("\t")
        assert again, f"{turn}: not read: {data!r}"
        assert same(read(again), data), f"{turn}: {data!r} came back as {read(again)!r}"
        assert same(json.loads(told), fields(data)), f"{turn}: {data!r} is shown as {told}"
    print(f"{deflated} of {count} deflated", flush=True)


def read_all(count):
    for turn in range(count):
        cookie, told = sys.stdin.readline().rstrip("\n").split("\t")
        assert same(read(cookie), json.loads(told)), f"{turn}: {told} is read as {read(cookie)!r}"
        print("read", flush=True)


if sys.argv[1] == "written":
    written(int(sys.argv[2]), int(sys.argv[3]))
else:
    read_all(int(sys.argv[2]))
