//! Who may change the fleet, and how one comes back when nobody is left who may.

use hearth_core::{
    DeviceId,
    fleet::{
        FleetId,
        chain::Fleet,
        invite::Welcome,
        link::{Action, Device, SignedLink},
        sheet::{Holder, NotTheSheet},
    },
};
use hearth_link::recovering::NotRecovered;
use hearth_store::entropy;

use super::{FleetError, Membership, Shared, membership::wrap_secret, now};

impl From<NotTheSheet> for FleetError {
    fn from(error: NotTheSheet) -> Self {
        Self::Sheet(error)
    }
}

impl Shared {
    /// Lets a member change the fleet, or not any more.
    pub(crate) fn set_admin(&self, device: DeviceId, is: bool) -> Result<(), FleetError> {
        let action = if is { Action::AddAdmin(device) } else { Action::RemoveAdmin(device) };
        self.change_fleet(|membership, key| membership.change(key, action, now()))
    }

    /// Changes how many admins must agree.
    pub(crate) fn set_threshold(&self, admins: u8) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| membership.change(key, Action::SetThreshold(admins), now()))
    }

    /// Lets one side of a fork go on.
    pub(crate) fn resolve_fork(&self, side: &str) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| membership.resolve(key, side, now()))
    }

    /// Signs an order that waits for more admins.
    pub(crate) fn approve(&self, id: &str) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| membership.approve(key, id))
    }

    /// Tells the owner of orders that waited, and hold no more because another change came first.
    pub(super) fn tell_overtaken(&self, before: &Membership, after: &Membership) {
        for order in before.waiting() {
            let waits = after.waiting().any(|it| it.digest() == order.digest());
            let is_in = || after.fleet.links().any(|link| link.digest() == order.digest());
            if !waits && !is_in() {
                self.notice(&format!(
                    "the order `{}` waited for more admins, and another change of the fleet came first; give it again",
                    in_words(before, order.links())
                ));
            }
        }
    }

    /// Takes in orders that another device knows to wait.
    pub(crate) fn take_orders(&self, orders: &[u8]) -> Result<(), FleetError> {
        let known = self.membership().ok_or(FleetError::None)?;
        if !known.as_ref().clone().take_orders(orders, &self.identity.signing) {
            return Ok(());
        }
        self.change_membership(|membership| {
            membership.as_mut().ok_or(FleetError::None)?.take_orders(orders, &self.identity.signing);
            Ok(())
        })
    }

    /// Makes the fleet recoverable with a sheet of these keys, in place of the one before.
    pub(crate) fn add_sheet(&self, keys: ([u8; 32], [u8; 32])) -> Result<(), FleetError> {
        self.change_fleet(|membership, key| membership.add_sheet(key, keys, now()))
    }

    /// Adds a device that knew a join code, and takes out the one that it replaces.
    pub(crate) fn replace_device(&self, device: &Device, before: DeviceId) -> Result<Welcome, FleetError> {
        let ends = self.ends_of(&before)?;
        self.change_fleet(|membership, key| membership.replace(key, device, (before, ends), now()))
    }

    /// Makes this device, which is in the fleet, an admin by the recovery sheet.
    pub(crate) fn recover_here(&self, holder: &Holder, fleet: Option<FleetId>) -> Result<(), FleetError> {
        self.change_membership(|membership| {
            let membership = membership.as_mut().ok_or(FleetError::None)?;
            if membership.fleet.is_admin(&self.identity.device) {
                return Err(FleetError::IsAdmin);
            }
            Ok(membership.recover(&self.identity.signing, holder, fleet, now())?)
        })
    }

    /// Approves an order that waits by the recovery sheet, for admins who are lost.
    pub(crate) fn approve_by_sheet(&self, by: (&Holder, Option<FleetId>), order: &str) -> Result<(), FleetError> {
        self.change_membership(|membership| {
            let membership = membership.as_mut().ok_or(FleetError::None)?;
            Ok(membership.approve_by_sheet(&self.identity.signing, by, order)?)
        })
    }

    /// This device as it would come into a fleet.
    pub(crate) fn as_device(&self, name: &str) -> Device {
        let signing = &self.identity.signing;
        let (key, wrap_key) = (signing.verifying_key().to_bytes(), wrap_secret(signing).public());
        Device { key, wrap_key, name: name.to_owned(), admin: true, expires: None }
    }

    /// The membership of this device in a fleet into which the sheet signed it, with the keys that the sheet was given.
    pub(crate) fn recovered(&self, holder: &Holder, fleet: Fleet) -> Result<Membership, NotRecovered> {
        let own = self.as_device("");
        let keys = holder.keys_for(&fleet, &own, entropy).map_err(|error| NotRecovered::NotKept(error.to_string()))?;
        let welcome = Welcome { chain: fleet.encode(), keys: keys.into_iter().collect() };
        Ok(Membership::take_up(&self.identity.signing, fleet, &welcome))
    }
}

/// What an order does, as a person reads it; the key that follows from it is not worth a word.
pub(super) fn in_words<'l>(membership: &Membership, links: impl IntoIterator<Item = &'l SignedLink>) -> String {
    let name = |device: &DeviceId| match membership.fleet.sheet() {
        Some((sheet, _)) if sheet.id() == *device => SHEET.to_owned(),
        _ => super::name_of(Some(membership), device),
    };
    let links: Vec<&SignedLink> = links.into_iter().collect();
    let rotates_only = links.len() == 1;
    let one = |link: &&SignedLink| match link.link().action() {
        Action::RevokeDevice { device, .. } => Some(format!("revoke {}", name(device))),
        Action::Rotate { .. } => rotates_only.then(|| "rotate".into()),
        Action::AddAdmin(device) => Some(format!("admin add {}", name(device))),
        Action::RemoveAdmin(device) => Some(format!("admin remove {}", name(device))),
        Action::SetThreshold(admins) => Some(format!("threshold {admins}")),
        Action::AddSheet(_) => Some("new recovery sheet".into()),
        Action::AddDevice(device) if device.admin => Some(format!("let in {} as an admin", device.name)),
        Action::AddDevice(device) => Some(format!("let in {}", device.name)),
        Action::AddRelay(relay) => Some(format!("relay add {}", relay.address)),
        Action::RemoveRelay(_) => Some("relay remove".into()),
        Action::AddGuest(guest) => Some(format!("let in {} as a guest", guest.name)),
        Action::RemoveGuest(_) => Some("guest remove".into()),
        Action::Resolve { .. } => Some("resolve".into()),
        Action::Create { .. } | Action::Policy { .. } => Some("another change".into()),
    };
    links.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

/// The name by which the recovery sheet is called on the command line.
const SHEET: &str = "recovery sheet";

/// The recovery sheet, if it is called by its name or id.
pub(super) fn sheet_called(fleet: &Fleet, called: &str) -> Option<DeviceId> {
    let (sheet, _) = fleet.sheet()?;
    let is = called.eq_ignore_ascii_case(SHEET) || called == sheet.id().to_string();
    is.then(|| sheet.id())
}

/// 32 bytes as 64 hexadecimal digits.
pub(super) fn bytes_of(hex: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}
