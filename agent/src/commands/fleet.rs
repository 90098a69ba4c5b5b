//! `hearth fleet` and `hearth join`: the devices that share what they captured.

mod sheet;

use std::io::BufRead as _;

use clap::{Args, Subcommand};

use crate::{
    ask::{
        Ask, Sessions,
        fleet::{About, Guest, Invited, Link, Member, Order, Relay, Residency, Shown},
    },
    cli::{Ended, Outcome, Shell, Trouble, count, marks, when},
};

/// A line with a join code is never longer.
const CODE_MAX: u64 = 1_000;

/// The fleet: devices that find what each of them captured
///
/// What a session captures goes to every device of the fleet, sealed on the way and wherever it rests, unless the session
/// stays on its node. The devices meet directly; nobody else needs to be reachable.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct FleetCommand {
    #[command(subcommand)]
    order: Option<Word>,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Show the fleet and its devices
    #[command(visible_alias = "show")]
    Devices,
    Create(Create),
    Invite(Invite),
    Revoke(Revoke),
    #[command(subcommand)]
    Admin(AdminWord),
    #[command(subcommand)]
    Relay(RelayWord),
    #[command(subcommand)]
    Residency(ResidencyWord),
    #[command(subcommand)]
    Guest(GuestWord),
    /// Seal what is shared from now on under a new key
    Rotate,
    Threshold(Threshold),
    /// Choose what goes on when two admins changed the fleet at the same time
    ///
    /// Whom either side took out is out. What the other side did besides is undone: give those orders again.
    Resolve {
        /// The id of the side that goes on, as `hearth fleet` shows it
        side: String,
    },
    /// Sign an order of another admin that waits for more
    Approve {
        /// Its id, as `hearth fleet` shows it
        order: String,
    },
    RecoverySheet(sheet::RecoverySheet),
    Recover(sheet::Recover),
    Leave(Leave),
}

/// Begin a fleet with this device
#[derive(Debug, Args)]
struct Create {
    /// What to call it, such as home
    name: String,
    /// What to call this device [default: its host name]
    #[arg(long = "as", value_name = "NAME")]
    device: Option<String>,
}

/// Make a join code: eight words, good for one device and ten minutes
#[derive(Debug, Args)]
struct Invite {
    /// A device whose place the new one takes: it is taken out of the fleet when the new one comes in
    #[arg(long, value_name = "DEVICE")]
    replaces: Option<String>,
    /// What to call the new device then [default: as the one before]
    #[arg(long = "as", value_name = "NAME", requires = "replaces")]
    device: Option<String>,
    /// Invite a person with a fleet of their own, which this one's relays then serve, too; neither can read the other's
    #[arg(long, conflicts_with = "replaces")]
    person: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// An admin's device may change the fleet: take devices in and out
///
/// A fleet with one admin needs its recovery sheet when that device is lost; with two, either brings a third in.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum AdminWord {
    /// Let a device change the fleet
    Add {
        /// Its name or id
        device: String,
    },
    /// Let a device change the fleet no more
    Remove {
        /// Its name or id
        device: String,
    },
}

/// How many admins must agree
///
/// On taking devices and admins out, making admins and recovery sheets, changing the key, and on this number. What one admin orders then
/// waits until others approve it. Two or more stop a stolen admin's device from taking the fleet.
#[derive(Debug, Args)]
struct Threshold {
    /// So many, up to the number of admins
    #[arg(value_name = "ADMINS", value_parser = clap::value_parser!(u8).range(1..=16))]
    admins: u8,
}

