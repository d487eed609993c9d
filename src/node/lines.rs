//! The answers to a batch: one line for each of its operations, in their order, whatever the order in which they come.

/// Lines that are put together in one piece of memory.
#[derive(Debug)]
pub(super) struct Lines {
    /// As they came.
    text: Vec<u8>,
    /// Where each line is in `text`; empty where it is not there yet. A line is not empty.
    places: Vec<(u32, u32)>,
    missing: usize,
    /// Whether they came in their order so far: then `text` is the answer.
    in_order: bool,
}

impl Lines {
    pub(super) fn new(count: usize) -> Self {
        Self { text: Vec::new(), places: vec![(0, 0); count], missing: count, in_order: true }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Takes a line, without its end; the first one for a place counts.
    pub(super) fn put(&mut self, index: usize, fill: impl FnOnce(&mut Vec<u8>)) {
        let Some(place @ (0, 0)) = self.places.get_mut(index) else { return };
        if self.text.is_empty() {
            self.text.reserve(256 * self.missing);
        }
        let start = self.text.len();
        fill(&mut self.text);
        self.text.push(b'\n');
        let at = |place: usize| u32::try_from(place).expect("ten thousand lines are less than 4 GiB");
        *place = (at(start), at(self.text.len()));
        self.in_order &= index + self.missing == self.places.len();
        self.missing -= 1;
    }

    /// Bytes of all lines so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Appends the lines in their order.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.in_order {
            return out.extend_from_slice(&self.text);
        }
        for (start, end) in &self.places {
            out.extend_from_slice(&self.text[*start as usize..*end as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(lines: &mut Lines, index: usize, text: &str) {
        lines.put(index, |out| out.extend_from_slice(text.as_bytes()));
    }

    fn written(lines: &Lines) -> String {
        let mut out = Vec::new();
        lines.write(&mut out);
        assert_eq!(out.len(), lines.len());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_leave_in_their_order() {
        let mut lines = Lines::new(3);
        put(&mut lines, 2, "c");
        put(&mut lines, 0, "a");
        assert!(!lines.is_complete());
        put(&mut lines, 1, "b");
        assert!(lines.is_complete());
        assert_eq!(written(&lines), "a\nb\nc\n");
        let mut lines = Lines::new(2);
        put(&mut lines, 0, "a");
        put(&mut lines, 1, "b");
        assert_eq!(written(&lines), "a\nb\n");
    }

    #[test]
    fn a_second_line_for_a_place_and_a_place_too_many_are_passed_over() {
        let mut lines = Lines::new(2);
        put(&mut lines, 1, "b");
        put(&mut lines, 1, "x");
        put(&mut lines, 2, "x");
        put(&mut lines, 0, "a");
        assert_eq!(written(&lines), "a\nb\n");
    }
}
