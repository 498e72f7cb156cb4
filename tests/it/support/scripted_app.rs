//! An app on strings: each request says itself what its answer is to say.

use std::collections::BTreeMap;

use super::{App, Browser, Cloakroom, Reply, Request, Response};

impl Request {
    /// What cloakroom says of the session: every line of a header that the visitor did not send, by name.
    pub(crate) fn told(&self) -> BTreeMap<String, String> {
        let ours = |name: &str| name.starts_with("x-session-") || name == "session" || name == "remote-user";
        let lines = String::from_utf8_lossy(&self.head).into_owned();
        let lines = lines.lines().filter_map(|line| line.split_once(':'));
        let lines = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        lines
            .filter(|(name, _)| ours(name))
            .map(|(name, value)| (name.strip_prefix("x-session-").unwrap_or(&name).to_owned(), value))
            .collect()
    }
}

/// Each `x-answer` line of the request is a line of the answer, `x-status` its status.
pub(crate) fn obey(request: &Request) -> Reply {
    let status = request.header("x-status").and_then(|status| status.parse().ok()).unwrap_or(200);
    let told: Vec<_> = request.told().iter().map(|(name, value)| format!("{name}={value}")).collect();
    request.all("x-answer").into_iter().fold(Reply::text(told.join("\n")).status(status), Reply::with)
}

/// The header lines by which a request orders these lines of its answer.
pub(crate) fn orders(lines: &[&str]) -> String {
    lines.iter().fold(String::new(), |all, line| all + "x-answer: " + line + "\r\n")
}

/// The header line by which a request orders that its answer sets this cookie.
pub(crate) fn line(line: &str) -> String {
    format!("x-line: {line}\r\n")
}

impl App {
    /// An app that [obeys](obey), and whose text is what it was told of the session.
    pub(crate) fn scripted() -> Self {
        Self::start(obey)
    }

    /// An app that sets the cookies that it is sent under `x-line`, obeys `x-do`, and tells which cookies it got.
    pub(crate) fn setting() -> Self {
        Self::start(|request| {
            let saw = request.all("cookie").join(" | ");
            let lines = request.all("x-line").into_iter();
            let reply = lines.fold(Reply::text(saw), |reply, line| reply.with(format!("Set-Cookie: {line}")));
            request.all("x-do").into_iter().fold(reply, Reply::with)
        })
    }
}

impl Cloakroom {
    /// Before an app, with this TOML more.
    pub(crate) fn with(app: &App, toml: &str) -> Self {
        Self::before(app.address).config(toml).start()
    }
}

impl Response {
    /// What the app was told under this name.
    pub(crate) fn told(&self, name: &str) -> Option<String> {
        let text = self.text();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    }

    /// What the app was told of fields, principal included: `a=1 b=2`.
    pub(crate) fn fields(&self) -> String {
        let of_all = ["state=", "id=", "meta-", "proof="];
        let text = self.text();
        let lines: Vec<_> =
            text.lines().filter(|line| !of_all.iter().any(|name| line.starts_with(name))).collect();
        lines.join(" ")
    }
}

impl Browser {
    /// GET of a path; the answer has these lines.
    pub(crate) fn answered(&mut self, path: &str, lines: &[&str]) -> Response {
        self.answered_as(path, "", lines)
    }

    /// The same, with header lines more on the request, each ended by CR LF.
    pub(crate) fn answered_as(&mut self, path: &str, more: &str, lines: &[&str]) -> Response {
        self.get_with(path, &(orders(lines) + more))
    }

    /// What the app is told of fields and principal when a page is asked for that changes nothing.
    pub(crate) fn shown(&mut self) -> String {
        self.get("/").fields()
    }
}
