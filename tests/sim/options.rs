//! What a seed plays with: how many nodes, which mode, which faults, how often. Each seed leaves most of it out, so
//! that every combination comes up (swarm testing).

use rig::replication::Asked;
use rig::types::{AckLevel, Mode};

use super::random::Random;

/// Who keeps epoch and set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    Nothing,
    Coordinator,
    /// One that is slow, and whatever it takes turns against who asked for it.
    Contrary,
}

/// Everything that a seed decides before the first event.
#[derive(Debug, Clone)]
pub struct Options {
    pub machines: usize,
    pub asked: Asked,
    pub clients: usize,
    pub segment_bytes: u64,
    /// Microseconds, one way.
    pub delay: u64,
    /// Microseconds of a sync.
    pub sync: u64,
    pub request_timeout: u64,
    /// Mean microseconds between two faults; 0 for none.
    pub faults: u64,
    pub crash: bool,
    pub torn: bool,
    pub cut: bool,
    pub one_way: bool,
    pub flap: bool,
    pub pause: bool,
    pub full: bool,
    pub bad_sync: bool,
    pub slow: bool,
    pub clocks: bool,
    /// Mean microseconds between two acts of the operator; 0 for none.
    pub operator: u64,
    pub force: bool,
    pub modes: bool,
    pub members: bool,
    pub wipe: bool,
    /// Mean microseconds between two services that lie; 0 for none.
    pub lies: u64,
    /// Logs are compacted, now and then.
    pub compacts: bool,
    /// A coordinator keeps epoch and set.
    pub coordinated: bool,
    /// [`Outside::Contrary`].
    pub contrary: bool,
}

impl Options {
    pub fn of(random: &mut Random) -> Self {
        let mode = random.pick(&[Mode::Sync, Mode::Sync, Mode::SemiSync, Mode::SemiSync, Mode::Async]);
        let machines = random.pick(&[2, 2, 3, 3, 3, 5]);
        let min_replicas = random.pick(&[1, 1, machines as u32 / 2]);
        let ack = random.pick(&[AckLevel::Durable, AckLevel::Durable, AckLevel::Durable, AckLevel::Received]);
        let asked = Asked {
            replication: Some(mode),
            min_replicas: Some(min_replicas.max(1)),
            sync_timeout_ms: Some(random.pick(&[200, 500, 1000])),
            ack: Some(ack),
        };
        let storm = random.chance(150);
        let machines = if storm { 3 } else { machines };
        let asked = if storm { Asked { ack: Some(AckLevel::Durable), ..asked } } else { asked };
        let often = random.pick(&[20_000, 100_000, 400_000]);
        let options = Self {
            machines,
            asked,
            clients: random.between(1, 6) as usize,
            segment_bytes: random.pick(&[4096, 16 << 10, 64 << 10]),
            delay: random.pick(&[50, 500, 5000, 30_000]),
            sync: random.pick(&[100, 1000, 10_000]),
            request_timeout: random.pick(&[100_000, 500_000, 2_000_000]),
            faults: if random.chance(900) { often } else { 0 },
            crash: random.chance(700),
            torn: random.chance(200),
            cut: random.chance(500),
            one_way: random.chance(400),
            flap: random.chance(300),
            pause: random.chance(300),
            full: random.chance(250),
            bad_sync: random.chance(250),
            slow: random.chance(300),
            clocks: random.chance(300),
            operator: if random.chance(800) { random.pick(&[50_000, 300_000, 1_000_000]) } else { 0 },
            force: random.chance(200),
            modes: random.chance(300),
            members: random.chance(300),
            wipe: random.chance(100),
            // The last of all: those without it have the story that they had before there was this.
            lies: if random.chance(250) { random.pick(&[30_000, 200_000, 1_000_000]) } else { 0 },
            compacts: false,
            coordinated: false,
            contrary: false,
        };
        // By what is decided already, so that the others have the story that they had before there was this.
        let compacts = options.segment_bytes == 4096 && options.operator > 0;
        let options = Self { compacts, ..options };
        if storm { options.storm(mode) } else { options }
    }

    /// Three nodes, and promotions faster than anything settles: what needs several terms in a row comes up here.
    fn storm(self, mode: Mode) -> Self {
        let mode = if mode == Mode::Async { Mode::Sync } else { mode };
        let asked = Asked { replication: Some(mode), min_replicas: Some(1), sync_timeout_ms: Some(200), ..self.asked };
        Self {
            asked,
            clients: 3,
            delay: 500,
            sync: 1000,
            request_timeout: 100_000,
            faults: 30_000,
            operator: 30_000,
            crash: true,
            cut: true,
            one_way: true,
            pause: false,
            full: false,
            bad_sync: false,
            slow: false,
            clocks: false,
            modes: false,
            members: false,
            wipe: false,
            ..self
        }
    }
}
