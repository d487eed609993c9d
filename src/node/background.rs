//! Large files and long computations beside clients, who wait for the same disk and the same processors.
//!
//! ```text
//!   bytes ──► piece ──► disk, past the page cache ──► rest ──► piece ──► … ──► length, head, sync
//! ```
//!
//! A burst of megabytes holds up every sync of the log until it is on the disk. So a file goes out piece by piece, and
//! behind each the disk is left to others for as long as the piece took, and for longer where the rate asks for it:
//! a sync of the log meets one piece at most. Where a file system refuses to be written past its cache, each piece is
//! synced instead. What computes for long does so in [`Stints`], for the same reason.
//!
//! # Invariants
//! 1. Whoever waits for the work says so by [`Hurry`]; then there is no rest any more.
//! 2. What [`LargeFile::finish`] has written is durable; its name is for the caller.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of one write: about what the log's own largest batches are.
const PIECE: usize = 256 << 10;
/// What a disk wants addresses, lengths and places to be multiples of.
pub(super) const BLOCK: usize = 4096;
/// Beside clients no more than this: a small part of what a disk does.
const BYTES_IN_A_SECOND: u64 = 64 << 20;

/// Whether somebody waits for what is done in the background.
#[derive(Debug, Clone, Default)]
pub(super) struct Hurry(Arc<AtomicBool>);

impl Hurry {
    /// Somebody waits, or nobody does any more.
    pub(super) fn set(&self, waits: bool) {
        self.0.store(waits, Ordering::Relaxed);
    }

    /// Leaves the disk to others after so many bytes, which took so long.
    pub(super) fn rest(&self, bytes: usize, took: Duration) {
        self.rest_at(BYTES_IN_A_SECOND, bytes as u64, took);
    }

    /// The same for what has all the time there is.
    pub(super) fn rest_at(&self, bytes_in_a_second: u64, bytes: u64, took: Duration) {
        if !self.0.load(Ordering::Relaxed) {
            let at_rate = Duration::from_micros(bytes * 1_000_000 / bytes_in_a_second);
            std::thread::sleep(took.max(at_rate.saturating_sub(took)));
        }
    }
}

/// What a client hardly notices.
const STINT: Duration = Duration::from_micros(250);

/// A long computation, cut into stints with a rest as long behind each: who answers clients may be put behind it on a
/// processor, while another one has nothing to do, and waits for the rest of a stint then.
pub(super) struct Stints<'a> {
    hurry: &'a Hurry,
    since: Instant,
}

impl<'a> Stints<'a> {
    pub(super) fn begin(hurry: &'a Hurry) -> Self {
        Self { hurry, since: Instant::now() }
    }

    /// To be called often; it rests when the stint is over.
    pub(super) fn step(&mut self) {
        let took = self.since.elapsed();
        if took >= STINT {
            self.hurry.rest(0, took);
            self.since = Instant::now();
        }
    }
}

/// A file that is being written from its beginning to its end.
pub(super) struct LargeFile {
    file: File,
    /// Whether it is written past the page cache.
    direct: bool,
    /// One piece, from `begin` on, where a disk may take it from.
    buffer: Box<[u8]>,
    begin: usize,
    filled: usize,
    /// Bytes before the piece.
    written: u64,
    hurry: Hurry,
}

