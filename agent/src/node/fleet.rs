//! What the owner orders about the fleet, as far as that needs no network.

use std::collections::BTreeMap;

use hearth_core::{
    DeviceId, Moment,
    fleet::{SpiffeId, chain::Standing},
};
use serde_json::Value;

use super::{
    FleetError, NodeError, Shared,
    answer::{json, with_causes},
    now,
};
use crate::ask::{
    Failure, FailureKind,
    fleet::{About, Link, Member, Order, Shown},
};

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
    };
    Ok(Shown { fleet: Some(about) })
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
