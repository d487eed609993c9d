//! `DIR/rig.toml`: the flags of `rig serve` that need not be typed, and their origins.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::coordinator::LEASE_DEFAULT;
use super::{Args, DRAIN_DEFAULT, LISTEN_DEFAULT, Plan, REQUEST_TIMEOUT_DEFAULT, SERVICE_DEFAULT};
use crate::cli::Failure;
use crate::cli::settings::{self, File, duration};
use crate::limits::{SCRUB_INTERVAL, SNAPSHOT_INTERVAL};
use crate::node::dir::DataDir;
use crate::node::{self, Origin, Setting};

/// The role is remembered by the node itself: in a file it would undo every promotion at the next start.
const TYPED_ONLY: &str = "role";

/// Reads the file of a directory.
pub(super) fn read(dir: &Path) -> Result<File<Args>, Failure> {
    settings::read(&dir.join(settings::OF_DIR), |key| key != TYPED_ONLY)
}

/// Where the file of a directory says that the node listens.
pub(crate) fn listens(dir: &Path) -> Result<bool, Failure> {
    read(dir).map(|file| file.args.listen.is_some())
}

/// The coordinator that the file of a directory names.
pub(crate) fn coordinator(dir: &Path) -> Option<String> {
    read(dir).ok()?.args.coordinator.map(|named| named.to_string())
}

impl Args {
    /// These, and what they leave open from a file.
    pub(super) fn or(self, file: Self) -> Self {
        Self {
            role: self.role,
            listen: self.listen.or(file.listen),
            advertise: self.advertise.or(file.advertise),
            peer: if self.peer.is_empty() { file.peer } else { self.peer },
            replication: self.replication.or(file.replication),
            min_replicas: self.min_replicas.or(file.min_replicas),
            sync_timeout: self.sync_timeout.or(file.sync_timeout),
            ack: self.ack.or(file.ack),
            request_timeout: self.request_timeout.or(file.request_timeout),
            service: self.service.or(file.service),
            proxy: self.proxy.or(file.proxy),
            tokens: self.tokens.or(file.tokens),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            tls_ca: self.tls_ca.or(file.tls_ca),
            insecure_plaintext: self.insecure_plaintext || file.insecure_plaintext,
            memory_max: self.memory_max.or(file.memory_max),
            scrub_interval: self.scrub_interval.or(file.scrub_interval),
            snapshot_interval: self.snapshot_interval.or(file.snapshot_interval),
            compact_keep: self.compact_keep.or(file.compact_keep),
            compact_age: self.compact_age.or(file.compact_age),
            on_event: self.on_event.or(file.on_event),
            coordinator: self.coordinator.or(file.coordinator),
            coordinator_lease: self.coordinator_lease.or(file.coordinator_lease),
            coordinator_password: self.coordinator_password.or(file.coordinator_password),
            coordinator_ca: self.coordinator_ca.or(file.coordinator_ca),
            log_format: self.log_format.or(file.log_format),
            drain: self.drain.or(file.drain),
        }
    }

