//! Which node, which directory: the rules of the contract, in one place.
//!
//! ```text
//!  --node NAME|URL           that node                      (a name: by the registry; etcd://: who leads by the record)
//!  -D DIR, RIG_DATA_DIR      that directory's node, no other
//!  the default directory     its node, when it runs
//!  the registry              the only running primary       (none: exit 4, several: exit 2)
//! ```

use std::path::{Path, PathBuf};

use super::registry::{Entry, Registry};
use super::{Context, Failure, coordinator};
use crate::client::{Options, Url};
use crate::error::Exit;
use crate::node::dir::{DataDir, Endpoint};
use crate::types::Role;

/// A node that can be spoken to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub url: Url,
    /// Its directory, when it is a local one.
    pub dir: Option<DataDir>,
}

/// What `--node` can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeName {
    /// A local node, by the registry.
    Name(String),
    /// Any node.
    Url(Url),
}

impl NodeName {
    /// Whom it means now: where it is the URL of a coordinator, the node that leads by the record there.
    pub fn of(text: &str, context: &Context) -> Result<Self, Failure> {
        if coordinator::is_coordinator(text) {
            coordinator::primary(text, context).map(Self::Url)
        } else {
            Self::parse(text)
        }
    }

    /// Reads it: what holds a colon is a URL, names never do.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.contains([':', '/']) {
            let url = Url::parse(text).map_err(|error| Failure::usage(format!("--node {text}: {error}")))?;
            return Ok(Self::Url(url));
        }
        super::values::node_name(text)
            .map(Self::Name)
            .map_err(|error| Failure::usage(format!("--node {text}: {error}")))
    }
}

/// The directory that a command without a node works on: given, or the default one. It may not exist.
pub fn dir_path(context: &Context) -> Result<PathBuf, Failure> {
    match &context.data_dir {
        Some(dir) => Ok(dir.clone()),
        None => Ok(context.places()?.default_dir.clone()),
    }
}

/// Whether this is the directory that needs no `-D`.
pub fn is_default(context: &Context, dir: &Path) -> bool {
    context.places.as_ref().is_some_and(|places| places.default_dir == dir)
}

/// `-D DIR`, as a user must type it to mean this directory; empty for the default one.
pub fn flag_for(context: &Context, dir: &Path) -> String {
    if is_default(context, dir) { String::new() } else { format!(" -D {}", dir.display()) }
}

/// An initialised local directory: of `--node NAME`, given, the default one, or of the only running primary.
pub fn data_dir(context: &Context) -> Result<DataDir, Failure> {
    if let Some(node) = &context.node {
        return match NodeName::of(node, context)? {
            NodeName::Name(name) => Ok(local(context, &name)?),
            NodeName::Url(_) => Err(Failure::usage("this command reads a data directory, not a URL")
                .hint("name the directory with -D, or a local node with -N NAME")),
        };
    }
    let path = dir_path(context)?;
    match DataDir::open(&path) {
        Err(error) if context.data_dir.is_none() => match only_running_primary(context) {
            Ok(Target { dir: Some(dir), .. }) => Ok(dir),
            _ => Err(error.into()),
        },
        other => Ok(other?),
    }
}

/// The node that a command speaks to.
pub fn node(context: &Context) -> Result<Target, Failure> {
    if let Some(node) = &context.node {
        return named(context, node);
    }
    if let Some(path) = &context.data_dir {
        return running(context, DataDir::open(path)?);
    }
    let default = DataDir::open(&context.places()?.default_dir).ok();
    if let Some(dir) = default.filter(DataDir::is_in_use) {
        return running(context, dir);
    }
    only_running_primary(context)
}

/// The node with this name or URL.
pub fn named(context: &Context, node: &str) -> Result<Target, Failure> {
    match NodeName::of(node, context)? {
        NodeName::Url(url) => Ok(Target { url, dir: None }),
        NodeName::Name(name) => running(context, local(context, &name)?),
    }
}

/// The directory of a local node.
pub fn local(context: &Context, name: &str) -> Result<DataDir, Failure> {
    let registry = Registry::new(&context.places()?.nodes);
    registry.get(name).and_then(|entry| entry.open()).ok_or_else(|| {
        let known: Vec<_> = registry.list().into_iter().filter(|entry| entry.open().is_some()).collect();
        let hint = match known.len() {
            0 => "no local node is known: name a directory with -D, or a URL with -N".to_owned(),
            _ => format!("known: {}", names(&known)),
        };
        Failure::new(Exit::NotFound, "no_such_node", format!("no local node is called {name}")).hint(hint)
    })
}

