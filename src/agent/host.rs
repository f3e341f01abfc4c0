//! What does this machine say of itself?
//!
//! The numbers of `/proc` under the names of Prometheus's node exporter. Where there is no `/proc`,
//! what cannot be known is left out.
//!
//! Useful for: real metrics without installing anything. Not useful for: replacing the node
//! exporter, which knows far more.

use std::path::Path;

use crate::base::clock::Clock;
use crate::disk::Disk;
use crate::wire::exposition::write::{write_head, write_sample};

/// Linux counts processor time for programs in hundredths of a second, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;
/// `/proc/diskstats` counts sectors of this size, whatever the disk's own.
const SECTOR_BYTES: f64 = 512.0;

type Row<'a> = (Vec<(&'a str, &'a str)>, f64);

fn put(out: &mut String, name: &str, help: &str, kind: &str, rows: &[Row<'_>]) {
    if rows.is_empty() {
        return;
    }
    write_head(out, name, help, kind);
    for (labels, value) in rows {
        write_sample(out, name, labels.iter().copied(), *value, None);
    }
}

fn put_one(out: &mut String, name: &str, help: &str, kind: &str, value: Option<f64>) {
    if let Some(value) = value {
        put(out, name, help, kind, &[(Vec::new(), value)]);
    }
}

/// A page about the machine.
#[must_use]
pub fn page(disk: &dyn Disk, clock: &dyn Clock) -> String {
    let mut out = String::new();
    let now_seconds = clock.now_ms() as f64 / 1000.0;
    let help = "System time in seconds since epoch (1970).";
    put_one(&mut out, "node_time_seconds", help, "gauge", Some(now_seconds));
    put_stat(&mut out, &read(disk, "/proc/stat"));
    put_memory(&mut out, &read(disk, "/proc/meminfo"));
    put_load(&mut out, &read(disk, "/proc/loadavg"));
    put_network(&mut out, &read(disk, "/proc/net/dev"));
    put_disks(&mut out, &read(disk, "/proc/diskstats"));
    put_name(&mut out, disk);
    out
}

/// The machine's name, if it can be known.
pub(crate) fn name(disk: &dyn Disk) -> Option<String> {
    let name = read(disk, "/proc/sys/kernel/hostname");
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The file's text; empty if it cannot be read.
fn read(disk: &dyn Disk, path: &str) -> String {
    let bytes = disk.read(Path::new(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first number of a line that starts with `key`.
fn number(line: &str, key: &str) -> Option<f64> {
    line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()
}

fn put_stat(out: &mut String, text: &str) {
    const MODES: [&str; 8] =
        ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    let mut rows: Vec<Row<'_>> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(cpu) = words.next().and_then(|word| word.strip_prefix("cpu")) else { continue };
        if cpu.is_empty() {
            continue;
        }
        for (mode, ticks) in MODES.into_iter().zip(words) {
            if let Ok(ticks) = ticks.parse::<f64>() {
                rows.push((vec![("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_SECOND));
            }
        }
    }
    let help = "Seconds the CPUs spent in each mode.";
    put(out, "node_cpu_seconds_total", help, "counter", &rows);
    let find = |key: &str| text.lines().find_map(|line| number(line, key));
    let help = "Node boot time, in unixtime.";
    put_one(out, "node_boot_time_seconds", help, "gauge", find("btime "));
    let help = "Total number of context switches.";
    put_one(out, "node_context_switches_total", help, "counter", find("ctxt "));
    put_one(out, "node_forks_total", "Total number of forks.", "counter", find("processes "));
    let help = "Total number of interrupts serviced.";
    put_one(out, "node_intr_total", help, "counter", find("intr "));
    let help = "Number of processes in runnable state.";
    put_one(out, "node_procs_running", help, "gauge", find("procs_running "));
    let help = "Number of processes blocked waiting for I/O to complete.";
    put_one(out, "node_procs_blocked", help, "gauge", find("procs_blocked "));
}

fn put_memory(out: &mut String, text: &str) {
    for line in text.lines() {
        let Some((field, rest)) = line.split_once(':') else { continue };
        let mut words = rest.split_whitespace();
        let Some(value) = words.next().and_then(|word| word.parse::<f64>().ok()) else { continue };
        let field = field.replace('(', "_").replace(')', "");
        let (name, value) = match words.next() {
            Some("kB") => (format!("node_memory_{field}_bytes"), value * 1024.0),
            _ => (format!("node_memory_{field}"), value),
        };
        let help = format!("Memory information field {field}.");
        put_one(out, &name, &help, "gauge", Some(value));
    }
}

fn put_load(out: &mut String, text: &str) {
    let names = [("node_load1", "1m"), ("node_load5", "5m"), ("node_load15", "15m")];
    for ((name, span), word) in names.into_iter().zip(text.split_whitespace()) {
        put_one(out, name, &format!("{span} load average."), "gauge", word.parse().ok());
    }
}

fn put_network(out: &mut String, text: &str) {
    const FIELDS: [(usize, &str); 8] = [
        (0, "receive_bytes"),
        (1, "receive_packets"),
        (2, "receive_errs"),
        (3, "receive_drop"),
        (8, "transmit_bytes"),
        (9, "transmit_packets"),
        (10, "transmit_errs"),
        (11, "transmit_drop"),
    ];
    let devices: Vec<(&str, Vec<f64>)> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(device, rest)| (device.trim(), numbers(rest)))
        .collect();
    for (at, field) in FIELDS {
        let rows: Vec<Row<'_>> = devices
            .iter()
            .filter_map(|(device, values)| Some((vec![("device", *device)], *values.get(at)?)))
            .collect();
        let help = format!("Network device statistic {field}.");
        put(out, &format!("node_network_{field}_total"), &help, "counter", &rows);
    }
}

fn put_disks(out: &mut String, text: &str) {
    const FIELDS: [(usize, &str, f64); 8] = [
        (0, "reads_completed_total", 1.0),
        (2, "read_bytes_total", SECTOR_BYTES),
        (3, "read_time_seconds_total", 0.001),
        (4, "writes_completed_total", 1.0),
        (6, "written_bytes_total", SECTOR_BYTES),
        (7, "write_time_seconds_total", 0.001),
        (8, "io_now", 1.0),
        (9, "io_time_seconds_total", 0.001),
    ];
    let mut devices: Vec<(&str, Vec<f64>)> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().skip(2);
        let Some(device) = words.next().filter(|device| is_whole_disk(device)) else { continue };
        devices.push((device, words.filter_map(|word| word.parse().ok()).collect()));
    }
    for (at, field, unit) in FIELDS {
        let rows: Vec<Row<'_>> = devices
            .iter()
            .filter_map(|(device, values)| {
                Some((vec![("device", *device)], values.get(at)? * unit))
            })
            .collect();
        let kind = if field == "io_now" { "gauge" } else { "counter" };
        let help = format!("Disk statistic {field}.");
        put(out, &format!("node_disk_{field}"), &help, kind, &rows);
    }
}

/// The node exporter leaves out partitions and disks that are none.
fn is_whole_disk(device: &str) -> bool {
    let plain = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if plain.len() == device.len() {
        return true;
    }
    let lettered = ["hd", "sd", "vd", "xvd"]
        .iter()
        .any(|kind| plain.strip_prefix(kind).is_some_and(|letter| letter.len() == 1));
    let nvme_partition = plain.starts_with("nvme") && plain.ends_with('p');
    !lettered && !nvme_partition && !["ram", "zram", "loop", "fd"].contains(&plain)
}

fn put_name(out: &mut String, disk: &dyn Disk) {
    let read = |field: &str| read(disk, &format!("/proc/sys/kernel/{field}"));
    let (system, node, release) = (read("ostype"), read("hostname"), read("osrelease"));
    if system.is_empty() {
        return;
    }
    let machine = std::env::consts::ARCH;
    let labels = vec![
        ("machine", machine),
        ("nodename", node.trim()),
        ("release", release.trim()),
        ("sysname", system.trim()),
    ];
    let help = "Labeled system information as provided by the uname system call.";
    put(out, "node_uname_info", help, "gauge", &[(labels, 1.0)]);
}

fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::disk::RealDisk;
    use crate::wire::exposition::text::{Entry, Parser};

    fn lines(put: fn(&mut String, &str), text: &str) -> Vec<String> {
        let mut out = String::new();
        put(&mut out, text);
        out.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn processor_times_are_seconds_by_mode() {
        let text = "cpu  1 2 3\ncpu0 190 20 30 40 50 60 70 80 90 0\nintr 7 0 1\nbtime 1700000000\n";
        let got = lines(put_stat, text);
        assert_eq!(got[0], "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1.9");
        assert_eq!(got[7], "node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"} 0.8");
        assert_eq!(got[8..], ["node_boot_time_seconds 1.7e+09", "node_intr_total 7"]);
    }

    #[test]
    fn memory_is_in_bytes() {
        let text = "MemTotal:   2 kB\nActive(anon): 1 kB\nHugePages_Total:  3\nodd\n";
        let expected = [
            "node_memory_MemTotal_bytes 2048",
            "node_memory_Active_anon_bytes 1024",
            "node_memory_HugePages_Total 3",
        ];
        assert_eq!(lines(put_memory, text), expected);
    }

    #[test]
    fn network_devices_are_told_apart() {
        let text = "Inter-| Receive\n face |bytes\n  lo: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        let got = lines(put_network, text);
        assert_eq!(got[0], "node_network_receive_bytes_total{device=\"lo\"} 1");
        assert_eq!(got[4], "node_network_transmit_bytes_total{device=\"lo\"} 5");
        assert_eq!(got.len(), 8);
    }

    #[test]
    fn whole_disks_are_counted() {
        let text = "   8 0 sda 1 0 2 3000 4 0 5 6 7 8000 9\n   8 1 sda1 1 0 2 3\n 7 0 loop0 1 1\n";
        let got = lines(put_disks, text);
        assert_eq!(got.len(), 8);
        assert_eq!(got[1], "node_disk_read_bytes_total{device=\"sda\"} 1024");
        assert_eq!(got[7], "node_disk_io_time_seconds_total{device=\"sda\"} 8");
        for (device, whole) in [
            ("nvme0n1", true),
            ("nvme0n1p2", false),
            ("dm-0", true),
            ("vda", true),
            ("ram3", false),
        ] {
            assert_eq!(is_whole_disk(device), whole, "{device}");
        }
    }

    #[test]
    fn the_page_of_this_machine_can_be_read_back() {
        let page = page(&RealDisk, &ManualClock::at(1_500));
        assert!(page.contains("\nnode_time_seconds 1.5\n"), "{page}");
        let mut samples = 0;
        for entry in Parser::new(page.as_bytes()) {
            samples += usize::from(matches!(entry.unwrap(), Entry::Sample(_)));
        }
        if Path::new("/proc/self/stat").exists() {
            assert!(samples > 30, "{page}");
            for name in ["node_forks_total", "node_boot_time_seconds", "node_load1"] {
                assert!(page.contains(&format!("\n{name} ")), "{name}: {page}");
            }
        }
    }
}
