//! The built-in documents as a service in another process: what `rig serve --service` can be measured and tried with.
//!
//! ```text
//! rig serve --service 'exec:target/release/examples/service_documents --stdio'
//! target/release/examples/service_documents --http 127.0.0.1:0        prints its port, serves until it is killed
//! ```
//!
//! Over HTTP each connection has a thread, and there are few: the documents are behind one lock.

#![allow(clippy::unwrap_used, reason = "an example that fails may panic")]

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Instant;

use rig::error::{Code, Problem};
use rig::http::{Answer, Connection, Next, Reply, Request, Settings};
use rig::service::Documents;
use rig::service::protocol::{Server, serve};

/// Bytes of a snapshot that is restored.
const STATE_BYTES_MAX: usize = 1 << 30;

fn main() {
    let mut documents = Documents::default();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--stdio"] => {
            let input = BufReader::with_capacity(256 << 10, std::io::stdin());
            serve(&mut documents, "documents", input, std::io::stdout().lock()).unwrap();
        }
        ["--http", address] => {
            let listener = TcpListener::bind(address).unwrap();
            println!("{}", listener.local_addr().unwrap().port());
            let server = Mutex::new(Server::new(&mut documents, "documents"));
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    scope.spawn(|| {
                        // Who has gone wants no answer.
                        let _ = stream.and_then(|stream| converse(stream, &server));
                    });
                }
            });
        }
        _ => {
            eprintln!("usage: service_documents --stdio | --http ADDRESS:PORT");
            std::process::exit(2);
        }
    }
}

/// One connection, to its end.
fn converse(mut stream: TcpStream, server: &Mutex<Server<'_>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut settings = Settings::new(stream.local_addr()?);
    settings.body_max = STATE_BYTES_MAX;
    let mut connection = Connection::new(Instant::now());
    let mut out = Vec::new();
    loop {
        match connection.next(&settings, Instant::now()) {
            Next::Request(request) => {
                let keep_alive = request.keep_alive;
                answer(&request, server, &mut out);
                stream.write_all(&out)?;
                out.clear();
                if !keep_alive {
                    return Ok(());
                }
            }
            Next::Refuse(problem) => {
                Answer::new(&mut out, Reply::CLOSE, problem.status).problem(&problem, "");
                return stream.write_all(&out);
            }
            Next::End => return Ok(()),
            Next::Head(_) | Next::Continue => {}
            Next::More => match stream.read(connection.space())? {
                0 => return Ok(()),
                read => connection.filled(read, Instant::now()),
            },
        }
    }
}

fn answer(request: &Request<'_>, server: &Mutex<Server<'_>>, out: &mut Vec<u8>) {
    let reply = Reply { keep_alive: request.keep_alive, head_only: request.head_only, http10: request.http10 };
    let call = request.path.rsplit('/').next().unwrap_or_default();
    let mut server = server.lock().unwrap();
    let answered = match (request.method, call) {
        ("GET", "snapshot") => {
            let mut state = Vec::new();
            match server.snapshot(&mut state) {
                Ok(version) => {
                    let mut answer = Answer::new(out, reply, 200);
                    answer.number("Rig-Version", version);
                    return answer.body("application/octet-stream", &state);
                }
                Err(problem) => Err(problem),
            }
        }
        ("PUT", "snapshot") => match request.header("Rig-Version").and_then(|version| version.parse().ok()) {
            Some(version) => server.restore(version, &mut { request.body }),
            None => Err(Problem::new(Code::BadRequest, "the header Rig-Version is missing")),
        },
        ("GET", "health") => Ok("{}".to_owned()),
        ("POST", call) => match std::str::from_utf8(request.body) {
            Ok(params) => server.call(call, params),
            Err(_) => Err(Problem::new(Code::BadJson, "the body is not UTF-8")),
        },
        _ => Err(Problem::new(Code::NotFound, "there is no such call")),
    };
    drop(server);
    match answered {
        Ok(result) => Answer::new(out, reply, 200).body("application/json", result.as_bytes()),
        Err(problem) => Answer::new(out, reply, problem.status).problem(&problem, ""),
    }
}
