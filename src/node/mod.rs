//! The running node: threads, sockets and clocks.

pub mod dir;
