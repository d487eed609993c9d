//! What a user sees: the binary, real processes, real files.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod bench;
mod cli_log;
mod cli_node;
mod cli_usage;
mod cluster_config;
mod cluster_crash;
mod cluster_cuts;
mod cluster_disk;
mod cluster_diverged;
mod cluster_failures;
mod cluster_repair;
mod cluster_rescue;
mod cluster_roles;
mod cluster_split;
mod cluster_use;
mod compaction;
mod coverage;
mod crash;
mod demo;
mod doctor;
mod embed;
mod first_minutes;
mod generated;
mod hostile;
mod http;
mod import;
mod log_format;
mod malformed;
mod node_manager;
mod protocol_page;
mod proxy;
mod readme;
mod scrub;
mod secrets;
mod service_page;
mod service_wire;
mod services;
mod settings;
mod snapshots;
mod storage;
mod support;
mod tidy;
mod wire;
mod wrong_inputs;
