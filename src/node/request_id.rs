//! The name of one request, so that its answer can be found in two logs: the client's own, or one of ours.

use std::fmt;
use std::ops::Deref;

use crate::http::Request;

/// A client's name for its request is taken up to this length.
const BYTES_MAX: usize = 64;

/// Text without a place on the heap: every request has one.
#[derive(Clone, Copy)]
pub(super) struct RequestId {
    len: u8,
    text: [u8; BYTES_MAX],
}

impl RequestId {
    /// The client's own name when it is harmless, else one of ours.
    pub(super) fn of(request: &Request<'_>, prefix: &str, count: u64) -> Self {
        let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        match request.header("X-Request-Id") {
            Some(id) if (1..=BYTES_MAX).contains(&id.len()) && id.bytes().all(is_harmless) => Self::from(id),
            _ => Self::own(prefix, count),
        }
    }

    /// `prefix-count`, the number in hexadecimal digits.
    pub(super) fn own(prefix: &str, count: u64) -> Self {
        let mut id = Self::from(prefix);
        id.push(b'-');
        let digits = (u64::BITS - count.leading_zeros()).div_ceil(4).max(1);
        (0..digits).rev().for_each(|digit| id.push(b"0123456789abcdef"[(count >> (4 * digit) & 15) as usize]));
        id
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(usize::from(self.len)) {
            *place = byte;
            self.len += 1;
        }
    }
}

impl From<&str> for RequestId {
    /// What is too long is cut.
    fn from(text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(BYTES_MAX)];
        let mut id = Self { len: text.len() as u8, text: [0; BYTES_MAX] };
        id.text[..text.len()].copy_from_slice(text.as_bytes());
        id
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.text[..usize::from(self.len)]).expect("it was put together from text")
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_a_prefix_and_a_number() {
        assert_eq!(&*RequestId::own("01a2", 0), "01a2-0");
        assert_eq!(&*RequestId::own("01a2", 0x2f0), "01a2-2f0");
        assert_eq!(&*RequestId::own("", u64::MAX), "-ffffffffffffffff");
    }

    #[test]
    fn what_is_too_long_is_cut_between_two_characters() {
        assert_eq!(RequestId::from(&*"ä".repeat(40)).len(), BYTES_MAX);
        assert_eq!(RequestId::from(&*format!("x{}", "ä".repeat(40))).len(), BYTES_MAX - 1);
    }
}
