//! The state of one node's protocol, and the way of an input through it.
//!
//! ```text
//!   step ─► what the input changes ─► progress: whatever has become possible, until nothing more is ─► invariants
//! ```
//!
//! What an input only makes possible (a promise is durable now, everything is acknowledged now) is not wired to
//! the input but found by `progress`, so that the order of answers from disk and peers does not matter.

use super::candidate::Candidate;
use super::config::Configs;
use super::links::{LinkState, Peer};
use super::primary::Primary;
use super::register::Outside;
use super::replica::Replica;
use super::rules::{Rule, Rules};
use super::{
    Asked, ClusterConfig, EpochStart, Event, History, Input, Link, Member, Message, Output, Outputs, Standing, Time,
};
use crate::types::{Epoch, NodeId, Role, Version};

/// How often time is looked at while there is anyone to wait for.
pub(super) const TICK: Time = 50_000;
/// A full disk is tried again.
pub(super) const ROOM_PROBE: Time = 1_000_000;
/// So long after the last message the commit position goes out alone.
pub(super) const COMMIT_SILENCE: Time = 1_000;

/// What a start has found on the disk.
#[derive(Debug, Clone)]
pub struct Found {
    /// This node.
    pub me: Member,
    /// Differs at every start of the process.
    pub boot: u64,
    /// The last version of the log, durable.
    pub head: Version,
    /// The first version of the log.
    pub oldest: Version,
    /// What is known to be committed; at most the head.
    pub committed: Version,
    /// What the service has applied; at most `committed`.
    pub applied: Version,
    /// The epochs of the log.
    pub history: Vec<EpochStart>,
    /// The last configuration known to be committed, and every later one.
    pub configs: Vec<(Version, ClusterConfig)>,
    /// What was recorded last; `None` when nothing ever was.
    pub standing: Option<Standing>,
    /// Whether a coordinator outside keeps epoch and set.
    pub coordinated: bool,
}

/// The protocol of one node.
#[derive(Debug)]
pub struct Replication {
    pub(super) me: Member,
    pub(super) boot: u64,
    pub(super) log: Known,
    pub(super) recorded: Standing,
    pub(super) wanted: Standing,
    pub(super) recording: Option<Standing>,
    pub(super) links: Vec<LinkState>,
    pub(super) peers: Vec<Peer>,
    /// Members that were removed by this process: they are not added again by themselves.
    pub(super) dismissed: Vec<NodeId>,
    /// `None` without a coordinator.
    pub(super) outside: Option<Outside>,
    pub(super) part: Part,
    pub(super) asked: Asked,
    pub(super) peers_expected: bool,
    pub(super) tried: bool,
    pub(super) draining: bool,
    /// Since when the log has had no room.
    pub(super) full_since: Option<Time>,
    /// Since when this primary has stored nothing for want of room.
    pub(super) short_since: Option<Time>,
    pub(super) failed: bool,
    /// The log is being cut.
    pub(super) cutting: bool,
    /// The first version whose result here is not the primary's.
    pub(super) diverged: Option<Version>,
    pub(super) now: Time,
    pub(super) started: Time,
    pub(super) ticked: Time,
    /// When the commit position must go out, if nothing else takes it along.
    pub(super) commit_due: Option<Time>,
    /// Nothing stood in the way of an operation, and nothing has happened since that could.
    pub(super) is_clear: bool,
    pub(super) rules: Rules,
}

/// What the protocol knows of this node's log.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) oldest: Version,
    pub(super) appended: Version,
    pub(super) durable: Version,
    pub(super) committed: Version,
    pub(super) applied: Version,
    pub(super) history: History,
    pub(super) configs: Configs,
}

/// What a node is doing.
#[derive(Debug)]
pub(super) enum Part {
    Replica(Replica),
    Candidate(Candidate),
    Primary(Primary),
}

