//! How devices of a fleet find each other on a local network, by multicast DNS (RFC 6762) and its services (RFC 6763).
//!
//! [`Lan`] shows a name of this moment, a tag and a port, and hears those of others. It does not know what a tag means, proves
//! nothing and connects to nobody: what is heard is only an address to try, and the key shown there decides. Neither the device's nor
//! the machine's name is ever shown; addresses are, as by every packet on that network.
//!
//! `mdns-sd` speaks the protocol on a thread of its own, and it keeps every record that it is sent. So it is counted every few seconds
//! and begun anew when it has too many; a network that floods faster than that costs memory until then.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use data_encoding::HEXLOWER;
use mdns_sd::{IfKind, IfPredicate, Metrics, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::time::Instant;
use tracing::debug;

/// The addresses of one [`Heard`], at most.
pub const ADDRESSES_MAX: usize = 8;

/// The kind of service, as others see it.
const KIND: &str = "_hearth._udp.local.";

/// How many services are remembered, so that none is told twice; the one that was told first is forgotten first.
const TOLD_MAX: usize = 256;

/// How many names of our own are remembered: an earlier one may echo for a while.
const OWN_MAX: usize = 8;

/// What a service may say, before it is looked at.
const TXT_ENTRIES_MAX: usize = 8;
const TXT_BYTES_MAX: usize = 256;
const ADDRESSES_READ_MAX: usize = 64;

/// How often what `mdns-sd` keeps is counted, and how soon after one beginning there may be another.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// The records and the timers that `mdns-sd` may keep. A crowded network has hundreds of records.
const RECORDS_MAX: i64 = 4096;
const TIMERS_MAX: i64 = 65_536;

/// How long saying good-bye may take.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// After how many events of no use other tasks have a turn.
const EVENTS_PER_TURN: usize = 64;

/// Why this device neither shows itself nor hears others on the local network.
#[derive(Debug, thiserror::Error)]
pub enum LanError {
    /// No thread, or no means to wait for packets.
    #[error(
        "cannot listen for other devices on the local network; is this program's limit of open files or threads reached?"
    )]
    Open(#[source] io::Error),
    /// What was to be shown was not taken.
    #[error("cannot show this device on the local network right now; it can be tried again in a few seconds")]
    Announce(#[source] io::Error),
    /// The ear was lost and not opened again.
    #[error("nothing listens on the local network any more; open it again")]
    Ended,
}

/// What another device shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Its fleet's tag of the day, or what it says is one.
    pub tag: [u8; 16],
    /// Where it says that it listens, the likeliest first: at least one, at most [`ADDRESSES_MAX`].
    pub addresses: Vec<SocketAddr>,
}

/// One announcement and one ear on the local network.
///
/// Dropping it ends the thread behind it and says good-bye without waiting for either; [`close`](Self::close) waits.
pub struct Lan {
    place: Place,
    ear: Option<Ear>,
    shown: Option<Shown>,
    own: VecDeque<[u8; 8]>,
    told: VecDeque<([u8; 8], Heard)>,
    count_at: Instant,
    reopen_at: Instant,
}

