//! Starting, waiting for, killing programs, ours and others'.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running program; killed when dropped, and its last words shown if the test failed.
pub(crate) struct Program {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Program {
    /// Starts `command`; what it says goes to `<dir>/<name>.log`.
    pub(crate) fn start(dir: &Path, name: &str, command: &mut Command) -> Self {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Self { child, name: name.to_owned(), log }
    }

    /// Waits until `path` answers 200.
    pub(crate) fn wait_ready(&mut self, address: SocketAddr, path: &str) {
        wait_until(&format!("{} is ready", self.name), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status}:\n{}", self.name, self.log_tail());
            }
            http::get(address, path).is_ok_and(|answer| answer.status == 200)
        });
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, then waits for the end.
    pub(crate) fn terminate(self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.wait()
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let mut status = None;
        wait_until(&format!("{} has ended", self.name), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; both answers are fine then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {}:\n{}", self.name, self.log_tail());
        }
    }
}

/// Polls until `done`, or fails the test.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A loopback address that nobody uses.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// One of our programs, as cargo built it beside this test.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: cargo build --all-features --examples", path.display());
    Command::new(path)
}

/// One of the others' programs.
pub(crate) fn peer(variable: &str, default: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| OsString::from(default)))
}

pub(crate) fn promtool() -> Command {
    peer("PROMLITE_PROMTOOL", "promtool")
}

pub(crate) fn start_node_exporter(dir: &Path) -> (Program, SocketAddr) {
    let address = free_address();
    let mut command = peer("PROMLITE_NODE_EXPORTER", "prometheus-node-exporter");
    command.arg(format!("--web.listen-address={address}"));
    let mut program = Program::start(dir, "node_exporter", &mut command);
    program.wait_ready(address, "/metrics");
    (program, address)
}

pub(crate) fn start_prometheus(
    dir: &Path,
    address: SocketAddr,
    config: &str,
    flags: &[&str],
) -> Program {
    let config_path = dir.join("prometheus.yml");
    fs::write(&config_path, config).unwrap();
    let mut command = peer("PROMLITE_PROMETHEUS", "prometheus");
    command
        .arg(format!("--config.file={}", config_path.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("prometheus-data").display()))
        .arg(format!("--web.listen-address={address}"))
        .args(flags);
    let mut program = Program::start(dir, "prometheus", &mut command);
    program.wait_ready(address, "/-/ready");
    program
}

pub(crate) fn start_hub(dir: &Path, address: SocketAddr, config: &str) -> Program {
    let config_path = dir.join("hub.yml");
    fs::write(&config_path, config).unwrap();
    let mut command = example("hub");
    command.arg("--config").arg(&config_path).arg("--data-dir").arg(dir.join("hub-data"));
    command.arg("--listen").arg(address.to_string());
    let mut program = Program::start(dir, "hub", &mut command);
    program.wait_ready(address, "/-/ready");
    program
}

pub(crate) fn start_agent(dir: &Path, address: SocketAddr, config: &str) -> Program {
    let config_path = dir.join("spoke.yml");
    fs::write(&config_path, config).unwrap();
    let mut command = example("agent");
    command.arg("--config").arg(&config_path).arg("--data-dir").arg(dir.join("agent-data"));
    command.arg("--listen").arg(address.to_string());
    let mut program = Program::start(dir, "agent", &mut command);
    program.wait_ready(address, "/-/ready");
    program
}
