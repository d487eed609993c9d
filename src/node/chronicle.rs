//! What the control records of a log amount to, up to one version: its epochs, and the configuration there.
//!
//! It is kept beside the service's state and travels in snapshots, so that a start need not read the whole log for it.

use serde::{Deserialize, Serialize};

use crate::replication::{ClusterConfig, ControlData, EpochStart};
use crate::types::{Kind, Record, Version};

/// Epochs and configuration up to the applied version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chronicle {
    /// The last configuration, and the version of its record.
    pub(super) config: Option<(Version, ClusterConfig)>,
    /// Every epoch, oldest first.
    pub(super) history: Vec<EpochStart>,
}

impl Chronicle {
    /// Takes note of the next record.
    pub(super) fn note(&mut self, record: &Record) {
        let control = control(record);
        if self.history.last().is_none_or(|last| last.epoch < record.epoch) {
            let forced = control.as_ref().is_some_and(|control| control.forced);
            self.history.push(EpochStart { epoch: record.epoch, first: record.version, forced });
        }
        if let Some(control) = control {
            self.config = Some((record.version, control.config));
        }
    }

    /// The epochs, and the configurations that may be in force, with the records of the tail behind it.
    pub(super) fn with_tail(&self, tail: &[Record]) -> (Vec<EpochStart>, Vec<(Version, ClusterConfig)>) {
        let mut whole = self.clone();
        let mut configs: Vec<_> = self.config.clone().into_iter().collect();
        for record in tail {
            whole.note(record);
            configs.extend(control(record).map(|control| (record.version, control.config)));
        }
        (whole.history, configs)
    }
}

/// What a control record says; `None` for every other.
pub(super) fn control(record: &Record) -> Option<ControlData> {
    if record.kind == Kind::Control { ControlData::from_json(&record.operation.data) } else { None }
}