/// Leave the fleet with this device
///
/// What others captured is erased here, with its keys; what this device captured stays on it, and what it shared stays with them. An
/// admin takes it out of the list of devices with `hearth fleet revoke`.
#[derive(Debug, Args)]
struct Leave {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Take a device out of the fleet
///
/// It is refused from then on, also on links that are open, and gets no new keys. What it has already it keeps; what it wrote
/// until now stays.
#[derive(Debug, Args)]
struct Revoke {
    /// Its name or id, or "recovery sheet"
    device: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// A relay keeps what the fleet shares, sealed, for devices that are not awake together
///
/// It is a `hearth-coordinator` somewhere both can reach. It sees sizes, times and which device wrote, never a word; devices that
/// reach each other directly do so all the same.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum RelayWord {
    Add(AddRelay),
    /// Use a relay no more
    Remove {
        /// Its address, key or id
        relay: String,
    },
}

/// Use a relay
///
/// `hearth-coordinator serve` shows its address and key when it starts. It serves a fleet once it trusts one of its devices.
#[derive(Debug, Args)]
struct AddRelay {
    /// Where it listens for devices
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// Its public key
    #[arg(long)]
    key: String,
}

/// A residency is a part of the fleet on which some things may live, and nowhere else
///
/// `hearth session share ID --in NAME` puts what a session captures there. Devices that are no homes of it, and relays that are not
/// named, are not sent a byte of it. `hearth fleet` lists residencies.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum ResidencyWord {
    /// Begin one, or say anew which devices are its homes
    ///
    /// A device that is no home any more gets nothing that is new; what it has it keeps until it is shared otherwise.
    Set {
        /// What to call it, such as study
        name: String,
        /// Devices by name or id, and relays by address
        #[arg(required = true, value_name = "DEVICE")]
        homes: Vec<String>,
    },
    /// Take one away: what lived there lives on its own device alone
    Remove {
        /// Its name
        name: String,
    },
}

/// A guest is a fleet of somebody else that this one's relays serve, too
///
/// `hearth fleet invite --person` brings one in. It has keys and admins of its own: neither fleet can read what the other shares, and no device
/// of one is let in by the other. `hearth fleet` lists guests.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum GuestWord {
    /// Serve it no more: relays drop what they keep of it
    Remove {
        /// Its name or id
        guest: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Come into the fleet of another device
///
/// Run `hearth fleet invite` there; it shows the words and the address. Without words on the command line they are read from
/// standard input, where other users of this machine cannot see them.
#[derive(Debug, Args)]
pub struct Join {
    /// The join code's words
    words: Vec<String>,
    /// Where the other device listens
    #[arg(long, value_name = "HOST:PORT")]
    at: String,
    /// What to call this device [default: its host name]
    #[arg(long = "as", value_name = "NAME")]
    device: Option<String>,
    /// Keep a fleet of your own of this name, begun here if there is none: the other fleet's relays serve it, too, and neither can read the
    /// other's. Needs a code of `hearth fleet invite --person`
    #[arg(long, value_name = "FLEET")]
    own: Option<String>,
}

impl FleetCommand {
    /// Carries it out.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let order = match self.order.unwrap_or(Word::Devices) {
            Word::Invite(order) => return invite(shell, order),
            Word::RecoverySheet(sheet) => return sheet.run(shell),
            Word::Recover(recover) => return recover.run(shell),
            Word::Threshold(Threshold { admins }) => Order::Threshold { admins },
            Word::Resolve { side } => Order::Resolve { side },
            Word::Approve { order } => Order::Approve { id: order },
            Word::Leave(leave) => return leave.run(shell),
            Word::Admin(AdminWord::Add { device }) => Order::Admin { device, is: true },
            Word::Admin(AdminWord::Remove { device }) => Order::Admin { device, is: false },
            Word::Devices => Order::Show,
            Word::Create(create) => Order::Create { name: create.name, device: called(create.device) },
            Word::Rotate => Order::Rotate,
            Word::Residency(ResidencyWord::Set { name, homes }) => Order::SetResidency { name, homes },
            Word::Residency(ResidencyWord::Remove { name }) => Order::RemoveResidency { name },
            Word::Guest(GuestWord::Remove { guest, yes }) => {
                let name = marks::plain(&guest);
                let question = format!("Serve {name} no more? The relays drop what they keep of it.");
                confirmed(shell, yes, &question)?;
                Order::RemoveGuest { guest }
            }
            Word::Relay(RelayWord::Add(AddRelay { address, key })) => Order::AddRelay { address, key },
            Word::Relay(RelayWord::Remove { relay }) => Order::RemoveRelay { relay },
            Word::Revoke(revoke) => {
                let question = format!(
                    "Take {} out of the fleet? It comes back only with a new data folder.",
                    marks::plain(&revoke.device)
                );
                confirmed(shell, revoke.yes, &question)?;
                Order::Revoke { device: revoke.device }
            }
        };
        let founds = matches!(order, Order::Create { .. });
        let shown: Shown = shell.ask(Ask::Fleet(order))?;
        show(shell, &shown)?;
        if founds && !shell.json {
            next_steps(shell, "`hearth fleet invite` makes a code for the next device")?;
        }
        Ok(if shown.fleet.is_some() { Outcome::Done } else { Outcome::Nothing })
    }
}

