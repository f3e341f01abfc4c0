//! Pages for people: one file, no scripts, nothing from elsewhere.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::agent::scrape::{Health, Target};
use crate::base::duration::format_duration;
use crate::model::Labels;

use super::Shown;
use super::time::rfc3339;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;\
color:#222;background:#fff}\
a{color:#0a58ca}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ddd;\
overflow-wrap:anywhere}\
th{font-weight:600;white-space:nowrap}code{font-size:.85em}\
.up{color:#146c43}.down{color:#b02a37}.unknown{color:#666}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8ab4f8}\
th,td{border-color:#444}.up{color:#75b798}.down{color:#ea868f}.unknown{color:#999}}";

// Writing to a string cannot fail, so its answer has no meaning.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { let _ = write!($out, $($text)*); };
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} – promlite</title><style>{STYLE}</style>\
         <p><a href=\"/\">promlite agent</a> · <a href=\"/targets\">Targets</a> · \
         <a href=\"/metrics\">Metrics</a></p>{body}</html>\n"
    )
}

/// The text without a meaning for HTML.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

fn code(labels: &Labels) -> String {
    format!("<code>{}</code>", plain(&labels.to_string()))
}

/// `/`
pub(super) fn overview(shown: &Shown) -> String {
    let mut body = String::from("<h1>promlite agent</h1><table>");
    let version = env!("CARGO_PKG_VERSION");
    put!(body, "<tr><th>Version<td>{version}");
    put!(body, "<tr><th>External labels<td>{}", code(&shown.external_labels));
    let destinations: Vec<String> = shown.destinations.iter().map(|url| plain(url)).collect();
    let destinations =
        if destinations.is_empty() { "none".to_owned() } else { destinations.join("<br>") };
    put!(body, "<tr><th>Sends to<td>{destinations}</table>");
    body.push_str("<h2>Jobs</h2><table><tr><th>Job<th>Targets up<th>Targets dropped");
    for (name, view) in &shown.pools {
        let view = view.read().clone();
        let is_up = |target: &&Arc<Target>| target.last().health == Health::Up;
        let (up, all) = (view.active.iter().filter(is_up).count(), view.active.len());
        let class = if up == all { "up" } else { "down" };
        let (name, dropped) = (plain(name), view.dropped_count);
        put!(body, "<tr><td>{name}<td class={class}>{up} of {all}<td>{dropped}");
    }
    body.push_str("</table>");
    page("Agent", &body)
}

/// `/targets`
pub(super) fn targets(shown: &Shown) -> String {
    let mut body = String::from("<h1>Targets</h1>");
    for (name, view) in &shown.pools {
        let view = view.read().clone();
        put!(body, "<h2>{}</h2><table>", plain(name));
        body.push_str("<tr><th>Target<th>State<th>Labels<th>Last scrape<th>Took<th>Error");
        for target in &view.active {
            put_target(&mut body, target);
        }
        body.push_str("</table>");
        if view.dropped_count > 0 {
            put!(body, "<p>{} dropped by relabelling</p>", view.dropped_count);
        }
    }
    if shown.pools.is_empty() {
        body.push_str("<p>The configuration has no jobs.</p>");
    }
    page("Targets", &body)
}

fn put_target(body: &mut String, target: &Target) {
    let last = target.last();
    let (url, health) = (plain(&target.url), last.health.text());
    put!(body, "<tr><td><a href=\"{url}\">{url}</a><td class={health}>{health}");
    put!(body, "<td>{}", code(&target.labels));
    let time = last.time_ms.map_or_else(|| "never".to_owned(), rfc3339);
    let interval = format_duration(target.interval_ms);
    let took_ms = last.duration_seconds * 1000.0;
    put!(body, "<td>{time}<br>every {interval}<td>{took_ms:.1} ms<td>{}", plain(&last.error));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_targets_say_cannot_become_html() {
        assert_eq!(plain("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
    }
}
