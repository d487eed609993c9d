//! `rig backup`: one consistent archive of a node, to a file or to standard output.
//!
//! # Not here
//! What is in an archive (`node::backup`).

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::progress::Progress;
use super::target::{self, NodeName};
use super::values::{self, show_bytes};
use super::{Context, Failure, Outcome, help};
use crate::client::{Client, GRACE, Request};
use crate::error::Exit;
use crate::node::backup::{Archive, BackupError, Follower, Header};
use crate::node::dir::{DataDir, DirError};
use crate::types::{ClusterId, Hash, Version, format_time};

/// How long a node may say nothing in the middle of an archive.
const PATIENCE: Duration = Duration::from_secs(60);
/// A node reads its snapshot back before it says the first word.
const BEGIN: Duration = Duration::from_secs(60);

/// Write everything that is committed into one archive
///
/// Of a running node while it serves, or of the directory of a stopped one. The archive ends with what was committed
/// when it was begun; from each version in it `rig restore` makes the state as it was. A file appears whole or not at all.
/// --since takes only what came after a version, or after another archive, which is then checked to be of the same log.
/// Tokens and rig.toml are not in it. What an archive looks like: rig-backup(5).
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig backup -o monday.rigbak",
        "rig backup -D ./n1 -o tuesday.rigbak --since monday.rigbak",
        "rig backup -N http://10.0.0.1:7440 -o - | ssh vault 'cat > n1.rigbak'",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Unavailable, Exit::Corrupt,
        Exit::InUse, Exit::Auth,
    ])
)]
pub(crate) struct Args {
    /// Where to write it; - is standard output
    #[arg(short, long, value_name = "FILE|-")]
    output: PathBuf,
    /// Only what came after this version, or after this archive
    #[arg(long, value_name = "V|FILE")]
    since: Option<String>,
}

#[derive(Serialize)]
struct BackedUp<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    file: Option<&'a Path>,
    cluster_id: ClusterId,
    incremental: bool,
    from: Version,
    to: Version,
    snapshot: Option<Version>,
    hash: Hash,
    time: String,
    size_bytes: u64,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let to_stdout = args.output.as_os_str() == "-";
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(Failure::usage("an archive is not for a terminal").hint("name a file with -o, or pipe it on"));
    }
    let since = args.since.as_deref().map(Since::parse).transpose()?;
    let progress = Progress::new(&context.out, "back up", "bytes", None);
    let mut sink = Sink { follower: Follower::default(), since: since.as_ref(), seen: false };
    let header = if to_stdout {
        write(context, since.as_ref(), &mut |bytes| {
            sink.take(bytes, &progress)?;
            context.out.bytes(bytes)
        })?;
        sink.follower.end()?
    } else {
        let mut file = Unfinished::create(&args.output)?;
        write(context, since.as_ref(), &mut |bytes| {
            sink.take(bytes, &progress)?;
            file.write(bytes)
        })?;
        let header = sink.follower.end()?;
        file.finish(&args.output)?;
        header
    };
    drop(progress);
    tell(&header, (!to_stdout).then_some(&args.output), context)
}

fn tell(header: &Header, file: Option<&PathBuf>, context: &Context) -> Outcome {
    let size_bytes = file.and_then(|file| std::fs::metadata(file).ok()).map_or(0, |found| found.len());
    let done = BackedUp {
        kind: "backup",
        file: file.map(PathBuf::as_path),
        cluster_id: header.cluster,
        incremental: header.incremental,
        from: header.from(),
        to: header.end.version,
        snapshot: Some(header.snapshot).filter(|version| *version > 0),
        hash: header.end.hash,
        time: format_time(header.time),
        size_bytes,
    };
    let Some(file) = file else { return Ok(Exit::Ok) };
    context.out.either(&done, || {
        let (from, to, size) = (done.from, done.to, show_bytes(size_bytes));
        format!("ok  backup  versions {from} to {to}  {size}  {}\n", file.display())
    })?;
    Ok(Exit::Ok)
}

/// What is there already.
enum Since {
    Version(Version),
    Archive(Header),
}