    /// Every key with what these say of it.
    fn rows(&self) -> [(&'static str, Option<String>); 27] {
        let peers: Vec<_> = self.peer.iter().map(ToString::to_string).collect();
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let proxy = |url: &Option<String>| url.clone().unwrap_or_else(|| "true".to_owned());
        [
            ("listen", self.listen.clone()),
            ("advertise", self.advertise.as_ref().map(ToString::to_string)),
            ("peers", Some(peers.join(" ")).filter(|_| !peers.is_empty())),
            ("replication", self.replication.clone()),
            ("min_replicas", self.min_replicas.map(|number| number.to_string())),
            ("sync_timeout", self.sync_timeout.map(duration)),
            ("ack", self.ack.clone()),
            ("request_timeout", self.request_timeout.map(duration)),
            ("service", self.service.clone()),
            ("proxy", self.proxy.as_ref().map(proxy)),
            ("tokens", file(&self.tokens)),
            ("tls_cert", file(&self.tls_cert)),
            ("tls_key", file(&self.tls_key)),
            ("tls_ca", file(&self.tls_ca)),
            ("insecure_plaintext", self.insecure_plaintext.then(|| "true".to_owned())),
            ("memory_max", self.memory_max.map(|bytes| bytes.to_string())),
            ("scrub_interval", self.scrub_interval.map(duration)),
            ("snapshot_interval", self.snapshot_interval.map(interval)),
            ("compact_keep", self.compact_keep.map(|number| number.to_string())),
            ("compact_age", self.compact_age.map(duration)),
            ("on_event", self.on_event.clone()),
            ("coordinator", self.coordinator.as_ref().map(ToString::to_string)),
            ("coordinator_lease", self.coordinator_lease.map(duration)),
            ("coordinator_password", file(&self.coordinator_password)),
            ("coordinator_ca", file(&self.coordinator_ca)),
            ("log_format", self.log_format.clone()),
            ("drain", self.drain.map(duration)),
        ]
    }
}

/// As it is written: zero is no interval.
fn interval(time: Duration) -> String {
    if time.is_zero() { "off".to_owned() } else { duration(time) }
}

/// What holds where nobody says anything; nothing for what the log says then.
fn default_of(key: &str) -> Option<String> {
    match key {
        "listen" => Some(LISTEN_DEFAULT.to_owned()),
        "request_timeout" => Some(duration(REQUEST_TIMEOUT_DEFAULT)),
        "service" => Some(SERVICE_DEFAULT.to_owned()),
        "insecure_plaintext" => Some("false".to_owned()),
        "memory_max" => Some(node::default_memory_max().to_string()),
        "scrub_interval" => Some(duration(SCRUB_INTERVAL)),
        "snapshot_interval" => Some(duration(SNAPSHOT_INTERVAL)),
        "coordinator_lease" => Some(duration(LEASE_DEFAULT)),
        "log_format" => Some("text".to_owned()),
        "drain" => Some(duration(DRAIN_DEFAULT)),
        _ => None,
    }
}

/// Every setting as it holds, and who says so.
pub(super) fn settings(typed: &Args, file: &File<Args>) -> Vec<Setting> {
    let all = typed.clone().or(file.args.clone()).rows();
    let origin = |key: &str, typed: &Option<String>| match (typed, file.origin(key)) {
        (Some(_), _) => Origin::Flag,
        (None, Some(line)) => line,
        (None, None) => Origin::Default,
    };
    let each = typed.rows().into_iter().zip(all);
    each.map(|((key, typed), (_, value))| {
        let origin = origin(key, &typed);
        Setting { key, value: value.or_else(|| default_of(key)), origin }
    })
    .collect()
}

/// How the running node reads the file again, under the same flags.
pub(super) fn live(typed: Args, dir: DataDir) -> node::Live {
    let file = dir.path().join(settings::OF_DIR);
    let read = move || {
        let again = || {
            let plan = Plan::of(typed.clone(), &read(dir.path())?, dir.clone())?;
            Ok::<_, Failure>(node::Reread {
                settings: plan.settings,
                request_timeout: plan.request_timeout,
                snapshot_interval: plan.snapshot_interval,
                compact_keep: plan.compact_keep,
                compact_age: plan.compact_age,
                drain: plan.drain,
            })
        };
        again().map_err(|failure| failure.message)
    };
    node::Live { file, read: Arc::new(read) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    fn args(line: &[&str]) -> Args {
        let command = Args::augment_args(clap::Command::new("serve").no_binary_name(true));
        clap::FromArgMatches::from_arg_matches(&command.try_get_matches_from(line).unwrap()).unwrap()
    }

    #[test]
    fn every_flag_but_the_role_is_a_key_with_a_row() {
        let command = Args::augment_args(clap::Command::new("serve"));
        let mut keys: Vec<_> = command.get_arguments().filter_map(settings::key_of).collect();
        keys.retain(|key| key != TYPED_ONLY);
        assert_eq!(keys, args(&[]).rows().map(|(key, _)| key));
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let text = "drain = \"3s\"\nlisten = \"127.0.0.1:1\"\npeers = [\"http://a:1\", \"http://b:2\"]\n\
                    insecure_plaintext = true\ntokens = \"tokens\"\nproxy = true\nmin_replicas = 2\n";
        std::fs::write(dir.path().join("rig.toml"), text).unwrap();
        let file = read(dir.path()).unwrap();
        let shown = settings(&args(&["--listen", "127.0.0.1:2"]), &file);
        let of = |key: &str| {
            let setting = shown.iter().find(|setting| setting.key == key).unwrap();
            (setting.value.clone().unwrap_or_default(), setting.origin.clone())
        };
        let line = |number| Origin::File(dir.path().join("rig.toml"), number);
        assert_eq!(of("listen"), ("127.0.0.1:2".to_owned(), Origin::Flag));
        assert_eq!(of("drain"), ("3s".to_owned(), line(1)));
        assert_eq!(of("peers"), ("http://a:1 http://b:2".to_owned(), line(3)));
        assert_eq!(of("insecure_plaintext"), ("true".to_owned(), line(4)));
        assert_eq!(of("tokens"), (dir.path().join("tokens").display().to_string(), line(5)));
        assert_eq!(of("proxy"), ("true".to_owned(), line(6)));
        assert_eq!(of("min_replicas"), ("2".to_owned(), line(7)));
        assert_eq!(of("request_timeout"), ("5s".to_owned(), Origin::Default));
        assert_eq!(of("replication"), (String::new(), Origin::Default));
    }

    #[test]
    fn the_role_is_not_for_a_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("rig.toml"), "role = \"primary\"\n").unwrap();
        assert!(read(dir.path()).unwrap_err().message.ends_with("unknown key `role`"));
    }

    #[test]
    fn values_are_checked_by_the_flags_themselves() {
        for text in [
            "request_timeout = \"0s\"",
            "request_timeout = \"61s\"",
            "replication = \"fast\"",
            "peers = [1]",
            "drain = 10",
            "ack = true",
        ] {
            assert!(read_text(text).unwrap_err().message.contains("rig.toml:1:"), "{text}");
        }
    }

    fn read_text(text: &str) -> Result<File<Args>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("rig.toml"), text).unwrap();
        read(dir.path())
    }
}