impl Replication {
    /// Starts from what was found, as what the operator asks for.
    ///
    /// `peers_expected`: whether others were named at start: an answer without them is then `degraded`, not `local`.
    pub fn start(found: Found, role: Role, asked: Asked, peers_expected: bool, now: Time, out: &mut Outputs) -> Self {
        assert!(found.applied <= found.committed && found.committed <= found.head);
        let history = History::new(found.history).expect("a log that was opened has its epochs in order");
        let recorded = found.standing.unwrap_or_default();
        let log = Known {
            oldest: found.oldest,
            appended: found.head,
            durable: found.head,
            committed: found.committed,
            applied: found.applied,
            history,
            configs: Configs::new(found.configs),
        };
        let mut this = Self {
            me: found.me,
            boot: found.boot,
            wanted: recorded.clone(),
            recorded,
            recording: None,
            log,
            links: Vec::new(),
            peers: Vec::new(),
            dismissed: Vec::new(),
            outside: found.coordinated.then(Outside::default),
            part: Part::Replica(Replica::default()),
            asked,
            peers_expected,
            tried: !peers_expected,
            draining: false,
            full_since: None,
            short_since: None,
            failed: false,
            cutting: false,
            diverged: None,
            now,
            started: now,
            ticked: now,
            commit_due: None,
            is_clear: false,
            rules: Rules::default(),
        };
        // A term by force that the coordinator does not know has nobody else who could put it there.
        let Standing { primary, forced, adrift, .. } = this.recorded;
        let goes_on = found.coordinated && primary && forced && adrift;
        match role {
            _ if goes_on => this.part = Part::Candidate(Candidate::recovering()),
            Role::Primary => this.part = Part::Candidate(Candidate::recovering()),
            Role::Replica => {
                // A former primary that is to be a replica must not be taken for one that waits to go on.
                let standing = this.promise(this.recorded.promised);
                this.want(standing, out);
            }
        }
        this.progress(out);
        this.assert_invariants();
        this
    }

    /// Switches a rule off, to see whether it is missed.
    #[cfg(feature = "canary")]
    pub fn switch_off(&mut self, rule: Rule) {
        self.rules.switch_off(rule);
    }

    /// Takes what happened and appends what must be done to `out`.
    pub fn step(&mut self, input: Input, now: Time, out: &mut Outputs) {
        self.is_clear &= now <= self.now && matches!(input, Input::Propose { .. } | Input::Applied(_));
        self.now = self.now.max(now);
        if self.failed {
            return;
        }
        match input {
            // The hot path: nothing else becomes possible by it.
            Input::Propose { expect } => return self.on_propose(expect, out),
            Input::Applied(version) => return self.on_applied(version, out),
            Input::Prepare { version } => return self.on_prepare(version, out),
            Input::Flush => self.on_flush(out),
            Input::Decide { commit } => self.on_decide(commit, out),
            Input::Synced(durable) => self.on_synced(durable.version(), out),
            Input::Recorded => self.on_recorded(out),
            Input::NoRoom { last } => self.on_no_room(last, out),
            Input::Cut { applied, configs } => self.on_cut(applied, configs, out),
            Input::StateDiverged { version } => self.on_state_diverged(version, out),
            Input::StateRebuilt { applied } => self.on_state_rebuilt(applied, out),
            Input::HashIs { link, version, hash } => self.on_hash(link, version, hash, out),
            Input::Compacted { oldest } => self.log.oldest = oldest,
            Input::SnapshotIs { link, found } => self.offer_snapshot(link, found, out),
            Input::SnapshotTaken { link } => self.install(link, out),
            Input::Change(asked) => self.asked = asked.or(self.asked),
            Input::Promote { request, force } => self.on_promote(request, force, out),
            Input::Demote => self.on_demote(out),
            Input::RemoveMember { request, id, force } => self.on_remove_member(request, id, force, out),
            Input::Drain => self.on_drain(out),
            Input::StorageFailed => {
                self.failed = true;
                return;
            }
            Input::Connected { link, dialed } => self.on_connected(link, dialed, out),
            Input::Closed { link } => self.on_closed(link),
            Input::Message { link, message } => self.on_message(link, message, out),
            Input::Registered(seen) => self.on_registered(seen, out),
            Input::Swapped(seen) => self.on_swapped(seen, out),
            Input::SwapLost(seen) => self.on_swap_lost(seen, out),
            Input::Reachable(reachable) => self.on_reachable(reachable),
            Input::Unheard => self.on_unheard(out),
            Input::Leased { until } => self.on_lease(until),
            Input::Tried => self.tried = true,
            Input::Tick => self.on_tick(out),
        }
        self.progress(out);
        self.assert_invariants();
    }

