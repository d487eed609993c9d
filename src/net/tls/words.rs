//! What `rustls` says, for people.

use rustls::{AlertDescription, CertificateError, Error};

use super::super::{Fault, Files};

const RENEW: &str = "renew it where the node runs: files that are put in its place are read within a second or two";

/// Why a stream cannot go on; `host` is whom we have dialled, if we have.
pub(super) fn fault(error: &Error, host: Option<&str>) -> Fault {
    match error {
        Error::InvalidCertificate(why) => certificate(why, host),
        Error::AlertReceived(alert) => alerted(*alert),
        Error::NoCertificatesPresented => {
            Fault::new("it shows no certificate", "give it --tls-cert and --tls-key, of a CA that is trusted here")
        }
        Error::InvalidMessage(_) if host.is_some() => {
            Fault::new("it does not speak TLS", "write http:// if it is a plain node")
        }
        other => Fault {
            is_serious: false,
            ..Fault::new(format!("TLS: {other}"), "look at both ends' versions and ciphers")
        },
    }
}

fn certificate(why: &CertificateError, host: Option<&str>) -> Fault {
    let here = host.map_or("its certificate".to_owned(), |host| format!("the certificate of {host}"));
    match why {
        CertificateError::UnknownIssuer => Fault::new(
            format!("{here} is not signed by the CA that is trusted here"),
            "give the CA that has signed it: --tls-ca FILE",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Fault::new(format!("{here} has expired"), RENEW)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Fault::new(format!("{here} is not valid yet"), "compare the clocks of both machines")
        }
        CertificateError::NotValidForName => Fault::new(format!("{here} does not have this name"), NAME),
        CertificateError::NotValidForNameContext { presented, .. } => {
            Fault::new(format!("{here} does not have this name, it has {}", presented.join(", ")), NAME)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Fault::new(
            format!("{here} is not for this use"),
            "its extendedKeyUsage must hold serverAuth, and clientAuth for a node that dials others",
        ),
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => Fault::new(
            format!("{here} is that of a CA itself"),
            "sign one for the node with it, or make it with basicConstraints=CA:FALSE",
        ),
        other => Fault::new(format!("{here} is not good: {other}"), "make a new one"),
    }
}

const NAME: &str = "use a name that it has, or make one that has this name (subjectAltName)";

/// The other side has given up, and says why.
fn alerted(alert: AlertDescription) -> Fault {
    let what = match alert {
        AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "it does not trust the certificate of this side".to_owned()
        }
        AlertDescription::CertificateExpired => "it says that the certificate of this side has expired".to_owned(),
        AlertDescription::CertificateRequired => "it asks for a certificate".to_owned(),
        other => format!("it ends the connection: {other:?}"),
    };
    Fault::new(what, "look at its messages: they name the reason")
}

/// A certificate and a key that do not fit.
pub(super) fn pair(error: &Error, files: &Files) -> Fault {
    let (cert, key) = (files.cert.display(), files.key.display());
    match error {
        Error::InconsistentKeys(_) => Fault::new(
            format!("--tls-key {key}: it is not the key of --tls-cert {cert}"),
            "give the key that the certificate was made with",
        ),
        other => Fault::new(format!("--tls-cert {cert} with --tls-key {key}: {other}"), "make both anew"),
    }
}