impl Lan {
    /// Begins to listen on every interface that can multicast, now or later. Where there is none, nothing is heard.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open() -> Result<Self, LanError> {
        Self::open_at(Place { port: mdns_sd::MDNS_PORT, loopback: false })
    }

    fn open_at(place: Place) -> Result<Self, LanError> {
        let ear = Ear::open(place).map_err(|error| LanError::Open(io::Error::other(error)))?;
        let (own, told) = (VecDeque::new(), VecDeque::new());
        let soon = Instant::now() + COUNT_EVERY;
        Ok(Self { place, ear: Some(ear), shown: None, own, told, count_at: soon, reopen_at: soon })
    }

    /// Shows a tag and the port of the QUIC listener, in place of what was shown before.
    ///
    /// `instance` is the name under which they stand: fresh random bytes at each start and with each new tag, or it would link one
    /// day to the next. Who sees the packets may still link them by the addresses that they come from.
    ///
    /// # Errors
    /// When the thread behind is gone, or has too much to do to take it; what was shown before then still is.
    pub fn announce(&mut self, instance: [u8; 8], tag: [u8; 16], port: u16) -> Result<(), LanError> {
        let ear = self.ear.as_ref().ok_or(LanError::Ended)?;
        let shown = Shown { instance, tag, port };
        // First, so that it is never taken for another device.
        self.own.push_front(instance);
        self.own.truncate(OWN_MAX);
        ear.show(shown).map_err(|error| LanError::Announce(io::Error::other(error)))?;
        let former = self.shown.replace(shown).filter(|former| former.instance != instance);
        if let Some(former) = former {
            // If this is not taken, others forget the name when its time is up: two minutes.
            let _ = ear.daemon.unregister(&former.full_name());
        }
        Ok(())
    }

    /// Shows nothing any more.
    pub fn withdraw(&mut self) {
        if let (Some(former), Some(ear)) = (self.shown.take(), &self.ear) {
            // As above.
            let _ = ear.daemon.unregister(&former.full_name());
        }
    }

    /// Waits for a device that is new, or shows something new. Own announcements are not heard.
    ///
    /// It may be dropped at any time without losing anything. It is to be waited for most of the time: only then is counted what the
    /// network makes this side keep. After `None` nothing more is heard, and there is only closing left.
    pub async fn heard(&mut self) -> Option<Heard> {
        let mut events = 0_usize;
        loop {
            let ear = self.ear.as_mut()?;
            let happened = tokio::select! {
                event = ear.events.recv_async() => event.map_or(Happened::Deaf, Happened::Event),
                fine = ear.counted() => if fine { Happened::Counted } else { Happened::Deaf },
                () = tokio::time::sleep_until(self.count_at) => Happened::TimeToCount,
            };
            match happened {
                Happened::Event(event) => {
                    if let Some(heard) = self.take(event) {
                        return Some(heard);
                    }
                    events += 1;
                    if events.is_multiple_of(EVENTS_PER_TURN) {
                        tokio::task::yield_now().await;
                    }
                }
                Happened::Counted => ear.counting = None,
                Happened::TimeToCount => {
                    ear.count();
                    self.count_at = Instant::now() + COUNT_EVERY;
                }
                Happened::Deaf => {
                    tokio::time::sleep_until(self.reopen_at).await;
                    self.reopen();
                }
            }
        }
    }

    /// Says good-bye, and waits a moment for it to be said.
    pub async fn close(mut self) {
        let Some(ear) = self.ear.take() else { return };
        if let Ok(ended) = ear.daemon.shutdown() {
            let _ = tokio::time::timeout(CLOSING_MAX, ended.recv_async()).await;
        }
    }

    /// What an event tells that was not told before.
    fn take(&mut self, event: ServiceEvent) -> Option<Heard> {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let Some((instance, heard)) = read_resolved(&service, self.place.loopback) else {
                    debug!("ignored a service on the local network that is not written as ours are");
                    return None;
                };
                let known = self.told.iter().any(|(known, told)| *known == instance && *told == heard);
                if known || self.own.contains(&instance) {
                    return None;
                }
                self.forget(instance);
                self.told.push_front((instance, heard.clone()));
                self.told.truncate(TOLD_MAX);
                Some(heard)
            }
            ServiceEvent::ServiceRemoved(_, name) => {
                if let Some(instance) = instance_of(&name) {
                    self.forget(instance);
                }
                None
            }
            _ => None,
        }
    }

    fn forget(&mut self, instance: [u8; 8]) {
        self.told.retain(|(known, _)| *known != instance);
    }

    /// Begins anew, with nothing remembered of what others sent, and shows the same.
    fn reopen(&mut self) {
        debug!("listening on the local network begins anew");
        self.ear = None; // Ends the thread.
        self.told.clear();
        self.reopen_at = Instant::now() + COUNT_EVERY;
        self.ear = Ear::open(self.place)
            .and_then(|ear| self.shown.map_or(Ok(()), |shown| ear.show(shown)).map(|()| ear))
            .inspect_err(|error| debug!(%error, "listening on the local network did not begin anew"))
            .ok();
    }
}

/// What can happen while waiting.
enum Happened {
    Event(ServiceEvent),
    TimeToCount,
    Counted,
    /// There are too many records, or events came faster than they were taken, or the thread is gone.
    Deaf,
}

/// On which port and where.
#[derive(Clone, Copy, Debug)]
struct Place {
    port: u16,
    /// Only this machine, instead of only others: for tests.
    loopback: bool,
}

