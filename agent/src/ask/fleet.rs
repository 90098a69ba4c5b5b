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
    Invite {
        /// The device, by id or name, that is taken out when the new one comes in.
        #[serde(default)]
        replaces: Option<String>,
        /// What to call the new device in that case; absent: as the one before.
        #[serde(default)]
        device: Option<String>,
        /// Whether it is for a person with a fleet of their own, which becomes a guest of this one.
        #[serde(default)]
        person: bool,
    },
    /// Come into the fleet of the device that made a code. Answer: [`Shown`].
    Join {
        /// Its words.
        code: String,
        /// Where that device listens, as `host:port`.
        at: String,
        /// What to call this device.
        device: String,
        /// The fleet of one's own that becomes a guest of that one; it is begun if this device is in none. Absent: this device becomes a
        /// member.
        #[serde(default)]
        own: Option<String>,
    },
    /// Serve somebody else's fleet no more. Answer: [`Shown`].
    RemoveGuest {
        /// Its id, or what it is called.
        guest: String,
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
    /// Say on which devices the things of a residency may live. Answer: [`Shown`].
    SetResidency {
        /// What people call it.
        name: String,
        /// Devices by id or name, relays by address or id.
        homes: Vec<String>,
    },
    /// Take a residency away. Answer: [`Shown`].
    RemoveResidency {
        /// What people call it.
        name: String,
    },
    /// Wake the devices that sleep. Answer: [`Woken`].
    Wake,
    /// Let a member change the fleet, or not any more. Answer: [`Shown`].
    Admin {
        /// Its id or its name.
        device: String,
        /// Whether it may.
        is: bool,
    },
    /// How many admins must agree on what takes power away or hands it out. Answer: [`Shown`].
    Threshold {
        /// So many.
        admins: u8,
    },
    /// Let one side of a fork go on. Answer: [`Shown`].
    Resolve {
        /// Its id.
        side: String,
    },
    /// Sign an order that waits for more admins. Answer: [`Shown`].
    Approve {
        /// Its id.
        id: String,
    },
    /// Make the fleet recoverable with the sheet of these keys, in place of the one before. Answer: [`Shown`].
    AddSheet {
        /// Its ed25519 public key, 64 hexadecimal digits.
        key: String,
        /// Its X25519 public key, as many.
        wrap_key: String,
    },
    /// Make this device an admin by the recovery sheet; one that is in no fleet comes into the sheet's. Answer: [`Shown`].
    Recover {
        /// The 24 words.
        words: Secret,
        /// The sheet's fleet, if it is known.
        fleet: Option<String>,
        /// Where a device or relay of the fleet listens, as `host:port`, for a device that is in none.
        at: Option<String>,
        /// The public key of what must answer there, 64 hexadecimal digits.
        key: Option<String>,
        /// What to call this device if it comes in.
        device: String,
        /// An order that waits and is to be approved, instead of all this.
        #[serde(default)]
        approve: Option<String>,
    },
    /// Leave the fleet: what others captured goes from this device. Answer: [`Shown`].
    Leave,
    /// Begin a new epoch: what is shared from now on is sealed under a new key. Answer: [`Shown`].
    Rotate,
}

/// Words that are for one eye only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
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
    /// Its sides then, one of which is to go on.
    #[serde(default)]
    pub sides: Vec<Side>,
    /// Items that some device had the whole fleet erase.
    #[serde(default)]
    pub erased: u64,
    /// How many admins must agree on what takes power away or hands it out.
    #[serde(default)]
    pub threshold: usize,
    /// Orders that wait for more admins.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
    /// Members, and those that were.
    pub devices: Vec<Member>,
    /// The sheet of paper by which the fleet can be recovered; absent when there is none.
    #[serde(default)]
    pub sheet: Option<Sheet>,
    /// Relays that keep what the fleet shares, sealed.
    #[serde(default)]
    pub relays: Vec<Relay>,
    /// Where things may live that are not for every device.
    #[serde(default)]
    pub residencies: Vec<Residency>,
    /// Fleets of others that this one's relays serve, too.
    #[serde(default)]
    pub guests: Vec<Guest>,
    /// The broker through which devices meet that cannot reach each other otherwise; absent when none is used.
    #[serde(default)]
    pub broker: Option<Broker>,
}

/// Devices and relays on which some things may live, and nowhere else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Residency {
    /// Its number, which sessions go by.
    pub number: u16,
    /// What people call it.
    pub name: String,
    /// What its homes are called.
    pub homes: Vec<String>,
}

/// Somebody else's fleet, which shares relays with this one and nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Guest {
    /// Its id.
    pub id: String,
    /// What its people called it when it came.
    pub name: String,
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

/// One side of a fork: what some admins did while others did something else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Side {
    /// Its id.
    pub id: String,
    /// Who signed its last change, by name.
    pub by: Vec<String>,
    /// What it does, like the commands that gave it.
    pub orders: String,
}

/// An order that waits for more admins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// Its id.
    pub id: String,
    /// What it does, like the command that gave it.
    pub order: String,
    /// The admins who have signed it, by name.
    pub signed: Vec<String>,
    /// How many more must.
    pub lacks: usize,
    /// Whether this device may sign it and has not.
    pub asked: bool,
}

/// A recovery sheet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sheet {
    /// Its id.
    pub id: DeviceId,
    /// When it was made.
    pub made_at: Moment,
}

/// A relay of a fleet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Relay {
    /// Its id.
    pub id: DeviceId,
    /// Where it listens, as `host:port`.
    pub address: String,
    /// Its public key, 64 hexadecimal digits.
    #[serde(default)]
    pub key: String,
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
    /// Until when what it shares is here, when it is not linked; absent when nothing is.
    #[serde(default)]
    pub until: Option<Moment>,
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
        /// Whether an MQTT broker stands between.
        #[serde(default)]
        through_broker: bool,
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

/// Devices that are being woken.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Woken {
    /// Those that were not linked.
    pub devices: Vec<Waking>,
}

/// A device that is being woken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Waking {
    /// Its id.
    pub id: DeviceId,
    /// What people call it.
    pub name: String,
    /// How long it took the last time, in milliseconds; absent when it was never woken from here.
    pub took_ms: Option<u64>,
    /// Why it is not woken, as a sentence; absent when it is.
    pub refused: Option<String>,
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
