//! stub
use crate::replication::Message;
use crate::types::ClusterId;
/// p
pub const PROTOCOL: &str = "rig-peer/1";
/// d
#[derive(Debug, Default)]
pub struct Decoder;
/// f
#[derive(Debug)]
pub enum Frame<'a> {
    /// g
    Greeting(Greeting),
    /// m
    Message(Message, &'a [u8]),
}
/// g
#[derive(Debug)]
pub struct Greeting {
    /// c
    pub cluster: Option<ClusterId>,
}
impl Greeting {
    /// o
    pub fn own(cluster: Option<ClusterId>) -> Self {
        Self { cluster }
    }
    /// c
    pub fn check(&self, _: Option<ClusterId>) -> Result<(), String> {
        Ok(())
    }
    /// e
    pub fn encode(&self, _: &mut Vec<u8>) {}
}
impl Decoder {
    /// n
    pub fn new() -> Self {
        Self
    }
    /// p
    pub fn push(&mut self, _: &[u8]) {}
    /// n
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, String> {
        Ok(None)
    }
}
/// e
pub fn encode(_: &Message, _: &[u8], _: &mut Vec<u8>) {}
