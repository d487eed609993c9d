//! The same names in a build without TLS, where none of it can be made.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::{Fault, Files, Stream};

fn absent() -> Fault {
    Fault::new("this build of Rig has no TLS", "build it with the feature tls, which is on by default")
}

/// None.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Infallible);

impl Identity {
    /// Never.
    pub fn load(_: &Files) -> Result<Self, Fault> {
        Err(absent())
    }

    /// Never.
    pub fn accept<S: Read + Write>(&self, _: S) -> Result<Stream<S>, Fault> {
        match self.0 {}
    }

    /// Never.
    pub fn asks_for_certificates(&self) -> bool {
        match self.0 {}
    }

    /// Never.
    pub fn peers(&self) -> Option<&Trust> {
        match self.0 {}
    }
}

/// None.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust(Infallible, PathBuf);

impl Trust {
    /// Never.
    pub fn load(_: &Path) -> Result<Self, Fault> {
        Err(absent())
    }

    /// Never.
    pub fn file(&self) -> &Path {
        &self.1
    }

    /// Never.
    pub fn dial<S: Read + Write>(&self, _: &str, _: S) -> Result<Stream<S>, Fault> {
        match self.0 {}
    }
}

/// None.
#[derive(Debug)]
pub struct Tls<S>(Infallible, PhantomData<S>);

impl<S: Read + Write> Tls<S> {
    pub(super) fn socket(&self) -> &S {
        match self.0 {}
    }

    pub(super) fn socket_mut(&mut self) -> &mut S {
        match self.0 {}
    }

    pub(super) fn map<T: Read + Write>(self, _: impl FnOnce(S) -> T) -> Tls<T> {
        match self.0 {}
    }

    pub(super) fn is_shaking_hands(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn shake_hands(&mut self) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) fn has_shown_certificate(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

impl<S: Read + Write> Read for Tls<S> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl<S: Read + Write> Write for Tls<S> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}