/// The node of this directory, if it runs.
pub fn running(context: &Context, dir: DataDir) -> Result<Target, Failure> {
    let (name, flag) = (&dir.meta().name, flag_for(context, dir.path()));
    match endpoint(&dir) {
        Some((_, url)) => Ok(Target { url, dir: Some(dir) }),
        None if dir.is_in_use() => {
            Err(Failure::new(Exit::Unreachable, "starting", format!("node {name} does not listen yet"))
                .hint(format!("wait for it with `rig wait ready{flag}`")))
        }
        None => Err(Failure::new(Exit::Unreachable, "not_running", format!("node {name} is not running"))
            .hint(format!("start it with `rig serve{flag}`"))),
    }
}

/// Where the node of this directory listens now; nothing when its lock is free.
pub fn endpoint(dir: &DataDir) -> Option<(Endpoint, Url)> {
    let endpoint = dir.read_endpoint().ok().flatten().filter(|_| dir.is_in_use())?;
    let url = Url::parse(&endpoint.http).ok()?;
    Some((endpoint, url))
}

/// How this command speaks to nodes: the nodes of this machine may see its token.
pub fn options(context: &Context) -> Options {
    let known = match (&context.places, &context.token) {
        (Some(places), Some(_)) => {
            let entries = Registry::new(&places.nodes).list();
            entries.iter().filter_map(|entry| endpoint(&entry.open()?)).map(|(_, url)| url).collect()
        }
        _ => Vec::new(),
    };
    Options { token: context.token.clone(), trust: context.trust.clone(), verbose: context.verbose, known }
}

fn only_running_primary(context: &Context) -> Result<Target, Failure> {
    let entries = Registry::new(&context.places()?.nodes).list();
    let mut primaries: Vec<_> = entries
        .into_iter()
        .filter_map(|entry| {
            let dir = entry.open()?;
            let (endpoint, url) = endpoint(&dir)?;
            (endpoint.role == Role::Primary).then_some((entry, Target { url, dir: Some(dir) }))
        })
        .collect();
    match (primaries.pop(), primaries.is_empty()) {
        (Some((_, target)), true) => Ok(target),
        (Some(last), false) => {
            primaries.push(last);
            let entries: Vec<_> = primaries.into_iter().map(|(entry, _)| entry).collect();
            Err(Failure::usage(format!("several primaries run here: {}", names(&entries)))
                .hint("name one with -N NAME, or its directory with -D"))
        }
        (None, _) => {
            let default = &context.places()?.default_dir;
            let hint = match DataDir::open(default) {
                Ok(_) => "start one with `rig serve`".to_owned(),
                Err(_) => "make and start one with `rig init` and `rig serve --role primary`".to_owned(),
            };
            Err(Failure::new(Exit::Unreachable, "not_running", "no primary runs here").hint(hint))
        }
    }
}

