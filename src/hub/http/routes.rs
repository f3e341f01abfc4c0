//! The table of paths.

use axum::http::Method;

/// What answers a path; the table below says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Endpoint {
    Page,
    Metrics,
    Version,
    Healthy,
    Ready,
    Write,
    Query,
    QueryRange,
    FormatQuery,
    Series,
    Labels,
    LabelValues,
    BuildInfo,
    TsdbStatus,
}

/// Which methods a path takes; `OPTIONS` is taken everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Methods {
    Get,
    GetHead,
    GetPost,
    Post,
}

impl Methods {
    pub(super) fn take(self, method: &Method) -> bool {
        match self {
            Self::Get => method == Method::GET,
            Self::GetHead => method == Method::GET || method == Method::HEAD,
            Self::GetPost => method == Method::GET || method == Method::POST,
            Self::Post => method == Method::POST,
        }
    }

    /// For the header `Allow`.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Get => "GET, OPTIONS",
            Self::GetHead => "GET, HEAD, OPTIONS",
            Self::GetPost => "GET, OPTIONS, POST",
            Self::Post => "OPTIONS, POST",
        }
    }
}

/// A path, what it takes and what answers it.
#[derive(Debug)]
pub(in crate::hub) struct Route {
    /// The path; one part may be `:name`. Also the label of its metrics.
    pub(in crate::hub) pattern: &'static str,
    pub(super) methods: Methods,
    pub(super) endpoint: Endpoint,
    /// True if it needs the storage.
    pub(super) needs_store: bool,
}

const fn route(pattern: &'static str, methods: Methods, endpoint: Endpoint) -> Route {
    Route { pattern, methods, endpoint, needs_store: true }
}

const fn always(pattern: &'static str, methods: Methods, endpoint: Endpoint) -> Route {
    Route { pattern, methods, endpoint, needs_store: false }
}

/// All paths.
pub(in crate::hub) static ROUTES: [Route; 17] = [
    route("/api/v1/write", Methods::Post, Endpoint::Write),
    route("/api/v1/receive", Methods::Post, Endpoint::Write),
    route("/api/v1/query", Methods::GetPost, Endpoint::Query),
    route("/api/v1/query_range", Methods::GetPost, Endpoint::QueryRange),
    route("/api/v1/format_query", Methods::GetPost, Endpoint::FormatQuery),
    route("/api/v1/series", Methods::GetPost, Endpoint::Series),
    route("/api/v1/labels", Methods::GetPost, Endpoint::Labels),
    route("/api/v1/label/:name/values", Methods::Get, Endpoint::LabelValues),
    route("/api/v1/status/buildinfo", Methods::Get, Endpoint::BuildInfo),
    route("/api/v1/status/tsdb", Methods::Get, Endpoint::TsdbStatus),
    route("/-/ready", Methods::GetHead, Endpoint::Ready),
    always("/-/healthy", Methods::GetHead, Endpoint::Healthy),
    always("/metrics", Methods::Get, Endpoint::Metrics),
    always("/version", Methods::Get, Endpoint::Version),
    always("/", Methods::Get, Endpoint::Page),
    always("/query", Methods::Get, Endpoint::Page),
    always("/graph", Methods::Get, Endpoint::Page),
];

/// The place in [`ROUTES`] of a path, and what stands in it for `:name`.
pub(super) fn find(path: &str) -> Option<(usize, &str)> {
    ROUTES.iter().enumerate().find_map(|(index, route)| {
        let name = match route.pattern.split_once(":name") {
            None => (route.pattern == path).then_some("")?,
            Some((before, after)) => path.strip_prefix(before)?.strip_suffix(after)?,
        };
        let is_one_part = !name.contains('/') && (route.pattern == path || !name.is_empty());
        is_one_part.then_some((index, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_is_one_part() {
        let found = |path| find(path).map(|(index, name)| (ROUTES[index].endpoint, name));
        assert_eq!(found("/api/v1/labels"), Some((Endpoint::Labels, "")));
        assert_eq!(found("/api/v1/label/job/values"), Some((Endpoint::LabelValues, "job")));
        assert_eq!(found("/api/v1/label/a/b/values"), None);
        assert_eq!(found("/api/v1/label//values"), None);
        assert_eq!(found("/api/v1/label/values"), None);
        assert_eq!(found("/api/v1/query/"), None);
        assert_eq!(found("/"), Some((Endpoint::Page, "")));
    }
}
