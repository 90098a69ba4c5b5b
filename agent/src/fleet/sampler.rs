//! Measures this machine: processor, memory, load, disks and temperatures.
//!
//! Only what a report holds is refreshed. Disks and sensors may hang (a dead network drive, a stuck bus), so they are asked aside and a
//! report goes out with what they said last. Where a disk is mounted is not kept.

use std::{collections::BTreeSet, fs, time::Duration};

use hearth_core::{
    Moment,
    status::{
        BootId, Cpu, DISKS_MAX, Disk, DiskKind, Few, Finite, Label, Memory, StatusReport, TEMPERATURES_MAX, Temperature,
    },
};
use sysinfo::{Components, DiskRefreshKind, Disks, MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind, System};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout},
};

use super::Doing;

/// Remembers between reports what a measurement needs, such as the last reading of the processor's counters.
#[derive(Debug)]
pub struct Sampler {
    /// What does not change while the machine runs; asked once, with the first report.
    names: Option<Names>,
    /// `None` while it is lent to a thread that has not come back.
    machine: Option<System>,
    measured: Option<Instant>,
    asking: Option<JoinHandle<Parts>>,
    parts: Parts,
}

#[derive(Clone, Debug)]
struct Names {
    name: Option<Label>,
    os: Label,
    kernel: Option<Label>,
    boot: BootId,
}

/// What may hang when it is asked for.
#[derive(Clone, Debug, Default)]
struct Parts {
    disks: Few<Disk, DISKS_MAX>,
    temperatures: Few<Temperature, TEMPERATURES_MAX>,
}

/// How long a report waits for disks and sensors.
const PARTS_MAX: Duration = Duration::from_secs(2);

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

impl Sampler {
    /// A sampler that has measured nothing yet. It touches the machine only in [`Sampler::sample`].
    pub fn new() -> Self {
        Self { names: None, machine: None, measured: None, asking: None, parts: Parts::default() }
    }

    /// Measures the machine. The first report has no processor load: that needs two readings.
    pub async fn sample(&mut self, doing: Doing, every: Duration, now: Moment) -> StatusReport {
        self.ask_parts().await;
        let ripe = self.measured.is_some_and(|last| last.elapsed() >= MINIMUM_CPU_UPDATE_INTERVAL);
        let machine = self.machine.take();
        let names = self.names.take();
        let quick = spawn_blocking(move || {
            let names = names.unwrap_or_else(names_of_this_machine);
            let mut machine = machine.or_else(|| System::new().ok());
            if let Some(system) = &mut machine {
                system.refresh_cpu_usage();
                system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            }
            let load = System::load_average().ok();
            let uptime_seconds = System::uptime().unwrap_or_default();
            (names, machine, load, uptime_seconds)
        });
        let (names, machine, load, uptime_seconds) = quick.await.unwrap_or_else(|_| (nameless(), None, None, 0));
        self.measured = Some(Instant::now());
        let cpu = Cpu {
            cores: machine.as_ref().map_or(0, |system| u16::try_from(system.cpus().len()).unwrap_or(u16::MAX)),
            used_percent: machine
                .as_ref()
                .filter(|_| ripe)
                .and_then(|system| Finite::new(system.global_cpu_usage().clamp(0.0, 100.0))),
        };
        let memory = machine.as_ref().map_or(Memory { total_bytes: 0, used_bytes: 0 }, |system| Memory {
            total_bytes: system.total_memory(),
            used_bytes: system.total_memory().saturating_sub(system.available_memory()),
        });
        self.machine = machine;
        self.names = Some(names.clone());
        StatusReport {
            name: names.name,
            os: names.os,
            kernel: names.kernel,
            agent_version: label(env!("CARGO_PKG_VERSION")),
            uptime_seconds,
            boot: names.boot,
            load_average: load.map_or([0.0; 3], |load| [load.one, load.five, load.fifteen]).map(rounded),
            cpu,
            memory,
            disks: self.parts.disks.clone(),
            temperatures: self.parts.temperatures.clone(),
            counters: doing.counters,
            capture: doing.capture,
            sent_at: now,
            report_every_seconds: u32::try_from(every.as_secs()).unwrap_or(u32::MAX),
        }
    }

    /// Renews what is known of disks and sensors, unless they are still thinking about the last question.
    async fn ask_parts(&mut self) {
        let asking = self.asking.get_or_insert_with(|| spawn_blocking(parts_of_this_machine));
        if let Ok(answered) = timeout(PARTS_MAX, asking).await {
            self.asking = None;
            // A thread that failed says nothing new; what was known stays.
            if let Ok(parts) = answered {
                self.parts = parts;
            }
        }
    }
}

fn names_of_this_machine() -> Names {
    let os = [System::name().ok(), System::os_version().ok()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Names {
        name: System::host_name().ok().and_then(|name| Label::cut(&name)),
        os: label(&os),
        kernel: System::kernel_version().ok().and_then(|version| Label::cut(&version)),
        boot: boot(),
    }
}

fn nameless() -> Names {
    Names { name: None, os: label(""), kernel: None, boot: boot() }
}

fn label(text: &str) -> Label {
    Label::cut(text).or_else(|| Label::cut("unknown")).expect("`unknown` is readable")
}

/// Linux names each boot; elsewhere the second at which the machine started stands for it.
fn boot() -> BootId {
    let named = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().and_then(|text| text.trim().parse().ok());
    named.unwrap_or_else(|| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&System::boot_time().unwrap_or_default().to_be_bytes());
        BootId::from_bytes(bytes)
    })
}

