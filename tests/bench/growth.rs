//! How start, memory, reads and the audit grow with the log, each figure beside its bound; fails when one is over it.
//!
//! ```text
//! cargo build --release --bins --examples
//! target/release/examples/bench_growth [records] [documents] [verify]      default: all three
//! ```
//!
//! It drives the `rig` beside it as anyone would: `apply --batch` fills a directory, the node is killed with SIGKILL,
//! started again, asked, killed again. Small and large directories take turns, and medians are compared, so that a
//! machine that is busy for a while slows both. It takes about two minutes and 3 GB of the temporary directory.

use std::error::Error;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const FEW: u64 = 10_000;
const MANY: u64 = 1_000_000;
const DOCUMENTS: u64 = 10_000;
const STARTS: usize = 7;
const READS: usize = 31;
/// The keys of a large log are read behind the start.
const SETTLE: Duration = Duration::from_millis(1500);
const KEY_MIB: f64 = 250.0 * MANY as f64 / (1 << 20) as f64;

fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let wants = |part: &str| asked.is_empty() || asked.iter().any(|name| name == part);
    let examples = std::env::current_exe()?.parent().ok_or("no directory of examples")?.to_owned();
    let rig = examples.with_file_name("rig");
    let dir = std::env::temp_dir().join(format!("rig-bench-growth-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let mut bench = Bench { rig, dir: dir.clone(), over: 0 };
    let mut run = || -> Result<()> {
        if wants("records") {
            bench.records()?;
        }
        if wants("documents") {
            bench.documents()?;
        }
        if wants("verify") {
            bench.verify(&examples.join("bench_verify"))?;
        }
        Ok(())
    };
    let result = run();
    std::fs::remove_dir_all(&dir)?;
    result?;
    if bench.over > 0 { Err(format!("{} figures are over their bounds", bench.over).into()) } else { Ok(()) }
}

struct Bench {
    rig: PathBuf,
    dir: PathBuf,
    over: u32,
}

/// A node that is killed when this goes.
struct Node {
    child: Child,
    url: String,
    took: Duration,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bench {
    /// A million records that rewrite ten thousand documents, beside ten thousand records.
    fn records(&mut self) -> Result<()> {
        let few = self.fill("few", FEW, "user_put", DOCUMENTS)?;
        let many = self.fill("many", MANY, "user_put", DOCUMENTS)?;
        self.tell("resident after the load, MiB", many, few * 1.5 + KEY_MIB);
        let (mut starts, mut resident) = ([Vec::new(), Vec::new()], [0.0, 0.0]);
        let (mut dumps, mut gets) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for round in 0..STARTS {
            for (place, name) in ["few", "many"].into_iter().enumerate() {
                let node = self.start(name)?;
                starts[place].push(millis(node.took));
                std::thread::sleep(SETTLE);
                resident[place] = node.resident_mib()?;
                if round + 1 < STARTS {
                    continue;
                }
                let from = ([FEW, MANY][place] - 10).to_string();
                for _ in 0..READS {
                    dumps[place].push(self.timed(name, &["log", "dump", "--json", "--from", &from])?);
                    gets[place].push(self.timed(name, &["get", "user", "user-77", "--json", "-N", &node.url])?);
                }
            }
        }
        self.compare("start after kill -9, ms", starts, 1.5);
        self.tell("resident after a start, MiB", resident[1], resident[0] * 1.5 + KEY_MIB);
        self.compare("log dump --from (head-10), ms", dumps, 2.0);
        self.compare("get, ms", gets, 2.0);
        Ok(())
    }

    /// A million documents of 256 bytes.
    fn documents(&mut self) -> Result<()> {
        let loaded = self.fill("documents", MANY, "user_create", MANY)?;
        self.tell("1,000,000 documents: resident after the load, MiB", loaded, 700.0);
        let (mut starts, mut resident) = (Vec::new(), 0_f64);
        for _ in 0..STARTS {
            let node = self.start("documents")?;
            starts.push(millis(node.took));
            std::thread::sleep(SETTLE);
            resident = resident.max(node.resident_mib()?);
        }
        self.tell("1,000,000 documents: start after kill -9, ms", median(&mut starts), 2500.0);
        self.tell("1,000,000 documents: resident after a start, MiB", resident, 700.0);
        Ok(())
    }

    /// The audit beside hashing alone: an example of its own.
    fn verify(&mut self, bench_verify: &Path) -> Result<()> {
        let mut percents = Vec::new();
        for _ in 0..3 {
            let out = Command::new(bench_verify).arg("256").output()?;
            let text = String::from_utf8(out.stdout)?;
            let line = text.lines().find_map(|line| line.strip_prefix("verify is at ")).ok_or("no figure")?;
            percents.push(line.split(' ').next().unwrap_or_default().parse()?);
        }
        // The loop's time in percent of the audit's: told the other way round, so that less is better as everywhere.
        self.tell("log verify, time in percent of hashing alone", 10_000.0 / median(&mut percents), 10_000.0 / 70.0);
        Ok(())
    }

    fn compare(&mut self, what: &str, [mut few, mut many]: [Vec<f64>; 2], times: f64) {
        let few = median(&mut few);
        println!("{what}: {few:.1} with {FEW} records; allowed are {times} times that");
        self.tell(what, median(&mut many), few * times);
    }

    fn tell(&mut self, what: &str, figure: f64, bound: f64) {
        let verdict = if figure <= bound { "ok" } else { "OVER" };
        self.over += u32::from(figure > bound);
        println!("{verdict:4}  {what}: {figure:.1}, bound {bound:.1}");
    }

    /// Makes a directory, writes to it, kills its node; how much memory the node had in the end.
    fn fill(&self, name: &str, records: u64, method: &str, documents: u64) -> Result<f64> {
        self.timed(name, &["init"])?;
        let node = self.start(name)?;
        let mut apply = self.command(name, &["apply", "--batch", "-", "-q"]).stdin(Stdio::piped()).spawn()?;
        let mut lines = BufWriter::new(apply.stdin.take().ok_or("no stdin")?);
        for number in 0..records {
            let id = number % documents;
            let start = format!(r#"{{"id":"user-{id}","email":"user{id}@example.org","age":{},"note":""#, number % 90);
            let fill = "x".repeat(254 - start.len());
            writeln!(lines, r#"{{"method":"{method}","data":{start}{fill}"}}}}"#)?;
        }
        lines.into_inner()?;
        if !apply.wait()?.success() {
            return Err(format!("{name}: not every operation was taken").into());
        }
        node.resident_mib()
    }

    fn start(&self, name: &str) -> Result<Node> {
        let begin = Instant::now();
        let mut child =
            self.command(name, &["serve", "--listen", "127.0.0.1:0", "--json"]).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let took = begin.elapsed();
        let url = line.split(r#""http":""#).nth(1).and_then(|rest| rest.split('"').next());
        Ok(Node { child, took, url: url.ok_or("the node did not become ready")?.to_owned() })
    }

    /// Runs a command to its end, in milliseconds.
    fn timed(&self, name: &str, args: &[&str]) -> Result<f64> {
        let begin = Instant::now();
        let out = self.command(name, args).stderr(Stdio::inherit()).output()?;
        if out.status.success() { Ok(millis(begin.elapsed())) } else { Err(format!("rig {args:?} failed").into()) }
    }

    fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.rig);
        command.args(args).env("XDG_STATE_HOME", self.dir.join("state")).stdout(Stdio::piped());
        command.env("RIG_DATA_DIR", self.dir.join(name));
        command
    }
}

impl Node {
    fn resident_mib(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
