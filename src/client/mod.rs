//! Speaking to a node: one blocking connection, requests in order, answers in order.

mod url;

pub use url::{BadUrl, Url};
