//! The rules that tests can switch off, to show that the simulator and the stories would notice.
//!
//! Without the feature `canary` every rule holds and this costs nothing. Each rule is one that exhaustive search has
//! found to be needed in some scope, or a duty of the node that drives the core.

/// A rule of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "canary", derive(Hash))]
pub enum Rule {
    /// A promotion needs `R - min_replicas + 1` promises.
    PromotionQuorum,
    /// Positions are read after the promises.
    PromisesFirst,
    /// The most advanced log of those that promised is adopted.
    MostAdvancedLog,
    /// Logs are compared by epoch before version.
    EpochBeforeVersion,
    /// Messages of a lower epoch are refused.
    LowerEpochRefused,
    /// A promise is durable before it is spoken of.
    PromiseDurable,
    /// Nothing is answered before the epoch's own record is committed.
    EpochRecordFirst,
    /// The in-sync set never shrinks below `min_replicas` in `sync`.
    MinReplicas,
    /// A replica syncs before it acknowledges.
    ReplicaSync,
    /// The primary's own disk counts.
    PrimarySync,
    /// A restart opens a new epoch.
    NewEpochAtRestart,
    /// A restart in `sync` needs the promises of a promotion.
    RestartQuorum,
    /// A restart without promises keeps its number.
    KeepNumber,
    /// A member counts only when it has acknowledged everything committed.
    CaughtUpBeforeCounted,
    /// The smaller set is durable before an answer relies on it.
    SetDurable,
    /// While it is not known whether a larger set is recorded it is waited for.
    UnansweredSet,
    /// Whom a swap may have named whose end is not known is waited for.
    MayBeNamed,
    /// An acknowledgement counts only in its epoch.
    AckEpoch,
    /// The adopted log is durable before role, epoch or set is recorded.
    AdoptedDurable,
    /// Outside `sync` a promotion needs the operator's force.
    ForceOutsideSync,
    /// A tail that others never saw is not cut outside `sync`.
    StopOnSplitBrain,
    /// Both configurations hold while one is not committed.
    BothConfigs,
    /// A configuration binds as soon as it is logged, before it is committed.
    LoggedConfigBinds,
    /// A promotion asks every configuration of the adopted log that may be in force.
    EveryConfigPromotes,
    /// Who is not a member is refused.
    MemberCheck,
    /// A record that waits too long stays where it is.
    NoRollbackByTimer,
    /// What is cut is set aside first (a duty of the node).
    RescueFirst,
    /// The key is looked up before 503 is said (a duty of the node).
    KeyFirst,
    /// An empty disk comes back under a name of its own (a duty of the node).
    BlankIsNew,
    /// A term begins, and a set is relied on, only after the coordinator has taken it.
    SwapFirst,
    /// Only who the coordinator's value names takes over by itself.
    RecordedLeads,
    /// Who went with a term by force that the coordinator does not know has no place in its value.
    Adrift,
    /// A primary answers by itself alone only while its lease holds.
    LeaseAlone,
    /// Nobody says that two sides have written before it has read of the term that it is offered.
    AwaitValue,
    /// What was acknowledged in a term is not cut by an older offer of the same term.
    OutdatedOffer,
    /// The hash of the common place is compared.
    HashCompared,
    /// Who has diverged becomes primary by force only.
    Quarantine,
    /// Who lacks what it was told to be decided becomes primary by force only.
    Lacking,
}

#[cfg(feature = "canary")]
impl Rule {
    /// Every rule.
    pub const ALL: &'static [Rule] = &[
        Rule::PromotionQuorum,
        Rule::PromisesFirst,
        Rule::MostAdvancedLog,
        Rule::EpochBeforeVersion,
        Rule::LowerEpochRefused,
        Rule::PromiseDurable,
        Rule::EpochRecordFirst,
        Rule::MinReplicas,
        Rule::ReplicaSync,
        Rule::PrimarySync,
        Rule::NewEpochAtRestart,
        Rule::RestartQuorum,
        Rule::KeepNumber,
        Rule::CaughtUpBeforeCounted,
        Rule::SetDurable,
        Rule::UnansweredSet,
        Rule::MayBeNamed,
        Rule::AckEpoch,
        Rule::AdoptedDurable,
        Rule::ForceOutsideSync,
        Rule::StopOnSplitBrain,
        Rule::BothConfigs,
        Rule::LoggedConfigBinds,
        Rule::EveryConfigPromotes,
        Rule::MemberCheck,
        Rule::NoRollbackByTimer,
        Rule::RescueFirst,
        Rule::KeyFirst,
        Rule::BlankIsNew,
        Rule::SwapFirst,
        Rule::RecordedLeads,
        Rule::LeaseAlone,
        Rule::Adrift,
        Rule::AwaitValue,
        Rule::OutdatedOffer,
        Rule::HashCompared,
        Rule::Quarantine,
        Rule::Lacking,
    ];
}

/// Rules that are switched off; none without the feature `canary`.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    #[cfg(feature = "canary")]
    off: Vec<Rule>,
}

impl Rules {
    #[cfg(feature = "canary")]
    pub(super) fn switch_off(&mut self, rule: Rule) {
        self.off.push(rule);
    }

    /// Whether a rule holds.
    #[cfg(feature = "canary")]
    pub(super) fn hold(&self, rule: Rule) -> bool {
        !self.off.contains(&rule)
    }

    /// Whether a rule holds.
    #[cfg(not(feature = "canary"))]
    #[inline(always)]
    pub(super) fn hold(&self, _: Rule) -> bool {
        true
    }
}
