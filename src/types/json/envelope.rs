//! The body of `POST /do`, and a line of a batch: an operation with what belongs to it.
//!
//! Both spellings of the contract are read, `{"op":{"method","data"}}` and `{"method","data"}`, but not both
//! at once. Members that mean nothing here are checked as JSON and passed over, because the lines of
//! `rig log dump --json` are valid input too.

use super::scan::{Failed, Scanner};
use super::{JsonError, JsonErrorKind as Kind, string_of};
use crate::limits::{DATA_BYTES_MAX, KEY_BYTES_MAX};

/// What a client asks for, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The method; whether it is one is not checked here.
    pub method: String,
    /// The data in one line.
    pub data: Box<str>,
    /// The member `key`: 1 to 128 bytes.
    pub key: Option<Box<str>>,
    /// The member `version`.
    pub version: Option<u64>,
}

/// Reads an envelope in one pass.
pub fn envelope(body: &[u8]) -> Result<Envelope, JsonError> {
    let mut line = String::new();
    let mut reader = Reader { scanner: Scanner::new(body, &mut line), parts: Parts::default() };
    match reader.read() {
        Ok(()) => {}
        Err(failed) => return Err(reader.scanner.explain(failed)),
    }
    let Parts { method, data, key, version, .. } = reader.parts;
    // An empty slice stands for "it is in `line`", where every value has at least one byte.
    let data = data.filter(|data| !data.is_empty()).map_or_else(|| line.as_str().into(), Box::from);
    Ok(Envelope { method: method.unwrap_or_default(), data, key, version })
}

#[derive(Default)]
struct Parts<'a> {
    method: Option<String>,
    /// Empty when white space had to be dropped: then it is in the scanner's `out`.
    data: Option<&'a str>,
    key: Option<Box<str>>,
    version: Option<u64>,
    nested: bool,
    flat: bool,
}

struct Reader<'a, 'o> {
    scanner: Scanner<'a, 'o>,
    parts: Parts<'a>,
}

impl Reader<'_, '_> {
    fn read(&mut self) -> Result<(), Failed> {
        self.scanner.fits()?;
        self.scanner.skip_unkept();
        self.scanner.white();
        let start = self.scanner.place();
        if !self.scanner.sees(b'{') {
            // What is not JSON at all is told so, and at its own place.
            self.scanner.value()?;
            return Err(self.shape(start, "expected an object with the members `method` and `data`"));
        }
        self.object(false)?;
        self.scanner.white();
        self.scanner.end()?;
        match (&self.parts.method, self.parts.data, self.parts.nested) {
            (None, _, true) => Err(self.shape(start, "op.method is missing")),
            (None, _, false) => Err(self.shape(start, "method is missing")),
            (_, None, true) => Err(self.shape(start, "op.data is missing")),
            (_, None, false) => Err(self.shape(start, "data is missing")),
            _ => Ok(()),
        }
    }

    /// One object, with every member given to [`Self::member`].
    fn object(&mut self, inside_op: bool) -> Result<(), Failed> {
        let base = self.scanner.keys_before();
        self.scanner.skip_byte();
        self.scanner.white();
        if !self.scanner.sees(b'}') {
            loop {
                self.scanner.white();
                self.scanner.key(base)?;
                self.scanner.white();
                self.member(inside_op)?;
                self.scanner.white();
                if !self.scanner.sees(b',') {
                    break;
                }
                self.scanner.skip_byte();
            }
            if !self.scanner.sees(b'}') {
                let place = self.scanner.place();
                return Err(self.scanner.fail(Kind::Syntax, place, "expected `,` or `}`"));
            }
        }
        self.scanner.close_keys(base)?;
        self.scanner.skip_byte();
        Ok(())
    }

    fn member(&mut self, inside_op: bool) -> Result<(), Failed> {
        let start = self.scanner.place();
        match (self.scanner.last_key(), inside_op) {
            ("method", _) => {
                self.only_one_spelling(inside_op, start)?;
                let Some(method) = self.string()? else { return Err(self.shape(start, "method must be a string")) };
                self.parts.method = Some(method);
            }
            ("data", _) => {
                self.only_one_spelling(inside_op, start)?;
                let data = self.scanner.kept_value()?;
                if data.map_or(self.scanner.kept_len(), str::len) > DATA_BYTES_MAX {
                    return Err(self.scanner.fail(Kind::Size, start, "data is larger than a record takes"));
                }
                self.parts.data = Some(data.unwrap_or_default());
            }
            ("op", false) => {
                self.parts.nested = true;
                self.only_one_spelling(true, start)?;
                if !self.scanner.sees(b'{') {
                    self.scanner.value()?;
                    return Err(self.shape(start, "op must be an object"));
                }
                self.object(true)?;
            }
            ("key", false) if !self.scanner.sees(b'n') => {
                let key = self.string()?.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
                let Some(key) = key else { return Err(self.shape(start, "key must be a string of 1 to 128 bytes")) };
                self.parts.key = Some(key.into());
            }
            ("version", false) if !self.scanner.sees(b'n') => {
                self.scanner.value()?;
                let version = self.scanner.since(start).parse().ok();
                let Some(version) = version else { return Err(self.shape(start, "version must be an integer")) };
                self.parts.version = Some(version);
            }
            _ => self.scanner.value()?,
        }
        Ok(())
    }

    /// Two places for one thing would be read differently by two readers.
    fn only_one_spelling(&mut self, nested: bool, start: usize) -> Result<(), Failed> {
        self.parts.flat |= !nested;
        if self.parts.flat && self.parts.nested {
            return Err(self.shape(start, "either `op` or `method` and `data`, not both"));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Option<String>, Failed> {
        let start = self.scanner.place();
        self.scanner.value()?;
        Ok(string_of(self.scanner.since(start)).map(|text| text.into_owned()))
    }

    fn shape(&mut self, place: usize, message: &str) -> Failed {
        self.scanner.fail(Kind::Shape, place, message)
    }
}
