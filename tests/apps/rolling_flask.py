"""A Flask app with permanent sessions: each answer sets its cookie anew. Prints its port."""
from flask import Flask, request, session
from werkzeug.serving import make_server

app = Flask(__name__)
app.secret_key = "dev-secret-1"


@app.get("/login")
def login():
    session.clear()
    session["who"] = request.args["name"]
    session.permanent = True
    return "logged in"


@app.get("/who")
def who():
    return session.get("who", "nobody")


@app.post("/touch")
def touch():
    session["touched"] = session.get("touched", 0) + 1
    return session.get("who", "nobody")


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()
