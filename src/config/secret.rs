//! Secrets: the configuration says where one lies; it is read when it is asked for, and never shown.

use std::{ffi::OsString, fmt, fs, io, path::PathBuf};

use zeroize::Zeroizing;

use super::{
    diagnostic::Diagnostic,
    unit,
    value::{TableReader, ValueProblem},
};

/// Where a secret lies: `{ credential = "…" }`, `{ file = "…" }` or `{ env = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `credential`: a file of that name in `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`).
    Credential(String),
    /// `file`: an absolute path.
    File(PathBuf),
    /// `env`: a variable of the environment.
    Env(String),
}

/// A secret. Wiped when it is dropped; shown as `MASKED`.
#[derive(Clone)]
pub struct SecretText(Zeroizing<Vec<u8>>);

/// A secret that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There are no credentials.
    #[error(
        "the credential {0:?} cannot be read: $CREDENTIALS_DIRECTORY is not set, as systemd does for a service, and the \
         unit cloakroom.service has no line LoadCredential={0}:/PATH"
    )]
    NoCredentials(String),
    /// A file cannot be read.
    #[error("the {what} {} cannot be read: {source}", path.display())]
    Unreadable {
        /// "credential" or "file".
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The variable is not there.
    #[error("the variable {0} is not set")]
    NoVariable(String),
    /// It is there, and there is nothing in it.
    #[error("the secret in {0} is empty")]
    Empty(String),
    /// It is far more than a secret.
    #[error("the secret in {0} is longer than 64 KiB")]
    TooLong(String),
}

const HELP: &str = "say where it lies: { credential = \"NAME\" }, { file = \"/PATH\" } or { env = \"NAME\" }";

/// No secret is longer.
const MOST: usize = 64 << 10;

impl SecretError {
    /// It may well be right: whoever looks cannot tell, since it is for the service alone.
    pub fn is_out_of_reach(&self) -> bool {
        match self {
            Self::NoCredentials(_) => true,
            Self::Unreadable { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::NoVariable(_) | Self::Empty(_) | Self::TooLong(_) => false,
        }
    }
}

impl SecretSource {
    /// Reads the secret as it is now. Line ends at its end do not belong to it: editors and `echo` add them.
    pub fn read(&self) -> Result<SecretText, SecretError> {
        self.read_by(environment)
    }

    fn read_by(&self, environment: impl Fn(&str) -> Option<OsString>) -> Result<SecretText, SecretError> {
        let bytes = match self {
            Self::Credential(name) => {
                let folder = environment("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
                // Beside the service: what it is handed at its start lies where its unit says.
                let path =
                    folder.map(|folder| PathBuf::from(folder).join(name)).or_else(|| unit::credential(name));
                file("credential", path.ok_or_else(|| SecretError::NoCredentials(name.clone()))?)?
            }
            Self::File(path) => file("file", path.clone())?,
            Self::Env(name) => environment(name)
                .map(|value| Zeroizing::new(value.into_encoded_bytes()))
                .ok_or_else(|| SecretError::NoVariable(name.clone()))?,
        };
        let end = bytes.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
        match bytes.get(..end) {
            None | Some([]) => Err(SecretError::Empty(self.to_string())),
            Some(secret) if secret.len() > MOST => Err(SecretError::TooLong(self.to_string())),
            Some(secret) => Ok(SecretText(Zeroizing::new(secret.to_vec()))),
        }
    }

    /// Reads a key, if it is there and right.
    pub(super) fn parse(reader: &TableReader<'_>, key: &'static str) -> Option<Self> {
        let name = reader.dotted(key);
        if reader.value(key).is_some_and(|value| !value.get_ref().is_table()) {
            // Without its place: the line would be shown, and what stands there may well be the secret.
            let message = format!("wrong type for `{name}`: a secret does not stand in this file");
            reader.notes().push(Diagnostic::error(message, None, "").help(HELP));
            return None;
        }
        Self::from_table(&reader.section(key), reader, key)
    }

    /// Reads an array of them.
    pub(super) fn parse_all(reader: &TableReader<'_>, key: &'static str) -> Vec<Self> {
        let items = reader.array(key, "an array of places of secrets");
        let read = |table: TableReader<'_>| Self::from_table(&table, reader, key);
        items.into_iter().filter_map(|item| reader.item(key, item)).filter_map(read).collect()
    }

    fn from_table(table: &TableReader<'_>, reader: &TableReader<'_>, key: &'static str) -> Option<Self> {
        let name = reader.dotted(key);
        let credential = table.parsed("credential", "the name of a credential", credential);
        let file = table.parsed("file", "an absolute path", path);
        let env = table.parsed("env", "the name of a variable", variable);
        table.finish();
        table.place.as_ref()?;
        let written = ["credential", "file", "env"].iter().filter(|key| table.span(key).is_some()).count();
        if written != 1 {
            let message = format!(
                "`{name}` names {} place of a secret",
                if written == 0 { "no" } else { "more than one" }
            );
            reader.notes().push(reader.error(key, message, "needs exactly one").help(HELP));
            return None;
        }
        credential.map(Self::Credential).or_else(|| file.map(Self::File)).or_else(|| env.map(Self::Env))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "the credential {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the variable {name}"),
        }
    }
}