/// Two places behind the point: what people read, and no more digits on the wire than mean something.
fn rounded(value: f64) -> Finite {
    #[expect(clippy::cast_possible_truncation, reason = "a load or a temperature needs no more digits")]
    let value = ((value * 100.0).round() / 100.0) as f32;
    Finite::new(value).unwrap_or_default()
}

fn parts_of_this_machine() -> Parts {
    Parts { disks: disks(), temperatures: temperatures() }
}

fn disks() -> Few<Disk, DISKS_MAX> {
    let Ok(disks) = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_kind().with_storage())
    else {
        return Few::default();
    };
    let mut seen = BTreeSet::new();
    let once = disks.iter().filter(|disk| {
        // One file system may be mounted at many places (binds, snapshots, containers); it is one disk.
        disk.total_space() > 0 && seen.insert((disk.name().to_owned(), disk.total_space()))
    });
    Few::cut(once.map(|disk| Disk {
        kind: match disk.kind() {
            sysinfo::DiskKind::HDD => DiskKind::Hdd,
            sysinfo::DiskKind::SSD => DiskKind::Ssd,
            sysinfo::DiskKind::Unknown(_) => DiskKind::Unknown,
        },
        removable: disk.is_removable(),
        total_bytes: disk.total_space(),
        free_bytes: disk.available_space(),
    }))
}

fn temperatures() -> Few<Temperature, TEMPERATURES_MAX> {
    let Ok(components) = Components::new_with_refreshed_list() else { return Few::default() };
    let mut read: Vec<Temperature> = components
        .iter()
        .filter_map(|sensor| {
            let celsius = sensor.temperature().filter(|celsius| celsius.is_finite())?;
            Some(Temperature { label: Label::cut(sensor.label())?, celsius: rounded(f64::from(celsius)) })
        })
        .collect();
    read.sort_by(|left, right| left.label.cmp(&right.label));
    Few::cut(read)
}

#[cfg(test)]
mod tests {
    use hearth_core::status::{Capture, Counters, Letter};

    use super::*;

    #[tokio::test]
    async fn this_machine_is_measured_within_reason_and_the_report_can_be_sent() {
        let mut sampler = Sampler::new();
        let doing = Doing { counters: Counters::default(), capture: Capture::Idle };
        let first = sampler.sample(doing, Duration::from_secs(30), Moment::START).await;
        assert_eq!(first.cpu.used_percent, None, "one reading is no load");
        // A load is what happened between two readings, so there has to be something between them.
        tokio::time::sleep(MINIMUM_CPU_UPDATE_INTERVAL * 2).await;
        let second = sampler.sample(doing, Duration::from_secs(30), Moment::START).await;

        assert!(second.cpu.cores >= 1);
        assert!(second.cpu.used_percent.is_some_and(|used| (0.0..=100.0).contains(&used.get())), "{:?}", second.cpu);
        assert!(second.memory.total_bytes > 0 && second.memory.used_bytes <= second.memory.total_bytes);
        assert!(second.disks.iter().all(|disk| disk.free_bytes <= disk.total_bytes && disk.total_bytes > 0));
        assert!(second.temperatures.iter().all(|sensor| (-100.0..500.0).contains(&sensor.celsius.get())));
        assert!(second.load_average.iter().all(|load| load.get() >= 0.0));
        assert_eq!((second.boot, &second.name, &second.os), (first.boot, &first.name, &first.os));
        let sent = Letter::Report(Box::new(second));
        assert_eq!(Letter::from_bytes(&sent.to_bytes()), Ok(sent));
    }

    #[tokio::test]
    async fn disks_that_hang_do_not_hold_up_a_report() {
        let mut sampler = Sampler::new();
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        sampler.asking = Some(spawn_blocking(move || {
            let _ = stuck.recv();
            Parts::default()
        }));
        let known = Disk { kind: DiskKind::Ssd, removable: false, total_bytes: 2, free_bytes: 1 };
        sampler.parts.disks = Few::cut([known]);
        let doing = Doing { counters: Counters::default(), capture: Capture::Idle };
        let report = sampler.sample(doing, Duration::from_secs(30), Moment::START).await;
        assert_eq!(*report.disks, [known], "what was known before");
        assert!(sampler.asking.is_some(), "the question is not asked twice");
        release.send(()).expect("it still waits");
    }

    #[test]
    fn what_the_system_gives_becomes_a_label_or_unknown() {
        assert_eq!(label("Debian GNU/Linux 12").as_str(), "Debian GNU Linux 12");
        assert_eq!(label("").as_str(), "unknown");
        assert_eq!(rounded(f64::NAN), Finite::default());
        assert_eq!(rounded(1.23456).get(), 1.23);
    }
}