    /// When [`Input::Tick`] is due; `None` while there is nothing to wait for.
    pub fn wake_at(&self) -> Option<Time> {
        let idle = self.links.is_empty()
            && matches!(&self.part, Part::Primary(primary) if primary.has_no_one_to_wait_for(self))
            || self.failed;
        if idle { None } else { Some(self.commit_due.unwrap_or(Time::MAX).min(self.ticked + TICK)) }
    }

    fn on_tick(&mut self, out: &mut Outputs) {
        if self.now >= self.ticked + TICK {
            self.ticked = self.now;
            self.close_silent(out);
            self.signs_of_life(out);
            self.tell_what_is_over(out);
            if !self.rules.hold(Rule::NoRollbackByTimer) {
                self.roll_back(out);
            }
        }
        self.tell_commit(out);
    }

    pub(super) fn is_full(&self) -> bool {
        self.full_since.is_some()
    }

    /// After a while a full disk is tried again. What a primary has sent to others is tried by the log meanwhile.
    fn look_for_room(&mut self, out: &mut Outputs) {
        if self.full_since.is_none_or(|since| self.now < since + ROOM_PROBE) {
            return;
        }
        match &self.part {
            Part::Primary(primary) if !primary.is_new() => return,
            Part::Primary(_) => {}
            Part::Candidate(_) => self.fetch_again(),
            Part::Replica(replica) => {
                if let Some(link) = replica.following() {
                    self.close(link, super::Closing::Again, out);
                }
            }
        }
        self.full_since = None;
    }

    /// Whatever has become possible. Each part looks at what is, not at what has just happened.
    pub(super) fn progress(&mut self, out: &mut Outputs) {
        self.look_for_room(out);
        match &self.part {
            Part::Replica(_) => self.progress_replica(out),
            Part::Candidate(_) => self.progress_candidate(out),
            Part::Primary(_) => self.progress_primary(out),
        }
        // A part may have changed into another, which may go on at once.
        match &self.part {
            Part::Primary(primary) if primary.is_new() => self.progress_primary(out),
            _ => {}
        }
        self.pay_promise(out);
    }

    /// What this node is that has promised an epoch and leads in none: it lacks what it lacked, and is adrift if it was.
    pub(super) fn promise(&self, promised: Epoch) -> Standing {
        // A force that the coordinator may know, and no log yet, stays one; given up for another term it leaves a value that
        // names this node, whatever it lacks.
        let forced = self.outside.is_some() && self.wanted.forced && self.keeps_force(promised);
        let adrift = self.wanted.adrift || self.own_force().is_some_and(|term| !promised.is_same_term(term));
        Standing { promised, forced, lacks: self.wanted.lacks, adrift, ..Standing::default() }
    }

    /// Asks for a standing to be recorded; while another is on its way it waits for that.
    pub(super) fn want(&mut self, standing: Standing, out: &mut Outputs) {
        assert!(standing.promised >= self.wanted.promised, "a promise is never taken back");
        if let (Some(from), None) = (self.wanted.alone_from, standing.alone_from)
            && self.log.committed >= from
        {
            out.push(Output::Alone { from, to: self.log.committed });
        }
        self.wanted = standing;
        self.forget_swap(out);
        self.record(out);
    }

