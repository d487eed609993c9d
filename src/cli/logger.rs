//! The node's own messages on stderr: one line each, with its time and level.
//!
//! `RIG_LOG` sets what is said: error, warn, info (the default), debug, trace or off.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

use crate::types::format_time;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let time = format_time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        let level = record.level().as_str().to_ascii_lowercase();
        // A closed stderr is no reason to stop a node.
        drop(writeln!(std::io::stderr(), "{time} {level}: {}", record.args()));
    }

    fn flush(&self) {}
}

/// Messages go to stderr from now on.
pub(super) fn start() {
    let wanted = std::env::var("RIG_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::Info);
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(wanted);
    }
}
