//! Whether a history of one register is linearizable: whether each operation can be given one instant between its call
//! and its return so that every read finds what was written last.
//!
//! ```text
//!   client 1   |── write 1 ──|              |─ read 2 ─|
//!   client 2          |───── write 2 ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─      no answer: it may happen at any time from its call on
//!                 1 . 2 . . . . . . . . . . . . 2               one order that explains it
//! ```
//!
//! It is the search of Wing and Gong as Lowe has it: calls and returns are taken in order, an operation is placed no
//! sooner than some return asks for it, and what was reached once is not searched again. What is known of a history so
//! far is the set of its configurations: the value, and which of the open operations are placed already.
//!
//! # What keeps it short
//! 1. Every value is written once. So a write without an answer that nobody has read may be left out, and one that was
//!    read has happened by the return of the first who read it: nothing stays open for ever.
//! 2. A read that finds its value is placed at once: it changes nothing for others.
//!
//! # Not here
//! Where histories come from, and several registers (`histories`): each is judged by itself, and so are all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What one client did, and what came of it. What was surely refused is no operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    /// Answered.
    Wrote(u64),
    /// Never answered: it happened at some time after its call, or did not.
    MayHaveWritten(u64),
    /// `None`: nobody has written yet.
    Read(Option<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) call: u64,
    /// Without meaning for what was never answered.
    pub(crate) end: u64,
    pub(crate) did: Did,
}

/// The first operation that has no place, and the values that there could have been by its return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) operation: Operation,
    pub(crate) values: BTreeSet<Option<u64>>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { call, end, did } = self.operation;
        write!(f, "{did:?} from {call} to {end} has no place; the value could have been one of {:?}", self.values)
    }
}

/// The value, and a bit for each open operation that is placed.
type Configuration = (Option<u64>, u128);

/// Says which operation cannot be explained, if there is one.
pub(crate) fn check(history: &[Operation]) -> Result<(), Violation> {
    let operations = settled(history);
    // (when, whether it is the return, which): at one instant calls come first, so that the two overlap.
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        if operation.end < operation.call {
            // It was read before it was written.
            return Err(Violation { operation: *operation, values: BTreeSet::new() });
        }
        events.extend([(operation.call, false, at), (operation.end, true, at)]);
    }
    events.sort_unstable();
    let mut open: Vec<Option<Operation>> = Vec::new();
    let mut slots = vec![0; operations.len()];
    let mut reached = BTreeSet::from([(None, 0)]);
    for (_, is_return, at) in events {
        if is_return {
            reached =
                placed(reached, &open, slots[at]).map_err(|values| Violation { operation: operations[at], values })?;
            open[slots[at]] = None;
        } else {
            let slot = open.iter().position(Option::is_none).unwrap_or(open.len());
            assert!(slot < 128, "more than 128 operations are open at one time");
            open.resize(open.len().max(slot + 1), None);
            (open[slot], slots[at]) = (Some(operations[at]), slot);
        }
    }
    Ok(())
}

/// The same history without what stays open for ever, and every write over by the time that it was seen.
fn settled(history: &[Operation]) -> Vec<Operation> {
    let mut seen = BTreeMap::<u64, u64>::new();
    for operation in history {
        if let Did::Read(Some(value)) = operation.did {
            let first = seen.entry(value).or_insert(operation.end);
            *first = operation.end.min(*first);
        }
    }
    let settle = |operation: &Operation| match operation.did {
        Did::Read(_) => Some(*operation),
        Did::Wrote(value) => {
            Some(Operation { end: seen.get(&value).map_or(operation.end, |end| operation.end.min(*end)), ..*operation })
        }
        Did::MayHaveWritten(value) => {
            seen.get(&value).map(|end| Operation { end: *end, did: Did::Wrote(value), ..*operation })
        }
    };
    history.iter().filter_map(settle).collect()
}

