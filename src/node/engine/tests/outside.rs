//! The write path with a service whose answers come later.

use super::*;
use crate::node::adapter::{Info, Verdict};
use crate::node::engine::{Condition, Order, Question, Who};
use crate::service::{Outcome, Resource};

impl World {
    /// A primary that is open, with a service that has said who it is.
    fn outside() -> Self {
        let mut world = Self::with(Asked::default(), true);
        world.engine.service_says(info());
        world.engine.service_is(Condition::Serving, world.now()).unwrap();
        world.sync();
        assert_eq!(world.batches(), [1], "the service counts Rig's own record");
        world.applied(1);
        assert!(world.engine.is_open());
        world
    }

    /// The questions that are under way since the last call.
    fn questions(&mut self) -> Vec<Question> {
        let orders = self.engine.take_orders();
        let questions = orders.into_iter().filter_map(|order| match order {
            Order::Judge { questions, .. } => Some(questions),
            Order::Apply { .. } => None,
        });
        questions.flatten().collect()
    }

    /// The batches that are under way since the last call, by the number of their records.
    fn batches(&mut self) -> Vec<usize> {
        let orders = self.engine.take_orders();
        let batches = orders.into_iter().filter_map(|order| match order {
            Order::Apply { records } => Some(records.len()),
            Order::Judge { .. } => None,
        });
        batches.collect()
    }

    fn judge(&mut self, who: Who, verdict: Verdict) {
        self.engine.judged(vec![(who, verdict)], self.now()).unwrap();
    }

    fn applied(&mut self, count: usize) {
        let outcome = Outcome { status: 200, result: "{\"done\":true}".into() };
        self.engine.applied_outside(vec![outcome; count], self.now()).unwrap();
    }

    /// Sends an operation; gives back the question about it.
    fn ask(&mut self, key: Option<&str>) -> (u64, Who) {
        let number = self.send(key, "user_create", "{}");
        let questions = self.questions();
        assert_eq!(questions.len(), 1, "it is asked at once");
        (number, questions[0].who)
    }
}

fn info() -> Info {
    Info {
        name: "users".into(),
        applied: 0,
        applied_hash: None,
        methods: None,
        max_batch: 8,
        stateful_validate: true,
        snapshots: true,
        examples: Vec::new(),
    }
}

fn valid(keys: &[&str]) -> Verdict {
    Ok((None, Resources::Keys(keys.iter().map(|key| Resource::exclusive(*key)).collect())))
}

fn alone() -> Verdict {
    Ok((None, Resources::Alone))
}

#[test]
fn an_operation_is_answered_when_the_service_has_applied_it() {
    let mut world = World::outside();
    let (number, who) = world.ask(None);
    assert!(!world.sync(), "nothing is logged before the verdict");
    world.judge(who, valid(&["a"]));
    assert!(world.sync());
    assert_eq!(world.answers(), [], "it is committed and not applied");
    assert_eq!(world.batches(), [1]);
    world.applied(1);
    assert_eq!(world.answers(), [(number, Ok(2))]);
}

#[test]
fn what_the_service_refuses_is_not_logged() {
    let mut world = World::outside();
    let (number, who) = world.ask(None);
    world.judge(who, Err(Problem::new(Code::Unique, "the e-mail is taken")));
    assert_eq!(world.answers(), [(number, Err(409))]);
    assert!(!world.sync());
}

#[test]
fn of_two_on_one_resource_the_second_is_judged_again_when_the_first_is_applied() {
    let mut world = World::outside();
    let (first, who) = world.ask(None);
    let second = world.send(None, "user_create", "{}");
    assert!(world.questions().is_empty(), "one question at a time");
    world.judge(who, valid(&["a"]));
    let questions = world.questions();
    world.judge(questions[0].who, valid(&["a"]));
    world.sync();
    assert_eq!(world.batches(), [1]);
    world.applied(1);
    let again = world.questions();
    assert_eq!(again.len(), 1, "it holds the resource, and nobody knows whether the verdict stands");
    assert!(!world.sync(), "it is not logged on the old verdict");
    world.judge(again[0].who, Err(Problem::new(Code::Unique, "taken meanwhile")));
    assert_eq!(world.answers(), [(first, Ok(2)), (second, Err(409))]);
}

