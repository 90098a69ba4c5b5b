//! What a row of links says, one after another. It knows of no fork and no clock.

use std::collections::{BTreeMap, BTreeSet};

use super::{GUESTS_MAX, RELAYS_MAX, Refused};
use crate::{
    DeviceId,
    fleet::{
        FleetId,
        link::{Action, DEVICES_MAX, Device, Relay},
        policy::Policy,
    },
    merkle::Hash,
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub(super) name: String,
    threshold: u8,
    /// Everybody that was ever added.
    pub(super) devices: BTreeMap<DeviceId, Device>,
    revoked: BTreeSet<DeviceId>,
    pub(super) epoch: u32,
    /// The link that began each epoch.
    pub(super) rotations: BTreeMap<u32, Hash>,
    pub(super) policy_epoch: u32,
    pub(super) policy: Policy,
    pub(super) knows_policy: bool,
    pub(super) relays: BTreeMap<[u8; 32], Relay>,
    /// The recovery sheet that holds, and the link that added it.
    pub(super) sheet: Option<(DeviceId, Hash)>,
    /// Fleets of others that its relays serve, and what they are called.
    pub(super) guests: BTreeMap<FleetId, String>,
}

impl State {
    pub(super) fn begin(name: String, first: DeviceId, device: Device, threshold: u8) -> Self {
        Self {
            name,
            threshold,
            devices: BTreeMap::from([(first, device)]),
            revoked: BTreeSet::new(),
            epoch: 0,
            rotations: BTreeMap::new(),
            policy_epoch: 0,
            policy: Policy::default(),
            knows_policy: true,
            relays: BTreeMap::new(),
            sheet: None,
            guests: BTreeMap::new(),
        }
    }

    pub(super) fn is_sheet(&self, id: &DeviceId) -> bool {
        self.sheet.is_some_and(|(sheet, _)| sheet == *id)
    }

    pub(super) fn is_active(&self, id: &DeviceId) -> bool {
        self.devices.contains_key(id) && !self.revoked.contains(id)
    }

    pub(super) fn is_admin(&self, id: &DeviceId) -> bool {
        self.is_active(id) && self.devices.get(id).is_some_and(|device| device.admin)
    }

    /// Whether the id was ever that of a device or a sheet.
    fn was_known(&self, id: &DeviceId) -> bool {
        self.devices.contains_key(id) || self.revoked.contains(id) || self.is_sheet(id)
    }

    fn admins(&self) -> usize {
        self.devices.keys().filter(|id| self.is_admin(id)).count()
    }

    /// The threshold, or all admins when there are fewer.
    pub(super) fn threshold(&self) -> usize {
        usize::from(self.threshold).min(self.admins())
    }

    /// How many admins must sign it.
    pub(super) fn needs(&self, action: &Action) -> usize {
        match action {
            Action::RevokeDevice { .. }
            | Action::Rotate { .. }
            | Action::AddAdmin(_)
            | Action::RemoveAdmin(_)
            | Action::SetThreshold(_)
            | Action::AddSheet(_)
            | Action::Resolve { .. } => self.threshold(),
            Action::AddDevice(device) if device.admin => self.threshold(),
            Action::Create { .. }
            | Action::AddDevice(_)
            | Action::Policy { .. }
            | Action::AddRelay(_)
            | Action::RemoveRelay(_)
            | Action::AddGuest(_)
            | Action::RemoveGuest(_) => 1,
        }
    }

    /// Whether those of these signers that are not struck out are admins here and enough, or one is the recovery sheet, which is enough alone.
    pub(super) fn is_enough(
        &self,
        action: &Action,
        signers: &[DeviceId],
        is_struck: impl Fn(&DeviceId) -> bool,
    ) -> bool {
        let signers = signers.iter().filter(|it| !is_struck(it));
        signers.clone().any(|it| self.is_sheet(it))
            || signers.filter(|it| self.is_admin(it)).count() >= self.needs(action)
    }

    /// Whether these signers are admins here, and enough of them.
    pub(super) fn check_signers(&self, action: &Action, signers: &[DeviceId]) -> Result<(), Refused> {
        self.check_admins(signers)?;
        let (has, needs) = (signers.len(), self.needs(action));
        if self.is_enough(action, signers, |_| false) { Ok(()) } else { Err(Refused::TooFew { has, needs }) }
    }

    fn check_admins(&self, signers: &[DeviceId]) -> Result<(), Refused> {
        match signers.iter().find(|it| !self.is_admin(it) && !self.is_sheet(it)) {
            Some(stranger) => Err(Refused::NotAnAdmin(*stranger)),
            None => Ok(()),
        }
    }

    /// Whether these signers may do this here. That they are too few is said last: what else is refused would be whoever signed it, too.
    pub(super) fn check(&self, action: &Action, signers: &[DeviceId]) -> Result<(), Refused> {
        self.check_admins(signers)?;
        self.check_action(action)?;
        self.check_signers(action, signers)
    }

