//! What a node shows and whom it trusts, and whom a client trusts: files become configurations here.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use sha2::{Digest, Sha256};

use super::super::{Fault, Files, Stream, files};
use super::{Tls, words};

const PEM: &str = "name a file in PEM format";

/// A node's certificate with its key, and the CA of its peers.
#[derive(Clone)]
pub struct Identity {
    server: Arc<ServerConfig>,
    peers: Option<Trust>,
    /// Of the files that it was read from.
    digest: [u8; 32],
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peers", &self.peers).finish_non_exhaustive()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Identity {
    /// Reads the files, and holds the key against the certificate.
    pub fn load(files: &Files) -> Result<Self, Fault> {
        let (cert, key) = (files::read("--tls-cert", &files.cert)?, files::read_key("--tls-key", &files.key)?);
        let ca =
            files.ca.as_deref().map(|path| files::read("--tls-ca", path).map(|bytes| (path, bytes))).transpose()?;
        let mut digest = Sha256::new();
        for bytes in [&cert, &key].into_iter().chain(ca.as_ref().map(|(_, bytes)| bytes)) {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
        let chain = chain("--tls-cert", &files.cert, &cert)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
            Fault::new(format!("--tls-key {}: there is no private key in it", files.key.display()), PEM)
        })?;
        let roots = ca.as_ref().map(|(path, bytes)| roots(path, bytes)).transpose()?;
        let pair = |error: &rustls::Error| words::pair(error, files);
        let builder = server_builder()?;
        let mut server = match &roots {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
                let verifier = verifier.allow_unauthenticated().build().map_err(internal)?;
                builder.with_client_cert_verifier(verifier)
            }
        }
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(|error| pair(&error))?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let peers = match (ca, roots) {
            (Some((path, _)), Some(roots)) => {
                let config = client_builder(&roots)?;
                let config = config.with_client_auth_cert(chain, key).map_err(|error| pair(&error))?;
                Some(Trust { config: Arc::new(config), file: path.to_owned() })
            }
            _ => None,
        };
        Ok(Self { server: Arc::new(server), peers, digest: digest.finalize().into() })
    }

    /// The stream on a socket that was accepted.
    pub fn accept<S: Read + Write>(&self, socket: S) -> Result<Stream<S>, Fault> {
        let session = ServerConnection::new(Arc::clone(&self.server)).map_err(internal)?;
        Ok(Stream::Tls(Box::new(Tls::new(socket, session.into(), None))))
    }

    /// Whether other nodes must show a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        self.peers.is_some()
    }

    /// How other nodes are dialled; nothing where no CA is known for them.
    pub fn peers(&self) -> Option<&Trust> {
        self.peers.as_ref()
    }
}

/// Whose certificates are believed.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    file: PathBuf,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trust").field(&self.file).finish()
    }
}

impl Trust {
    /// Reads the certificates of one CA or several.
    pub fn load(ca: &Path) -> Result<Self, Fault> {
        let roots = roots(ca, &files::read("--tls-ca", ca)?)?;
        let config = client_builder(&roots)?.with_no_client_auth();
        Ok(Self { config: Arc::new(config), file: ca.to_owned() })
    }

    /// The file that it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The stream on a socket that is, or will be, connected to this host.
    pub fn dial<S: Read + Write>(&self, host: &str, socket: S) -> Result<Stream<S>, Fault> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
            Fault::new(format!("{host} is no name that a certificate can have"), "name the host otherwise")
        })?;
        let session = ClientConnection::new(Arc::clone(&self.config), name).map_err(internal)?;
        Ok(Stream::Tls(Box::new(Tls::new(socket, session.into(), Some(bare.to_owned())))))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

type ServerBuilder = rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>;
type ClientBuilder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn server_builder() -> Result<ServerBuilder, Fault> {
    ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(internal)
}

fn client_builder(roots: &Arc<RootCertStore>) -> Result<ClientBuilder, Fault> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(internal)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider());
    Ok(builder.with_webpki_verifier(verifier.build().map_err(internal)?))
}

fn internal(error: impl fmt::Display) -> Fault {
    Fault::new(format!("TLS: {error}"), "give other files, or serve without them")
}

fn chain(flag: &str, path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let bad = |why: &str| Fault::new(format!("{flag} {}: {why}", path.display()), PEM);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let chain = chain.map_err(|_| bad("it is not PEM"))?;
    if chain.is_empty() { Err(bad("there is no certificate in it")) } else { Ok(chain) }
}

fn roots(path: &Path, bytes: &[u8]) -> Result<Arc<RootCertStore>, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in chain("--tls-ca", path, bytes)? {
        roots.add(certificate).map_err(|error| {
            Fault::new(format!("--tls-ca {}: a certificate in it cannot be used: {error}", path.display()), PEM)
        })?;
    }
    Ok(Arc::new(roots))
}
