//! Members that sleep, woken by a packet for their network card: where it is sent, and how long they took.
//!
//! A packet is no proof of anything: a member is awake once it is linked, which it proves with its key.

use std::{
    collections::HashSet,
    ffi::OsStr,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
    time::Duration,
};

use hearth_core::DeviceId;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use wake_on_lan::MagicPacket;

use super::{asking::ask, peers::Peers};
use crate::{
    ask::fleet::Waking,
    node::{
        NodeError,
        live::{About, Card, Question},
        name_of,
    },
};

/// The ports to which such packets are sent by custom: discard, and echo.
const PORTS: [u16; 2] = [9, 7];
/// How long a machine may take to boot, join its network and call.
pub(crate) const WAKE_MAX: Duration = Duration::from_secs(180);
/// A packet may get lost.
const AGAIN: Duration = Duration::from_secs(15);
/// A member that was woken is called this often.
const CALL_EVERY: Duration = Duration::from_secs(3);
/// How long a member may take to say how it is woken.
const ABOUT: Duration = Duration::from_secs(60);

/// Asks the egress gate for permission to send to an address; the error is a sentence.
pub(crate) type PermitWake<'a> = dyn Fn(Ipv4Addr, u16) -> Result<(), String> + 'a;

/// A network of this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Network {
    /// This machine's address there.
    from: Ipv4Addr,
    /// The address of all machines there.
    pub(crate) all: Ipv4Addr,
    mask: u32,
}

impl Network {
    fn of(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        // A network of one or two has no address of all.
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).filter(|_| (1..=30).contains(&prefix))?;
        let near = address.is_private() || address.is_link_local();
        near.then(|| Self { from: address, all: Ipv4Addr::from_bits(address.to_bits() | !mask), mask })
    }

    const fn has(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.from.to_bits() & self.mask
    }

    #[expect(clippy::disallowed_methods, reason = "the gate was asked about this address")]
    fn send(&self, card: Card, port: u16) -> io::Result<()> {
        let packet = MagicPacket::new(&card);
        let socket = UdpSocket::bind((self.from, 0))?;
        socket.set_broadcast(true)?;
        socket.send_to(packet.magic_bytes(), (self.all, port)).map(drop)
    }
}

/// The networks at home that this machine is in.
pub(crate) fn networks() -> Vec<Network> {
    let Ok(all) = sysinfo::Networks::new_with_refreshed_list() else { return Vec::new() };
    let addresses = all.values().flat_map(sysinfo::NetworkData::ip_networks);
    let ours = addresses.filter_map(|network| match network.addr {
        IpAddr::V4(address) => Network::of(address, network.prefix),
        IpAddr::V6(_) => None,
    });
    ours.collect()
}

/// The network cards of this machine that are in a network at home.
pub(crate) fn cards() -> Vec<Card> {
    let Ok(all) = sysinfo::Networks::new_with_refreshed_list() else { return Vec::new() };
    let at_home = |data: &sysinfo::NetworkData| {
        data.ip_networks()
            .iter()
            .any(|it| matches!(it.addr, IpAddr::V4(address) if Network::of(address, it.prefix).is_some()))
    };
    // Of hardware, if there is any: bridges of containers have an address that they made up, which wakes nobody.
    let is_hardware = |name: &OsStr| Path::new("/sys/class/net").join(name).join("device").exists();
    let (hardware, made_up): (Vec<_>, Vec<_>) =
        all.iter().filter(|(_, data)| at_home(data)).partition(|(name, _)| is_hardware(name.as_ref()));
    let cards = if hardware.is_empty() { made_up } else { hardware };
    cards.into_iter().map(|(_, data)| data.mac_address().0).filter(|card| *card != [0; 6]).collect()
}

impl Peers {
    /// Asks a member that was just linked how it is woken, for the time when it is not.
    pub(super) fn get_to_know(self: &Arc<Self>, device: DeviceId) {
        let Some(line) = self.lines().remove(&device) else { return };
        let node = Arc::clone(self.node());
        tokio::spawn(async move {
            let about = ask::<About>(&line, &Question::About, Instant::now() + ABOUT).await;
            drop(line);
            let Some(About { cards }) = about else { return };
            let noted = tokio::task::spawn_blocking(move || node.note_cards(&device, cards)).await;
            if let Ok(Err(error)) = noted {
                debug!(%error, "how a member is woken could not be noted");
            }
        });
    }

    /// Wakes the members that are not linked, as far as they can be; says which, and how long they took before.
    pub(crate) fn wake(
        self: &Arc<Self>,
        permit: &PermitWake<'_>,
        stop: &CancellationToken,
    ) -> Result<Vec<Waking>, NodeError> {
        let Some(membership) = self.node().membership() else { return Ok(Vec::new()) };
        let (linked, all) = (self.linked(), networks());
        let mut woken = Vec::new();
        for device in self.node().others().into_iter().filter(|device| !linked.contains(device)) {
            let known = self.node().met(&device)?;
            let last: Option<SocketAddr> = membership.addresses.get(&device).and_then(|address| address.parse().ok());
            // Where it was last seen, or wherever it may be.
            let is_there = |network: &Network| matches!(last, Some(SocketAddr::V4(last)) if network.has(*last.ip()));
            let there: Vec<Network> = all.iter().copied().filter(is_there).collect();
            let networks = if there.is_empty() { all.clone() } else { there };
            let refused = match known.cards.as_slice() {
                [] => Some("how it is woken is not known: it was never linked to this device, or has no network card that is woken".to_owned()),
                _ if networks.is_empty() => Some("this device is in no network at home from which it could be woken".into()),
                cards => send_all(cards, &networks, permit).err(),
            };
            let name = name_of(Some(&membership), &device);
            if refused.is_none() && self.begins_to_wake(device) {
                info!(device = %device, "a sleeping device is woken");
                let (peers, stop) = (Arc::clone(self), stop.clone());
                tokio::spawn(async move {
                    Arc::clone(&peers).see_awake(device, known.cards, networks, stop).await;
                    peers.wakes_no_more(device);
                });
            }
            woken.push(Waking { id: device, name, took_ms: known.took_ms, refused });
        }
        Ok(woken)
    }