impl LargeFile {
    /// Makes a file for this user only; one that is there already is emptied.
    pub(super) fn create(path: &Path, hurry: &Hurry) -> io::Result<Self> {
        let open = |flags: i32| {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600).custom_flags(flags).open(path)
        };
        let (file, direct) = match open(past_the_cache()) {
            Ok(file) => (file, past_the_cache() != 0),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => (open(0)?, false),
            Err(error) => return Err(error),
        };
        let buffer = vec![0; PIECE + BLOCK].into_boxed_slice();
        let begin = buffer.as_ptr().addr().next_multiple_of(BLOCK) - buffer.as_ptr().addr();
        Ok(Self { file, direct, buffer, begin, filled: 0, written: 0, hurry: hurry.clone() })
    }

    /// Writes what is left, replaces the first bytes of the file by `head`, and makes all of it durable. How long it is.
    pub(super) fn finish(mut self, head: Option<&[u8; BLOCK]>) -> io::Result<u64> {
        let length = self.written + self.filled as u64;
        self.buffer[self.begin + self.filled..].fill(0);
        self.filled = self.filled.next_multiple_of(BLOCK);
        self.put()?;
        if let Some(head) = head {
            assert!(length >= BLOCK as u64, "a head replaces what is there");
            self.buffer[self.begin..][..BLOCK].copy_from_slice(head);
            (self.filled, self.written) = (BLOCK, 0);
            self.put()?;
        }
        self.file.set_len(length)?;
        self.file.sync_all()?;
        Ok(length)
    }

    /// Writes the piece at its place.
    fn put(&mut self) -> io::Result<()> {
        let since = Instant::now();
        let piece = &self.buffer[self.begin..][..self.filled];
        match self.file.write_all_at(piece, self.written) {
            Err(error) if self.direct && error.kind() == io::ErrorKind::InvalidInput => {
                rustix::fs::fcntl_setfl(&self.file, rustix::fs::OFlags::empty())?;
                self.direct = false;
                self.file.write_all_at(piece, self.written)?;
            }
            other => other?,
        }
        if !self.direct {
            self.file.sync_data()?;
        }
        self.hurry.rest(self.filled, since.elapsed());
        self.written += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

impl Write for LargeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filled == PIECE {
            self.put()?;
        }
        let taken = bytes.len().min(PIECE - self.filled);
        self.buffer[self.begin + self.filled..][..taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        Ok(taken)
    }

    /// Nothing is out before [`LargeFile::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn past_the_cache() -> i32 {
    rustix::fs::OFlags::DIRECT.bits().cast_signed()
}

#[cfg(not(target_os = "linux"))]
fn past_the_cache() -> i32 {
    0
}

/// The calling thread takes the processor only when others leave it.
pub(super) fn step_back() {
    // Elsewhere this would be said of the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICER) {
        log::debug!("lower the priority of a background thread: {error}");
    }
}

/// A third of the weight of the other threads: who answers clients goes first, and a snapshot still ends soon.
#[cfg(target_os = "linux")]
const NICER: i32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(length: usize, head: Option<&[u8; BLOCK]>, direct: bool) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "what was there before").unwrap();
        let hurry = Hurry::default();
        hurry.set(true);
        let mut file = LargeFile::create(&path, &hurry).unwrap();
        if !direct {
            rustix::fs::fcntl_setfl(&file.file, rustix::fs::OFlags::empty()).unwrap();
            file.direct = false;
        }
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        for part in bytes.chunks(100_003) {
            file.write_all(part).unwrap();
        }
        assert_eq!(file.finish(head).unwrap(), length as u64);
        let mut wanted = bytes;
        if let Some(head) = head {
            wanted[..BLOCK].copy_from_slice(head);
        }
        let found = std::fs::read(&path).unwrap();
        assert!(found == wanted, "{length} bytes");
        found
    }

    #[test]
    fn a_long_computation_rests_behind_each_stint_unless_somebody_waits_for_it() {
        let hurry = Hurry::default();
        let computed = |hurry: &Hurry| {
            let (since, mut stints) = (Instant::now(), Stints::begin(hurry));
            for _ in 0..10 {
                let stint = Instant::now();
                while stint.elapsed() < STINT {
                    std::hint::spin_loop();
                }
                stints.step();
            }
            since.elapsed()
        };
        assert!(computed(&hurry) >= STINT * 20);
        hurry.set(true);
        let shortest = (0..20).map(|_| computed(&hurry)).min().unwrap();
        assert!(shortest < STINT * 20, "{shortest:?}");
    }

    #[test]
    fn a_large_file_holds_what_was_written_at_any_length() {
        for direct in [true, false] {
            for length in [0, 1, BLOCK, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 4097] {
                written(length, None, direct);
                if length >= BLOCK {
                    written(length, Some(&[7; BLOCK]), direct);
                }
            }
        }
    }

    #[test]
    fn rest_is_as_long_as_the_rate_asks_or_as_the_piece_took_and_none_in_a_hurry() {
        let rested = |hurry: &Hurry, bytes: usize, took: u64| {
            let since = Instant::now();
            hurry.rest(bytes, Duration::from_millis(took));
            since.elapsed()
        };
        let hurry = Hurry::default();
        assert!(rested(&hurry, 4 << 20, 1) >= Duration::from_millis(60), "at the rate");
        assert!(rested(&hurry, 1, 20) >= Duration::from_millis(20), "as long as it took");
        hurry.set(true);
        assert!(rested(&hurry, 256 << 20, 500) < Duration::from_millis(300), "in a hurry");
    }
}
