//! What can be asked about the fleet, and what is answered.

use hearth_core::{DeviceId, Moment};
use serde::{Deserialize, Serialize};

/// An order about the fleet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// How is the fleet? Answer: [`Shown`].
    Show,
    /// Begin one. Answer: [`Shown`].
    Create {
        /// What to call it.
        name: String,
        /// What to call this device.
        device: String,
    },
    /// Make a join code. Answer: [`Invited`].
    Invite,
    /// Come into the fleet of the device that made a code. Answer: [`Shown`].
    Join {
        /// Its words.
        code: String,
        /// Where that device listens, as `host:port`.
        at: String,
        /// What to call this device.
        device: String,
    },
    /// Take a device out. Answer: [`Shown`].
    Revoke {
        /// Its id or its name.
        device: String,
    },
    /// Use a relay. Answer: [`Shown`].
    AddRelay {
        /// Where it listens, as `host:port`.
        address: String,
        /// Its public key, 64 hexadecimal digits.
        key: String,
    },
    /// Use a relay no more. Answer: [`Shown`].
    RemoveRelay {
        /// Its address, key or id.
        relay: String,
    },
    /// Begin a new epoch: what is shared from now on is sealed under a new key. Answer: [`Shown`].
    Rotate,
}

/// The fleet as this node knows it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shown {
    /// Absent when the node is in none.
    pub fleet: Option<About>,
}

/// A fleet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct About {
    /// Its id.
    pub id: String,
    /// What its people call it.
    pub name: String,
    /// Which key is in use, counted from 1.
    pub epoch: u32,
    /// Whether it stands still because its chain was continued twice.
    pub forked: bool,
    /// Items that some device had the whole fleet erase.
    #[serde(default)]
    pub erased: u64,
    /// Members, and those that were.
    pub devices: Vec<Member>,
    /// Relays that keep what the fleet shares, sealed.
    #[serde(default)]
    pub relays: Vec<Relay>,
    /// The broker through which devices meet that cannot reach each other otherwise; absent when none is used.
    #[serde(default)]
    pub broker: Option<Broker>,
}

/// A broker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Broker {
    /// Where it is, as `host:port`.
    pub address: String,
    /// Whether it can be used now.
    pub connected: bool,
    /// That, as a sentence.
    pub state: String,
}

/// A relay of a fleet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Relay {
    /// Its id.
    pub id: DeviceId,
    /// Where it listens, as `host:port`.
    pub address: String,
    /// How it is linked to this device.
    pub link: Link,
    /// When it last signed, by its clock, that it has this device's log; absent until it did.
    pub signed_at: Option<Moment>,
    /// How many segments of this device's log it has not signed to have.
    pub unsigned: u64,
}

/// A device of a fleet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: DeviceId,
    /// What people call it.
    pub name: String,
    /// Its name for other software: `spiffe://FLEET/node/ID`.
    pub spiffe: String,
    /// Whether it is this device.
    pub here: bool,
    /// Whether it may change the fleet.
    pub admin: bool,
    /// `member`, `expired` or `revoked`.
    pub standing: String,
    /// How it is linked to this one.
    pub link: Link,
    /// Items of it that can be found here.
    pub items: u64,
    /// Items that the fleet erased and that it has not said, signed, to have erased.
    #[serde(default)]
    pub unconfirmed: u64,
}

/// How another device is linked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Link {
    /// It is.
    Linked {
        /// Since when.
        since: Moment,
        /// How many segments of what is here it is not known to have; absent until it has said what it has.
        behind: Option<u64>,
    },
    /// It is not, and is tried again.
    Waiting {
        /// Why, as a sentence.
        reason: String,
        /// When it is tried again.
        retry_at: Moment,
    },
    /// Nobody is tried: this device, one whose address is not known, or no daemon is running.
    None,
}

/// A join code.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invited {
    /// Its words. Whoever knows them may come in.
    pub code: String,
    /// When it ends; it is good for one device.
    pub until: Moment,
    /// Where this device can be reached, as `host:port`, likeliest first.
    pub at: Vec<String>,
}