    /// Sends the packet again and calls until the member is linked, and notes how long that took.
    async fn see_awake(
        self: Arc<Self>,
        device: DeviceId,
        cards: Vec<Card>,
        networks: Vec<Network>,
        stop: CancellationToken,
    ) {
        let begun = Instant::now();
        let mut sent = begun;
        while begun.elapsed() < WAKE_MAX && !stop.is_cancelled() {
            if self.linked().contains(&device) {
                let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                let node = Arc::clone(self.node());
                let _ = tokio::task::spawn_blocking(move || node.note_woken(&device, took)).await;
                return;
            }
            self.call_soon(device);
            if sent.elapsed() >= AGAIN {
                sent = Instant::now();
                let (cards, networks) = (cards.clone(), networks.clone());
                // It was permitted a moment ago.
                let _ = tokio::task::spawn_blocking(move || send_all(&cards, &networks, &|_, _| Ok(()))).await;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(CALL_EVERY) => {}
            }
        }
        info!(device = %device, "a device did not wake");
    }
}

/// Sends a packet for each card on each network; an error when none could be sent.
fn send_all(cards: &[Card], networks: &[Network], permit: &PermitWake<'_>) -> Result<(), String> {
    let (mut sent, mut why) = (0, String::new());
    let mut permitted = HashSet::new();
    for network in networks {
        for port in PORTS {
            if permitted.insert((network.all, port)) {
                permit(network.all, port)?;
            }
            for card in cards {
                match network.send(*card, port) {
                    Ok(()) => sent += 1,
                    Err(error) => why = format!("the packet that wakes it could not be sent: {error}"),
                }
            }
        }
    }
    if sent > 0 { Ok(()) } else { Err(why) }
}

/// Who may be woken from here, for the egress gate.
pub(crate) fn everywhere() -> Vec<(Ipv4Addr, u16)> {
    networks().iter().flat_map(|network| PORTS.map(|port| (network.all, port))).collect()
}

/// How long it may still take, and what it costs, in words. The power is an assumption until it is measured.
pub(crate) fn price(took_ms: Option<u64>) -> String {
    const WATTS: u64 = 60;
    const AWAKE_AFTER: u64 = 10 * 60;
    let seconds = took_ms.map_or(90, |took| took.div_ceil(1_000));
    let tenths = (seconds + AWAKE_AFTER) * WATTS * 10 / 3_600;
    let took = took_ms.map_or_else(
        || "how long it takes is not known yet, mostly one or two minutes".to_owned(),
        |_| format!("it took {seconds} s last time"),
    );
    format!("{took}; about {}.{} Wh, assuming {WATTS} W until ten minutes after", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_six_times_ff_and_sixteen_times_the_card() {
        let card = [0x02, 0x42, 0xac, 0x11, 0x00, 0xfe];
        let wanted: Vec<u8> = [vec![0xff; 6], card.repeat(16)].concat();
        assert_eq!(MagicPacket::new(&card).magic_bytes()[..], wanted[..]);
    }

    #[test]
    fn only_networks_at_home_have_an_address_of_all() {
        for (address, prefix, all) in [
            ([192, 168, 1, 20], 24, Some([192, 168, 1, 255])),
            ([10, 77, 1, 2], 8, Some([10, 255, 255, 255])),
            ([172, 16, 5, 4], 30, Some([172, 16, 5, 7])),
            ([169, 254, 3, 9], 16, Some([169, 254, 255, 255])),
            ([192, 168, 1, 20], 31, None),
            ([192, 168, 1, 20], 32, None),
            ([192, 168, 1, 20], 0, None),
            ([203, 0, 113, 9], 24, None),
            ([127, 0, 0, 1], 8, None),
        ] {
            let network = Network::of(address.into(), prefix);
            assert_eq!(network.map(|network| network.all), all.map(Ipv4Addr::from), "{address:?}/{prefix}");
        }
        let home = Network::of([192, 168, 1, 20].into(), 24).expect("it is one");
        assert!(home.has([192, 168, 1, 7].into()) && !home.has([192, 168, 2, 7].into()));
    }

    #[test]
    fn the_price_says_what_is_known_and_what_is_assumed() {
        assert!(
            price(Some(47_200)).starts_with("it took 48 s last time; about 10.8 Wh, assuming 60 W"),
            "{}",
            price(Some(47_200))
        );
        assert!(price(None).starts_with("how long it takes is not known yet"));
    }
}
