//! Where a log is read from: a data directory, whether its node runs or not, or a node over the network.

use std::sync::Arc;

use crate::cli::target::{self, NodeName};
use crate::cli::{Context, Failure};
use crate::client::{Client, Url};
use crate::log::{DiskVfs, Held, Reader};
use crate::node::dir::DataDir;

pub(super) enum Source {
    Directory(DataDir),
    Node(Box<Client>),
}

/// A URL, or a name given with --node, is asked over the network; everything else is read from its directory.
pub(super) fn source(context: &Context) -> Result<Source, Failure> {
    match &context.node {
        Some(node) => Ok(Source::Node(Box::new(node_of(&NodeName::of(node, context)?, context)?))),
        None => Ok(Source::Directory(target::data_dir(context)?)),
    }
}

/// A client for a node that was named.
pub(super) fn node_of(name: &NodeName, context: &Context) -> Result<Client, Failure> {
    let url: Url = match name {
        NodeName::Url(url) => url.clone(),
        NodeName::Name(name) => target::running(context, target::local(context, name)?)?.url,
    };
    Ok(Client::new(url, target::options(context)))
}

pub(super) fn reader(dir: &DataDir) -> Result<Reader, Failure> {
    Ok(Reader::open(Arc::new(DiskVfs), dir.path(), held(dir))?)
}

/// Whether a node writes there meanwhile.
pub(super) fn held(dir: &DataDir) -> Held {
    if dir.is_in_use() { Held::ByNode } else { Held::ByNobody }
}
