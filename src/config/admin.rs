//! `[admin]`: where the operator looks.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    secret::{SecretSource, environment},
    value::{TableReader, ValueProblem},
};

/// `[admin]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// `address`
    pub address: AdminAddress,
    /// `group`: whose members may open the unix socket, beside the user that runs it.
    pub group: Option<String>,
    /// `token`: of the API on TCP; absent: made on the first start and kept in the state directory.
    pub token: Option<SecretSource>,
}

/// `address`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AdminAddress {
    /// `""`: `admin.sock` in the runtime directory, where there is one; else nowhere.
    #[default]
    Default,
    /// `"unix:/run/cloakroom/admin.sock"`
    Unix(PathBuf),
    /// `"127.0.0.1:9900"`
    Tcp(SocketAddr),
    /// `"off"`
    Off,
}

const EXPECTED: &str = "\"unix:/run/cloakroom/admin.sock\", \"127.0.0.1:9900\" or \"off\"";

impl AdminConfig {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        let admin = Self {
            address: reader.parsed("address", EXPECTED, parse).unwrap_or_default(),
            group: reader.parsed("group", "the name of a group", |name| {
                let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                (!name.is_empty() && name.bytes().all(fine))
                    .then(|| name.to_owned())
                    .ok_or(ValueProblem::VALUE)
            }),
            token: SecretSource::parse(reader, "token"),
        };
        reader.finish();
        admin
    }

    /// The path of the unix socket, or the address; `None`: nobody is to look.
    pub fn place(&self) -> Option<Result<PathBuf, SocketAddr>> {
        match &self.address {
            AdminAddress::Default => {
                let folder = environment("RUNTIME_DIRECTORY")?;
                // systemd.exec(5): several are parted by colons.
                let first = folder.to_str()?.split(':').next().filter(|first| !first.is_empty())?;
                Some(Ok(PathBuf::from(first).join("admin.sock")))
            }
            AdminAddress::Unix(path) => Some(Ok(path.clone())),
            AdminAddress::Tcp(address) => Some(Err(*address)),
            AdminAddress::Off => None,
        }
    }
}

fn parse(text: &str) -> Result<AdminAddress, ValueProblem> {
    match text {
        "" => return Ok(AdminAddress::Default),
        "off" => return Ok(AdminAddress::Off),
        _ => {}
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') && !path.contains('\0') {
            Ok(AdminAddress::Unix(path.into()))
        } else {
            Err(ValueProblem::why("expected an absolute path after `unix:`"))
        };
    }
    text.parse().map(AdminAddress::Tcp).map_err(|_| ValueProblem::VALUE)
}