    fn record(&mut self, out: &mut Outputs) {
        let is_free = self.recording.is_none() && !self.is_swapping();
        if is_free && self.has_no_place() {
            return self.lose_to(self.wanted.promised, out);
        }
        if is_free && (self.wanted != self.recorded || self.is_ahead_of_register()) {
            self.recording = Some(self.wanted.clone());
            match self.swap_for(&self.wanted) {
                Some(swap) => self.swap(swap, out),
                None => out.push(Output::Record(self.wanted.clone())),
            }
        }
        if !self.rules.hold(Rule::PromiseDurable) {
            // Canary: believed before it is durable.
            self.recorded.promised = self.wanted.promised;
        }
    }

    fn on_recorded(&mut self, out: &mut Outputs) {
        let standing = self.recording.take().expect("the node records only what it was asked to");
        let before = std::mem::replace(&mut self.recorded, standing);
        // Until now nobody was left out: that was wanted, and may have come to nothing.
        if before.primary && self.recorded.primary && matches!(self.part, Part::Primary(_)) {
            let left = before.set.iter().filter(|id| !self.recorded.set.contains(id));
            out.extend(left.map(|id| Output::Event(Event::Left(*id))));
        }
    }

    /// Goes on recording when something newer was wanted meanwhile.
    pub(super) fn record_next(&mut self, out: &mut Outputs) {
        self.record(out);
    }

    /// The epoch below which nothing is listened to.
    pub(super) fn promised(&self) -> Epoch {
        self.wanted.promised
    }

    /// Whether the log stands still: written as far as it was appended, and not being cut.
    pub(super) fn is_settled(&self) -> bool {
        self.log.durable == self.log.appended && !self.cutting
    }

    /// Whether what a node says may be listened to: the last committed configuration here names it, or its log goes on
    /// from that configuration, so that it may have been added later. A member that was removed does not have the
    /// record that removed it, or knows by it that it is none.
    pub(super) fn heeds(&self, id: NodeId) -> bool {
        let Some((version, config)) = self.log.configs.in_force().first() else { return true };
        let goes_on = |peer: &Peer| self.log.history.common(self.log.appended, &peer.history, peer.head) >= *version;
        !self.rules.hold(Rule::MemberCheck) || config.names(id) || self.peer(id).is_some_and(goes_on)
    }

    /// Gives up whatever this node was, for a higher epoch, and says so. Returns at once; the promise is on its way.
    pub(super) fn become_replica(&mut self, promised: Epoch, out: &mut Outputs) {
        let was_primary = !matches!(self.part, Part::Replica(_));
        self.leave_office(promised, out);
        if was_primary {
            // Whose the promised term is has asked for it, or comes with an offer of its own.
            self.says_that_it_follows(|id| id != promised.owner, out);
        }
    }

    /// The same, but only its heir knows: nobody else is to try for its place.
    pub(super) fn leave_office(&mut self, promised: Epoch, out: &mut Outputs) {
        let was_primary = !matches!(self.part, Part::Replica(_));
        self.abandon(out);
        self.part = Part::Replica(Replica::fenced(was_primary));
        self.peers.iter_mut().for_each(Peer::forget_flow);
        self.commit_due = None;
        let promised = promised.max(self.wanted.promised);
        self.want(self.promise(promised), out);
        if was_primary {
            out.push(Output::Deposed { promised });
            out.push(Output::Event(Event::Fenced(promised)));
        }
    }