impl SecretText {
    /// The secret itself: at least one byte. Never log it, and compare it in constant time.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MASKED")
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where secrets are read from the environment")]
pub(super) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn file(what: &'static str, path: PathBuf) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    fs::read(&path).map(Zeroizing::new).map_err(|source| SecretError::Unreadable { what, path, source })
}

/// systemd.exec(5): a file name, printable, without `/` and `:`.
fn credential(text: &str) -> Result<String, ValueProblem> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/:".contains(&byte);
    if text.is_empty() || text.len() > 255 || text.starts_with('.') || !text.bytes().all(plain) {
        return Err(ValueProblem::why("a file's name: no / and no leading dot"));
    }
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Result<PathBuf, ValueProblem> {
    if text.starts_with('/') && !text.contains('\0') {
        Ok(text.into())
    } else {
        Err(ValueProblem::why("must begin with /: a service runs in another folder than you"))
    }
}

/// IEEE Std 1003.1, section 8.1: no `=`.
fn variable(text: &str) -> Result<String, ValueProblem> {
    if text.is_empty() || text.contains(['=', '\0']) { Err(ValueProblem::VALUE) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_where_they_lie_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("plain", "s3cret"), ("echoed", "s3cret\r\n"), ("empty", "\n"), ("inner", "a\nb\n")]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::write(folder.path().join("long"), vec![b'x'; MOST + 1]).unwrap();
        let environment = |name: &str| match name {
            "CREDENTIALS_DIRECTORY" => Some(folder.path().into()),
            "SECRET" => Some("s3cret".into()),
            "NOTHING" => Some("".into()),
            _ => None,
        };
        let credential = |name: &str| SecretSource::Credential(name.to_owned());
        let file = |name: &str| SecretSource::File(folder.path().join(name));
        let env = |name: &str| SecretSource::Env(name.to_owned());
        for (source, wanted) in [
            (credential("plain"), Ok("s3cret")),
            (credential("echoed"), Ok("s3cret")),
            (credential("none"), Err("none cannot be read: No such file")),
            (credential("empty"), Err("the secret in the credential empty is empty")),
            (file("echoed"), Ok("s3cret")),
            (file("inner"), Ok("a\nb")),
            (file("none"), Err("the file ")),
            (file("long"), Err("is longer than 64 KiB")),
            (env("SECRET"), Ok("s3cret")),
            (env("NOTHING"), Err("the secret in the variable NOTHING is empty")),
            (env("OTHER"), Err("the variable OTHER is not set")),
        ] {
            match (source.read_by(environment), wanted) {
                (Ok(secret), Ok(wanted)) => {
                    assert_eq!(secret.expose(), wanted.as_bytes(), "{source}");
                    assert_eq!(format!("{secret:?}"), "MASKED");
                }
                (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
                (found, wanted) => panic!("{source}: {found:?}, not {wanted:?}"),
            }
        }
        let error = credential("plain").read_by(|_| None).unwrap_err().to_string();
        assert!(error.contains("$CREDENTIALS_DIRECTORY is not set"), "{error}");
    }
}
