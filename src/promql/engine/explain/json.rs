//! A plan as JSON.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Explanation, MeasuredNode, MeasuredRead, PlannedNode, PlannedRead};

impl Explanation {
    /// The plan as a JSON object; times in seconds, instants in milliseconds.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Map::new();
        out.insert("query".into(), json!(self.query));
        out.insert("steps".into(), json!(self.steps));
        if let Some(spent) = self.spent {
            out.insert("seconds".into(), seconds(spent));
        }
        out.insert("plan".into(), node(&self.root));
        out.insert("reads".into(), self.reads.iter().map(read).collect());
        Value::Object(out).to_string()
    }
}

fn seconds(spent: Duration) -> Value {
    json!(spent.as_secs_f64())
}

fn node(node: &PlannedNode) -> Value {
    let mut out = Map::new();
    out.insert("operation".into(), json!(node.operation));
    out.insert("span".into(), json!([node.span.start, node.span.end]));
    out.insert("steps".into(), json!(node.steps));
    if let Some(read) = node.read {
        out.insert("read".into(), json!(read));
    }
    if let Some(MeasuredNode { series, columns, samples, spent }) = node.measured {
        let spent = seconds(spent);
        let measured =
            json!({"series": series, "columns": columns, "samples": samples, "seconds": spent});
        out.insert("measured".into(), measured);
    }
    // Plans are no deeper than the parser lets expressions be.
    out.insert("children".into(), node.children.iter().map(self::node).collect());
    Value::Object(out)
}

fn read(read: &PlannedRead) -> Value {
    let mut out = Map::new();
    out.insert("selector".into(), json!(read.selector));
    out.insert("startMs".into(), json!(read.start_ms));
    out.insert("endMs".into(), json!(read.end_ms));
    out.insert("readers".into(), json!(read.readers));
    if let Some(MeasuredRead { series, chunks, reads, samples, select, read }) = read.measured {
        let (select, read) = (seconds(select), seconds(read));
        let measured = json!({
            "series": series, "chunks": chunks, "reads": reads, "samples": samples,
            "selectSeconds": select, "readSeconds": read,
        });
        out.insert("measured".into(), measured);
    }
    Value::Object(out)
}
