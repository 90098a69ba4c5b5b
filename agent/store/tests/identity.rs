//! Who a node is, read by the process that holds its folder and by one that does not.

use std::fs;

use hearth_core::DeviceId;
use hearth_store::{Folder, Identity, StoreError};

#[test]
fn another_process_reads_who_the_node_is_and_a_folder_without_keys_is_nobodys() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    let folder = Folder::open(&data).expect("created");
    assert!(Identity::read(&data).expect("nothing is damaged").is_none(), "no keys yet");
    let made = Identity::open(&folder).expect("made");
    let read = Identity::read(&data).expect("read").expect("they were made");
    assert_eq!((read.device, read.space, read.fleet()), (made.device, made.space, made.fleet()));
    assert_eq!(made.device, DeviceId::of_key(&made.signing.verifying_key()));
    assert_eq!(made.fleet(), *made.device.as_bytes(), "in no fleet but its own");
    assert_eq!(format!("{made:?}"), format!("Identity({})", made.device), "and no key is shown");
}

#[test]
fn a_key_that_is_cut_or_longer_is_damaged() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    let folder = Folder::open(&data).expect("created");
    Identity::open(&folder).expect("made");
    for name in ["device.key", "storage.key"] {
        let path = folder.part("identity").join(name);
        let good = fs::read(&path).expect("read");
        for bad in [&good[..31], &[&good[..], &[0]].concat(), &[]] {
            fs::write(&path, bad).expect("written");
            let refused = Identity::open(&folder).expect_err("it is no key");
            assert!(matches!(refused, StoreError::Damaged("a key of this node")), "{name}: {refused}");
            assert!(Identity::read(&data).is_err(), "{name}, {} bytes", bad.len());
        }
        fs::write(&path, good).expect("put back");
    }
    assert!(Identity::open(&folder).is_ok());
}
