//! The adapters over services that behave, and others.

mod courier;
