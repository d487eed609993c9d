//! The closed sets of words that users type and programs parse.

use std::fmt;
use std::str::FromStr;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every word of the set, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word as users and programs see it.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|word| word.as_str()).collect();
                    format!("expected one of: {}", known.join(", "))
                })
            }
        }
    };
}

words!(
    /// What a node is asked to be.
    Role {
        /// The one node that takes writes.
        Primary = "primary",
        /// Every other.
        Replica = "replica",
    }
);

words!(
    /// How a node is, as `rig status` says it.
    NodeState {
        /// The log is being opened, or the right to open an epoch is not proven yet.
        Recovering = "recovering",
        /// A primary that takes writes as asked.
        Serving = "serving",
        /// A primary that takes writes without a member that should hold them.
        Degraded = "degraded",
        /// A primary that may not take writes.
        Blocked = "blocked",
        /// A replica that reads what it missed.
        CatchingUp = "catching_up",
        /// A replica whose acknowledgement is waited for.
        InSync = "in_sync",
        /// A replica that knows that it is not in the in-sync set.
        Outdated = "outdated",
        /// A replica whose log or state differs from the primary's.
        Diverged = "diverged",
        /// A node that has heard of a higher epoch and waits for its primary.
        Fenced = "fenced",
        /// Damage or a storage error: neither serves nor votes.
        Failed = "failed",
        /// Two sides have written: the operator must name the winner.
        SplitBrain = "split_brain",
        /// Not running.
        Stopped = "stopped",
    }
);

words!(
    /// The replication mode, recorded in the log.
    Mode {
        /// Never answers with fewer than `min_replicas` acknowledgements.
        Sync = "sync",
        /// Waits for the in-sync set; goes on without a member after recording so.
        SemiSync = "semi-sync",
        /// Never waits.
        Async = "async",
    }
);

words!(
    /// What an acknowledgement of a replica means.
    AckLevel {
        /// In its memory.
        Received = "received",
        /// On its disk.
        Durable = "durable",
        /// In its service.
        Applied = "applied",
    }
);

words!(
    /// What an answer promises.
    Durability {
        /// On the disk of every member of the in-sync set.
        Sync = "sync",
        /// On fewer disks than asked for, and recorded as such.
        Degraded = "degraded",
        /// On the primary's disk; replicas follow when they can.
        Async = "async",
        /// On the only node there is.
        Local = "local",
        /// In the replicas' memory.
        Received = "received",
    }
);
