//! The map that everything of the documents service lies in: ordered, and cheap to freeze.
//!
//! ```text
//!   Tree: Key -> value        a clone shares all nodes; a write afterwards copies the path to its leaf only
//!
//!   Key    32 bytes, in place: 16 of a UUID, or up to 30 of any text; of longer text the first 15, and the
//!          rest behind a pointer
//!   Doc    one allocation: version, created, updated, then the text as it was sent
//! ```
//!
//! Keys in place are what makes a look-up cheap: a comparison follows no pointer. They also keep what the tree
//! holds on to small, because its branches keep copies of keys whose entries are long gone.

use std::cmp::Ordering;
use std::iter::repeat_n;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::types::{Micros, Version};

/// An ordered map whose clone is a frozen view of it, taken in no time.
pub(super) trait Store<V>: Clone + Default {
    /// Entries.
    fn len(&self) -> usize;
    /// The value of a key.
    fn get(&self, key: &Key) -> Option<&V>;
    /// Puts a value in place of what was there.
    fn insert(&mut self, key: Key, value: V) -> Option<V>;
    /// Takes a value out.
    fn remove(&mut self, key: &Key) -> Option<V>;
    /// The last key.
    fn last(&self) -> Option<&Key>;
    /// Entries in order, those after `key` if one is given.
    fn after<'a>(&'a self, key: Option<&Key>) -> impl Iterator<Item = (&'a Key, &'a V)>
    where
        V: 'a;
}

/// A persistent B-tree.
#[derive(Clone)]
pub(super) struct Tree<V>(OrdMap<Key, V>);

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self(OrdMap::new())
    }
}

impl<V: Clone> Store<V> for Tree<V> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &Key) -> Option<&V> {
        self.0.get(key)
    }

    fn insert(&mut self, key: Key, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    fn remove(&mut self, key: &Key) -> Option<V> {
        self.0.remove(key)
    }

    fn last(&self) -> Option<&Key> {
        self.0.get_max().map(|(key, _)| key)
    }

    fn after<'a>(&'a self, key: Option<&Key>) -> impl Iterator<Item = (&'a Key, &'a V)>
    where
        V: 'a,
    {
        self.0.range::<_, Key>((key.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
    }
}

/// A text in a tree, ordered as its bytes are.
#[derive(Debug, Clone)]
pub(super) struct Key(Form);

#[derive(Debug, Clone)]
enum Form {
    /// Lower case with hyphens, as RFC 9562 writes it: its text has the order of its bytes.
    Uuid([u8; 16]),
    /// Filled up with zeros.
    Short {
        len: u8,
        bytes: [u8; Key::SHORT_MAX],
    },
    Long {
        head: [u8; Key::HEAD_BYTES],
        text: Arc<str>,
    },
}

/// Room for the text of a key that has none lying ready.
pub(super) type KeyBuffer = [u8; 36];

impl Key {
    const SHORT_MAX: usize = 30;
    const HEAD_BYTES: usize = 15;

    pub(super) fn new(text: &str) -> Self {
        let raw = text.as_bytes();
        if let Some(uuid) = uuid_bytes(raw) {
            return Self(Form::Uuid(uuid));
        }
        match u8::try_from(raw.len()) {
            Ok(len) if raw.len() <= Self::SHORT_MAX => {
                let mut bytes = [0; Self::SHORT_MAX];
                bytes[..raw.len()].copy_from_slice(raw);
                Self(Form::Short { len, bytes })
            }
            _ => {
                let mut head = [0; Self::HEAD_BYTES];
                head.copy_from_slice(&raw[..Self::HEAD_BYTES]);
                Self(Form::Long { head, text: text.into() })
            }
        }
    }

    /// The text, written to `buffer` where it does not lie ready.
    pub(super) fn text<'a>(&'a self, buffer: &'a mut KeyBuffer) -> &'a str {
        std::str::from_utf8(self.bytes(buffer)).expect("a key is made of text")
    }

    fn bytes<'a>(&'a self, buffer: &'a mut KeyBuffer) -> &'a [u8] {
        match &self.0 {
            Form::Uuid(uuid) => uuid::Uuid::from_bytes(*uuid).hyphenated().encode_lower(buffer).as_bytes(),
            Form::Short { len, bytes } => &bytes[..usize::from(*len)],
            Form::Long { text, .. } => text.as_bytes(),
        }
    }

    /// The text, owned.
    pub(super) fn to_text(&self) -> Box<str> {
        self.text(&mut [0; 36]).into()
    }

    /// Bytes beyond those in the tree's own nodes.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Long { text, .. } => text.len() + 2 * size_of::<usize>(),
            Form::Uuid(_) | Form::Short { .. } => 0,
        }
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Form::Uuid(one), Form::Uuid(two)) => u128::from_be_bytes(*one).cmp(&u128::from_be_bytes(*two)),
            // Equal up to the filling: the shorter one is a beginning of the other.
            (Form::Short { len: one_len, bytes: one }, Form::Short { len: two_len, bytes: two }) => {
                halves(one).cmp(&halves(two)).then(one_len.cmp(two_len))
            }
            (Form::Long { head: one_head, text: one }, Form::Long { head: two_head, text: two }) => {
                first_bytes(one_head).cmp(&first_bytes(two_head)).then_with(|| one.cmp(two))
            }
            _ => self.bytes(&mut [0; 36]).cmp(other.bytes(&mut [0; 36])),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