/// What we show.
#[derive(Clone, Copy, Debug)]
struct Shown {
    instance: [u8; 8],
    tag: [u8; 16],
    port: u16,
}

impl Shown {
    fn full_name(self) -> String {
        format!("{}.{KIND}", HEXLOWER.encode(&self.instance))
    }

    /// All that is said about this device, in the words of `mdns-sd`.
    fn service(self, addresses: &str) -> Result<ServiceInfo, mdns_sd::Error> {
        let (instance, tag) = (HEXLOWER.encode(&self.instance), HEXLOWER.encode(&self.tag));
        let txt = [("t", tag.as_str())];
        ServiceInfo::new(KIND, &instance, &format!("{instance}.local."), addresses, self.port, &txt[..])
    }
}

/// The thread that speaks the protocol, and what it tells.
struct Ear {
    daemon: ServiceDaemon,
    /// Bounded by `mdns-sd`, which closes it when it is full.
    events: Receiver<ServiceEvent>,
    counting: Option<Receiver<Metrics>>,
}

impl Ear {
    fn open(Place { port, loopback }: Place) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new_with_port(port)?;
        let others = IfPredicate::new(move |interface| {
            interface.is_loopback() != loopback || rank(interface.ip(), loopback).is_none()
        });
        let begun = daemon.disable_interface(IfKind::Predicate(others)).and_then(|()| daemon.browse(KIND));
        match begun {
            Ok(events) => Ok(Self { daemon, events, counting: None }),
            Err(error) => {
                let _ = daemon.shutdown();
                Err(error)
            }
        }
    }

    fn show(&self, shown: Shown) -> Result<(), mdns_sd::Error> {
        let mut service = shown.service("")?.enable_addr_auto();
        // Nobody else has these 64 random bits: asking whether the name is free would only take three quarters of a second.
        service.set_requires_probe(false);
        self.daemon.register(service)
    }

    /// Asks for the count, unless the former one is still awaited.
    fn count(&mut self) {
        if self.counting.is_none() {
            self.counting = self.daemon.get_metrics().ok();
        }
    }

    /// Waits for the count that was asked for, and says whether it is within bounds. It stays answered until `counting` is cleared.
    async fn counted(&self) -> bool {
        let Some(counting) = &self.counting else { return std::future::pending().await };
        match counting.recv_async().await {
            Ok(metrics) => within_bounds(&metrics),
            Err(_) => false, // The thread is gone.
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // The thread does not end by itself when nobody holds it any more.
        if let Err(error) = self.daemon.shutdown() {
            debug!(%error, "the thread that listens on the local network was not told to end");
        }
    }
}

fn within_bounds(metrics: &Metrics) -> bool {
    let kept: i64 = metrics.iter().filter(|(name, _)| name.starts_with("cached-")).map(|(_, count)| *count).sum();
    let timers = metrics.get("timer").copied().unwrap_or(0);
    kept <= RECORDS_MAX && timers <= TIMERS_MAX
}

/// What a service says about itself: foreign bytes, in the shape that DNS gives them.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    name: &'a str,
    port: u16,
    txt: &'a [(&'a str, Option<&'a [u8]>)],
    addresses: &'a [IpAddr],
}

fn read_resolved(service: &ResolvedService, loopback: bool) -> Option<([u8; 8], Heard)> {
    let txt = service.get_properties();
    if txt.len() > TXT_ENTRIES_MAX || service.get_addresses().len() > ADDRESSES_READ_MAX {
        return None;
    }
    let txt: Vec<_> = txt.iter().map(|entry| (entry.key(), entry.val())).collect();
    let addresses: Vec<_> = service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
    read(Record { name: service.get_fullname(), port: service.get_port(), txt: &txt, addresses: &addresses }, loopback)
}

/// Reads what is written as [`Shown::service`] writes it. Other entries beside the tag are for later releases.
fn read(record: Record<'_>, loopback: bool) -> Option<([u8; 8], Heard)> {
    let instance = instance_of(record.name)?;
    let bytes: usize = record.txt.iter().map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len)).sum();
    if record.port == 0 || record.txt.len() > TXT_ENTRIES_MAX || bytes > TXT_BYTES_MAX {
        return None;
    }
    let (_, tag) = record.txt.iter().find(|(key, _)| *key == "t")?;
    let tag = hex((*tag)?)?;
    let addresses = choose(record.addresses, loopback);
    let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, record.port)).collect();
    (!addresses.is_empty()).then_some((instance, Heard { tag, addresses }))
}

