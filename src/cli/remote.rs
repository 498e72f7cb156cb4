//! Verbs that talk to a cloakroom that runs, over its admin address.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{FAILED, WRONG, print};
use crate::{admin::RequestQuestion, app::state, config::Config};

/// Where the unit's runtime directory is, for whoever is not started by it.
const USUAL: &str = "/run/cloakroom/admin.sock";
/// How long an answer may take: a reload reads files.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer at most.
const MOST: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    #[error("[admin] address is \"off\": there is nobody to ask")]
    Off,
    #[error("no cloakroom answers on {place}: {why}; is it running, and may this user open it?")]
    Silent { place: String, why: io::Error },
    #[error("[admin] token: {0}")]
    Token(#[from] crate::config::SecretError),
    #[error("{0} gave an answer that cannot be read")]
    Garbled(String),
}

/// An answer.
pub(super) struct AdminReply {
    pub(super) status: u16,
    pub(super) json: Value,
}

impl AdminReply {
    /// What a refusal says.
    pub(super) fn detail(&self) -> String {
        let said = self.json.get("detail").or_else(|| self.json.get("message")).and_then(Value::as_str);
        said.map_or_else(|| format!("refused with status {}", self.status), str::to_owned)
    }
}

/// As it may stand in an address.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A cloakroom that runs.
pub(super) struct RemoteAdmin {
    config: Config,
}

impl RemoteAdmin {
    /// The one of this configuration.
    pub(super) fn of(file: &Path) -> Result<Self, ExitCode> {
        match Config::load(file) {
            Ok((config, _)) => Ok(Self { config }),
            Err(mistakes) => {
                print(&mistakes);
                Err(ExitCode::from(WRONG))
            }
        }
    }

    /// The one of a configuration that was read.
    pub(super) fn with(config: Config) -> Self {
        Self { config }
    }

    /// Asks what would become of a request.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) fn explain(&self, asked: &RequestQuestion) -> Result<AdminReply, RemoteError> {
        let listener = asked.listener.as_ref().map(|address| format!("&listener={}", encoded(address)));
        let path = format!(
            "/api/explain?from={}&https={}{}",
            encoded(&asked.from.to_string()),
            u8::from(asked.https),
            listener.unwrap_or_default()
        );
        self.send(("POST", &path, ""), &asked.raw)
    }

    /// Asks it, with further header lines.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) fn ask(&self, method: &str, path: &str, lines: &str) -> Result<AdminReply, RemoteError> {
        self.send((method, path, lines), b"")
    }

    fn send(
        &self,
        (method, path, lines): (&str, &str, &str),
        body: &[u8],
    ) -> Result<AdminReply, RemoteError> {
        let place = match self.config.admin.place() {
            Some(place) => place,
            None if self.config.admin.address == crate::config::AdminAddress::Off => {
                return Err(RemoteError::Off);
            }
            // The runtime directory is known to the service alone; whoever calls this from a shell
            // means the usual one.
            None => Ok(PathBuf::from(USUAL)),
        };
        let (name, host) = match &place {
            Ok(path) => (format!("unix:{}", path.display()), "localhost".to_owned()),
            Err(address) => (format!("http://{address}"), address.to_string()),
        };
        let token = match state::admin_token_source(&self.config) {
            Some(source) => {
                let token = source.read()?;
                format!("authorization: Bearer {}\r\n", String::from_utf8_lossy(token.expose().trim_ascii()))
            }
            None => String::new(),
        };
        let length =
            if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        // HTTP/1.0: the answer ends with the connection.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: {host}\r\nx-cloakroom-admin: 1\r\n{token}{lines}{length}\r\n"
        );
        let sent = [head.as_bytes(), body].concat();
        let exchanged = match &place {
            Ok(path) => UnixStream::connect(path).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, &sent)
            }),
            Err(address) => TcpStream::connect_timeout(address, PATIENCE).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, &sent)
            }),
        };
        let bytes = exchanged.map_err(|why| RemoteError::Silent { place: name.clone(), why })?;
        read(&bytes).ok_or(RemoteError::Garbled(name))
    }
}

fn exchange(mut stream: impl Read + Write, sent: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(sent)?;
    let mut bytes = Vec::new();
    stream.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read(bytes: &[u8]) -> Option<AdminReply> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(AdminReply { status, json: serde_json::from_str(body).unwrap_or(Value::Null) })
}

/// Asks, and shows the answer: as it is with `--json`, else as `show` makes it.
pub(super) fn tell(
    file: &Path,
    (method, path): (&str, &str),
    json: bool,
    show: impl FnOnce(&Value) -> String,
) -> ExitCode {
    tell_with(file, (method, path, ""), json, show)
}

/// The same with further header lines.
pub(super) fn tell_with(
    file: &Path,
    (method, path, lines): (&str, &str, &str),
    json: bool,
    show: impl FnOnce(&Value) -> String,
) -> ExitCode {
    let remote = match RemoteAdmin::of(file) {
        Ok(remote) => remote,
        Err(code) => return code,
    };
    let answered = match remote.ask(method, path, lines) {
        Ok(answered) => answered,
        Err(error) => {
            anstream::eprintln!("error: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let fine = answered.status == 200;
    if json {
        anstream::println!("{:#}", answered.json);
    } else if fine {
        anstream::println!("{}", show(&answered.json).trim_end());
    } else {
        anstream::eprintln!("error: {}", answered.detail());
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// A table: columns as wide as what stands in them.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heads.get(column).map(|head| head.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let all = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    line(heads.to_vec()) + &all.collect::<String>()
}

/// A value as a cell.
pub(super) fn cell(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