    /// Whether this makes sense here.
    fn check_action(&self, action: &Action) -> Result<(), Refused> {
        let active = |id: &DeviceId| if self.is_active(id) { Ok(()) } else { Err(Refused::UnknownDevice(*id)) };
        let spare = |id: &DeviceId| {
            if self.is_admin(id) && self.admins() == 1 { Err(Refused::LastAdmin(*id)) } else { Ok(()) }
        };
        let follows = |given: u32, before: u32| match before.checked_add(1) {
            Some(wanted) if wanted == given => Ok(()),
            wanted => Err(Refused::Epoch { given, wanted: wanted.unwrap_or(before) }),
        };
        match action {
            Action::Create { .. } => Err(Refused::NotTheFirst),
            Action::AddDevice(device) => {
                let id = device.id().expect("a link holds keys only");
                if self.was_known(&id) {
                    Err(Refused::KnownDevice(id))
                } else if self.devices.keys().filter(|id| self.is_active(id)).count() >= DEVICES_MAX {
                    Err(Refused::TooManyDevices)
                } else {
                    Ok(())
                }
            }
            Action::RevokeDevice { device, .. } if self.is_sheet(device) => Ok(()),
            Action::RevokeDevice { device, .. } => active(device).and_then(|()| spare(device)),
            Action::Rotate { epoch, wraps } => {
                follows(*epoch, self.epoch)?;
                wraps.iter().filter(|(device, _)| !self.is_sheet(device)).try_for_each(|(device, _)| active(device))
            }
            Action::AddSheet(sheet) => match sheet.wraps.last() {
                _ if self.sheet.is_some() => Err(Refused::Sheet),
                _ if self.was_known(&sheet.id()) => Err(Refused::KnownDevice(sheet.id())),
                Some((epoch, _)) if *epoch > self.epoch => Err(Refused::Epoch { given: *epoch, wanted: self.epoch }),
                _ => Ok(()),
            },
            Action::Policy { epoch, .. } => follows(*epoch, self.policy_epoch),
            Action::AddRelay(relay) => {
                if self.relays.contains_key(&relay.key) {
                    Err(Refused::Relay)
                } else if self.relays.len() >= RELAYS_MAX {
                    Err(Refused::TooManyRelays)
                } else {
                    Ok(())
                }
            }
            Action::RemoveRelay(key) => {
                if self.relays.contains_key(key) {
                    Ok(())
                } else {
                    Err(Refused::Relay)
                }
            }
            Action::AddGuest(guest) => {
                if self.guests.contains_key(&guest.fleet) {
                    Err(Refused::Guest)
                } else if self.guests.len() >= GUESTS_MAX {
                    Err(Refused::TooManyGuests)
                } else {
                    Ok(())
                }
            }
            Action::RemoveGuest(fleet) => {
                if self.guests.contains_key(fleet) {
                    Ok(())
                } else {
                    Err(Refused::Guest)
                }
            }
            Action::AddAdmin(id) => {
                active(id)?;
                // Of an admin it says so once more: after a fork whose other side removed it.
                let may = self.devices.get(id).is_some_and(|device| device.expires.is_none());
                if may { Ok(()) } else { Err(Refused::CannotBeAdmin(*id)) }
            }
            Action::RemoveAdmin(id) => {
                if self.is_admin(id) {
                    spare(id)
                } else {
                    Err(Refused::NotAnAdmin(*id))
                }
            }
            Action::SetThreshold(_) | Action::Resolve { .. } => Ok(()),
        }
    }

    /// Does what was checked.
    pub(super) fn apply(&mut self, digest: Hash, action: &Action) {
        match action {
            Action::Create { .. } | Action::Resolve { .. } => {}
            Action::AddDevice(device) => {
                self.devices.insert(device.id().expect("a link holds keys only"), device.clone());
            }
            Action::RevokeDevice { device, .. } => {
                self.revoked.insert(*device);
                self.sheet = self.sheet.filter(|(sheet, _)| sheet != device);
            }
            Action::AddSheet(sheet) => self.sheet = Some((sheet.id(), digest)),
            Action::Rotate { epoch, .. } => {
                self.epoch = *epoch;
                self.rotations.insert(*epoch, digest);
            }
            Action::Policy { epoch, bytes } => {
                self.policy_epoch = *epoch;
                // What this version cannot read gives nobody anything.
                let policy = Policy::decode(bytes);
                self.knows_policy = policy.is_some();
                self.policy = policy.unwrap_or_default();
            }
            Action::AddRelay(relay) => {
                self.relays.insert(relay.key, relay.clone());
            }
            Action::RemoveRelay(key) => {
                self.relays.remove(key);
            }
            Action::AddGuest(guest) => {
                self.guests.insert(guest.fleet, guest.name.clone());
            }
            Action::RemoveGuest(fleet) => {
                self.guests.remove(fleet);
            }
            Action::AddAdmin(id) => self.set_admin(id, true),
            Action::RemoveAdmin(id) => self.set_admin(id, false),
            Action::SetThreshold(k) => self.threshold = *k,
        }
    }

    fn set_admin(&mut self, id: &DeviceId, admin: bool) {
        if let Some(device) = self.devices.get_mut(id) {
            device.admin = admin;
        }
    }
}