/// The order of the first bytes, which is nearly always that of the whole.
fn first_bytes(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Two numbers with the order of the bytes. They overlap, where no byte decides that was not compared before.
fn halves(bytes: &[u8; Key::SHORT_MAX]) -> (u128, u128) {
    let number = |half: &[u8]| half.try_into().map_or(0, u128::from_be_bytes);
    (number(&bytes[..16]), number(&bytes[Key::SHORT_MAX - 16..]))
}

/// The bytes of a UUID written in the one way from which its text can be made again.
fn uuid_bytes(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let mut bytes = [0; 16];
    let mut wrong = 0;
    let mut digits = 0;
    for byte in &mut bytes {
        if matches!(digits, 8 | 13 | 18 | 23) {
            wrong |= text[digits] ^ b'-';
            digits += 1;
        }
        let (high, low) = (DIGITS[usize::from(text[digits])], DIGITS[usize::from(text[digits + 1])]);
        // What is no digit has its high bits set.
        wrong |= (high | low) & 0xf0;
        *byte = high << 4 | low;
        digits += 2;
    }
    (wrong == 0).then_some(bytes)
}

/// The value of a hexadecimal digit in lower case; 255 for any other byte.
const DIGITS: [u8; 256] = {
    let (mut table, mut value) = ([255; 256], 0);
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// A document: what it says, and since when.
#[derive(Clone)]
pub(super) struct Doc(Arc<[u8]>);

impl Doc {
    /// Bytes before the text.
    const HEAD: usize = 24;

    pub(super) fn new(version: Version, created: Micros, updated: Micros, text: &str) -> Self {
        let mut shared: Arc<[u8]> = repeat_n(0, Self::HEAD + text.len()).collect();
        let bytes = Arc::get_mut(&mut shared).expect("nobody has it yet");
        for (place, number) in [version, created, updated].into_iter().enumerate() {
            bytes[8 * place..8 * (place + 1)].copy_from_slice(&number.to_le_bytes());
        }
        bytes[Self::HEAD..].copy_from_slice(text.as_bytes());
        Self(shared)
    }

    /// A document from the bytes that [`Self::bytes`] gave; `None` for anything else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes.get(Self::HEAD..)?).ok()?;
        Some(Self(bytes.into()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn version(&self) -> Version {
        self.number(0)
    }

    pub(super) fn created(&self) -> Micros {
        self.number(1)
    }

    pub(super) fn updated(&self) -> Micros {
        self.number(2)
    }

    pub(super) fn text_len(&self) -> usize {
        self.0.len() - Self::HEAD
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.0[Self::HEAD..]).expect("a document is made of text")
    }

    fn number(&self, place: usize) -> u64 {
        let bytes = self.0[place * 8..place * 8 + 8].try_into().expect("a document has a whole head");
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ab\u{0}]{0,5}",
            "[a-c]{1,2}[a-b]{12,14}[a-c]{14,18}",
            "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}",
            "[01]{8}-[01]{4}-[01]{4}-[01]{4}-[01A]{12}",
        ]
    }

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_texts_are(one in text(), two in text()) {
            prop_assert_eq!(Key::new(&one).cmp(&Key::new(&two)), one.cmp(&two));
            prop_assert_eq!(&*Key::new(&one).to_text(), one.as_str());
        }

        #[test]
        fn a_tree_is_an_ordered_map_and_its_clone_is_frozen(
            before in prop::collection::vec((text(), any::<Option<u8>>()), 0..60),
            later in prop::collection::vec((text(), any::<Option<u8>>()), 0..60),
            from in text(),
        ) {
            let mut tree = Tree::default();
            let mut model = BTreeMap::new();
            let write = |tree: &mut Tree<u8>, model: &mut BTreeMap<String, u8>, steps: Vec<(String, Option<u8>)>| {
                for (key, value) in steps {
                    match value {
                        Some(value) => assert_eq!(tree.insert(Key::new(&key), value), model.insert(key, value)),
                        None => assert_eq!(tree.remove(&Key::new(&key)), model.remove(&key)),
                    }
                }
            };
            write(&mut tree, &mut model, before);
            let (frozen, frozen_model) = (tree.clone(), model.clone());
            write(&mut tree, &mut model, later);
            for (tree, model) in [(tree, model), (frozen, frozen_model)] {
                prop_assert_eq!(tree.len(), model.len());
                let all: Vec<_> = tree.after(None).map(|(key, value)| (key.to_text().to_string(), *value)).collect();
                prop_assert_eq!(&all, &model.clone().into_iter().collect::<Vec<_>>());
                let rest: Vec<_> = tree.after(Some(&Key::new(&from))).map(|(_, value)| *value).collect();
                let expected =
                    model.range::<str, _>((Bound::Excluded(from.as_str()), Bound::Unbounded)).map(|(_, value)| *value);
                prop_assert_eq!(rest, expected.collect::<Vec<_>>());
                prop_assert_eq!(tree.get(&Key::new(&from)), model.get(&from));
            }
        }
    }

    #[test]
    fn a_key_takes_32_bytes_and_a_document_one_pointer() {
        assert_eq!(size_of::<Key>(), 32);
        assert_eq!(size_of::<Doc>(), 16);
        let doc = Doc::new(7, 8, 9, "{}");
        assert_eq!((doc.version(), doc.created(), doc.updated(), doc.text()), (7, 8, 9, "{}"));
        assert_eq!(Doc::from_bytes(doc.bytes()).unwrap().text(), "{}");
        assert!(Doc::from_bytes(&[0; 23]).is_none() && Doc::from_bytes(&[255; 25]).is_none());
    }
}
