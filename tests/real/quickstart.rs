//! The first thing that a new user runs.

use std::fs;

use crate::http;
use crate::programs::{Program, example, free_address, now_ms, wait_until};

#[test]
#[ignore = "needs the built examples, takes half a minute"]
fn quickstart_shows_changing_metrics_of_this_machine_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut command = example("quickstart");
    command.arg("--data-dir").arg(dir.path().join("data"));
    command.args(["--listen", &address.to_string(), "--for", "30s"]);
    let mut program = Program::start(dir.path(), "quickstart", &mut command);
    program.wait_ready(address, "/-/ready");
    let moved = r#"sum by (cluster) (increase(node_cpu_seconds_total[15s])) > 0"#;
    wait_until("both clusters' CPU time moves", || {
        let data = http::instant(address, moved, now_ms());
        data["result"].as_array().unwrap().len() == 2
    });
    let page = http::get(address, "/").unwrap();
    assert!(page.status == 200 && page.body.contains("<html"), "{}", page.body);
    assert!(program.wait().success());
    let said = fs::read_to_string(dir.path().join("quickstart.log")).unwrap();
    assert!(said.contains(&format!("http://{address}")), "{said}");
}
