//! A snapshot that came from elsewhere is not believed, and what was noted stays so until it is done.

use super::*;
use crate::node::background::Hurry;
use crate::node::chronicle::Chronicle;
use crate::node::keys::Keys;
use crate::node::snapshots::{self, Contents};
use crate::service::{Documents, Service, Settings};

const CLUSTER: ClusterId = ClusterId([3; 16]);

fn at(version: Version) -> Position {
    Position { version, ..Position::default() }
}

/// The bytes of a snapshot as another node would send them.
fn sent(at: Position) -> Vec<u8> {
    let home = tempfile::tempdir().unwrap();
    let service = Documents::new(Settings::default()).snapshot();
    let keys = Keys::new().freeze().unwrap();
    let contents = Contents { cluster: CLUSTER, position: at, chronicle: Chronicle::default(), service, keys };
    snapshots::write(home.path(), contents, &Hurry::default()).unwrap();
    let found = list(home.path(), CLUSTER).unwrap();
    fs::read(found[0].path()).unwrap()
}

#[test]
fn what_has_come_is_kept_for_the_next_try_and_nothing_of_another_snapshot() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("incoming");
    let came = |at, bytes| begin(&folder, CLUSTER, at, bytes).unwrap().1;
    assert_eq!(came(at(9), 1000), 0);
    fs::write(part_of(&folder, &at(9), 1000), [1; 700]).unwrap();
    assert_eq!(came(at(9), 1000), 700);
    assert_eq!(fs::read(part_of(&folder, &at(9), 1000)).unwrap(), [1; 700]);
    assert_eq!(came(at(10), 1000), 0);
    assert_eq!(came(at(9), 1000), 0, "one at a time");
    fs::write(part_of(&folder, &at(9), 1000), [1; 1001]).unwrap();
    assert_eq!(came(at(9), 1000), 0, "more than all of it is something else");
}

#[test]
fn every_byte_that_was_changed_on_its_way_or_on_this_disk_is_found_before_anything_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("incoming");
    let whole = sent(at(9));
    let take = |bytes: &[u8]| {
        begin(&folder, CLUSTER, at(9), bytes.len() as u64).unwrap();
        fs::write(part_of(&folder, &at(9), bytes.len() as u64), bytes).unwrap();
        check(&folder, CLUSTER, at(9), bytes.len() as u64)
    };
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        assert!(take(&bytes).is_err(), "byte {place} of {}", whole.len());
        assert!(!folder.exists(), "what is not whole is begun anew");
    }
    assert!(take(&whole[..whole.len() - 1]).is_err());
    assert!(take(&[&whole[..], b"x"].concat()).is_err());
    take(&whole).unwrap();
    assert!(check(&folder, CLUSTER, at(8), whole.len() as u64).is_err());
}

#[test]
fn an_installation_stays_noted_until_it_is_done() {
    let home = tempfile::tempdir().unwrap();
    let mut dir = DataDir::init(&home.path().join("n1"), "n1").unwrap();
    dir.set_cluster_id(CLUSTER).unwrap();
    let config = Config::new(dir.path());
    assert_eq!(finish(&dir, &config).unwrap(), None);
    let order = Order { at: at(9), keep: 0, committed: 0, for_epoch: Epoch::default(), own: None, now: 1 };
    begin(&folder(dir.path()), CLUSTER, order.at, 1000).unwrap();
    note(dir.path(), &order).unwrap();
    // The snapshot that was noted is not there: no start may go on without it.
    for _ in 0..2 {
        assert!(finish(&dir, &config).is_err());
        assert!(dir.state().join(NOTE).exists());
    }
    let whole = sent(order.at);
    let incoming = folder(dir.path());
    begin(&incoming, CLUSTER, order.at, whole.len() as u64).unwrap();
    fs::write(part_of(&incoming, &order.at, whole.len() as u64), &whole).unwrap();
    check(&incoming, CLUSTER, order.at, whole.len() as u64).unwrap();
    assert!(finish(&dir, &config).unwrap().unwrap().contains("version 9"));
    assert!(!dir.state().join(NOTE).exists() && !incoming.exists());
    assert_eq!(finish(&dir, &config).unwrap(), None);
}
