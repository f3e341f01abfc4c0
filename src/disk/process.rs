//! What the system says of this process: time on the processor, memory, open files.

use std::path::Path;

use super::{Disk, SharedDisk};
use crate::base::metrics::{Kind, Registry};

/// The kernel's clock ticks a second in `/proc`, the same on all of Linux's architectures.
const TICKS_PER_SECOND: f64 = 100.0;
const KIB: f64 = 1024.0;

/// Registers `process_cpu_seconds_total`, `process_resident_memory_bytes` and their like under
/// the names that every Prometheus client uses. Where there is no `/proc`, nothing is registered.
pub fn register_process(registry: &Registry, disk: &SharedDisk) {
    let readings: [(&'static str, &'static str, Kind, fn(&dyn Disk) -> Option<f64>); 7] = [
        (
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            Kind::Counter,
            cpu_seconds,
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            Kind::Gauge,
            resident_memory_bytes,
        ),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", Kind::Gauge, |disk| {
            status_kib(disk, "VmSize:")
        }),
        ("process_open_fds", "Number of open file descriptors.", Kind::Gauge, open_files),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            Kind::Gauge,
            open_files_max,
        ),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            Kind::Gauge,
            start_time_seconds,
        ),
        ("process_threads", "Number of threads of the process.", Kind::Gauge, threads),
    ];
    for (name, help, kind, read) in readings {
        if read(&**disk).is_some() {
            let disk = disk.clone();
            registry.read_with(name, help, kind, &[], move || read(&*disk).unwrap_or(f64::NAN));
        }
    }
}

/// Memory of this process that is in use now; nothing where the system does not tell.
#[must_use]
pub fn resident_memory_bytes(disk: &dyn Disk) -> Option<f64> {
    status_kib(disk, "VmRSS:")
}

fn text(disk: &dyn Disk, path: &str) -> Option<String> {
    let bytes = disk.read(Path::new(path)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A field of `/proc/self/stat`, counted from the one behind the program's name, which may hold
/// blanks and brackets.
fn stat_field(disk: &dyn Disk, index: usize) -> Option<f64> {
    let stat = text(disk, "/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(index)?.parse().ok()
}

fn cpu_seconds(disk: &dyn Disk) -> Option<f64> {
    Some((stat_field(disk, 11)? + stat_field(disk, 12)?) / TICKS_PER_SECOND)
}

fn threads(disk: &dyn Disk) -> Option<f64> {
    stat_field(disk, 17)
}

fn start_time_seconds(disk: &dyn Disk) -> Option<f64> {
    let since_boot = stat_field(disk, 19)? / TICKS_PER_SECOND;
    let system = text(disk, "/proc/stat")?;
    let boot = system.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + since_boot)
}

fn status_kib(disk: &dyn Disk, field: &str) -> Option<f64> {
    let status = text(disk, "/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.split_ascii_whitespace().next()?.parse::<f64>().ok()? * KIB)
}

fn open_files(disk: &dyn Disk) -> Option<f64> {
    Some(disk.list(Path::new("/proc/self/fd")).ok()?.len() as f64)
}

fn open_files_max(disk: &dyn Disk) -> Option<f64> {
    let limits = text(disk, "/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, SystemClock};
    use crate::base::metrics::Value;
    use crate::disk::RealDisk;

    #[test]
    fn this_process_is_measured() {
        let registry = Registry::new();
        register_process(&registry, &RealDisk::shared());
        let value = |name: &str| {
            let families = registry.gather();
            let family = families.iter().find(|family| family.name == name).unwrap();
            match family.members[0].1 {
                Value::Number(value) => value,
                _ => panic!("{name} is no number"),
            }
        };
        let now = SystemClock.now_ms() as f64 / 1000.0;
        assert!((1e6..1e12).contains(&value("process_resident_memory_bytes")));
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!((now - 86_400.0..=now + 1.0).contains(&value("process_start_time_seconds")));
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 2.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
