//! What the owner orders about the fleet, as far as that needs no network.

use std::collections::{BTreeMap, BTreeSet};

use hearth_core::{
    DeviceId, Moment,
    fleet::{
        FleetId, NotAFleet, SpiffeId,
        chain::{Fleet, Standing},
        link,
        recovery::Seed,
        sheet::Holder,
        trust::At,
        waiting,
    },
    merkle::Hash,
    sync::{Held, Trust as _},
};
use hearth_store::entropy;
use serde_json::Value;

use super::{
    FleetError, Membership, NodeError, Shared,
    answer::{json, with_causes},
    name_of, now,
    recovering::{bytes_of, in_words, sheet_called},
};
use crate::ask::{
    Failure, FailureKind,
    fleet::{About, Guest, Link, Member, Order, Relay, Residency, Secret, Sheet, Shown, Side, Waiting},
};
use crate::config::HostPort;

impl From<FleetError> for Failure {
    fn from(error: FleetError) -> Self {
        let kind = match &error {
            FleetError::None => FailureKind::NotFound,
            FleetError::InOne(_)
            | FleetError::Leaving
            | FleetError::NotAdmin
            | FleetError::IsAdmin
            | FleetError::LastAdmin => FailureKind::Denied,
            FleetError::Change(_) | FleetError::Sheet(_) => FailureKind::Usage,
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
            let device = revocable_called(shared, &device)?;
            if device == shared.identity.device {
                return Err(Failure::new(
                    FailureKind::Denied,
                    "a device does not take itself out; do it on another admin's device, or let this one leave with `hearth fleet leave`",
                ));
            }
            shared.revoke_device(device)?;
        }
        Order::Rotate => shared.rotate_fleet()?,
        Order::AddRelay { address, key } => shared.add_relay(relay_of(&address, &key)?)?,
        Order::RemoveRelay { relay } => shared.remove_relay(relay_called(shared, &relay)?)?,
        Order::SetResidency { name, homes } => {
            let homes = homes.iter().map(|called| home_called(shared, called)).collect::<Result<_, _>>()?;
            shared.change_residencies(|policy| policy.set(&name, homes, entropy()).map(drop))?;
            shared.settle_homes(&shared.within_residencies())?;
        }
        Order::RemoveResidency { name } => {
            shared.change_residencies(|policy| policy.remove(&name))?;
            shared.settle_homes(&shared.within_residencies())?;
        }
        Order::RemoveGuest { guest } => shared.remove_guest(guest_called(shared, &guest)?)?,
        Order::Admin { device, is } => shared.set_admin(device_called(shared, &device)?, is)?,
        Order::AddSheet { key, wrap_key } => {
            let keys = bytes_of(&key).zip(bytes_of(&wrap_key));
            let wrong =
                || Failure::new(FailureKind::Usage, "the keys of a recovery sheet are 64 hexadecimal digits each");
            shared.add_sheet(keys.ok_or_else(wrong)?)?;
        }
        Order::Recover { words, fleet, at, approve, .. } if shared.membership().is_some() => {
            if at.is_some() {
                let message = "this device is in a fleet, and needs nobody else to become its admin; leave out --at";
                return Err(Failure::new(FailureKind::Usage, message));
            }
            let (seed, fleet) = sheet_of(&words, fleet.as_deref())?;
            let holder = Holder::of(&seed);
            match approve {
                Some(order) => shared.approve_by_sheet((&holder, fleet), &order)?,
                None => shared.recover_here(&holder, fleet)?,
            }
        }
        Order::Threshold { admins } => {
            let membership = shared.membership().ok_or(FleetError::None)?;
            let there = membership.fleet.members(now()).filter(|(id, _)| membership.fleet.is_admin(id)).count();
            if usize::from(admins) > there {
                return Err(Failure::new(
                    FailureKind::Usage,
                    format!(
                        "the fleet has {there} admins; `hearth fleet admin add DEVICE` makes others before more must agree"
                    ),
                ));
            }
            shared.set_threshold(admins)?;
        }
        Order::Resolve { side } => shared.resolve_fork(&side)?,
        Order::Approve { id } => shared.approve(&id)?,
        Order::Leave => shared.leave_fleet()?,
        Order::Invite { .. } | Order::Join { .. } | Order::Recover { .. } | Order::Wake => {
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
            Some(Standing::Revoked) | None => "revoked",
        };
        let link = link(id);
        let is_away = standing == "member" && *id != shared.identity.device && !matches!(link, Link::Linked { .. });
        devices.push(Member {
            id: *id,
            name: device.name.clone(),
            spiffe: SpiffeId { fleet: fleet.id(), device: *id }.to_string(),
            here: *id == shared.identity.device,
            admin: fleet.is_admin(id),
            standing: standing.into(),
            link,
            until: if is_away { shared.data_until(id)? } else { None },
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
        sides: sides(&membership),
        erased,
        threshold: fleet.threshold(),
        waiting: waiting(&membership, shared.identity.device),
        devices,
        sheet: fleet.sheet().map(|(sheet, made_at)| Sheet { id: sheet.id(), made_at }),
        relays: relays(shared, fleet, link)?,
        residencies: residencies(&membership),
        guests: fleet.guests().map(|(id, name)| Guest { id: id.to_string(), name: name.to_owned() }).collect(),
        broker: None,
    };
    Ok(Shown { fleet: Some(about) })
}

fn sides(membership: &Membership) -> Vec<Side> {
    let one = |(id, tip): (String, Hash)| {
        let links = membership.fleet.side(&tip);
        let signers = links.last().and_then(|link| link.signers().ok()).unwrap_or_default();
        let by = signers.iter().map(|id| name_of(Some(membership), id)).collect();
        Side { id, by, orders: in_words(membership, links) }
    };
    membership.sides().into_iter().map(one).collect()
}

fn waiting(membership: &Membership, here: DeviceId) -> Vec<Waiting> {
    let one = |order: &waiting::Order| {
        let signers = order.signers();
        Waiting {
            id: order.id(),
            order: in_words(membership, order.links()),
            signed: signers.iter().map(|id| name_of(Some(membership), id)).collect(),
            lacks: membership.fleet.threshold().saturating_sub(signers.len()),
            asked: membership.fleet.is_admin(&here) && !signers.contains(&here),
        }
    };
    membership.waiting().map(one).collect()
}

fn relays(shared: &Shared, fleet: &Fleet, link: impl Fn(&DeviceId) -> Link) -> Result<Vec<Relay>, NodeError> {
    let mut relays = Vec::new();
    for relay in fleet.relays() {
        let id = DeviceId::of_key_bytes(&relay.key);
        let signed = shared.signed_by(&id)?;
        let mut ours = shared.held()?;
        let trust = At { fleet, now: now() };
        ours.retain(|held| held.log.author == shared.identity.device && trust.may_have(&id, held.residency));
        // A relay signs for the last lives of a log alone.
        ours.sort_by_key(|held| std::cmp::Reverse(held.log.incarnation));
        let lacks = |held: &Held| {
            let next = signed.get(&held.log).map_or(0, |signed| signed.next);
            held.chain.number.saturating_sub(next)
        };
        let unsigned = ours.iter().take(RECEIPTS_MAX).map(lacks).sum();
        let signed_at = signed.values().map(|signed| signed.at).max();
        let key = data_encoding::HEXLOWER.encode(&relay.key);
        relays.push(Relay { id, address: relay.address.clone(), key, link: link(&id), signed_at, unsigned });
    }
    Ok(relays)
}

fn residencies(membership: &Membership) -> Vec<Residency> {
    let called = |homes: &BTreeSet<DeviceId>| homes.iter().map(|home| name_of(Some(membership), home)).collect();
    let all = membership.fleet.policy().1.residencies();
    all.map(|(number, it)| Residency { number, name: it.name.clone(), homes: called(&it.homes) }).collect()
}

fn home_called(shared: &Shared, called: &str) -> Result<DeviceId, Failure> {
    match relay_called(shared, called) {
        Ok(key) => Ok(DeviceId::of_key_bytes(&key)),
        Err(_) => device_called(shared, called),
    }
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

/// The guest that is called so.
fn guest_called(shared: &Shared, called: &str) -> Result<FleetId, Failure> {
    let membership = shared.membership().ok_or(FleetError::None)?;
    let is_called = |(fleet, name): &(FleetId, &str)| *name == called || fleet.to_string() == called;
    let found: Vec<FleetId> = membership.fleet.guests().filter(is_called).map(|(fleet, _)| fleet).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(Failure::new(
            FailureKind::NotFound,
            "the fleet has no guest of this name or id; `hearth fleet` shows them",
        )),
        _ => Err(Failure::new(
            FailureKind::Usage,
            "several guests are called so; name the one that is meant by its id, as `hearth fleet` shows it",
        )),
    }
}

/// The seed of what the owner typed, and the fleet that is meant.
pub(crate) fn sheet_of(words: &Secret, fleet: Option<&str>) -> Result<(Seed, Option<FleetId>), Failure> {
    let wrong = |message: String| Failure::new(FailureKind::Usage, message);
    let seed = Seed::from_words(&words.0).map_err(|error| wrong(error.to_string()))?;
    let fleet = fleet.map(str::parse).transpose().map_err(|error: NotAFleet| wrong(error.to_string()))?;
    Ok((seed, fleet))
}

/// A device, or the recovery sheet.
fn revocable_called(shared: &Shared, called: &str) -> Result<DeviceId, Failure> {
    device_called(shared, called).or_else(|error| {
        let membership = shared.membership().ok_or(FleetError::None)?;
        sheet_called(&membership.fleet, called).ok_or(error)
    })
}

pub(crate) fn device_called(shared: &Shared, called: &str) -> Result<DeviceId, Failure> {
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
