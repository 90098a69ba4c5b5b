//! What people type: codes, sheets of words, ids, keys, addresses.

use hearth_core::{
    DeviceId, DocumentId, SessionId,
    fleet::{
        FleetId, SpiffeId,
        invite::JoinCode,
        recovery::{SHARES_MAX, Seed, Share},
        sheet,
    },
};
use hearth_link::{Broker, key_from_text, key_text, mqtt::Tls};

/// A code by which a device joins.
pub fn code(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(code) = text.parse::<JoinCode>() {
        let written = code.to_string();
        assert_eq!(written.split('-').count(), 8);
        assert_eq!(written.parse().as_ref(), Ok(&code));
        assert_eq!(written.to_uppercase().replace('-', " ").parse().as_ref(), Ok(&code));
    }
}

/// A recovery sheet, whole or in shares; and each line of it by itself.
pub fn sheet(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok((seed, fleet)) = sheet::read(text) {
        let (again, none) = sheet::read(&seed.words()).expect("what was written");
        assert!(again == seed && none.is_none());
        if let Some(fleet) = fleet {
            let shares = seed.split(fleet, 3, &[[9; 32]]).expect("two of three");
            assert!(Seed::combine(&shares[1..]).is_ok_and(|again| again == seed));
        }
    }
    for line in text.lines().take(20) {
        if let Ok(share) = Share::from_words(line) {
            assert!((2..=SHARES_MAX).contains(&share.threshold()) && (1..=SHARES_MAX).contains(&share.index()));
            assert!(Share::from_words(&share.words()).as_ref() == Ok(&share));
        }
        if let Ok(seed) = Seed::from_words(line) {
            assert!(Seed::from_words(&seed.words()).as_ref() == Ok(&seed));
        }
    }
}

/// Ids and keys.
pub fn name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    fn one<T: std::str::FromStr + ToString>(text: &str) -> bool {
        match text.parse::<T>() {
            Ok(id) => {
                assert_eq!(id.to_string(), text);
                true
            }
            Err(_) => false,
        }
    }
    let kinds = [
        one::<DeviceId>(text),
        one::<DocumentId>(text),
        one::<SessionId>(text),
        one::<FleetId>(text),
        one::<SpiffeId>(text),
    ];
    assert!(kinds.iter().filter(|is_one| **is_one).count() <= 1, "an id is of one kind");
    if let Ok(key) = key_from_text(text) {
        assert_eq!(key_from_text(&key_text(&key)), Ok(key));
        assert_eq!(key_text(&key), text.trim().to_lowercase());
    }
}

/// The address of a broker.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(broker) = Broker::at(text, Tls::Plain) {
        let shown = match broker.host.contains(':') {
            true => format!("[{}]:{}", broker.host, broker.port),
            false => format!("{}:{}", broker.host, broker.port),
        };
        let again = Broker::at(&shown, Tls::Plain).expect("as it is shown it is an address");
        assert_eq!((again.host, again.port), (broker.host, broker.port), "{text:?}");
    }
}
