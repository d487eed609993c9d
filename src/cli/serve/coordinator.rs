//! The flags of `rig serve` that name a coordinator.

use std::fmt;
use std::time::Duration;

use super::Args;
use crate::cli::{Failure, values};
use crate::coordinator::Address;
use crate::limits::{LEASE_MAX, LEASE_MIN};
use crate::node::CoordinatorConfig;

/// In the place of a URL.
const NONE: &str = "none";
/// How long a primary that says nothing is believed to be there.
pub(super) const LEASE_DEFAULT: Duration = Duration::from_secs(3);

/// What `--coordinator` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// There.
    At(Address),
    /// Nowhere: the node is to go on without the one that it had.
    None,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::None => f.write_str(NONE),
        }
    }
}

pub(super) fn named(text: &str) -> Result<Named, String> {
    if text == NONE { Ok(Named::None) } else { address(text).map(Named::At) }
}

/// Reads the URL of a coordinator.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

pub(super) fn lease(text: &str) -> Result<Duration, String> {
    match values::positive_duration(text)? {
        lease if (LEASE_MIN..=LEASE_MAX).contains(&lease) => Ok(lease),
        _ => Err(format!("from {} to {}", values::show_duration(LEASE_MIN), values::show_duration(LEASE_MAX))),
    }
}

/// What they come to together.
pub(super) fn config(args: &Args) -> Result<Option<CoordinatorConfig>, Failure> {
    let (password, ca) = (&args.coordinator_password, &args.coordinator_ca);
    let Some(Named::At(address)) = &args.coordinator else {
        if password.is_some() || ca.is_some() || args.coordinator_lease.is_some() {
            return Err(Failure::usage(
                "--coordinator-lease, --coordinator-password and --coordinator-ca need --coordinator URL",
            ));
        }
        return Ok(None);
    };
    let refused = |why: &str, hint: &str| Err(Failure::usage(format!("--coordinator {address}: {why}")).hint(hint));
    if address.user().is_some() != password.is_some() {
        return refused(
            "user and password go together",
            "name the user in the URL, etcd://USER@HOST, and give --coordinator-password FILE",
        );
    }
    if address.is_secure() && ca.is_none() {
        return refused("there is no CA that its certificate could be checked by", "add --coordinator-ca FILE");
    }
    if !address.is_secure() && ca.is_some() {
        return refused("it is spoken to in the clear, and --coordinator-ca is given", "write it as etcds://");
    }
    Ok(Some(CoordinatorConfig {
        address: address.clone(),
        password: password.clone(),
        ca: ca.clone(),
        lease: args.coordinator_lease.unwrap_or(LEASE_DEFAULT),
    }))
}
