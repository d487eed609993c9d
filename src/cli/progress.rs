//! Progress of what can take over a second: on stderr, on a terminal, for people only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;

/// A bar, or a count where the end is not known.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Counts `unit` up to `total`. Nothing is drawn when quiet, without a terminal, or into the lines of the output.
    pub fn new(out: &Output, what: &'static str, unit: &'static str, total: Option<u64>) -> Self {
        let bar = if out.is_quiet() || out.is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10))
        };
        let template = match (total, unit) {
            (Some(_), "bytes") => "{msg}  {wide_bar}  {bytes}/{total_bytes}  {bytes_per_sec}  {eta}".to_owned(),
            (None, "bytes") => "{msg}  {spinner}  {bytes}  {bytes_per_sec}".to_owned(),
            (Some(_), _) => format!("{{msg}}  {{wide_bar}}  {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}}"),
            (None, _) => format!("{{msg}}  {{spinner}}  {{human_pos}} {unit}  {{per_sec}}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// So many are done in all.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// So many more are done.
    pub fn add(&self, done: u64) {
        self.bar.inc(done);
    }

    /// Runs `print` while the bar is out of its way.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