fn names(entries: &[Entry]) -> String {
    entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::context::tests::context_in;
    use crate::node::dir::DirLock;

    struct Running {
        dir: DataDir,
        _lock: DirLock,
    }

    fn run(path: &Path, name: &str, role: Role, port: u16, context: &Context) -> Running {
        let dir = DataDir::init(path, name).unwrap();
        Registry::new(&context.places().unwrap().nodes).remember(&dir).unwrap();
        let lock = dir.lock().unwrap();
        let http = format!("http://127.0.0.1:{port}");
        dir.write_endpoint(&Endpoint { pid: 1, http, role, started: String::new() }).unwrap();
        Running { dir, _lock: lock }
    }

    fn port(found: Result<Target, Failure>) -> String {
        found.map(|target| target.url.to_string().rsplit_once(':').unwrap().1.to_owned()).unwrap()
    }

    fn refused(found: Result<Target, Failure>) -> (Exit, String, String) {
        let failure = found.map(|target| target.url).unwrap_err();
        (failure.exit, failure.code.into_owned(), failure.hint)
    }

    #[test]
    fn a_given_node_comes_first_and_a_given_directory_second() {
        let home = tempfile::tempdir().unwrap();
        let mut context = context_in(home.path());
        let one = run(&home.path().join("n1"), "n1", Role::Primary, 1001, &context);
        let _two = run(&home.path().join("n2"), "n2", Role::Replica, 1002, &context);
        context.data_dir = Some(one.dir.path().to_owned());
        assert_eq!(port(node(&context)), "1001");
        context.node = Some("n2".into());
        assert_eq!(port(node(&context)), "1002");
        context.node = Some("http://127.0.0.1:1003".into());
        assert_eq!(port(node(&context)), "1003");
        context.node = Some("127.0.0.1:1004".into());
        assert_eq!(port(node(&context)), "1004");
    }

    #[test]
    fn a_given_directory_means_its_node_and_no_other() {
        let home = tempfile::tempdir().unwrap();
        let mut context = context_in(home.path());
        let _other = run(&home.path().join("n1"), "n1", Role::Primary, 1001, &context);
        let stopped = DataDir::init(&home.path().join("n2"), "n2").unwrap();
        context.data_dir = Some(stopped.path().to_owned());
        let (exit, code, hint) = refused(node(&context));
        assert_eq!((exit, &*code), (Exit::Unreachable, "not_running"));
        assert!(hint.contains(&format!("rig serve -D {}", stopped.path().display())), "{hint}");
        context.data_dir = Some(home.path().join("n3"));
        assert_eq!(refused(node(&context)).0, Exit::NotFound);
    }

    #[test]
    fn what_the_endpoint_says_means_nothing_when_the_lock_is_free() {
        let home = tempfile::tempdir().unwrap();
        let mut context = context_in(home.path());
        let running = run(&home.path().join("n1"), "n1", Role::Primary, 1001, &context);
        let dir = running.dir.clone();
        drop(running);
        assert!(dir.read_endpoint().unwrap().is_some());
        context.node = Some("n1".into());
        assert_eq!(refused(node(&context)).1, "not_running");
        let _lock = dir.lock().unwrap();
        dir.remove_endpoint().unwrap();
        assert_eq!(refused(node(&context)).1, "starting");
    }

    #[test]
    fn without_a_word_it_is_the_default_node_then_the_only_primary() {
        let home = tempfile::tempdir().unwrap();
        let context = context_in(home.path());
        let (exit, _, hint) = refused(node(&context));
        assert_eq!(exit, Exit::Unreachable);
        assert!(hint.contains("rig init"), "{hint}");
        let _replica = run(&home.path().join("n0"), "n0", Role::Replica, 1000, &context);
        assert_eq!(refused(node(&context)).0, Exit::Unreachable);
        let one = run(&home.path().join("n1"), "n1", Role::Primary, 1001, &context);
        assert_eq!(port(node(&context)), "1001");
        let _two = run(&home.path().join("n2"), "n2", Role::Primary, 1002, &context);
        assert_eq!(refused(node(&context)).0, Exit::Usage);
        drop(one);
        assert_eq!(port(node(&context)), "1002");
        let default = context.places().unwrap().default_dir.clone();
        let _default = run(&default, "default", Role::Replica, 1003, &context);
        assert_eq!(port(node(&context)), "1003");
    }

    #[test]
    fn a_name_that_is_not_known_is_not_found_and_a_bad_one_is_bad_usage() {
        let home = tempfile::tempdir().unwrap();
        let mut context = context_in(home.path());
        let one = run(&home.path().join("n1"), "n1", Role::Primary, 1001, &context);
        for (name, wanted) in [("n9", Exit::NotFound), ("n 1", Exit::Usage), ("ftp://a:1", Exit::Usage)] {
            context.node = Some(name.into());
            assert_eq!(refused(node(&context)).0, wanted, "{name}");
        }
        context.node = Some("n9".into());
        assert!(refused(node(&context)).2.contains("n1"));
        // A directory that was replaced under the name is not that node.
        std::fs::remove_dir_all(one.dir.path()).unwrap();
        DataDir::init(one.dir.path(), "other").unwrap();
        context.node = Some("n1".into());
        assert_eq!(refused(node(&context)).0, Exit::NotFound);
    }

    #[test]
    fn a_directory_is_found_by_name_by_flag_and_by_default() {
        let home = tempfile::tempdir().unwrap();
        let mut context = context_in(home.path());
        let failure = data_dir(&context).unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        let one = run(&home.path().join("n1"), "n1", Role::Primary, 1001, &context);
        assert_eq!(data_dir(&context).unwrap().path(), one.dir.path());
        let default = DataDir::init(&context.places().unwrap().default_dir, "default").unwrap();
        assert_eq!(data_dir(&context).unwrap().path(), default.path());
        context.data_dir = Some(one.dir.path().to_owned());
        assert_eq!(data_dir(&context).unwrap().path(), one.dir.path());
        context.node = Some("n1".into());
        assert_eq!(data_dir(&context).unwrap().path(), one.dir.path());
        context.node = Some("http://127.0.0.1:1".into());
        assert_eq!(data_dir(&context).unwrap_err().exit, Exit::Usage);
    }
}
