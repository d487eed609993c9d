//! The simulator: the real core and the real log over a simulated disk, network and clock.
//!
//! ```text
//!   seed ─► options ─► world (machines, network, clients, operator, faults) ─► checkers ─► finding, with its trace
//! ```
//!
//! `RIG_SIM_SEEDS`, `RIG_SIM_EVENTS`: how many seeds, of how many events. `RIG_SIM_SEED`: this one alone, with its
//! trace. `RIG_SIM_SECONDS`: random seeds for so long. Seeds that once failed are in `seeds.txt`, with their story.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(unreachable_pub, reason = "nobody is outside of a test")]

mod behind;
#[cfg(feature = "canary")]
mod canary;
mod checkers;
mod coordinator;
mod disk;
mod exhaustive;
mod faults;
mod lies;
mod machine;
mod network;
mod operator;
mod options;
mod perform;
mod random;
mod requests;
mod run;
mod seeds;
mod story;
mod workload;
mod world;