    /// A message of any kind, on a link whose node is known.
    pub(super) fn on_message(&mut self, link: Link, message: Message, out: &mut Outputs) {
        let Some(place) = self.links.iter().position(|state| state.link == link) else { return };
        if let Message::Hello(hello) = message {
            return self.on_hello(link, hello, out);
        }
        let Some(peer) = self.links[place].peer else {
            return self.close(link, super::Closing::Protocol, out);
        };
        self.peer_mut(peer).heard = self.now;
        match message {
            Message::Hello(_) | Message::Alive => {}
            Message::Follow(follow) => self.on_follow(link, peer, follow, out),
            Message::Append(append) => self.on_append(link, &append, out),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(link, heartbeat, out),
            Message::Ack(ack) => self.on_ack(link, peer, ack, out),
            Message::Results(results) => self.on_results(link, results, out),
            Message::Want(chunk) => self.on_want(link, peer, chunk, out),
            Message::Chunk(chunk) => self.on_chunk(link, chunk, out),
            Message::Refused(refused) => self.on_refused(peer, refused, out),
            Message::Ask { epoch } => self.on_ask(link, peer, epoch, out),
            Message::Answer(answer) => self.on_answer(peer, answer),
            Message::Promise { epoch } => self.on_promise(link, peer, epoch, out),
            Message::Promised(promised) => self.on_promised(link, peer, promised, out),
            Message::Fetch { epoch, after } => self.on_fetch(link, peer, epoch, after, out),
            Message::Records(records) => self.on_records(link, &records, out),
            Message::HandOverPlease => self.on_hand_over_please(link, peer, out),
            Message::HandOver { epoch, head } => self.on_hand_over(link, peer, epoch, head, out),
            Message::SplitBrain { epoch } => self.on_split_brain(epoch, out),
            Message::Goodbye => self.peer_mut(peer).gone = true,
        }
    }

    pub(super) fn append_known(&mut self, version: Version, epoch: Epoch, control: Option<&super::ControlData>) {
        self.log.history.append(version, epoch, control.is_some_and(|control| control.forced));
        if let Some(control) = control {
            self.log.configs.push(version, control.config.clone());
        }
    }

    /// Notes that everything up to `version` is decided.
    pub(super) fn commit(&mut self, version: Version, out: &mut Outputs) {
        assert!(version > self.log.committed && version <= self.log.durable);
        self.log.committed = version;
        self.log.configs.committed(version);
        out.push(Output::Commit(version));
    }

    fn on_applied(&mut self, version: Version, out: &mut Outputs) {
        let Known { applied, committed, .. } = self.log;
        assert!(applied <= version && version <= committed, "applied {applied} -> {version}, committed {committed}");
        self.log.applied = version;
        if self.waits_for_apply() {
            self.acknowledge(out);
        }
    }

    fn on_synced(&mut self, durable: Version, out: &mut Outputs) {
        let Known { durable: before, appended, .. } = self.log;
        // Our own disk confirms only what it was given, in order.
        assert!(before <= durable && durable <= appended, "durable {before} -> {durable}, appended {appended}");
        self.log.durable = durable;
        (self.full_since, self.short_since) = (None, None);
        self.acknowledge(out);
    }

    fn on_drain(&mut self, out: &mut Outputs) {
        self.draining = true;
        for link in self.known_links() {
            if !matches!(self.part, Part::Primary(_)) {
                out.push(Output::Send { link, message: Message::Goodbye });
            }
        }
    }

    fn assert_invariants(&self) {
        let Known { appended, durable, committed, applied, .. } = self.log;
        assert!(applied <= committed, "applied {applied} > committed {committed}");
        assert!(committed <= durable, "committed {committed} > durable {durable}");
        assert!(durable <= appended, "durable {durable} > appended {appended}");
        assert!(self.recorded.promised <= self.wanted.promised, "a promise is never taken back");
        assert!(self.log.history.last() <= self.wanted.promised.max(self.log.history.last()));
        assert!(!self.is_quarantined() || !self.leads_unforced(), "a state that has diverged leads by force only");
        if let Part::Primary(primary) = &self.part {
            primary.assert_invariants(self);
        }
    }
}
