//! How fast an empty replica catches up with a long log, and what clients of the primary feel of it; fails when a figure
//! is beyond its bound.
//!
//! ```text
//! cargo build --release --bins --examples
//! target/release/examples/bench_catchup [records]          default: 1,000,000
//! ```
//!
//! ```text
//!   fill ─► replica joins an idle primary ─► stopped, wiped ─► 16 clients alone ─► 16 clients, a replica joins again
//!           records/s to its disk                              their rate          at least 60 % of it
//! ```
//!
//! It drives the `rig` beside it as anyone would. The clients are `rig bench`; both of their measurements are taken on the
//! same primary, in turns, and the medians are compared. A measurement beside a replica counts only when the replica was
//! still catching up at its end.

use std::error::Error;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RECORDS: u64 = 1_000_000;
const ROUNDS: usize = 5;
/// Records in a second that an idle pair must reach.
const CATCH_UP: f64 = 100_000.0;
/// What is left to the clients.
const SHARE: f64 = 0.6;
/// Shorter than a catch-up.
const CLIENTS_FOR: &str = "1500ms";

fn main() -> Result<()> {
    let records = std::env::args().nth(1).map_or(Ok(RECORDS), |word| word.parse())?;
    let examples = std::env::current_exe()?.parent().ok_or("no directory of examples")?.to_owned();
    let dir = std::env::temp_dir().join(format!("rig-bench-catchup-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let bench = Bench { rig: examples.with_file_name("rig"), dir: dir.clone() };
    let result = bench.run(records);
    std::fs::remove_dir_all(&dir)?;
    result
}

struct Bench {
    rig: PathBuf,
    dir: PathBuf,
}

/// A node that is killed when this goes.
struct Node {
    child: Child,
    url: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bench {
    fn run(&self, records: u64) -> Result<()> {
        self.command("n1", &["init"]).output()?;
        let primary = self.serve("n1", &["--role", "primary"])?;
        self.fill(records)?;

        let begin = Instant::now();
        let replica = self.join(&primary)?;
        self.until(&replica, records, "durable")?;
        let durable = records as f64 / begin.elapsed().as_secs_f64();
        self.until(&replica, records, "applied")?;
        let applied = records as f64 / begin.elapsed().as_secs_f64();
        drop(replica);
        println!(
            "an idle pair: {durable:.0} records/s to the replica's disk, {applied:.0} applied; bound {CATCH_UP:.0}"
        );

        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            alone.push(self.clients(&primary)?);
            let replica = self.join(&primary)?;
            let rate = self.clients(&primary)?;
            let (head, reached) = (number(&primary, "durable")?, number(&replica, "durable")?);
            if reached < head {
                beside.push(rate);
            } else {
                println!("not counted: the replica was there before the clients ended");
            }
        }
        let (alone, share) = (median(&mut alone), median(&mut beside) / median(&mut alone));
        println!(
            "16 clients: {alone:.0} op/s alone, {:.0} % of it beside a catch-up; bound {:.0} %",
            share * 100.0,
            SHARE * 100.0
        );
        if durable < CATCH_UP || share < SHARE || beside.is_empty() {
            return Err("a figure is beyond its bound".into());
        }
        Ok(())
    }

    /// An empty replica that knows the primary.
    fn join(&self, primary: &Node) -> Result<Node> {
        let dir = self.dir.join("n2");
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        self.command("n2", &["init"]).output()?;
        self.serve("n2", &["--role", "replica", "--peer", &primary.url])
    }

    fn clients(&self, primary: &Node) -> Result<f64> {
        let arguments = [
            "bench",
            "-N",
            &primary.url,
            "--yes",
            "--clients",
            "16",
            "--duration",
            CLIENTS_FOR,
            "--warm-up",
            "100ms",
            "--json",
        ];
        let out = self.command("clients", &arguments).output()?;
        let text = String::from_utf8(out.stdout)?;
        let rate = text.split(r#""ops_per_s":"#).nth(1).and_then(|rest| rest.split(',').next());
        Ok(rate.ok_or_else(|| format!("no rate in {text}"))?.parse()?)
    }

    fn until(&self, node: &Node, records: u64, what: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        while number(node, what)? < records {
            if Instant::now() > deadline {
                return Err(format!("the replica has {} {what} after two minutes", number(node, what)?).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn fill(&self, records: u64) -> Result<()> {
        let mut apply = self.command("n1", &["apply", "--batch", "-", "-q"]).stdin(Stdio::piped()).spawn()?;
        let mut lines = BufWriter::new(apply.stdin.take().ok_or("no stdin")?);
        for number in 0..records {
            writeln!(lines, r#"{{"method":"user_put","data":{{"id":"user-{}","n":{number}}}}}"#, number % 10_000)?;
        }
        lines.into_inner()?;
        if apply.wait()?.success() { Ok(()) } else { Err("not every operation was taken".into()) }
    }

    fn serve(&self, name: &str, flags: &[&str]) -> Result<Node> {
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--json"], flags].concat();
        let mut child = self.command(name, &arguments).stderr(Stdio::null()).spawn()?;
        let mut out = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        // What it says later is read, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut out.by_ref(), &mut std::io::sink()));
        let url = line.split(r#""http":""#).nth(1).and_then(|rest| rest.split('"').next());
        Ok(Node { child, url: url.ok_or("the node did not become ready")?.to_owned() })
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.rig);
        command.args(arguments).env("XDG_STATE_HOME", self.dir.join("state")).stdout(Stdio::piped());
        command.env("RIG_DATA_DIR", self.dir.join(name));
        command
    }
}

/// `durable` or `applied` of a node's status.
fn number(node: &Node, what: &str) -> Result<u64> {
    let address = node.url.strip_prefix("http://").ok_or("no address")?;
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET /status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let number = text.split(&format!("\"{what}\":")).nth(1).and_then(|rest| rest.split([',', '}']).next());
    Ok(number.ok_or_else(|| format!("no {what} in {text}"))?.trim().parse()?)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}
