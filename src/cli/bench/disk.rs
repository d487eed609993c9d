//! The yardstick of `rig bench --disk`: a bare loop of append and fdatasync, in the same directory.
//!
//! No program that makes a record durable before it answers can be quicker at one client than this. The file is
//! filled with zeros before, as the segments of the log are, so that a sync writes data and no size.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::load::{histogram, record};
use crate::cli::Failure;

const FILE: &str = "bench-disk.tmp";
const FILE_BYTES: u64 = 32 << 20;
/// What the node is compared with may be this much faster or slower behind a round than before it.
const STEADY: f64 = 1.5;

/// A zero-filled file, removed when it goes out of scope.
pub(super) struct Disk {
    path: PathBuf,
    file: File,
    at: u64,
    record: Vec<u8>,
    latency: Histogram<u64>,
    elapsed: Duration,
    /// Of each run.
    rates: Vec<f64>,
}

impl Disk {
    pub(super) fn new(folder: &Path, record_bytes: usize) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let failed = |error: io::Error| Failure::io("write", &path, &error);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).map_err(failed)?;
        let zeros = vec![0; 1 << 20];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        let record = (0..record_bytes.max(1)).map(|at| b'a' + (at % 26) as u8).collect();
        Ok(Self { path, file, at: 0, record, latency: histogram(), elapsed: Duration::ZERO, rates: Vec::new() })
    }

    /// Appends and syncs, one after the other, for so long.
    pub(super) fn run(&mut self, time: Duration) -> Result<(), Failure> {
        let begin = Instant::now();
        let (mut last, before) = (begin, self.latency.len());
        while last.duration_since(begin) < time {
            if self.at + self.record.len() as u64 > FILE_BYTES {
                self.at = 0;
            }
            let done = self.file.write_all_at(&self.record, self.at).and_then(|()| self.file.sync_data());
            done.map_err(|error| Failure::io("write", &self.path, &error))?;
            self.at += self.record.len() as u64;
            let now = Instant::now();
            record(&mut self.latency, now.duration_since(last));
            last = now;
        }
        let took = last.duration_since(begin);
        self.elapsed += took;
        self.rates.push((self.latency.len() - before) as f64 / took.as_secs_f64().max(1e-9));
        Ok(())
    }

    pub(super) fn record_bytes(&self) -> usize {
        self.record.len()
    }

    pub(super) fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    /// The slowest and the fastest run, if the disk was another one before a round than behind it.
    pub(super) fn unsteady(&self) -> Option<(f64, f64)> {
        unsteady(&self.rates)
    }

    pub(super) fn per_s(&self) -> f64 {
        self.latency.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

fn unsteady(rates: &[f64]) -> Option<(f64, f64)> {
    let differs = |pair: &[f64]| pair[0].max(pair[1]) > STEADY * pair[0].min(pair[1]);
    let (least, most) =
        rates.iter().fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
    rates.windows(2).any(differs).then_some((least, most))
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is left behind when this fails is one file with a name that says what it is.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_steady_whose_speed_is_behind_each_round_what_it_was_before() {
        assert_eq!(unsteady(&[100.0, 149.0, 110.0, 160.0]), None);
        assert_eq!(unsteady(&[100.0, 120.0, 1100.0]), Some((100.0, 1100.0)));
        assert_eq!(unsteady(&[100.0, 60.0]), Some((60.0, 100.0)));
        assert_eq!((unsteady(&[]), unsteady(&[5.0])), (None, None));
    }

    #[test]
    fn the_file_goes_round_and_goes_away() {
        let home = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(home.path(), FILE_BYTES as usize / 2 + 1).unwrap();
        disk.run(Duration::from_millis(1)).unwrap();
        disk.run(Duration::from_millis(1)).unwrap();
        assert_eq!(fs::metadata(home.path().join(FILE)).unwrap().len(), FILE_BYTES);
        assert!(disk.latency().len() >= 2 && disk.per_s() > 0.0);
        drop(disk);
        assert!(!home.path().join(FILE).exists());
    }
}