/// Everything that can be when the operation of this slot has returned, which is in its place by then. If nothing can,
/// the values that were tried.
fn placed(
    from: BTreeSet<Configuration>,
    open: &[Option<Operation>],
    returning: usize,
) -> Result<BTreeSet<Configuration>, BTreeSet<Option<u64>>> {
    let open: Vec<(u128, Did)> =
        open.iter().enumerate().filter_map(|(slot, one)| Some((1 << slot, one.as_ref()?.did))).collect();
    let (bit, mut reached, mut searched) = (1_u128 << returning, BTreeSet::new(), BTreeSet::new());
    let mut work: Vec<Configuration> = from.into_iter().collect();
    while let Some((value, mut done)) = work.pop() {
        open.iter().filter(|(_, did)| *did == Did::Read(value)).for_each(|(read, _)| done |= read);
        if !searched.insert((value, done)) {
            continue;
        }
        if done & bit != 0 {
            reached.insert((value, done & !bit));
            continue;
        }
        for (write, did) in &open {
            if let Did::Wrote(new) = did
                && done & write == 0
            {
                work.push((Some(*new), done | write));
            }
        }
    }
    if reached.is_empty() { Err(searched.into_iter().map(|(value, _)| value).collect()) } else { Ok(reached) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Did::{MayHaveWritten, Read, Wrote};
    use super::*;
    use crate::support::histories::Dice;

    fn history(of: &[(u64, u64, Did)]) -> Vec<Operation> {
        of.iter().map(|&(call, end, did)| Operation { call, end, did }).collect()
    }

    /// Whether there is an order: all of them are tried, with every choice for what was not answered.
    fn has_an_order(left: &[Operation], value: Option<u64>) -> bool {
        let must = |one: &Operation| !matches!(one.did, MayHaveWritten(_));
        if !left.iter().any(must) {
            return true;
        }
        let first_end = left.iter().filter(|one| must(one)).map(|one| one.end).min().unwrap();
        (0..left.len()).filter(|at| left[*at].call <= first_end).any(|at| {
            let mut rest = left.to_vec();
            match rest.remove(at).did {
                Wrote(new) | MayHaveWritten(new) => has_an_order(&rest, Some(new)),
                Read(found) => found == value && has_an_order(&rest, value),
            }
        })
    }

    #[test]
    fn histories_with_an_order_have_one() {
        for (name, right) in [
            ("nothing", &[][..]),
            ("one after the other", &[(1, 2, Wrote(1)), (3, 4, Read(Some(1)))]),
            ("nobody has written", &[(1, 2, Read(None)), (3, 4, Wrote(1))]),
            ("a read beside a write finds either", &[(1, 9, Wrote(1)), (2, 3, Read(None)), (4, 5, Read(Some(1)))]),
            ("at one instant is beside", &[(1, 2, Wrote(1)), (2, 3, Read(None))]),
            ("two writes in either order", &[(1, 9, Wrote(1)), (1, 9, Wrote(2)), (10, 11, Read(Some(1)))]),
            ("no answer, never seen", &[(1, 2, Wrote(1)), (3, 4, MayHaveWritten(2)), (5, 6, Read(Some(1)))]),
            (
                "no answer, seen later",
                &[(1, 2, Wrote(1)), (3, 4, MayHaveWritten(2)), (5, 6, Read(Some(1))), (7, 8, Read(Some(2)))],
            ),
            (
                "no answer, comes after a write that began later",
                &[(1, 2, MayHaveWritten(1)), (3, 4, Wrote(2)), (5, 6, Read(Some(2))), (7, 8, Read(Some(1)))],
            ),
        ] {
            assert_eq!(check(&history(right)), Ok(()), "{name}");
            assert!(has_an_order(&history(right), None), "{name}");
        }
    }

    #[test]
    fn histories_without_an_order_are_found_with_the_operation_that_has_no_place() {
        for (name, wrong, at) in [
            ("a stale read", &[(1, 2, Wrote(1)), (3, 4, Wrote(2)), (5, 6, Read(Some(1)))][..], 2),
            ("a lost write", &[(1, 2, Wrote(1)), (3, 4, Read(None))], 1),
            ("a value that nobody wrote", &[(1, 2, Wrote(1)), (3, 4, Read(Some(7)))], 1),
            (
                "no answer, seen, and unseen again",
                &[(1, 2, Wrote(1)), (3, 4, MayHaveWritten(2)), (5, 6, Read(Some(2))), (7, 8, Read(Some(1)))],
                3,
            ),
            (
                "two primaries, each with readers of its own",
                &[
                    (1, 2, Wrote(1)),
                    (3, 4, Wrote(2)),
                    (3, 4, Wrote(3)),
                    (5, 6, Read(Some(2))),
                    (7, 8, Read(Some(3))),
                    (9, 10, Read(Some(2))),
                ],
                4,
            ),
            (
                "two readers of two writes, each in its own order",
                &[
                    (1, 20, Wrote(1)),
                    (1, 20, Wrote(2)),
                    (2, 3, Read(Some(1))),
                    (4, 5, Read(Some(2))),
                    (6, 7, Read(Some(1))),
                ],
                4,
            ),
        ] {
            let wrong = history(wrong);
            assert_eq!(check(&wrong).unwrap_err().operation, wrong[at], "{name}");
            assert!(!has_an_order(&wrong, None), "{name}");
        }
        let early = history(&[(1, 2, Read(Some(1))), (3, 4, Wrote(1))]);
        assert!(check(&early).is_err() && !has_an_order(&early, None), "read before it was written");
    }

    #[test]
    fn the_search_says_what_trying_every_order_says() {
        let (mut dice, mut found) = (Dice(7), [0, 0]);
        for _ in 0..20_000 {
            let count = 2 + dice.below(6);
            let one = |at: u64, dice: &mut Dice| {
                let call = dice.below(12);
                let did = match dice.below(5) {
                    0 | 1 => Wrote(at),
                    2 => MayHaveWritten(at),
                    _ => Read(Some(dice.below(count)).filter(|value| *value < count - 1)),
                };
                (call, call + dice.below(6), did)
            };
            let tried: Vec<_> = (0..count).map(|at| one(at, &mut dice)).collect();
            let tried = history(&tried);
            let is_right = has_an_order(&tried, None);
            assert_eq!(check(&tried).is_ok(), is_right, "{tried:#?}");
            found[usize::from(is_right)] += 1;
        }
        assert!(found.iter().all(|count| *count > 1000), "{found:?}");
    }

    /// Clients of a register that keeps every rule, each with one operation after the other.
    fn long(clients: u64, each: usize, dice: &mut Dice) -> Vec<Operation> {
        let mut points = Vec::new();
        for client in 0..clients {
            let mut now = client;
            for _ in 0..each {
                let (call, took) = (now + dice.below(20), 2 + dice.below(100));
                points.push((call + dice.below(took), call, call + took));
                now = call + took + 1;
            }
        }
        points.sort_unstable();
        let (mut value, mut all) = (None, Vec::new());
        for (at, (point, call, end)) in points.into_iter().enumerate() {
            let did = match dice.below(20) {
                0..8 => Wrote(at as u64),
                // Some of these are never read, and some did not happen.
                8 if dice.below(2) == 0 => {
                    all.push(Operation { call, end: 0, did: MayHaveWritten(at as u64) });
                    continue;
                }
                8 => MayHaveWritten(at as u64),
                _ => Read(value),
            };
            if let Wrote(new) | MayHaveWritten(new) = did {
                value = Some(new);
            }
            assert!((call..=end).contains(&point));
            all.push(Operation { call, end, did });
        }
        all
    }

    #[test]
    fn thousands_of_operations_of_eight_clients_on_one_register_take_no_time() {
        let mut dice = Dice(11);
        let right = long(8, 1000, &mut dice);
        let begin = Instant::now();
        assert_eq!(check(&right), Ok(()));
        let took = begin.elapsed();
        println!("{} operations of 8 clients in {took:?}", right.len());
        assert!(took < Duration::from_secs(1), "{took:?}");
        // One stale read near the end is found.
        let mut wrong = right;
        let at = wrong.len() - 20;
        let at = (at..wrong.len()).find(|at| matches!(wrong[*at].did, Read(_))).unwrap();
        wrong[at].did = wrong[100..].iter().map(|one| one.did).find(|did| matches!(did, Read(_))).unwrap();
        assert!(check(&wrong).is_err());
    }
}
