//! The node's own messages on stderr: one line each, with its time and level, for people or as JSON.
//!
//! `RIG_LOG` sets what is said: error, warn, info (the default), debug, trace or off. As JSON a line has `time`,
//! `level` and `message`, or instead of the message `event` with the object of an event.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::{Value, json};

use crate::types::format_time;

struct Stderr {
    json: bool,
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let time = format_time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        let line = line(self.json, &time, record.level(), &record.args().to_string());
        // A closed stderr is no reason to stop a node.
        drop(writeln!(std::io::stderr(), "{line}"));
    }

    fn flush(&self) {}
}

fn line(as_json: bool, time: &str, level: Level, message: &str) -> String {
    let level = level.as_str().to_ascii_lowercase();
    if !as_json {
        return format!("{time} {level}: {message}");
    }
    match serde_json::from_str::<Value>(message) {
        Ok(event @ Value::Object(_)) => json!({ "time": time, "level": level, "event": event }),
        _ => json!({ "time": time, "level": level, "message": message }),
    }
    .to_string()
}

/// Messages go to stderr from now on.
pub(super) fn start(json: bool) {
    let wanted = std::env::var("RIG_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::Info);
    if log::set_boxed_logger(Box::new(Stderr { json })).is_ok() {
        log::set_max_level(wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_in_both_forms() {
        assert_eq!(line(false, "T", Level::Warn, "slow"), "T warn: slow");
        assert_eq!(line(true, "T", Level::Warn, "a \"b\"\nc"), r#"{"level":"warn","message":"a \"b\"\nc","time":"T"}"#);
        assert_eq!(line(true, "T", Level::Info, r#"{"seq":1}"#), r#"{"event":{"seq":1},"level":"info","time":"T"}"#);
    }
}
