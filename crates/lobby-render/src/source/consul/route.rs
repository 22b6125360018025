//! Which route a question has, and what its statuses mean. Decides how names get into a path.

use std::fmt::Write;
use std::time::Duration;

use super::{BODY_BYTES, Reply, Trouble};
use crate::Query;
use crate::query::{ServiceQuery, Wanted};

/// A small body that lobbyd holds until the revision of its whole catalog moves: proxies of a service that has none.
pub(super) const REVISION: &str = "/v1/health/connect/lobby";

/// The longest part of an error's text that is quoted.
const QUOTE_CHARS: usize = 200;

/// A path with its query, escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) path: String,
    /// Whether 404 is an answer: that there is nothing.
    may_lack: bool,
}

impl Route {
    pub(super) fn plain(path: &str) -> Self {
        Self { path: path.to_owned(), may_lack: false }
    }

    /// Of a question that has one; `own` is the name of the agent's own node.
    pub(super) fn of(query: &Query, own: Option<&str>) -> Result<Self, String> {
        let (path, datacenter, near, may_lack) = match query {
            Query::Service(of) => (service(of)?, &of.datacenter, of.near.as_deref(), false),
            Query::Services { datacenter } => ("/v1/catalog/services".to_owned(), datacenter, None, false),
            Query::Nodes { datacenter, near } => ("/v1/catalog/nodes".to_owned(), datacenter, near.as_deref(), false),
            Query::Node { name, datacenter } => {
                let name = name.as_deref().or(own).unwrap_or_default();
                (format!("/v1/catalog/node/{}", segment(name)?), datacenter, None, false)
            }
            Query::Key { path, datacenter } => (format!("/v1/kv/{}", segments(path)?), datacenter, None, true),
            Query::Keys { prefix, datacenter } => (format!("/v1/kv/{}?recurse", segments(prefix)?), datacenter, None, true),
            Query::File(path) => return Err(format!("{}: agents have no files", path.display())),
            Query::Datacenters | Query::Selected { .. } | Query::Instances { .. } => {
                return Err("this question has no route of its own".into());
            }
        };
        let mut route = Self { path, may_lack };
        for (name, value) in [("dc", datacenter.as_deref()), ("near", near)] {
            if let Some(value) = value {
                route.add(name, value);
            }
        }
        Ok(route)
    }

    fn add(&mut self, name: &str, value: &str) {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        escape(&mut self.path, value);
    }

    /// Whether a follower of a real Consul can answer it by itself.
    pub(super) fn may_be_stale(&self) -> bool {
        ["/v1/catalog/", "/v1/health/", "/v1/kv/"].iter().any(|below| self.path.starts_with(below))
    }

    /// The same, answered by whoever is asked.
    pub(super) fn stale(&self) -> Self {
        let path = format!("{}{}stale", self.path, if self.path.contains('?') { '&' } else { '?' });
        Self { path, may_lack: self.may_lack }
    }

    /// The same, held by the agent until its index is beyond this one.
    pub(super) fn since(&self, index: u64, wait: Duration) -> String {
        let mut held = self.clone();
        held.add("index", &index.to_string());
        held.add("wait", &format!("{}ms", wait.as_millis()));
        held.path
    }

    /// The reply if it is an answer.
    pub(super) fn judge(&self, reply: Reply) -> Result<Reply, Trouble> {
        let is_keys = self.path.starts_with("/v1/kv/");
        if reply.status == 501 && is_keys {
            let path = self.path.split('?').next().unwrap_or_default();
            let message = format!("{path}: this agent has no key-value store; give keys_dir a folder with a file for each key");
            return Err(Trouble::Lasting(message));
        }
        // The question is wrong, and will be.
        if reply.status == 400 {
            return Err(Trouble::Lasting(self.told(&reply)));
        }
        if reply.warm == Some(false) {
            return Err(Trouble::Cold);
        }
        if reply.body.len() > BODY_BYTES {
            return Err(Trouble::Passing(format!("{}: more than {BODY_BYTES} bytes", self.path)));
        }
        match reply.status {
            200 => Ok(reply),
            404 if self.may_lack => Ok(reply),
            // It is asked again all the same: a token may be given its rights later.
            401 | 403 => {
                let what = if reply.status == 401 { "a token is needed" } else { "the token is refused" };
                let help = "set CONSUL_HTTP_TOKEN, -consul-token or TOKEN to one that may read this";
                Err(Trouble::Passing(format!("{what} ({}); {help}: {}", reply.status, self.told(&reply))))
            }
            _ => Err(Trouble::Passing(self.told(&reply))),
        }
    }

    /// What an agent says of an error.
    fn told(&self, reply: &Reply) -> String {
        #[derive(serde::Deserialize)]
        struct Body {
            message: String,
        }
        let begin = &reply.body[..reply.body.len().min(4 * QUOTE_CHARS)];
        let message = serde_json::from_slice(begin).map(|Body { message }| message);
        let text = message.unwrap_or_else(|_| String::from_utf8_lossy(begin).into_owned());
        let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTE_CHARS).collect();
        format!("{}: status {}: {text}", self.path, reply.status)
    }
}

fn service(of: &ServiceQuery) -> Result<String, String> {
    let mut route = instances(&of.name)?;
    if of.statuses == [Wanted::Passing] {
        route.add("passing", "1");
    }
    if let Some(tag) = &of.tag {
        route.add("tag", tag);
    }
    Ok(route.path)
}

/// All instances of a service.
pub(super) fn instances(name: &str) -> Result<Route, String> {
    Ok(Route::plain(&format!("/v1/health/service/{}", segment(name)?)))
}

