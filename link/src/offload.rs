//! Which peers are sent nothing in bundles: several datagrams handed to the system at once, which it or the network card cuts (GSO).
//!
//! quinn leaves that by itself when the system refuses a bundle (`EIO`, `EINVAL`). Some drivers, tunnels and virtual machines take it and
//! lose it, and nobody says so. So each link is looked at when it ends: was much of what went out in bundles lost, or taken by nobody,
//! the next one to or from that address goes without; did that not help, they were not to blame. It is a fact of this machine and the way from
//! it, so all links of the program share it; a restart forgets it.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use quinn::Connection;

/// So many addresses are remembered, the newest.
const REMEMBERED: usize = 64;
/// Of fewer packets nothing is learned.
const ENOUGH: u64 = 16;

static SPARED: Mutex<VecDeque<IpAddr>> = Mutex::new(VecDeque::new());

/// Whether a link with this peer is to go without bundles.
pub(crate) fn is_spared(peer: SocketAddr) -> bool {
    spared().contains(&peer.ip().to_canonical())
}

/// Learns from a link that ends; `stalled` when the peer took nothing of what was sent for too long.
pub(crate) fn learn(link: &Connection, stalled: bool) {
    let stats = link.stats();
    let in_bundles = stats.udp_tx.ios < stats.udp_tx.datagrams;
    let (sent, lost) = (stats.path.sent_packets, stats.path.lost_packets);
    if stalled || sent >= ENOUGH && lost >= sent / 4 {
        note(link.remote_address().ip().to_canonical(), in_bundles);
    }
}

/// Much was lost on the way there.
fn note(peer: IpAddr, in_bundles: bool) {
    let mut spared = spared();
    spared.retain(|known| *known != peer);
    if in_bundles {
        spared.push_back(peer);
    }
    if spared.len() > REMEMBERED {
        spared.pop_front();
    }
}

fn spared() -> MutexGuard<'static, VecDeque<IpAddr>> {
    SPARED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_peers_are_spared_until_it_turns_out_not_to_help() {
        let peer = |n: u8| SocketAddr::from(([198, 51, 100, n], 1));
        let newest = u8::try_from(REMEMBERED).expect("few");
        (0..=newest).for_each(|n| note(peer(n).ip(), true));
        assert!(!is_spared(peer(0)) && is_spared(peer(1)) && is_spared(peer(newest)));
        let mapped = std::net::Ipv4Addr::new(198, 51, 100, 1).to_ipv6_mapped();
        assert!(is_spared((mapped, 9).into()), "the same machine");
        note(peer(1).ip(), false);
        assert!(!is_spared(peer(1)) && is_spared(peer(2)));
        assert!(spared().len() <= REMEMBERED);
    }
}
