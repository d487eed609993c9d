//! Documents in memory.

/// The built-in service.
#[derive(Debug, Default)]
pub struct Documents {}