#[test]
fn a_verdict_from_before_a_change_does_not_stand_although_nobody_holds_the_resource() {
    let mut world = World::outside();
    let (first, who) = world.ask(None);
    world.judge(who, valid(&["a"]));
    world.sync();
    let second = world.send(None, "user_create", "{}");
    let orders = world.engine.take_orders();
    assert!(matches!(orders[..], [Order::Apply { .. }, Order::Judge { .. }]), "both are under way");
    let Order::Judge { questions, .. } = &orders[1] else { unreachable!() };
    // The service judged the second before it applied the first; the answers come in the other order.
    world.applied(1);
    world.judge(questions[0].who, valid(&["a"]));
    assert!(!world.sync(), "what it saw has changed since");
    let again = world.questions();
    world.judge(again[0].who, valid(&["a"]));
    assert!(world.sync());
    world.applied(1);
    assert_eq!(world.answers(), [(first, Ok(2)), (second, Ok(3))]);
}

#[test]
fn an_operation_that_names_nothing_runs_alone() {
    let mut world = World::outside();
    let (_, who) = world.ask(None);
    world.judge(who, valid(&["a"]));
    let (_, who) = world.ask(None);
    world.judge(who, alone());
    world.sync();
    assert_eq!(world.engine.core().appended(), 2, "it waits for the one that is in flight");
    let (_, late) = world.ask(None);
    world.judge(late, valid(&["b"]));
    world.applied(1);
    let again = world.questions();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].who, who, "the one that must be alone comes first, and is judged again");
    world.judge(who, alone());
    world.sync();
    assert_eq!(world.engine.core().appended(), 3, "who came later waits for it");
}

#[test]
fn who_always_names_something_new_is_judged_alone_in_the_end() {
    let mut world = World::outside();
    for key in ["a", "b", "c"] {
        let (_, holder) = world.ask(None);
        world.judge(holder, valid(&[key]));
    }
    world.sync();
    let (number, mut who) = world.ask(None);
    for key in ["a", "b", "c"] {
        world.judge(who, valid(&[key]));
        assert!(world.questions().is_empty(), "{key} is held by another");
        world.applied(1);
        who = world.questions()[0].who;
    }
    world.judge(who, valid(&["d"]));
    assert!(world.sync(), "it holds everything: no verdict can be stale");
    world.applied(1);
    assert_eq!(world.answers().last(), Some(&(number, Ok(5))));
}

#[test]
fn a_key_that_waits_in_the_log_for_its_service_is_not_done_twice() {
    let mut world = World::outside();
    let (number, who) = world.ask(Some("k"));
    world.judge(who, valid(&["a"]));
    world.sync();
    world.wait(Duration::from_secs(6));
    assert_eq!(world.answers(), [(number, Err(504))], "it is in the log, and not applied in time");
    let again = world.send(Some("k"), "user_create", "{}");
    assert!(world.questions().is_empty(), "it is known");
    world.applied(1);
    assert_eq!(world.answers(), [(again, Ok(2))]);
}

#[test]
fn while_the_service_is_away_new_ones_are_refused_at_once_and_those_in_the_log_wait() {
    let mut world = World::outside();
    let (first, who) = world.ask(None);
    let waiting = world.send(None, "user_create", "{}");
    world.judge(who, valid(&["a"]));
    world.sync();
    let stalled = Condition::Stalled { why: "gone".into(), since: 1 };
    world.engine.service_is(stalled, world.now()).unwrap();
    let new = world.send(None, "user_create", "{}");
    // The one that was under way was taken from the queue before.
    assert_eq!(world.answers(), [(new, Err(503))]);
    world.engine.service_is(Condition::Serving, world.now()).unwrap();
    world.applied(1);
    assert_eq!(world.answers(), [(first, Ok(2))]);
    world.wait(Duration::from_secs(6));
    assert_eq!(world.answers(), [(waiting, Err(503))], "nobody has judged it: surely not logged");
}

#[test]
fn a_verdict_for_who_has_given_up_is_dropped() {
    let mut world = World::outside();
    let (number, who) = world.ask(None);
    world.wait(Duration::from_secs(6));
    assert_eq!(world.answers(), [(number, Err(503))]);
    let (_, other) = {
        let number = world.send(None, "user_create", "{}");
        (number, who)
    };
    world.judge(other, valid(&["a"]));
    assert!(!world.sync(), "the ticket is in use again, by another");
}