fn instance_of(name: &str) -> Option<[u8; 8]> {
    hex(name.strip_suffix(KIND)?.strip_suffix('.')?.as_bytes())
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    HEXLOWER.decode(digits).ok()?.try_into().ok()
}

/// The addresses that may lead somewhere, the likeliest first, each once.
fn choose(addresses: &[IpAddr], loopback: bool) -> Vec<IpAddr> {
    let mut ranked: Vec<_> = addresses.iter().filter_map(|it| rank(*it, loopback).map(|rank| (rank, *it))).collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().take(ADDRESSES_MAX).map(|(_, address)| address).collect()
}

/// The smaller, the likelier; `None` for what is not the address of one machine, or needs a scope that only its own network knows.
fn rank(address: IpAddr, loopback: bool) -> Option<u8> {
    match address {
        _ if address.is_unspecified() || address.is_multicast() || address.is_loopback() != loopback => None,
        IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0 => None,
        IpAddr::V4(v4) if v4.is_private() => Some(0),
        IpAddr::V4(_) => Some(1),
        IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some() => None,
        IpAddr::V6(_) => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use proptest::prelude::*;
    use tokio::time::timeout;

    use super::*;

    const NAME: &str = "0123456789abcdef._hearth._udp.local.";
    const INSTANCE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    const TAG_TEXT: &[u8] = b"abababababababababababababababab";
    const TAG: [u8; 16] = [0xab; 16];
    const TXT: &[(&str, Option<&[u8]>)] = &[("t", Some(TAG_TEXT))];
    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7));
    const OURS: Record<'_> = Record { name: NAME, port: 4433, txt: TXT, addresses: &[HOME] };
    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_service_is_read_as_it_is_written() {
        let heard = Heard { tag: TAG, addresses: vec![SocketAddr::new(HOME, 4433)] };
        let beside = [TXT[0], ("later", None)];
        for (case, record) in [("as it is", OURS), ("with more than we know", Record { txt: &beside, ..OURS })] {
            assert_eq!(read(record, false), Some((INSTANCE, heard.clone())), "{case}");
        }
    }

    #[test]
    fn a_service_that_is_not_written_as_ours_are_is_ignored() {
        let many = [TXT[0]; TXT_ENTRIES_MAX + 1];
        let long = [TXT[0], ("more", Some(&[0; TXT_BYTES_MAX][..]))];
        for (case, record) in [
            ("no port", Record { port: 0, ..OURS }),
            ("no address", Record { addresses: &[], ..OURS }),
            ("an address that leads nowhere", Record { addresses: &[IpAddr::V4(Ipv4Addr::UNSPECIFIED)], ..OURS }),
            ("this machine", Record { addresses: &[IpAddr::V4(Ipv4Addr::LOCALHOST)], ..OURS }),
            ("another kind", Record { name: "0123456789abcdef._http._tcp.local.", ..OURS }),
            ("no instance", Record { name: KIND, ..OURS }),
            ("a device's name", Record { name: "kitchen._hearth._udp.local.", ..OURS }),
            ("a longer instance", Record { name: "0123456789abcdef0._hearth._udp.local.", ..OURS }),
            ("capitals", Record { name: "0123456789ABCDEF._hearth._udp.local.", ..OURS }),
            ("renamed after a conflict", Record { name: "0123456789abcdef (2)._hearth._udp.local.", ..OURS }),
            ("no text", Record { txt: &[], ..OURS }),
            ("no tag", Record { txt: &[("u", Some(TAG_TEXT))], ..OURS }),
            ("a tag without a value", Record { txt: &[("t", None)], ..OURS }),
            ("a short tag", Record { txt: &[("t", Some(b"abab"))], ..OURS }),
            ("a tag of other letters", Record { txt: &[("t", Some(b"zzababababababababababababababab"))], ..OURS }),
            ("too many entries", Record { txt: &many, ..OURS }),
            ("too long a text", Record { txt: &long, ..OURS }),
        ] {
            assert_eq!(read(record, false), None, "{case}");
        }
    }

    #[test]
    fn the_likeliest_addresses_come_first_and_what_leads_nowhere_is_left_out() {
        for (case, addresses, expected) in [
            (
                "private before public before six",
                "2001:db8::1 198.51.100.4 10.0.0.9",
                "10.0.0.9 198.51.100.4 2001:db8::1",
            ),
            ("every private range", "192.168.0.2 172.16.0.2 10.0.0.2", "10.0.0.2 172.16.0.2 192.168.0.2"),
            ("a network without a server of addresses", "169.254.3.4", "169.254.3.4"),
            ("what needs a scope", "fe80::1 fd00::1", "fd00::1"),
            ("twice the same", "10.0.0.1 10.0.0.1", "10.0.0.1"),
            ("no machine's", "0.0.0.0 0.1.2.3 255.255.255.255 224.0.0.251 ff02::fb :: ::1 127.0.0.1", ""),
            ("one family written as the other", "::ffff:10.0.0.1", ""),
            (
                "more than we keep",
                "10.0.0.9 10.0.0.8 10.0.0.7 10.0.0.6 10.0.0.5 10.0.0.4 10.0.0.3 10.0.0.2 10.0.0.1",
                "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8",
            ),
        ] {
            let parse = |text: &str| text.split_whitespace().map(|it| it.parse().expect("an address")).collect();
            let (addresses, expected): (Vec<IpAddr>, Vec<IpAddr>) = (parse(addresses), parse(expected));
            assert_eq!(choose(&addresses, false), expected, "{case}");
        }
    }

    #[test]
    fn too_many_records_or_timers_are_out_of_bounds() {
        let metrics =
            |counts: &[(&str, i64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        for (case, counts, fine) in [
            ("a home", metrics(&[("cached-ptr", 40), ("cached-srv", 40), ("timer", 900), ("respond", 1 << 40)]), true),
            ("records of two kinds", metrics(&[("cached-ptr", RECORDS_MAX), ("cached-addr", 1)]), false),
            ("timers", metrics(&[("timer", TIMERS_MAX + 1)]), false),
        ] {
            assert_eq!(within_bounds(&counts), fine, "{case}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_service_says_is_read_or_ignored(
            name in prop_oneof![Just(NAME.to_owned()), "[0-9a-f]{14,18}\\._hearth\\._udp\\.local\\.", "\\PC{0,80}"],
            port: u16,
            txt in prop::collection::vec(
                (prop_oneof![Just("t".to_owned()), "\\PC{0,9}"], prop::option::of(prop_oneof![
                    "[0-9a-f]{32}".prop_map(String::into_bytes),
                    prop::collection::vec(any::<u8>(), 0..300),
                ])),
                0..12,
            ),
            addresses in prop::collection::vec(any::<IpAddr>(), 0..20),
            loopback: bool,
        ) {
            let txt: Vec<_> = txt.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
            let record = Record { name: &name, port, txt: &txt, addresses: &addresses };
            if let Some((instance, heard)) = read(record, loopback) {
                prop_assert_eq!(format!("{}.{KIND}", HEXLOWER.encode(&instance)), name);
                prop_assert!(txt.contains(&("t", Some(HEXLOWER.encode(&heard.tag).as_bytes()))));
                prop_assert!((1..=ADDRESSES_MAX).contains(&heard.addresses.len()));
                prop_assert!(heard.addresses.iter().all(|it| addresses.contains(&it.ip()) && it.port() == port));
            }
        }
    }

    #[tokio::test]
    async fn two_hear_each_other_once_and_never_themselves() {
        let place = alone();
        let (mut one, mut two) = (open(place), open(place));
        one.announce([1; 8], [11; 16], 1001).expect("shown");
        two.announce([2; 8], [22; 16], 1002).expect("shown");
        assert_eq!(next(&mut one).await, here(22, 1002));
        assert_eq!(next(&mut two).await, here(11, 1001));
        // A later one hears both, which were shown before it came.
        let mut late = open(place);
        let mut heard = [next(&mut late).await, next(&mut late).await];
        heard.sort_by_key(|heard| heard.tag);
        assert_eq!(heard, [here(11, 1001), here(22, 1002)]);
        // The second announcement comes a second after the first, and is not news.
        let quiet = async |lan: &mut Lan| timeout(Duration::from_millis(1500), lan.heard()).await.is_err();
        let quiet = tokio::join!(quiet(&mut one), quiet(&mut two), quiet(&mut late));
        assert_eq!(quiet, (true, true, true), "told twice, or itself");
    }

    #[tokio::test]
    async fn a_new_announcement_takes_the_place_of_the_former() {
        let place = alone();
        let (mut one, mut two) = (open(place), open(place));
        one.announce([1; 8], [11; 16], 1001).expect("shown");
        assert_eq!(next(&mut two).await, here(11, 1001));
        one.announce([3; 8], [33; 16], 1001).expect("shown");
        assert_eq!(next(&mut two).await, here(33, 1001));
        let mut late = open(place);
        assert_eq!(next(&mut late).await, here(33, 1001));
        assert!(timeout(Duration::from_millis(500), late.heard()).await.is_err(), "the former still answers");
        // The same name again is news once it was taken back: that counts after a second (RFC 6762, section 10.1).
        one.close().await;
        assert!(timeout(Duration::from_millis(1500), late.heard()).await.is_err(), "a good-bye is no news");
        let mut again = open(place);
        again.announce([3; 8], [33; 16], 1001).expect("shown");
        assert_eq!(next(&mut late).await, here(33, 1001));
    }

    #[tokio::test]
    async fn the_thread_ends_with_what_holds_it() {
        let place = alone();
        let (dropped, closed) = (open(place), open(place));
        let daemons = [&dropped, &closed].map(|lan| lan.ear.as_ref().expect("just opened").daemon.clone());
        drop(dropped);
        closed.close().await;
        for daemon in daemons {
            ended(&daemon).await;
        }
    }

    #[tokio::test]
    async fn an_ear_that_was_lost_begins_anew_and_shows_the_same() {
        let place = alone();
        let (mut one, mut two) = (open(place), open(place));
        one.announce([1; 8], [11; 16], 1001).expect("shown");
        assert_eq!(next(&mut two).await, here(11, 1001));
        let lost = one.ear.as_ref().expect("just opened").daemon.shutdown().expect("taken");
        lost.recv_async().await.expect("ended");
        one.reopen_at = Instant::now(); // Not again so soon, otherwise.
        two.announce([2; 8], [22; 16], 1002).expect("shown");
        assert_eq!(next(&mut one).await, here(22, 1002));
        two.close().await;
        assert_eq!(next(&mut open(place)).await, here(11, 1001), "it is shown again");
    }

    #[tokio::test]
    async fn more_records_than_there_is_room_for_are_dropped_and_hearing_goes_on() {
        let place = alone();
        let mut lan = open(place);
        let flooded = lan.ear.as_ref().expect("just opened").daemon.clone();
        for first in (0..u16::MAX).step_by(400) {
            send(place, &addresses_of(first..first.saturating_add(400)));
            if !within_bounds(&metrics_of(&flooded).await) {
                break;
            }
        }
        assert!(!within_bounds(&metrics_of(&flooded).await), "they were not kept in the first place");
        (lan.count_at, lan.reopen_at) = (Instant::now(), Instant::now());
        let mut other = open(place);
        other.announce([1; 8], [11; 16], 1001).expect("shown");
        let begins_anew = async {
            while lan.reopen_at < Instant::now() {
                let _ = timeout(Duration::from_millis(100), lan.heard()).await;
            }
        };
        timeout(PATIENCE, begins_anew).await.expect("it begins anew");
        other.announce([2; 8], [22; 16], 1002).expect("shown");
        while next(&mut lan).await != here(22, 1002) {}
        let fresh = lan.ear.as_ref().expect("listening").daemon.clone();
        assert!(metrics_of(&fresh).await.get("cached-addr").is_some_and(|count| *count < 10));
        ended(&flooded).await;
    }

    #[tokio::test]
    async fn noise_harms_nobody() {
        let place = alone();
        let (mut one, mut two) = (open(place), open(place));
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..2000 {
            // The header of a response with one to four answers of our kind, and then anything.
            let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
            for at in 0..20 {
                (noise, packet[7]) = (noise ^ (noise << 13), 1 + (at & 3));
                noise ^= noise >> 7;
                noise ^= noise << 17;
                packet.extend(noise.to_be_bytes());
            }
            if noise & 1 == 0 {
                packet.splice(12..12, *b"\x07_hearth\x04_udp\x05local\x00\x00\x0c\x00\x01\x00\x00\x00\x78\x00\x10");
            }
            send(place, &packet);
        }
        one.announce([1; 8], [11; 16], 1001).expect("shown");
        assert_eq!(next(&mut two).await, here(11, 1001));
        two.announce([2; 8], [22; 16], 1002).expect("shown");
        assert_eq!(next(&mut one).await, here(22, 1002));
    }

    #[test]
    fn what_was_told_is_told_again_only_when_it_changed_or_was_taken_back() {
        let mut lan = open(alone());
        lan.announce([9; 8], [99; 16], 1001).expect("shown");
        let gone = |name: &str| ServiceEvent::ServiceRemoved(KIND.to_owned(), name.to_owned());
        for (case, event, expected) in [
            ("new", resolved(1, 1001), Some(here(1, 1001))),
            ("the same", resolved(1, 1001), None),
            ("another", resolved(2, 1002), Some(here(2, 1002))),
            ("another port", resolved(1, 1003), Some(here(1, 1003))),
            ("another was taken back", gone("0202020202020202._hearth._udp.local."), None),
            ("the same", resolved(1, 1003), None),
            ("it was taken back", gone("0101010101010101._hearth._udp.local."), None),
            ("it came back", resolved(1, 1003), Some(here(1, 1003))),
            ("our own", resolved(9, 1001), None),
        ] {
            assert_eq!(lan.take(event), expected, "{case}");
        }
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut lan = open(alone());
        let ports = 1..=u16::try_from(TOLD_MAX).expect("small") + 9;
        for port in ports {
            let shown = Shown { instance: u64::from(port).to_be_bytes(), tag: [1; 16], port };
            assert!(lan.take(resolved_as(shown)).is_some());
        }
        for number in 0..=OWN_MAX {
            lan.announce([u8::try_from(number).expect("small"); 8], [1; 16], 1).expect("shown");
        }
        assert_eq!((lan.told.len(), lan.own.len()), (TOLD_MAX, OWN_MAX));
    }

    /// A port on this machine where no other test and no other program speaks.
    fn alone() -> Place {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        Place { port: port.expect("a free port").port(), loopback: true }
    }

    fn send(place: Place, packet: &[u8]) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.send_to(packet, (Ipv4Addr::LOCALHOST, place.port)).expect("sent");
    }

    /// A response that gives each of many hosts an address.
    fn addresses_of(hosts: std::ops::Range<u16>) -> Vec<u8> {
        let count = u16::try_from(hosts.len()).expect("few");
        let mut packet = [&[0, 0, 0x84, 0, 0, 0][..], &count.to_be_bytes(), &[0; 4]].concat();
        for host in hosts {
            packet.push(4);
            packet.extend(format!("{host:04x}").into_bytes());
            packet.extend([0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 4, 10, 0, 0, 1]);
        }
        packet
    }

    async fn metrics_of(daemon: &ServiceDaemon) -> Metrics {
        daemon.get_metrics().expect("running").recv_async().await.expect("answered")
    }

    /// Waits until the thread is gone.
    async fn ended(daemon: &ServiceDaemon) {
        let gone = async {
            while !matches!(daemon.get_metrics(), Err(mdns_sd::Error::DaemonShutdown)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("the thread ends");
    }

    fn open(place: Place) -> Lan {
        Lan::open_at(place).expect("a thread")
    }

    async fn next(lan: &mut Lan) -> Heard {
        timeout(PATIENCE, lan.heard()).await.expect("heard in time").expect("still listening")
    }

    fn resolved(number: u8, port: u16) -> ServiceEvent {
        resolved_as(Shown { instance: [number; 8], tag: [number; 16], port })
    }

    /// What `mdns-sd` tells when another device shows this.
    fn resolved_as(shown: Shown) -> ServiceEvent {
        let service = shown.service("127.0.0.1").expect("a service").as_resolved_service();
        ServiceEvent::ServiceResolved(Box::new(service))
    }

    fn here(tag: u8, port: u16) -> Heard {
        Heard { tag: [tag; 16], addresses: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)] }
    }
}
