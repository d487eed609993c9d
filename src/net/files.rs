//! The files of certificates and keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Fault;

/// A chain of certificates or a key, with much to spare.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a node's certificate, its key, and the CA of its peers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those between it and its CA.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CA whose certificates other nodes must show.
    pub ca: Option<PathBuf>,
}

impl Files {
    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.cert, &self.key].into_iter().chain(&self.ca).map(PathBuf::as_path)
    }
}

/// The bytes of a file that is given by this flag.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nobody reads certificates there"))]
pub(super) fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Fault> {
    let bad = |why: String| Fault::new(format!("{flag} {}: {why}", path.display()), "name a file in PEM format");
    let metadata = fs::metadata(path).map_err(|error| bad(error.to_string()))?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(bad("the file is too large for a certificate or a key".to_owned()));
    }
    fs::read(path).map_err(|error| bad(error.to_string()))
}

/// The same for a key, which only its owner may read.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nobody reads keys there"))]
pub(super) fn read_key(flag: &str, path: &Path) -> Result<Vec<u8>, Fault> {
    let bytes = read(flag, path)?;
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        let what = format!("{flag} {}: the key can be read by others than its owner", path.display());
        return Err(Fault::new(what, format!("chmod 600 {}", path.display())));
    }
    Ok(bytes)
}