#[test]
fn a_service_that_stops_early_is_given_the_rest() {
    let mut world = World::outside();
    for _ in 0..3 {
        let (_, who) = world.ask(None);
        world.judge(who, valid(&[]));
    }
    world.sync();
    assert_eq!(world.batches(), [3]);
    world.applied(1);
    assert!(world.batches().is_empty(), "the courier still has two of them");
    world.applied(2);
    assert_eq!(world.answers().len(), 3);
}

#[test]
fn when_the_service_goes_those_who_are_next_in_line_are_asked_about_and_told() {
    let mut world = World::outside();
    let (holder, who) = world.ask(None);
    world.judge(who, valid(&["a"]));
    world.sync();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (number, who) = world.ask(None);
        world.judge(who, valid(&["a"]));
        waiting.push(number);
    }
    // Another question is under way when the resource comes free: who gets it waits to be judged again.
    let (_, _) = world.ask(None);
    world.applied(1);
    world.time += 2_000_000;
    world.engine.service_is(Condition::Stalled { why: "gone".into(), since: 1 }, world.now()).unwrap();
    world.wait(Duration::from_millis(1));
    let answers = world.answers();
    assert_eq!(answers[0], (holder, Ok(2)));
    assert!(waiting.iter().all(|number| answers.contains(&(*number, Err(503)))), "{answers:?}");
}

#[test]
fn what_is_on_its_way_to_the_service_counts_as_there() {
    let mut world = World::outside();
    for _ in 0..3 {
        let (_, who) = world.ask(None);
        world.judge(who, valid(&[]));
    }
    world.sync();
    assert_eq!(world.batches(), [3]);
    assert!(world.engine.is_reached(2), "it is being given 2 to 4");
    assert!(!world.engine.is_reached(4));
}

#[test]
fn a_refusal_leaves_the_verdicts_beside_it_alone_and_what_was_filled_in_is_judged_again_as_it_is() {
    let mut world = World::outside();
    let (_, first) = world.ask(None);
    for _ in 0..2 {
        world.send(None, "user_create", "{}");
    }
    let refusal = || Err(Problem::new(Code::Unique, "taken"));
    world.judge(first, refusal());
    let [refused, taken] = &world.questions()[..] else { panic!("two wait") };
    let filled: Verdict = Ok((Some("{\"id\":1}".into()), Resources::Keys(vec![Resource::exclusive("a")])));
    world.engine.judged(vec![(refused.who, refusal()), (taken.who, filled)], world.now()).unwrap();
    assert!(world.questions().is_empty() && world.sync(), "nothing has changed since it was judged");
    let (_, late) = world.ask(None);
    let filled: Verdict = Ok((Some("{\"id\":2}".into()), Resources::Keys(vec![Resource::exclusive("a")])));
    world.judge(late, filled);
    world.applied(1);
    assert_eq!(&*world.questions()[0].operation.data, "{\"id\":2}", "another identifier would be another resource");
}

#[test]
fn behind_a_tail_that_waits_for_its_service_only_its_own_keys_wait() {
    let mut world = World::outside();
    let (_, who) = world.ask(Some("k"));
    world.judge(who, valid(&["a"]));
    world.sync();
    world.engine.take_over_tail();
    world.engine.give_up(&Problem::new(Code::Draining, "as a new term begins"), "unknown");
    world.answers();
    let stalled = Condition::Stalled { why: "gone".into(), since: 1 };
    world.engine.service_is(stalled, world.now()).unwrap();
    let (retry, new) = (world.send(Some("k"), "user_create", "{}"), world.send(Some("n"), "user_create", "{}"));
    assert_eq!(world.answers(), [(new, Err(503))], "who is surely new is told at once");
    world.wait(Duration::from_secs(6));
    assert_eq!(world.answers(), [(retry, Err(504))], "who is in the log is not told that nothing was logged");
    let retry = world.send(Some("k"), "user_create", "{}");
    world.engine.service_is(Condition::Serving, world.now()).unwrap();
    world.applied(1);
    assert_eq!(world.answers(), [(retry, Ok(2))]);
}