/// lobbyd's nodes that a selector takes.
pub(super) fn selected(selector: &str) -> Route {
    chosen_by("/v1/nodes", selector)
}

/// lobbyd's services that have an instance that a selector takes.
pub(super) fn services(selector: &str) -> Route {
    chosen_by("/v1/services", selector)
}

/// Those instances of a service.
pub(super) fn chosen(name: &str, selector: &str) -> Result<Route, String> {
    Ok(Route { may_lack: true, ..chosen_by(&format!("/v1/services/{}", segment(name)?), selector) })
}

fn chosen_by(path: &str, selector: &str) -> Route {
    let mut route = Route::plain(path);
    if !selector.is_empty() {
        route.add("where", selector);
    }
    route
}

/// A name as one segment. Dots alone would lead elsewhere, in whatever way they are written.
fn segment(name: &str) -> Result<String, String> {
    match name {
        "" => Err("an empty name cannot be asked for".into()),
        "." | ".." => Err(format!("the name {name:?} cannot be asked for")),
        name => {
            let mut text = String::new();
            escape(&mut text, name);
            Ok(text)
        }
    }
}

/// The path of a key, whose slashes are those of the address.
fn segments(path: &str) -> Result<String, String> {
    let part = |part: &str| if part.is_empty() { Ok(String::new()) } else { segment(part) };
    Ok(path.split('/').map(part).collect::<Result<Vec<_>, _>>()?.join("/"))
}

/// Escapes all but what RFC 3986 leaves unreserved.
fn escape(text: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            // Writing to a text never fails.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(query: Query) -> Result<String, String> {
        Route::of(&query, Some("host-1")).map(|route| route.path)
    }

    #[test]
    fn each_question_has_its_route() {
        for (query, want) in [
            (Query::service("web"), "/v1/health/service/web?passing=1"),
            (Query::service("web|any"), "/v1/health/service/web"),
            (Query::service("a=b.web@dc-2~_agent|passing,warning"), "/v1/health/service/web?tag=a%3Db&dc=dc-2&near=_agent"),
            (Query::services("@dc2"), "/v1/catalog/services?dc=dc2"),
            (Query::nodes("~edge-7"), "/v1/catalog/nodes?near=edge-7"),
            (Query::node("edge.7"), "/v1/catalog/node/edge.7"),
            (Query::node("@dc2"), "/v1/catalog/node/host-1?dc=dc2"),
            (Query::key("a b/č#@dc2"), "/v1/kv/a%20b/%C4%8D%23?dc=dc2"),
            (Query::keys("app/"), "/v1/kv/app/?recurse"),
            (Query::keys("app//x@dc2"), "/v1/kv/app//x?recurse&dc=dc2"),
            (Query::keys(""), "/v1/kv/?recurse"),
        ] {
            assert_eq!(path(query.unwrap()).as_deref(), Ok(want));
        }
        assert_eq!(selected("label=zone:eu and tag=a").path, "/v1/nodes?where=label%3Dzone%3Aeu%20and%20tag%3Da");
        assert_eq!(chosen("a/b", "").unwrap().path, "/v1/services/a%2Fb");
    }

    #[test]
    fn no_name_leads_to_another_route() {
        for query in [Query::key("../agent/self"), Query::keys("a/./b"), Query::node("..")] {
            assert!(path(query.unwrap()).is_err());
        }
        assert!(instances("..").is_err() && instances("").is_err());
        assert!(Route::of(&Query::Node { name: None, datacenter: None }, None).is_err());
    }

    #[test]
    fn a_route_that_is_waited_on_keeps_its_parameters() {
        let wait = Duration::from_secs(60);
        assert_eq!(Route::plain("/v1/x").since(7, wait), "/v1/x?index=7&wait=60000ms");
        assert_eq!(Route::plain("/v1/x?recurse").since(7, wait), "/v1/x?recurse&index=7&wait=60000ms");
    }

    #[test]
    fn statuses_mean_answers_or_trouble() {
        let kv = Route { path: "/v1/kv/a".into(), may_lack: true };
        let plain = Route::plain("/v1/x");
        let reply = |status, warm| Reply { status, warm, body: b"why\nnot".to_vec(), ..Reply::default() };
        assert!(kv.judge(reply(404, None)).is_ok() && plain.judge(reply(200, Some(true))).is_ok());
        assert!(matches!(plain.judge(reply(200, Some(false))), Err(Trouble::Cold)));
        assert!(matches!(kv.judge(reply(501, Some(false))), Err(Trouble::Lasting(text)) if text.contains("keys_dir")));
        assert!(matches!(plain.judge(reply(400, None)), Err(Trouble::Lasting(text)) if text == "/v1/x: status 400: why not"));
        for status in [403, 404, 429, 500, 503] {
            assert!(matches!(plain.judge(reply(status, None)), Err(Trouble::Passing(_))), "{status}");
        }
        for (status, want) in [(401, "a token is needed (401)"), (403, "the token is refused (403)")] {
            assert!(matches!(plain.judge(reply(status, None)), Err(Trouble::Passing(text)) if text.starts_with(want)));
        }
        assert!(matches!(plain.judge(reply(503, Some(false))), Err(Trouble::Cold)));
    }

    #[test]
    fn the_longest_body_is_read_and_no_longer_one() {
        let reply = |bytes| Reply { status: 200, body: vec![b' '; bytes], ..Reply::default() };
        assert!(Route::plain("/v1/x").judge(reply(BODY_BYTES)).is_ok());
        assert!(Route::plain("/v1/x").judge(reply(BODY_BYTES + 1)).is_err());
    }
}