impl Since {
    fn parse(text: &str) -> Result<Self, Failure> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return values::version(text)
                .map(Self::Version)
                .map_err(|error| Failure::usage(format!("--since: {error}")));
        }
        let path = Path::new(text);
        let mut file = File::open(path).map_err(|error| Failure::io("open", path, &error))?;
        let (mut follower, mut room) = (Follower::default(), vec![0; 1 << 20]);
        loop {
            match file.read(&mut room).map_err(|error| Failure::io("read", path, &error))? {
                0 => return Ok(Self::Archive(follower.end()?)),
                n => follower.take(&room[..n])?,
            };
        }
    }

    fn version(&self) -> Version {
        match self {
            Self::Version(version) => *version,
            Self::Archive(header) => header.end.version,
        }
    }

    /// Whether an archive goes on where the other one has ended.
    fn check(&self, header: &Header) -> Result<(), BackupError> {
        match self {
            Self::Archive(base) if base.cluster != header.cluster => {
                Err(BackupError::Foreign { found: header.cluster, expected: base.cluster })
            }
            Self::Archive(base) if base.end.hash != header.before.hash => {
                Err(BackupError::OtherChain { version: base.end.version })
            }
            _ => Ok(()),
        }
    }
}

/// Looks at what passes.
struct Sink<'a> {
    follower: Follower,
    since: Option<&'a Since>,
    seen: bool,
}

impl Sink<'_> {
    fn take(&mut self, bytes: &[u8], progress: &Progress) -> Result<(), Failure> {
        if let (Some(header), false) = (self.follower.take(bytes)?, self.seen) {
            self.seen = true;
            self.since.map_or(Ok(()), |since| since.check(&header))?;
        }
        progress.set(self.follower.bytes());
        Ok(())
    }
}

/// Hands out the bytes of the archive.
fn write(
    context: &Context,
    since: Option<&Since>,
    each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let since = since.map(Since::version);
    match context.node.as_deref().map(|node| NodeName::of(node, context)).transpose()? {
        Some(NodeName::Url(url)) => return from_node(Client::new(url, target::options(context)), since, context, each),
        Some(NodeName::Name(_)) | None => {}
    }
    let dir = target::data_dir(context)?;
    if dir.is_in_use() {
        let node = target::running(context, dir)?;
        return from_node(Client::new(node.url, target::options(context)), since, context, each);
    }
    from_directory(&dir, since, each)
}

fn from_directory(
    dir: &DataDir,
    since: Option<Version>,
    each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut archive = Archive::of_directory(dir, since, values::now())?;
    while let Some(bytes) = archive.piece()? {
        each(&bytes)?;
    }
    Ok(())
}

fn from_node(
    mut client: Client,
    since: Option<Version>,
    context: &Context,
    each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let target = since.map_or("/backup".to_owned(), |since| format!("/backup?since={since}"));
    let deadline = Instant::now() + context.timeout().max(BEGIN) + GRACE;
    let answered = client
        .stream(&Request::get(target), deadline, PATIENCE, |bytes| each(bytes).map(|()| true))
        .map_err(Failure::of_read)??;
    answered.map_or(Ok(()), |refused| Err(refused.into()))
}

/// A file that has another name until it is whole.
struct Unfinished {
    path: PathBuf,
    file: Option<File>,
}

impl Unfinished {
    fn create(output: &Path) -> Result<Self, Failure> {
        let mut name = output.as_os_str().to_owned();
        name.push(".tmp");
        let path = PathBuf::from(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = file.map_err(|error| Failure::io("create", &path, &error))?;
        Ok(Self { path, file: Some(file) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let file = self.file.as_mut().expect("it is written before it is finished");
        file.write_all(bytes).map_err(|error| Failure::io("write", &self.path, &error))
    }

    fn finish(mut self, output: &Path) -> Result<(), Failure> {
        let file = self.file.take().expect("it is finished once");
        let synced = file.sync_all().and_then(|()| std::fs::rename(&self.path, output));
        let folder = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = synced.and_then(|()| File::open(folder)?.sync_all());
        synced.map_err(|error| {
            // It is no archive under this name.
            let _ = std::fs::remove_file(&self.path);
            Failure::io("write", output, &error)
        })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // The error that led here is the one to report.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Dir(error @ DirError::AlreadyInitialised { .. }) => {
                Self::from(error).hint("choose a directory that is empty or does not exist")
            }
            BackupError::Dir(error) => error.into(),
            BackupError::Log(error) => error.into(),
            BackupError::Io { op, path, source } => Self::io(op, &path, &source),
            other => Self::new(other.exit(), other.code(), other.to_string()).hint(other.hint()),
        }
    }
}