impl Join {
    /// Carries it out.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let mut code = self.words.join(" ");
        if code.is_empty() {
            shell.remark("the join code's words:");
            let mut line = String::new();
            std::io::Read::take(&mut shell.input, CODE_MAX).read_line(&mut line)?;
            line.trim().clone_into(&mut code);
        }
        if code.is_empty() {
            return Err(Trouble::usage(
                "no join code was given; `hearth fleet invite` on a device of the fleet makes one",
            ));
        }
        let is_guest = self.own.is_some();
        let order = Order::Join { code, at: self.at, device: called(self.device), own: self.own };
        let busy = shell.busy("asking to join");
        let shown: Result<Shown, Trouble> = shell.ask(Ask::Fleet(order));
        drop(busy);
        show(shell, &shown?)?;
        if !shell.json {
            let first = if is_guest {
                "those relays keep what this fleet shares, sealed; `hearth fleet invite` makes a code for your next device"
            } else {
                "what the others share comes in now"
            };
            next_steps(shell, first)?;
        }
        Ok(Outcome::Done)
    }
}

fn called(name: Option<String>) -> String {
    name.or_else(|| sysinfo::System::host_name().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this device".into())
}

fn confirmed(shell: &mut Shell<'_>, yes: bool, question: &str) -> Result<(), Trouble> {
    if !yes && shell.confirm(question)? != Some(true) {
        return Err(Trouble::usage("nothing was changed; answer y, or add --yes"));
    }
    Ok(())
}

impl Leave {
    fn run(self, shell: &mut Shell<'_>) -> Ended {
        let shown: Shown = shell.ask(Ask::Fleet(Order::Show))?;
        let Some(fleet) = shown.fleet else {
            shell.remark("this node is in no fleet");
            return Ok(Outcome::Nothing);
        };
        let own = fleet.devices.iter().find(|device| device.here).map_or("this device", |device| &device.name);
        let (own, name) = (marks::plain(own), marks::plain(&fleet.name));
        let question = format!("Leave {name} with {own}? What the other devices captured is erased here.");
        confirmed(shell, self.yes, &question)?;
        let busy = shell.busy("leaving the fleet");
        let shown: Result<Shown, Trouble> = shell.ask(Ask::Fleet(Order::Leave));
        drop(busy);
        let shown = shown?;
        if shell.json {
            shell.document(&shown)?;
            return Ok(Outcome::Done);
        }
        shell.remark(format!(
            "{own} has left {name}: what others captured is erased here, what it captured itself stays"
        ));
        if fleet.devices.iter().any(|device| !device.here && device.standing == "member") {
            shell.remark(format!(
                "the others do not know it; `hearth fleet revoke {own}` on an admin's device completes it"
            ));
        }
        Ok(Outcome::Done)
    }
}

fn invite(shell: &mut Shell<'_>, Invite { replaces, device, person, yes }: Invite) -> Ended {
    let before = replaces.as_deref().map(marks::plain);
    if let Some(before) = &before {
        let question = format!(
            "When the new device joins, {before} is taken out of the fleet; it comes back only with a new data folder. Make the code?"
        );
        confirmed(shell, yes, &question)?;
    }
    let invited: Invited = shell.ask(Ask::Fleet(Order::Invite { replaces, device, person }))?;
    if shell.json {
        shell.document(&invited)?;
        return Ok(Outcome::Done);
    }
    let paint = shell.paint();
    shell.line(paint.bold(&invited.code))?;
    shell.line("")?;
    let at = invited.at.first().map_or("THIS-DEVICE:7845", String::as_str);
    if person {
        shell.line("On the other person's device, with `hearth up` running there, and a name for their fleet:")?;
        shell.line(format!("  hearth join --own NAME --at {at}"))?;
    } else {
        shell.line("On the device that joins, with `hearth up` running there:")?;
        shell.line(format!("  hearth join --at {at}"))?;
    }
    shell.line("and then the words above.")?;
    if invited.at.len() > 1 {
        let others = format!("This device is also {}", invited.at[1..].join(", "));
        for line in marks::lines(&others, shell.width(), 4) {
            shell.line(paint.dim(&line))?;
        }
    }
    let until = when::clock(invited.until, shell.world.now, &shell.world.zone);
    if person {
        shell.remark(format!(
            "good for one fleet, until {until}; this fleet's relays serve it then, and neither reads the other's"
        ));
    } else {
        shell.remark(format!("good for one device, until {until}; whoever knows the words may come in"));
    }
    if let Some(before) = before {
        shell
            .remark(format!("the device that joins takes the place of {before}, which is taken out of the fleet then"));
    }
    Ok(Outcome::Done)
}

/// What to do once a device is in a fleet: sessions from before stay here until their owner says otherwise.
fn next_steps(shell: &mut Shell<'_>, first: &str) -> Result<(), Trouble> {
    shell.remark(first);
    let sessions: Sessions = shell.ask(Ask::Sessions)?;
    let here = sessions.sessions.iter().filter(|session| session.visibility == Default::default()).count() as u64;
    if here > 0 {
        shell.remark(format!(
            "what {} captured so far stays on this device; `hearth session share --all` gives it to the fleet",
            count(here, "session", "sessions")
        ));
    }
    Ok(())
}

fn show(shell: &mut Shell<'_>, shown: &Shown) -> Result<(), Trouble> {
    if shell.json {
        shell.document(shown)?;
        return Ok(());
    }
    let Some(fleet) = &shown.fleet else {
        shell.remark("this node is in no fleet; `hearth fleet create NAME` begins one, `hearth join` comes into one");
        return Ok(());
    };
    let paint = shell.paint();
    let members = fleet.devices.iter().filter(|device| device.standing == "member").count() as u64;
    shell.line(format!("{}  {}", paint.bold(&marks::plain(&fleet.name)), count(members, "device", "devices")))?;
    shell.line(paint.dim(&format!("{} · key {}", fleet.id, fleet.epoch)))?;
    shell.line("")?;
    let rows: Vec<Vec<String>> = fleet.devices.iter().map(|device| row(shell, device)).collect();
    super::table(shell, &["DEVICE", "ITEMS HERE", "LINK"], &rows)?;
    if !fleet.relays.is_empty() {
        let rows: Vec<Vec<String>> = fleet.relays.iter().map(|relay| relay_row(shell, relay)).collect();
        shell.line("")?;
        super::table(shell, &["RELAY", "HAS SIGNED", "LINK"], &rows)?;
    }
    if !fleet.residencies.is_empty() {
        let row = |it: &Residency| vec![marks::plain(&it.name), marks::plain(&it.homes.join(", "))];
        let rows: Vec<Vec<String>> = fleet.residencies.iter().map(row).collect();
        shell.line("")?;
        super::table(shell, &["RESIDENCY", "HOMES"], &rows)?;
    }
    if !fleet.guests.is_empty() {
        let row = |it: &Guest| vec![marks::plain(&it.name), it.id.clone()];
        let rows: Vec<Vec<String>> = fleet.guests.iter().map(row).collect();
        shell.line("")?;
        super::table(shell, &["GUEST", "ITS FLEET"], &rows)?;
    }
    if let Some(broker) = &fleet.broker {
        shell.line("")?;
        for line in marks::lines(&format!("broker {}: {}", broker.address, broker.state), shell.width(), 4) {
            shell.line(line)?;
        }
    }
    for order in &fleet.waiting {
        let lacks = count(order.lacks as u64, "more admin", "more admins");
        let mut said = format!("waits for {lacks}: {}", marks::plain(&order.order));
        if order.asked {
            said += &format!(" · `hearth fleet approve {}`", order.id);
        }
        shell.line("")?;
        for line in marks::lines(&said, shell.width(), 4) {
            shell.line(line)?;
        }
    }
    if let Some(sheet) = &fleet.sheet {
        let made = when::clock(sheet.made_at, shell.world.now, &shell.world.zone);
        shell.line("")?;
        shell.line(format!("recovery sheet made at {made}"))?;
    }
    let owing: Vec<&Member> = fleet.devices.iter().filter(|device| device.unconfirmed > 0).collect();
    if fleet.erased > 0 {
        let erased = format!("{} erased from the fleet", super::items(fleet.erased));
        shell.line("")?;
        if owing.is_empty() {
            shell.line(format!("{erased}; every device has confirmed it"))?;
        } else {
            let names: Vec<String> = owing
                .iter()
                .map(|device| format!("{} ({})", marks::plain(&device.name), crate::cli::grouped(device.unconfirmed)))
                .collect();
            let said = format!("{erased}; not confirmed by {}", names.join(", "));
            for line in marks::lines(&said, shell.width(), 4) {
                shell.line(line)?;
            }
        }
    }
    if let About { forked: true, .. } = fleet {
        shell.notice(
            "two admins changed the fleet at the same time, and it stands still until one chooses what goes on; revoking still works",
        );
        for side in &fleet.sides {
            let (by, orders) = (marks::plain(&side.by.join(", ")), marks::plain(&side.orders));
            shell.remark(format!("{by} did: {orders} · `hearth fleet resolve {}`", side.id));
        }
    }
    Ok(())
}

fn row(shell: &Shell<'_>, device: &Member) -> Vec<String> {
    let name = match (device.here, device.admin) {
        (true, true) => format!("{} (this, admin)", device.name),
        (true, false) => format!("{} (this)", device.name),
        (false, true) => format!("{} (admin)", device.name),
        (false, false) => device.name.clone(),
    };
    let link = match device.standing.as_str() {
        _ if device.here => String::new(),
        "revoked" => "taken out of the fleet".into(),
        "expired" => "its time in the fleet is over".into(),
        _ => standing(shell, &device.link),
    };
    let link = match device.until {
        Some(until) => {
            format!("{link}; its data until {}", when::clock(until, shell.world.now, &shell.world.zone))
        }
        None => link,
    };
    vec![marks::plain(&name), crate::cli::grouped(device.items), marks::plain(&link)]
}

fn standing(shell: &Shell<'_>, link: &Link) -> String {
    let (now, zone) = (shell.world.now, &shell.world.zone);
    match link {
        Link::Linked { since, behind, through_broker } => {
            let way = if *through_broker { " through the broker" } else { "" };
            let since = format!("{}{way}", when::clock(*since, now, zone));
            match behind {
                Some(0) => format!("up to date, linked since {since}"),
                Some(n) => format!("{} behind, linked since {since}", count(*n, "segment", "segments")),
                None => format!("linked since {since}"),
            }
        }
        Link::Waiting { reason, retry_at } => {
            format!("not linked: {reason} (tried again at {})", when::clock(*retry_at, now, zone))
        }
        Link::None => "not linked".into(),
    }
}

fn relay_row(shell: &Shell<'_>, relay: &Relay) -> Vec<String> {
    let signed = match (relay.signed_at, relay.unsigned) {
        (None, _) => "nothing yet".into(),
        (Some(at), 0) => format!("all, at {}", when::clock(at, shell.world.now, &shell.world.zone)),
        (Some(_), lacks) => format!("all but {}", count(lacks, "segment", "segments")),
    };
    vec![marks::plain(&relay.address), signed, marks::plain(&standing(shell, &relay.link))]
}
