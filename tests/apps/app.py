"""A legacy WSGI app without sessions of its own. Prints its port: python3 tests/apps/app.py"""
import sys
from urllib.parse import parse_qs, quote, unquote
from wsgiref.simple_server import make_server


def app(environ, start_response):
    def field(name):
        return unquote(environ.get("HTTP_X_SESSION_" + name, ""))

    path, headers, status, text = environ["PATH_INFO"], [], "200 OK", "not found"
    if path == "/visit":
        visits = int(field("VISITS") or 0) + 1
        headers, text = [("X-Session-Set-Visits", str(visits))], f"visits={visits}"
    elif path == "/login":
        name = parse_qs(environ["QUERY_STRING"]).get("name", [""])[0]
        headers, text = [("X-Session-Principal", quote(name))], "logged in"
    elif path == "/logout":
        headers, text = [("X-Session-Principal", "")], "logged out"
    elif path == "/store":
        headers, text = [("X-Session-Set-Note", quote('Zoë 100% + "quoted"; ü'))], "stored"
    elif path == "/read":
        text = field("NOTE")
    elif path == "/who":
        text = field("PRINCIPAL")
    else:
        status = "404 Not Found"
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers])
    return [text.encode()]


if __name__ == "__main__":
    server = make_server("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0, app)
    print(server.server_port, flush=True)
    server.serve_forever()
