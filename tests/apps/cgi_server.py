"""Runs app.cgi for every request. Prints its port: python3 tests/apps/cgi_server.py

CGIHTTPRequestHandler alone hands on only a few headers and always answers 200; a web server's CGI
hands on every header as HTTP_* (RFC 3875, 4.1.18) and obeys Status.
"""
import os
import subprocess
import sys
from http.server import CGIHTTPRequestHandler, ThreadingHTTPServer

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "app.cgi")


class Handler(CGIHTTPRequestHandler):
    def is_cgi(self):
        return True

    def do_GET(self):
        self.run_cgi()

    def do_POST(self):
        self.run_cgi()

    def run_cgi(self):
        path, _, query = self.path.partition("?")
        environ = dict(os.environ, GATEWAY_INTERFACE="CGI/1.1", REQUEST_METHOD=self.command, PATH_INFO=path,
                       QUERY_STRING=query, CONTENT_LENGTH=self.headers.get("Content-Length", ""))
        for name, value in self.headers.items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run([SCRIPT], env=environ, input=body, stdout=subprocess.PIPE, check=True)
        head, _, text = done.stdout.partition(b"\n\n")
        lines = [line.split(":", 1) for line in head.decode("latin-1").splitlines()]
        status = next((value for name, value in lines if name == "Status"), "200 OK").strip()
        self.send_response(int(status[:3]))
        for name, value in lines:
            if name != "Status":
                self.send_header(name, value.strip())
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
