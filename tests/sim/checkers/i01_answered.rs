//! I1: what was answered 200, in any class but `async` and `received`, is in the log of every later primary unless the
//! operator forced; and it is cut nowhere while no other machine holds it. What was answered on the word of fewer disks than
//! there are members does not outlive those disks.

use super::record::side_of;
use super::{Checker, Fact, Past};
use crate::machine::Machine;

pub struct Answered;

impl Checker for Answered {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        match fact {
            Fact::Opened { machine, epoch } => {
                let side = side_of(&machines[*machine]);
                // One whose acknowledgements come late opens after a later term has: it has missed that one's answers.
                let answer = past.missing(&machines[*machine], &side).find(|answer| answer.term < *epoch)?;
                Some(format!(
                    "n{machine} opens {epoch} without op {} that was answered `{}` as v{} in {}",
                    answer.op, answer.durability, answer.version, answer.term
                ))
            }
            Fact::Cut { machine, records }
            | Fact::Rewound { machine, records, .. }
            | Fact::Lost { machine, records } => {
                let answers = records.iter().filter_map(|record| {
                    let places = past.by_version.get(&record.version)?;
                    places.iter().map(|place| &past.answers[*place]).find(|answer| answer.hash == record.hash)
                });
                let held = |answer: &super::Answer| {
                    machines.iter().any(|other| !other.retired && other.truth.holds(answer.version, &answer.hash))
                };
                let is_crash = matches!(fact, Fact::Lost { .. });
                let excused = |answer: &super::Answer| is_crash && answer.went_with_its_disks(machines);
                let lost = |answer: &&super::Answer| answer.is_protected() && !held(answer) && !excused(answer);
                let answer = answers.into_iter().find(lost)?;
                Some(format!(
                    "n{machine} drops op {} that was answered `{}` as v{} in {}, and nobody else holds it",
                    answer.op, answer.durability, answer.version, answer.term
                ))
            }
            _ => None,
        }
    }
}
