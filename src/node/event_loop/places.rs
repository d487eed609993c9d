//! Places to look at in this turn: each once, in the order in which they came up.

/// Small numbers, used again and again.
#[derive(Debug, Default)]
pub(super) struct Places {
    list: Vec<usize>,
    /// By place.
    is_in: Vec<bool>,
    /// A list that was taken and given back, for its memory.
    spare: Vec<usize>,
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn insert(&mut self, place: usize) {
        if self.is_in.len() <= place {
            self.is_in.resize(place + 1, false);
        }
        if !std::mem::replace(&mut self.is_in[place], true) {
            self.list.push(place);
        }
    }

    pub(super) fn remove(&mut self, place: usize) {
        if self.is_in.get_mut(place).is_some_and(std::mem::take) {
            self.list.retain(|other| *other != place);
        }
    }

    /// All of them; none is left.
    pub(super) fn take(&mut self) -> Vec<usize> {
        self.list.iter().for_each(|place| self.is_in[*place] = false);
        std::mem::replace(&mut self.list, std::mem::take(&mut self.spare))
    }

    /// A list from [`Places::take`] that has been gone through.
    pub(super) fn give_back(&mut self, mut list: Vec<usize>) {
        list.clear();
        self.spare = list;
    }
}

impl Extend<usize> for Places {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, places: I) {
        places.into_iter().for_each(|place| self.insert(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_and_in_order() {
        let mut places = Places::default();
        places.extend([7, 2, 7, 9]);
        places.remove(2);
        places.remove(100);
        assert_eq!(places.take(), [7, 9]);
        assert!(places.is_empty());
        places.extend([9, 2]);
        let list = places.take();
        assert_eq!(list, [9, 2]);
        places.give_back(list);
        places.insert(2);
        assert_eq!(places.take(), [2]);
    }
}
