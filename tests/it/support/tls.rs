//! A certificate authority of the test's own, and visitors who trust it.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, StreamOwned,
};
use socket2::Socket;
use tempfile::TempDir;

use super::{PATIENCE, Wire};

/// A certificate authority with a folder for what it issues.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "cloakroom's test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        fs::write(authority.root(), authority.issuer.pem()).unwrap();
        authority
    }

    /// Its own certificate, as a file.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("root.pem")
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Issues `NAME.pem` and `NAME.key` for these host names.
    pub(crate) fn issue(&self, name: &str, hosts: &[&str]) {
        self.issue_with(name, hosts, |_| {});
    }

    /// The same, changed as the test wants.
    pub(crate) fn issue_with(&self, name: &str, hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        let path = self.path(&format!("{name}.key"));
        fs::write(&path, key.serialize_pem()).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    /// `tls = …` with what was issued under these names.
    pub(crate) fn toml(&self, names: &[&str]) -> String {
        let entry = |name: &&str| {
            let path = |end: &str| self.path(&format!("{name}.{end}")).display().to_string();
            format!("{{ certificate = \"{}\", key = \"{}\" }}", path("pem"), path("key"))
        };
        let entries: Vec<_> = names.iter().map(entry).collect();
        format!("tls = {{ certificates = [{}] }}", entries.join(", "))
    }

    /// An app's side of TLS, with what was issued under this name.
    pub(crate) fn server(&self, name: &str) -> Server {
        let read = |end: &str| fs::read(self.path(&format!("{name}.{end}"))).unwrap();
        let chain = CertificateDer::pem_slice_iter(&read("pem")).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(&read("key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Server(Arc::new(config))
    }

    /// The same, where these protocols are spoken (ALPN).
    pub(crate) fn server_of(&self, name: &str, protocols: &[&str]) -> Server {
        let mut config = (*self.server(name).0).clone();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Server(Arc::new(config))
    }

    /// A visitor who trusts it.
    pub(crate) fn caller(&self) -> Caller {
        Caller::trusting(&self.root(), &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    /// One who trusts it, and shows what another (or itself) has issued under this name.
    pub(crate) fn caller_showing(&self, issuer: &Self, name: &str) -> Caller {
        let chain = CertificateDer::from_pem_file(issuer.path(&format!("{name}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(issuer.path(&format!("{name}.key"))).unwrap();
        self.caller().showing(vec![chain], &key)
    }

    /// One who speaks no more than TLS 1.2.
    pub(crate) fn old_caller(&self) -> Caller {
        Caller::trusting(&self.root(), &[&rustls::version::TLS12])
    }
}

/// A visitor who speaks TLS, and remembers the tickets that they were given.
#[derive(Clone)]
pub(crate) struct Caller(ClientConfig);

/// A connection of theirs.
pub(crate) type Sealed = Wire<StreamOwned<ClientConnection, TcpStream>>;

impl Caller {
    fn trusting(root: &Path, versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(16);
        Self(config)
    }

    /// With a certificate of their own.
    fn showing(mut self, chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>) -> Self {
        let key = aws_lc_rs::sign::any_supported_type(key).unwrap();
        let certified = CertifiedKey::new(chain, key);
        self.0.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        self
    }

    /// With these protocols to choose from (ALPN).
    pub(crate) fn offering(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// For clients that bring a stream of their own.
    pub(crate) fn config(self) -> ClientConfig {
        self.0
    }

    /// Connects and shakes hands.
    pub(crate) fn dial(&self, address: SocketAddr, host: &str) -> Result<Sealed, rustls::Error> {
        self.shake(TcpStream::connect_timeout(&address, PATIENCE).unwrap(), host)
    }

    /// Shakes hands on a connection that is there.
    pub(crate) fn shake(&self, mut tcp: TcpStream, host: &str) -> Result<Sealed, rustls::Error> {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut session = ClientConnection::new(Arc::new(self.0.clone()), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut tcp).map_err(|error| match error.downcast::<rustls::Error>() {
                Ok(error) => error,
                Err(error) => rustls::Error::General(error.to_string()),
            })?;
        }
        Ok(Wire::over(StreamOwned::new(session, tcp)))
    }
}

/// An app's side of a connection by TLS.
pub(crate) type Received = Wire<StreamOwned<ServerConnection, Socket>>;

/// An app that speaks TLS.
#[derive(Clone)]
pub(crate) struct Server(pub(crate) Arc<ServerConfig>);

impl Server {
    /// Shakes hands.
    pub(crate) fn shake(&self, socket: impl Into<Socket>) -> Result<Received, std::io::Error> {
        let mut socket = socket.into();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut session = ServerConnection::new(Arc::clone(&self.0)).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Wire::over(StreamOwned::new(session, socket)))
    }
}

impl Received {
    /// The name that was asked for (SNI).
    pub(crate) fn asked_for(&mut self) -> Option<String> {
        self.stream().conn.server_name().map(str::to_owned)
    }
}

impl Sealed {
    fn session(&mut self) -> &ClientConnection {
        &self.stream().conn
    }

    /// The version that was agreed on.
    pub(crate) fn version(&mut self) -> Option<ProtocolVersion> {
        self.session().protocol_version()
    }

    /// The protocol that was agreed on (ALPN).
    pub(crate) fn protocol(&mut self) -> Option<String> {
        self.session().alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned())
    }

    /// Whether the handshake was the short one.
    pub(crate) fn is_resumed(&mut self) -> bool {
        self.session().handshake_kind() == Some(HandshakeKind::Resumed)
    }
}
