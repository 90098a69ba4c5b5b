//! What the owner orders about the fleet, as far as that needs no network.

use std::collections::BTreeMap;

use hearth_core::{
    DeviceId, Moment,
    fleet::{
        SpiffeId,
        chain::{Fleet, Standing},
        link,
    },
    sync::Held,
};
use serde_json::Value;

use super::{
    FleetError, NodeError, Shared,
    answer::{json, with_causes},
    now,
};
use crate::ask::{
    Failure, FailureKind,
    fleet::{About, Link, Member, Order, Relay, Shown},
};
use crate::config::HostPort;

impl From<FleetError> for Failure {
    fn from(error: FleetError) -> Self {
        let kind = match &error {
            FleetError::None => FailureKind::NotFound,
            FleetError::InOne(_) | FleetError::NotAdmin => FailureKind::Denied,
            FleetError::Change(_) => FailureKind::Usage,
            FleetError::Store(_) => FailureKind::Failed,
        };
        Self::new(kind, with_causes(&error))
    }
}

/// Relays give receipts for so many of a device's logs, the newest.
const RECEIPTS_MAX: usize = 8;

/// Carries out an order.
pub(super) fn answer(shared: &Shared, order: Order) -> Result<Value, Failure> {
    match order {
        Order::Show => {}
        Order::Create { name, device } => shared.found_fleet(&name, &device)?,
        Order::Revoke { device } => {
            let device = device_called(shared, &device)?;
            if device == shared.identity.device {
                return Err(Failure::new(
                    FailureKind::Denied,
                    "a device does not take itself out; do it on another admin's device",
                ));
            }
            shared.revoke_device(device)?;
        }
        Order::Rotate => shared.rotate_fleet()?,
        Order::AddRelay { address, key } => shared.add_relay(relay_of(&address, &key)?)?,
        Order::RemoveRelay { relay } => shared.remove_relay(relay_called(shared, &relay)?)?,
        Order::Invite | Order::Join { .. } => {
            return Err(Failure::new(
                FailureKind::NotFound,
                "no daemon is running, and devices meet through it; start it with `hearth up`",
            ));
        }
    }
    json(&shown(shared, |_| Link::None)?)
}

/// The fleet as it is known here.
pub(crate) fn shown(shared: &Shared, link: impl Fn(&DeviceId) -> Link) -> Result<Shown, NodeError> {
    let Some(membership) = shared.membership() else { return Ok(Shown::default()) };
    let mut items: BTreeMap<DeviceId, u64> = BTreeMap::new();
    shared.each_item(|item| {
        *items.entry(item.node.unwrap_or(shared.identity.device)).or_default() += 1;
        Ok(())
    })?;
    let fleet = &membership.fleet;
    let members: Vec<(DeviceId, Moment)> =
        fleet.members(now()).map(|(id, _)| (id, membership.joined_at(&id))).collect();
    let (erased, lacks) = shared.unconfirmed(&members).map_err(NodeError::from)?;
    let mut devices = Vec::new();
    for (id, device) in fleet.devices() {
        let standing = match fleet.standing(id, now()) {
            Some(Standing::Active) => "member",
            Some(Standing::Expired(_)) => "expired",
            Some(Standing::Revoked(_)) | None => "revoked",
        };
        devices.push(Member {
            id: *id,
            name: device.name.clone(),
            spiffe: SpiffeId { fleet: fleet.id(), device: *id }.to_string(),
            here: *id == shared.identity.device,
            admin: fleet.is_admin(id),
            standing: standing.into(),
            link: link(id),
            items: items.get(id).copied().unwrap_or_default(),
            unconfirmed: lacks.get(id).copied().unwrap_or_default(),
        });
    }
    // This device first, then those that count.
    devices.sort_by(|a, b| {
        let rank = |member: &Member| (!member.here, member.standing != "member");
        rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name))
    });
    let about = About {
        id: fleet.id().to_string(),
        name: fleet.name().to_owned(),
        epoch: fleet.epoch(),
        forked: fleet.fork().is_some(),
        erased,
        devices,
        relays: relays(shared, fleet, link)?,
        broker: None,
    };
    Ok(Shown { fleet: Some(about) })
}

fn relays(shared: &Shared, fleet: &Fleet, link: impl Fn(&DeviceId) -> Link) -> Result<Vec<Relay>, NodeError> {
    let mut relays = Vec::new();
    for relay in fleet.relays() {
        let id = DeviceId::of_key_bytes(&relay.key);
        let signed = shared.signed_by(&id)?;
        let mut ours = shared.held()?;
        ours.retain(|held| held.log.author == shared.identity.device);
        // A relay signs for the last lives of a log alone.
        ours.sort_by_key(|held| std::cmp::Reverse(held.log.incarnation));
        let lacks = |held: &Held| {
            let next = signed.get(&held.log).map_or(0, |signed| signed.next);
            held.chain.number.saturating_sub(next)
        };
        let unsigned = ours.iter().take(RECEIPTS_MAX).map(lacks).sum();
        let signed_at = signed.values().map(|signed| signed.at).max();
        relays.push(Relay { id, address: relay.address.clone(), link: link(&id), signed_at, unsigned });
    }
    Ok(relays)
}

fn relay_of(address: &str, key: &str) -> Result<link::Relay, Failure> {
    let wrong = |message: String| Failure::new(FailureKind::Usage, message);
    if address.parse::<HostPort>().is_err() {
        return Err(wrong(format!(
            "`{address}` is not `host:port`; name where `hearth-coordinator` listens for devices"
        )));
    }
    let key = hearth_link::key_from_text(key).map_err(|error| wrong(format!("the relay's key: {error}")))?;
    Ok(link::Relay { key: key.to_bytes(), address: address.to_owned(), region: String::new() })
}

fn relay_called(shared: &Shared, called: &str) -> Result<[u8; 32], Failure> {
    let membership = shared.membership().ok_or(FleetError::None)?;
    let is_called = |relay: &&link::Relay| {
        relay.address == called
            || DeviceId::of_key_bytes(&relay.key).to_string() == called
            || hearth_link::key_from_text(called).is_ok_and(|key| key.to_bytes() == relay.key)
    };
    let found = membership.fleet.relays().find(is_called).map(|relay| relay.key);
    found.ok_or_else(|| {
        Failure::new(
            FailureKind::NotFound,
            "the fleet has no relay of this address, key or id; `hearth fleet` shows them",
        )
    })
}

fn device_called(shared: &Shared, called: &str) -> Result<DeviceId, Failure> {
    let membership = shared.membership().ok_or(FleetError::None)?;
    let named: Vec<DeviceId> = match called.parse::<DeviceId>() {
        Ok(id) => membership.fleet.device(&id).map(|_| id).into_iter().collect(),
        Err(_) => {
            membership.fleet.members(now()).filter(|(_, device)| device.name == called).map(|(id, _)| id).collect()
        }
    };
    match named.as_slice() {
        [id] => Ok(*id),
        [] => Err(Failure::new(
            FailureKind::NotFound,
            "no device of the fleet has this name or id; `hearth fleet` shows them",
        )),
        _ => Err(Failure::new(
            FailureKind::Usage,
            "several devices have this name; name one by its id, which `hearth fleet` shows",
        )),
    }
}
